# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Campaigns: units in worker processes, failures kept, and a state file that is gone on with."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from clustered import wait_for_workers

from pybuildid.stacks import _client
from pybuildid.stacks._client import ClusterError
from stress.__main__ import main
from stress.campaign import executors
from stress.campaign import run as campaign
from stress.campaign.run import Result, Unit

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


def test_steps_and_frozen_threads_take_turns() -> None:
    for kind, turn in (("step", 1), ("freeze", 4)):
        found = campaign.run_unit(Unit(kind, turn), campaign.KINDS[kind])
        assert found.verdict == "SUCCESS", found.output
        assert found.sums["interrupted" if kind == "step" else "points"] > 100


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


def test_its_part_of_the_page_is_replaced() -> None:
    done = campaign.Campaign([Result("histories", 7, "FAILURE", 3600.0, {"histories": 5000}, "", "here")])
    first = campaign.with_long_runs("# Page\n\nshort\n", done)
    assert first.startswith("# Page\n\nshort\n\n## Long runs\n\n**FAILURE**: 1 units")
    assert "| histories | 1 | 7 to 7 | 7 |" in first
    assert "5,000 histories" in first
    assert campaign.with_long_runs(first, done) == first


# ------------------------------------------------------------------------------------------- on a Dask cluster


def test_units_run_on_a_cluster(cluster: str, tmp_path: Path) -> None:
    wait_for_workers(cluster, 2)
    state, page, report = tmp_path / "state.jsonl", tmp_path / "page.md", tmp_path / "found.json"
    page.write_text("# Page\n")
    hours = str(0.1 / 3600)
    options = ["--executor", f"dask:{cluster}", "--kind", "histories", "--hours", hours, "--state", str(state)]
    run = CliRunner().invoke(main, ["campaign", *options, "--page", str(page), "--json", str(report)])
    assert run.exit_code == 0, run.output
    found = json.loads(report.read_text())
    assert found["units"]["histories"] >= 2  # one for each worker
    assert found["histories"] == found["units"]["histories"] * 20
    assert found["undecided"] == found["illegal"] == 0
    assert "**SUCCESS**" in page.read_text()
    assert "on 1 machine." in page.read_text()


def test_workers_with_other_sources_are_refused(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_workers(cluster, 2)
    monkeypatch.setattr(executors, "revision", lambda: "other")
    with pytest.raises(ClusterError, match="other sources"), executors.dask(cluster, None):
        pass


@pytest.mark.parametrize(
    ("name", "what"),
    [("threads", "no executor"), ("dask", "no executor"), ("dask:tcp://127.0.0.1:1", "no Dask scheduler")],
)
def test_bad_executors(name: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_client, "TIMEOUT", "0.5s")
    run = CliRunner().invoke(main, ["campaign", "--executor", name, "--state", str(tmp_path / "state")])
    assert run.exit_code == 1
    assert what in run.output


@pytest.mark.parametrize("text", ["hello\n", '{"kind": "histories"\n{}\n', "[]\n"])
def test_a_file_that_is_no_state_is_left_alone(text: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text(text)
    run = CliRunner().invoke(main, ["campaign", "--hours", "0.0001", "--state", str(state)])
    assert (run.exit_code, state.read_text()) == (1, text)
    assert "state, line 1: no unit of a campaign" in run.output


@pytest.mark.parametrize("option", ["--state", "--json"])
def test_files_that_cannot_be_written_are_named_first(option: str, tmp_path: Path) -> None:
    run = CliRunner().invoke(main, ["campaign", option, str(tmp_path / "absent" / "file")])
    assert run.exit_code == 2
    assert "there is no directory" in run.output
    assert not (tmp_path / "absent").exists()
