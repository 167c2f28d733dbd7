# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A handler after every instruction: the quick form, and planted faults that it notices."""

from __future__ import annotations

import itertools
import json
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from limits import LIMIT_SECONDS

from stress import programs
from stress.faults import run as faults
from stress.mutants.catalog import MUTANTS
from stress.mutants.edits import Edit, copy_edited
from stress.step import run as step
from stress.step import trace, unreached

ROOT = Path(__file__).resolve().parent.parent

if platform.machine() != "x86_64":
    pytest.skip(step.NEEDS_TRAP_FLAG, allow_module_level=True)
if not shutil.which("objdump"):
    pytest.skip(trace.NEEDS_BINUTILS, allow_module_level=True)

#: No sampled interruption would be likely to see these. The scenario, the edits, and what is said then.
FAULTS = {
    "a replace that removes for a moment": (
        "replace-present",
        [
            Edit(
                "table/update.c",
                "    if (!bid_cas(at.slot",
                "    if (op->kind == BID_REPLACE)\n"
                "        bid_store(at.slot, at.word = bid_word_tombstone(at.word), BID_P_RELEASE);\n"
                "    if (!bid_cas(at.slot",
            )
        ],
        "looks: 1 wrong, first: the key in question, key",
    ),
    "a lookup that prefers the frozen, stale record": (
        "replace-resizing",
        [Edit("table/lookup.c", "return other.record ? other : found;", "return found.record ? found : other;")],
        "looks: 1 wrong, first: after the operation, key",
    ),
    "a record that is published before it is filled": (
        "insert-new",
        [
            Edit(
                "table/update.c", "    bid_record_fill(table, array, op);\n    op->record_array", "    op->record_array"
            ),
            Edit(
                "table/update.c",
                "    op->status = op->kind == BID_UPSERT",
                "    if (op->kind != BID_REMOVE)\n        bid_record_fill(table, array, op);\n"
                "    op->status = op->kind == BID_UPSERT",
            ),
        ],
        "no answer, or a torn one",
    ),
    "an insert that gives up when a handler has inserted its key": (
        "insert-new",
        list(next(mutant.edits for mutant in MUTANTS if mutant.name == "insert-gives-up")),
        "the operation: BID_E_COLLISIONS; seen, key",
    ),
}


