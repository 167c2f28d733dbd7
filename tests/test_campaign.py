# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Campaigns: units in worker processes, failures kept, and a state file that is gone on with."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stress import campaign
from stress.campaign import Result, Unit

SHORT = ("histories", "--histories", "20", "--seed", "SEED", "--json", "FILE")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(campaign.KINDS, "histories", SHORT)
    monkeypatch.setitem(campaign.KINDS, "broken", ("histories", "--no-such-option"))


def run(state: Path, kind: str, seconds: float) -> campaign.Campaign:
    with ThreadPoolExecutor(2) as executor:
        return campaign.run(executor, 2, seconds, state, (kind,))


def test_it_runs_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    first = run(state, "histories", 0.1)
    assert first.verdict == "SUCCESS"
    assert first.sums()["histories"] == 20 * len(first.results)
    assert first.sums()["undecided"] == 0
    state.write_text(state.read_text() + '{"kind": "histories", "se')  # killed in the middle of a line
    second = run(state, "histories", 0.1)
    seeds = [result.seed for result in second.results]
    assert len(seeds) > len(first.results)
    assert sorted(seeds) == list(range(1, len(seeds) + 1))
    assert [result.seed for result in campaign.read_state(state)] == seeds


def test_a_unit_that_fails_is_a_failure_and_says_why(tmp_path: Path) -> None:
    found = run(tmp_path / "state.jsonl", "broken", 0.1)
    assert found.verdict == "FAILURE"
    assert "no-such-option" in found.report()["failed"][0]["output"]


def test_nothing_done_is_no_success() -> None:
    assert campaign.Campaign().verdict == "FAILURE"


def test_kinds_take_turns_and_seeds_go_on() -> None:
    done = [Result("storm", 4, "SUCCESS", 1.0, {})]
    assert list(itertools.islice(campaign.units(("storm", "faults"), 2, done), 4)) == [
        Unit("storm", 5),
        Unit("faults", 2),
        Unit("storm", 6),
        Unit("faults", 3),
    ]
