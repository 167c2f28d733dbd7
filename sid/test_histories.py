# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The checker of histories, against a specification and a search written once more and differently; then the recorder,
over our table and over tables with a planted fault."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.histories import run as histories
from stress.histories.run import KINDS, LOOKUPS, TORN, Checker, Operation
from stress.programs import ROOT, CompilerError, Toolchain

OK, ABSENT, STALE, NO_ID, EXISTS, RETIRED, WOULD_ALLOCATE, NO_MEMORY, MAX_ENTRIES = 0, 1, 2, 3, 4, -13, -14, -11, -12
Entry = tuple[int, int]  # generation, number of the build ID


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker() as checker:
        yield checker


# ------------------------------------------------------------------------------------- specification and search


def answer(op: Operation, state: Entry | None) -> tuple[Operation, Entry | None]:
    """The operation with what it should answer, and the state after it: a dictionary of one key."""
    kind = KINDS[op.kind].replace("_nmi", "")
    if "generation" in kind and state and state[0] != op.generation:
        return replace(op, status=STALE), state
    if kind in LOOKUPS:
        if not state:
            return replace(op, status=ABSENT), state
        if kind == "keys":
            return replace(op, status=OK), state
        found = replace(op, found_generation=state[0] if kind != "lookup_many" else 0, found_id=state[1])
        return replace(found, status=OK if state[1] else NO_ID), state
    new = (op.generation, op.id)
    if kind in ("insert", "insert_many"):
        return replace(op, status=EXISTS if state else OK), state or new
    if kind == "upsert":
        return replace(op, status=EXISTS if state else OK), new
    if kind == "replace":
        return replace(op, status=OK if state else ABSENT), new if state else None
    return replace(op, status=OK if state else ABSENT), None


def in_some_order(ops: Sequence[Operation]) -> bool:
    """Every order that agrees with the times, until one explains all answers."""
    for order in itertools.permutations(ops):
        if any(later.returned < op.invoked for i, op in enumerate(order) for later in order[i + 1 :]):
            continue
        state: Entry | None = None
        for op in order:
            expected, state = answer(op, state)
            if expected != op:
                break
        else:
            return True
    return False


def operation(kind: str, status: int, at: tuple[int, int], entry: Entry = (1, 1), found: Entry = (0, 0)) -> Operation:
    return Operation(0, KINDS.index(kind), *entry, status, *found, *at)


# ------------------------------------------------------------------------------------------------- known ones

