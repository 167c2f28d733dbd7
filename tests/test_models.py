# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table's sources under the C11 model checker: the scenarios that take seconds, and the planted faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "models"))
import run
import weaken

TOOLS = run.Tools.find()
if TOOLS is None:
    pytest.skip(run.HOW_TO_GET, allow_module_level=True)

#: Each takes as long as four others or more: `make verify` and `make prove` run them.
LONG = {
    *("begin to grow and grow against insert", "grow against remove: the late copy"),
    *("two helpers of one resize, look up", "retire, reclaim, overflowing pins", "retire, reclaim, temporary pin"),
    *("retire, another thread reclaims, look up", "reseed, reclaim, look up", "begin to grow and grow, iterate"),
    *("insert against insert of one key and another", "retire, reclaim with membarrier, simple form"),
}
QUICK = [s for s in run.SCENARIOS + run.VARIANTS + run.FAULTS if s.quick and s.name not in LONG]


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_model(scenario: run.Scenario) -> None:
    """It passes in every execution; a planted fault is reported."""
    assert TOOLS is not None
    verdict = run.verify(TOOLS, scenario)
    assert verdict.ok, verdict.error or "the fault was not reported"
    assert verdict.fault or verdict.executions > 1


def test_every_order_is_weakened() -> None:
    assert len(run.ORDERS) > 20
    assert {fault.name.split()[0] for fault in run.FAULTS} >= set(run.ORDERS)


#: One by a lookup, one by an update, one by the reclaimer: by file and function.
WEAKENED = (
    ("table/lookup.c", "bid_lookup_simple"),
    ("table/move.c", "bid_copy"),
    ("process/grace.c", "bid_oldest_pin"),
)


@pytest.mark.parametrize("place", WEAKENED)
def test_a_weakened_use_is_noticed(place: tuple[str, str]) -> None:
    """By the model that is asked first: the one that docs/orders.md names."""
    assert TOOLS is not None
    use = next(use for use in weaken.uses() if (use.file, use.function) == place)
    finding = weaken.weaken(TOOLS, use)
    assert finding.noticed is not None
    assert finding.asked == 1


@pytest.mark.parametrize("name", ["left", "left.c", "tests/models/left.c"])
def test_a_file_means_its_scenarios(name: str) -> None:
    named = [scenario.model for scenario in run.SCENARIOS if run.is_named(scenario, [name])]
    assert named
    assert set(named) == {"left"}


@pytest.mark.parametrize(
    ("program", "name", "message"),
    [
        ("run.py", "publish and look for", "no scenario is called 'publish and look for'"),
        ("run.py", "nothing.c", "no scenario is called 'nothing.c', nor its file"),
        ("weaken.py", "table/move.c:1", "table/move.c:1 names no memory order"),
    ],
)
def test_a_name_of_nothing_is_an_error(program: str, name: str, message: str) -> None:
    command = [sys.executable, str(run.HERE / program), name]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_scenario_may_be_named_by_its_file() -> None:
    named = [scenario for scenario in run.SCENARIOS if run.is_named(scenario, ["update_lookup"])]
    assert {scenario.model for scenario in named} == {"update_lookup"}
    assert len(named) == 3


def test_what_a_model_does_not_contain_is_not_run() -> None:
    assert TOOLS is not None
    uses = {(use.file, use.macro): use for use in weaken.uses()}
    publish = next(scenario for scenario in run.SCENARIOS if scenario.name == "publish and look up")
    noticed = weaken.ask(TOOLS, publish, uses["table/update.c", "BID_P_RELEASE"])
    assert noticed is not None
    assert noticed.ok
    for elsewhere in (("inode/inode.c", "BID_I_RELEASE"), ("table/iterate.c", "BID_P_ACQUIRE")):
        assert weaken.ask(TOOLS, publish, uses[elsewhere]) is None


def test_a_model_without_an_end_is_given_up() -> None:
    assert TOOLS is not None
    longest = next(scenario for scenario in run.SCENARIOS if scenario.name == "grow against insert, look up")
    verdict = run.verify(TOOLS, longest, cpu_seconds=1)
    assert run.NO_END in verdict.error
    assert not verdict.ok


def test_every_use_is_in_the_page() -> None:
    """docs/orders.md tells of the uses that there are; after a change: make verify-orders."""
    told = [" | ".join(cells[:3]) for cells in weaken.told()]
    assert sorted(told) == sorted(weaken.key(use) for use in weaken.uses())
    assert "NOT NOTICED" not in weaken.PAGE.read_text()
    assert weaken.REASONS.keys() <= {use.name for use in weaken.uses()}