def test_the_quick_form(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "stress", "step", "--quick", "--json", str(report)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(run.stdout, run.stderr)  # which pytest shows whole where it cuts off what stands in an assert
    assert run.returncode == 0
    found = json.loads(report.read_text())
    print(json.dumps({key: value for key, value in found.items() if key not in ("scenarios", "coverage")}, indent=2))
    assert found["verdict"] == "SUCCESS"
    assert found["wrong"] == found["skipped"] == found["quiet_calls"] == 0
    assert all(scenario["quiet_threads"] for scenario in found["scenarios"])
    assert found["executed"] == found["interrupted"] + found["system_calls"]
    assert 0 < found["system_calls"] < found["executed"] / 50
    assert found["in_resize"] > 5000
    assert 300 < found["lookup_instructions"] < 5000
    by_mode: Counter[str] = Counter()
    for scenario in found["scenarios"]:
        by_mode[scenario["mode"]] += scenario["updates"]
    assert by_mode["updates"] > 2000
    assert by_mode["grows"] > 20
    assert by_mode["looks"] == 0
    insert = next(one for one in found["scenarios"] if (one["name"], one["mode"]) == ("insert-new", "updates"))
    assert insert["updates"] + insert["refused"] == insert["interrupted"]  # at every instruction
    assert insert["updates"] > 1000 > 10 * insert["refused"]
    collides = next(one for one in found["scenarios"] if (one["name"], one["mode"]) == ("insert-new", "collides"))
    assert collides["updated_at"] > 1000  # each of them in a process of its own, with updates of the operation's key
    assert collides["updates"] == 6 * collides["updated_at"]
    missed = {function["function"]: function for function in found["coverage"]}
    assert missed["bid_pin_own"]["missed"] == 0 if "bid_pin_own" in missed else missed
    assert missed["bid_statistics"]["never_reached"][0]["where"].startswith("statistics.c:")


def coverage_of(lines: Iterable[tuple[str, str]]) -> list[trace.Coverage]:
    """As if these lines, and the functions that nobody enters, were what is not reached."""
    whole = [trace.Coverage(function, 5, 5, (trace.Line(function, "a line"),)) for function in unreached.COPIED]
    return [*whole, trace.Coverage("f", 9, 1, tuple(trace.Line(function, text) for function, text in lines))]


def test_what_is_not_reached_is_listed_with_a_reason() -> None:
    listed = list(unreached.reasons())
    assert not list(unreached.wrong(coverage_of(listed)))
    found = list(unreached.wrong(coverage_of([*listed, ("bid_lookup", "return 7;"), ("bid_lookup", "return 7;")])))
    assert len(found) == 1
    assert "was not reached, and unreached.py gives no reason: return 7;" in found[0]
    assert len(list(unreached.wrong(coverage_of(listed[1:])))) == 1
    assert "cannot be reached, and it was" in next(unreached.wrong(coverage_of(listed[1:])))
    entered = [trace.Coverage(function, 9, 1, ()) for function in unreached.COPIED]
    assert len(list(unreached.wrong([*coverage_of(listed), *entered]))) == len(unreached.COPIED) > 0


def test_the_lines_that_are_not_reached_are_in_the_sources() -> None:
    files = [path for module in programs.MODULES for path in (ROOT / "csrc" / module).glob("*.[ch]")]
    sources = {path: path.read_text() for path in files}
    for function, text in unreached.reasons():
        assert any(f"{function}(" in source and text in source for source in sources.values()), (function, text)


def test_a_line_is_found_by_its_text(tmp_path: Path) -> None:
    """Also where the compiler has made its function a part of another; what is in a header counts as who calls it."""
    stepper = step.Stepper(ROOT / "csrc", tmp_path)
    first, size = stepper.disassembly.functions["bid_update_slot"]
    inside = [address for address in stepper.disassembly.code if first <= address < first + size]
    lines = trace.source_lines(stepper.disassembly, ROOT / "csrc", inside)
    assert {line.where.split(":")[0] for line in lines} == {"update.c"}
    assert {"bid_update_slot", "bid_entry_admit", "bid_operation_declines"} <= {line.function for line in lines}
    assert any(line.text.startswith("uint64_t before = bid_add(&table->count, 1") for line in lines)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(tmp_path: Path, fault: str) -> None:
    name, edits, said = FAULTS[fault]
    outcome = step.run([name], ["collides"], step.QUICKLY, csrc=copy_edited(edits, tmp_path / "csrc"))
    assert outcome.verdict == "FAILURE"
    assert said in "; ".join(outcome.failures)


#: Edits of a remove for NMI context, and what is said of it. None of them is wrong in what it answers.
NOISY = {
    "calls libc": ('(void)getenv("");\n    ', "#include <stdlib.h>\n", "other code than the table's ran: getenv()"),
    "calls the platform": ("bid_platform_page();\n    ", "", "other code than the table's ran: bid_platform_page()"),
    "calls the system": (
        'uint64_t r = 24;\n    __asm__ volatile("syscall" : "+a"(r) : : "rcx", "r11", "memory");\n    ',
        "",
        "other code than the table's ran: a system call at 0x",
    ),
}


@pytest.mark.parametrize("name", NOISY)
def test_what_an_update_for_nmi_context_may_not_do_is_noticed(tmp_path: Path, name: str) -> None:
    statement, include, said = NOISY[name]
    call = "return bid_remove_entry(table, (struct bid_operation){.key = key});"
    edits = [
        Edit("table/update.c", call, statement + call),
        Edit("table/update.c", '#include "update.h"\n', f'#include "update.h"\n{include}'),
    ]
    outcome = step.run(["remove-nmi"], [], step.QUICKLY, csrc=copy_edited(edits, tmp_path / "csrc"))
    assert outcome.verdict == "FAILURE"
    assert f"remove-nmi, looks: {said}" in "; ".join(outcome.failures)


def test_a_system_call_of_a_handler_is_noticed(tmp_path: Path) -> None:
    """Where nothing but lookups and updates for NMI context is stepped."""
    edits = next(mutant.edits for mutant in MUTANTS if mutant.name == "nmi-form-yields")
    outcome = step.run(["insert-new"], ["updates"], step.QUICKLY, csrc=copy_edited(edits, tmp_path / "csrc"))
    assert "insert-new, updates: a handler's lookups and updates made" in "; ".join(outcome.failures)


def test_each_kind_of_quiet_scenario_is_there() -> None:
    names = step.scenarios()
    assert all(any(name.startswith(kind) for name in names) for kind in step.QUIET)


def test_an_instruction_without_handler_is_noticed(tmp_path: Path) -> None:
    """Leaves one address out of a trace: but for branches that may skip it as well, each is missed."""
    stepper = step.Stepper(ROOT / "csrc", tmp_path)
    stepper.run(step.Result("remove-present", "looks"))
    code, missed, legal = stepper.disassembly.code, 0, 0
    for (one, left_out), (again, other) in itertools.product(stepper.trace, repeat=2):
        if left_out != again or one not in code or other not in code or "*" in code[one] or code[one] == "syscall":
            continue
        found = trace.executed(stepper.disassembly, Counter({(one, other): 1}))
        missed += found.skipped == 1
        legal += found.skipped == 0
    assert missed > 300
    assert legal < missed / 20


def test_each_turn_is_at_other_instructions() -> None:
    turns = [step.phases(7, 2, turn) for turn in range(7)]
    assert sorted(phase for turn in turns for phase in turn) == sorted(2 * list(range(7)))
    assert step.phases(3, None) == [0, 1, 2]


def test_what_blocks_is_named_before_the_test_is_ended() -> None:
    """By its scenario: a test that is ended has no output."""
    assert step.QUICKLY.seconds < float(LIMIT_SECONDS)
    assert float(LIMIT_SECONDS) > faults.QUICK_SECONDS


def test_unknown_scenario() -> None:
    command = [sys.executable, "-m", "stress", "step", "--scenario", "no-such"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "--list" in run.stderr