INSERT = operation("insert", OK, (0, 1))
RIGHT = {
    "nothing": [],
    "one after the other": [
        INSERT,
        operation("lookup", OK, (2, 3), found=(1, 1)),
        operation("remove", OK, (4, 5)),
        operation("lookup", ABSENT, (6, 7)),
    ],
    "a lookup beside an insert says absent": [operation("insert", OK, (0, 3)), operation("lookup", ABSENT, (1, 2))],
    "a lookup beside an insert finds it": [
        operation("insert", OK, (0, 3)),
        operation("lookup", OK, (1, 2), found=(1, 1)),
    ],
    "one of two inserts wins": [operation("insert", EXISTS, (0, 3)), operation("insert", OK, (1, 2), (2, 2))],
    "a handler sees its thread's own insert, half done": [
        operation("insert", OK, (0, 5)),
        replace(operation("lookup", OK, (1, 2), found=(1, 1)), level=1),
        replace(operation("remove_nmi", OK, (3, 4)), level=1),
        operation("lookup", ABSENT, (6, 7)),
    ],
    "refused for want of memory": [INSERT, operation("remove", RETIRED, (2, 3)), operation("insert", EXISTS, (4, 5))],
    "a handler may not allocate": [
        operation("insert_nmi", WOULD_ALLOCATE, (0, 1)),
        operation("lookup", ABSENT, (2, 3)),
    ],
    "a list of keys tells nothing but that it is there": [INSERT, operation("keys", OK, (2, 3))],
    "a row of many has no generation": [INSERT, operation("lookup_many", OK, (2, 3), found=(0, 1))],
    "a visit beside a remove sees it, or not": [
        INSERT,
        operation("remove", OK, (2, 9)),
        operation("iterate", OK, (3, 4), found=(1, 1)),
        operation("iterate", ABSENT, (5, 6)),
    ],
    "a limit on entries refuses what adds": [operation("insert_many", MAX_ENTRIES, (0, 1))],
    "keys are on their own": [INSERT, replace(operation("lookup", ABSENT, (2, 3)), key=1)],
}
WRONG = {
    "absent after an insert": [INSERT, operation("lookup", ABSENT, (2, 3))],
    "found before any insert": [operation("lookup", OK, (0, 1), found=(1, 1)), operation("insert", OK, (2, 3))],
    "goes back": [
        INSERT,
        operation("replace", OK, (2, 7), (1, 2)),
        operation("lookup", OK, (3, 4), found=(1, 2)),
        operation("lookup", OK, (5, 6), found=(1, 1)),
    ],
    "two inserts, both new": [INSERT, operation("insert", OK, (2, 3), (1, 2))],
    "two removes of one entry": [INSERT, operation("remove", OK, (2, 5)), operation("remove", OK, (3, 4))],
    "resurrected": [INSERT, operation("remove", OK, (2, 3)), operation("lookup", OK, (4, 5), found=(1, 1))],
    "a torn build ID": [INSERT, operation("lookup", OK, (2, 3), found=(1, TORN))],
    "generation of one, ID of another": [
        INSERT,
        operation("replace", OK, (2, 5), (2, 2)),
        operation("lookup", OK, (3, 4), found=(2, 1)),
    ],
    "another generation's entry": [INSERT, operation("lookup_generation", OK, (2, 3), (2, 0), found=(1, 1))],
    "stale without need": [INSERT, operation("lookup_generation", STALE, (2, 3), (1, 0))],
    "an error that nothing explains": [operation("insert", NO_MEMORY, (0, 1))],
    "a lookup may not be refused": [operation("lookup", RETIRED, (0, 1))],
    "a thread may allocate": [operation("insert", WOULD_ALLOCATE, (0, 1))],
    "a limit on entries refuses no remove": [INSERT, operation("remove", MAX_ENTRIES, (2, 3))],
    "a limit on entries refuses no replace": [INSERT, operation("replace", MAX_ENTRIES, (2, 3), (1, 2))],
    "a visit misses what stays": [INSERT, operation("iterate", ABSENT, (2, 3))],
    "a list misses what stays": [INSERT, operation("keys", ABSENT, (2, 3))],
    "a list has what is not there": [operation("keys", OK, (0, 1))],
    "a row of many has another ID": [INSERT, operation("lookup_many", OK, (2, 3), found=(0, 2))],
    "a batch says that it inserted what was there": [INSERT, operation("insert_many", OK, (2, 3), (0, 2))],
    "no ID where there is one": [INSERT, operation("lookup", NO_ID, (2, 3), found=(1, 1))],
    "the other key": [INSERT, replace(operation("lookup", OK, (2, 3), found=(1, 1)), key=1)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(checker: Checker, name: str) -> None:
    assert checker.check(RIGHT[name]).verdict == "legal"


@pytest.mark.parametrize("name", WRONG)
def test_wrong(checker: Checker, name: str) -> None:
    verdict = checker.check(WRONG[name])
    assert verdict.verdict == "illegal"
    assert verdict.key == WRONG[name][-1].key
    assert verdict.explained < len(WRONG[name])


def test_the_most_that_the_checker_takes(checker: Checker) -> None:
    """64 operations on a key, eight at a time: found legal; with one wrong answer at the end, searched to the end."""
    times = ((1000 + i // 8 * 800 + i, 1700 + i // 8 * 800 + i) for i in range(62))
    ops = [operation("insert", EXISTS, at, (1, 2 + i)) for i, at in enumerate(times)]
    last = operation("lookup", OK, (10**6, 10**6 + 1), found=(1, 1))
    assert checker.check([INSERT, *ops, last]).verdict == "legal"
    verdict = checker.check([INSERT, *ops, replace(last, found_id=9)])
    assert (verdict.verdict, verdict.explained) == ("illegal", 63)
    assert checker.check([INSERT, *ops, last, INSERT]).verdict == "undecided"


# ------------------------------------------------------------------------------------------------ generated ones

KIND = st.integers(0, len(KINDS) - 1)


@st.composite
def legal(draw: st.DrawFn, most: int) -> list[Operation]:
    """Operations one after the other, the moment of each then widened to a time that overlaps others'."""
    state: Entry | None = None
    ops = []
    for i in range(draw(st.integers(1, most))):
        entry = (draw(st.integers(1, 2)), draw(st.sampled_from([0, i + 1])))
        before, after = draw(st.integers(0, 35)), draw(st.integers(0, 35))
        moment = 100 + i * 10
        # no two times are equal: the last digits tell them apart
        at = ((moment - before) * 100 + 2 * i, (moment + after) * 100 + 2 * i + 1)
        op, state = answer(operation(KINDS[draw(KIND)], OK, at, entry), state)
        ops.append(op)
    return draw(st.permutations(ops))


@st.composite
def mutated(draw: st.DrawFn) -> list[Operation]:
    """A legal history in which something was changed: mostly for the worse."""
    ops = draw(legal(6))
    for _ in range(draw(st.integers(1, 2))):
        i = draw(st.integers(0, len(ops) - 1))
        op = ops[i]
        ops[i] = draw(
            st.sampled_from(
                [
                    replace(op, status=(op.status + 1) % 5),
                    replace(op, found_id=op.found_id + 1),
                    replace(op, found_generation=3 - op.found_generation),
                    replace(op, kind=(op.kind + 1) % len(KINDS)),
                    replace(op, id=op.id + 1),
                    replace(op, generation=3 - op.generation),
                    replace(op, invoked=op.returned - 1),
                    replace(op, returned=op.invoked + 1),
                ]
            )
        )
    return ops


@given(history=legal(24))
def test_legal_by_construction(checker: Checker, history: list[Operation]) -> None:
    assert checker.check(history).verdict == "legal"


@settings(max_examples=200)
@given(history=mutated())
def test_as_all_orders_say(checker: Checker, history: list[Operation]) -> None:
    """What is left unanswered counts as well: an operation that found nothing must not say what it found."""
    expected = "legal" if in_some_order([_without_noise(op) for op in history]) else "illegal"
    assert checker.check(history).verdict == expected


def _without_noise(op: Operation) -> Operation:
    """Without the answer that the status says is none."""
    kind = KINDS[op.kind]
    if kind not in LOOKUPS or kind == "keys" or op.status not in (OK, NO_ID):
        return replace(op, found_generation=0, found_id=0)
    return replace(op, found_generation=0) if kind == "lookup_many" else op


# ----------------------------------------------------------------------------------------------------- recorded


def test_two_thousand(tmp_path: Path) -> None:
    report = tmp_path / "histories.json"
    command = [sys.executable, "-m", "stress", "histories", "--histories", "2000", "--seed", "7", "--json", str(report)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].startswith("SUCCESS: seed 7, 2,000 of 2,000 histories are linearizable, 0 un")
    found = json.loads(report.read_text())
    assert (found["legal"], found["illegal"], found["undecided"], found["flawed"]) == (2000, 0, 0, [])
    assert found["kinds"].keys() == set(KINDS)
    assert min(found["kinds"].values()) > 200
    assert found["with_overlap"] > 200
    assert found["across_a_resize"] > 1000
    assert found["interrupting"] > 200
    assert found["in_resize"] > 1000


#: Edits of csrc/table, each of which must be caught: file, what stands there, what to write instead.
PLANTED = {
    "a remove leaves no tombstone": [
        ("update.c", "uint64_t word = bid_word_tombstone(at.word);", "uint64_t word = 0;"),
    ],
    "an update in a resize does not carry its key over": [
        (
            "move.c",
            "int status = bid_copy(table, array, future, at.word, taker, may_allocate);",
            "int status = BID_OK;",
        ),
    ],
    "the generation is not compared": [
        ("lookup.c", "if (generation != BID_ANY_GENERATION && found.record->generation != generation)", "if (0)"),
    ],
    "a lookup does not look into the future array": [
        ("lookup.c", "    if (!future)\n", "    if (1)\n"),
    ],
    "a lookup of many does not look into the future array": [
        ("lookup.c", "        found = bid_find(table, key, NULL);", "        found = bid_probe(head, key, NULL);"),
    ],
    "a visit does not come to the future array": [
        ("iterate.c", "    if (!status && future)", "    if (0)"),
    ],
    "a lookup dies in a resize": [
        ("lookup.c", "    if (!future)\n", "    if (future)\n        __builtin_trap();\n    else\n"),
    ],
}


def edited(tmp_path: Path, name: str) -> Toolchain:
    csrc = tmp_path / "csrc"
    shutil.copytree(ROOT / "csrc", csrc)
    for file, old, new in PLANTED[name]:
        source = csrc / "table" / file
        text = source.read_text()
        assert text.count(old) == 1, f"{file} has changed: the fault {name!r} can no longer be planted there"
        source.write_text(text.replace(old, new))
    return Toolchain(flags=("-O1", "-Wno-error", "-Wno-unused-parameter"), csrc=csrc)


@pytest.mark.parametrize("name", PLANTED)
def test_planted(tmp_path: Path, name: str) -> None:
    outcome = histories.run(250, 11, toolchain=edited(tmp_path, name))
    assert outcome.verdict == "FAILURE"
    if "dies" in name:
        assert "the recorder died of SIGILL" in outcome.failures[0]
        return
    assert outcome.illegal > 0
    flawed = outcome.flawed[0]
    with Checker() as checker:
        assert checker.check(flawed.operations).verdict == "illegal"


def test_no_compiler() -> None:
    with pytest.raises(CompilerError, match="no-such-compiler is not on PATH"):
        histories.run(1, 1, toolchain=Toolchain(cc="no-such-compiler"))
