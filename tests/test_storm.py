# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The main job, through its command line: it succeeds over our table, and is shown to catch designs that do not."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybuildid import read_build_id
from stress.storm import axes, collect
from stress.storm._storm import ffi, lib
from stress.storm.collect import inode_key
from stress.storm.run import Outcome, Storm

ROOT = Path(__file__).resolve().parent.parent
KEYS = {
    "verdict",
    "seed",
    "seconds",
    "interruptions",
    "landed_in_update",
    "landed_in_resize",
    "landed_in_lookup",
    "lookups",
    "updates",
    "rates",
    "wrong",
    "blocked",
    "resizes",
    "entries",
    "max_slots_read",
    "max_records_read",
    "engines",
    "kernel",
    "processor",
}

#: What makes a storm over it fail: the beginning of one of the sentences in the report.
LIES = {
    "lying-absent": "wrong answers",
    "lying-torn": "wrong answers",
    "lying-back": "wrong answers",
    "lying-stale": "wrong answers",
    "lying-lost": "wrong answers",
    "lying-errno": "errno was changed",
    "lying-long": "a lookup read more than 264 slots",
    "lying-refused": "updates failed, the first with BID_E_NO_MEMORY",
    "lying-twice": "wrong entries at the end",
    "lying-count": "the table counts",
    "lying-death": "the storm died of SIGKILL",
    "lying-call": "system calls in lookups and updates for NMI context, the first with number",
    "lying-call-nmi": "system calls in lookups and updates for NMI context, the first with number",
    "lying-row": "wrong answers",
    "lying-visit": "wrong answers",
    "lying-keys": "wrong answers",
    "lying-statistics": "wrong answers",
    "lying-batch": "wrong answers",
    "lying-upsert": "updates failed, the first with BID_EXISTS",
    "lying-generation": "updates failed, the first with BID_",
}

#: Between them these have every value of every axis, and limits that are reached.
COMBINATIONS = (
    {"pins": "fenced", "id-size": "20", "room": "all", "seed": "random"},
    {"id-size": "33", "entries": "limited", "memory": "locked"},
    {"retired": "small", "room": "huge-pages"},
)


@pytest.fixture
def elf_files(tmp_path: Path) -> Path:
    """A directory of one ELF file, under several names, and others that are none."""
    directory = tmp_path / "files"
    (directory / "sub").mkdir(parents=True)
    content = Path(sys.executable).resolve().read_bytes()
    (directory / "program").write_bytes(content)
    os.link(directory / "program", directory / "sub" / "hard link")
    (directory / "symbolic").symlink_to("program")
    (directory / "dangling").symlink_to("nowhere")
    (directory / "loop").symlink_to("loop")
    (directory / "text").write_text("no ELF")
    (directory / "truncated").write_bytes(content[:40])
    return directory


def storm(tmp_path: Path, directory: Path, *words: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was printed, and the JSON report."""
    file = tmp_path / "storm.json"
    common = ("--json", str(file), "--dir", str(directory))
    command = [sys.executable, "-m", "stress", *words, *common, *(() if "--seed" in words else ("--seed", "7"))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    report = json.loads(file.read_text()) if file.exists() else {}
    return result.returncode, result.stdout + result.stderr, report


# ------------------------------------------------------------------------------------------------- the command --


def test_ours_succeeds_and_the_rival_is_caught(tmp_path: Path) -> None:
    status, text, report = storm(tmp_path, Path("/usr/bin"), "--seconds", "3")
    assert status == 0, text
    assert text.splitlines()[-1].startswith("SUCCESS: seed 7")
    assert report.keys() >= KEYS
    assert report["verdict"] == "SUCCESS"
    assert report["seed"] == 7
    assert report["wrong"] == report["wrong_at_end"] == report["blocked"] == report["errno_changed"] == 0
    assert report["landed_in_update"] > 0
    assert report["landed_in_lookup"] > 0
    assert report["updates_in_handlers"] > 0
    assert report["system_calls"] == 0
    assert report["quiet_threads"] == (4 if platform.machine() == "x86_64" else 0)
    assert report["options"] == axes.choose(7, {})
    assert report["resizes"] > 0
    assert 0 < report["max_slots_read"] <= report["bound_slots"]
    assert 0 < report["max_records_read"] <= report["bound_records"]
    readers, rival = report["others"]
    assert (readers["design"], readers["wrong"], readers["blocked"], readers["finished"]) == ("rcu", 0, 0, True)
    assert (readers["verdict"], readers["failures"]) == ("SUCCESS", [])
    assert readers["updates_full"] > 0  # lock-free readers alone are not enough: its table is full
    assert readers["updates_in_handlers"] == readers["resizes"] == 0
    assert (rival["design"], rival["verdict"]) == ("spinlock", "FAILURE")
    assert rival["blocked"] > 0
    trials = [(trial["design"], trial["trial"], trial["blocked_updates"] > 0) for trial in report["trials"]]
    assert trials == [("ours", "stopped", False), ("rcu", "handlers-update", True), ("rcu", "stopped", True)]
    table = text[text.index("signal storm") :].splitlines()
    assert max(len(line) for line in table if line[:1] in ("┃", "│")) <= 120
    rows = {
        cells[0].strip(): [cell.strip() for cell in cells[1:]]
        for cells in (line.split("│")[1:-1] for line in table)
        if cells
    }
    assert rows["when handlers update"] == ["goes on", "blocked", "not tried"]
    assert [cell.split(", ")[-1] for cell in rows["when updaters are stopped for good"]] == [
        "goes on",
        "blocked",
        "not tried",
    ]


def until_enough(
    start: Callable[[float], Outcome], seconds: float, enough: Callable[[Outcome], object] = lambda outcome: True
) -> Outcome:
    """A storm; a longer one where others had the processors: nothing was wrong, but too little has happened."""
    for times in (1, 4, 16):
        outcome = start(seconds * times)
        if outcome.failures not in ([], ["no interruption landed inside an update"]):
            return outcome
        if not outcome.failures and enough(outcome):
            return outcome
    return outcome


def test_updaters_that_are_stopped_for_good_stop_nobody() -> None:
    keys = [inode_key(1, number) for number in range(2000)]
    ids = [key.to_bytes(20, "big") for key in keys]
    outcome = until_enough(
        lambda seconds: Storm(
            "ours", keys, ids, seed=7, seconds=seconds, lookers=1, churners=15, trial="stopped"
        ).run(),
        2.0,
        lambda outcome: outcome.stopped >= 5 and outcome.updates_after_stops > 100,
    )
    assert outcome.verdict == "SUCCESS", (outcome.failures, outcome.complaints)
    assert outcome.stopped >= 5
    assert outcome.updates_after_stops > 100


def test_nobody_to_stop_is_said() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        Storm("ours", [5], [b"a"], seed=1, seconds=0.2, lookers=1, churners=2, trial="stopped")


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=lambda chosen: " ".join(chosen.values()))
def test_options(chosen: dict[str, str]) -> None:
    """A small table: so a storm of a second brings it to its limits."""
    if chosen.get("memory") == "locked" and not axes.may_lock():
        pytest.skip("this process may not lock memory: see ulimit -l")
    keys = [inode_key(1, number) for number in range(200)]
    ids = [key.to_bytes(20, "big") for key in keys]
    outcome = until_enough(
        lambda seconds: Storm("ours", keys, ids, seed=7, seconds=seconds, lookers=2, churners=2, options=chosen).run(),
        1.0,
        lambda outcome: outcome.resizes,
    )
    assert outcome.verdict == "SUCCESS", (outcome.failures, outcome.complaints)
    assert outcome.options == {**axes.usual(), **chosen}
    assert outcome.resizes > 0


def test_the_combinations_and_the_seeds_take_every_value() -> None:
    every = {(axis, value) for axis, values in axes.AXES.items() for value in values}
    assert {pair for chosen in (axes.usual(), *COMBINATIONS) for pair in chosen.items()} == every
    by_seed = {pair for seed in range(200) for pair in axes.choose(seed, {}).items()}
    assert every - by_seed <= {("memory", "locked")}
    assert axes.choose(5, {"id-size": "33"})["id-size"] == "33"


def test_the_axes_are_all_the_options() -> None:
    """Each field of struct bid_options, and each flag, is changed on some axis."""
    header = (ROOT / "csrc/include/bid/table.h").read_text()
    fields = re.findall(r"uint\d+_t (\w+);", re.findall(r"struct bid_options \{.*?\n\};", header, re.DOTALL)[0])
    changed, flags = set(), 0
    for axis, values in axes.AXES.items():
        for value in values:
            one = ffi.new("struct bid_options *")
            axes.apply({axis: value}, one, 1, 100)
            changed |= {name for name in fields if name != "size" and getattr(one, name)}
            flags |= one.flags
    assert changed == set(fields) - {"size"}  # which says that the caller knows this version of the struct
    assert flags == sum(1 << int(bit) for bit in re.findall(r"BID_\w+ = 1u << (\d+)", header))


#: Functions of the table that the storm does not count, and why.
NOT_COUNTED = {
    "bid_create": "each storm begins with it",
    "bid_audit": "each storm ends with it",
    "bid_destroy": "each storm ends with it",
    "bid_grace_begin": "the storm's table has no readers elsewhere: tests/c/test_region.c",
    "bid_grace_end": "as bid_grace_begin()",
}


def test_the_storm_uses_every_function_of_the_table() -> None:
    header = (ROOT / "csrc/include/bid/table.h").read_text()
    declared = set(re.findall(r"^BID_PUBLIC [\w *]*\b(bid_\w+)\(", header, re.MULTILINE))
    keys = [inode_key(1, number) for number in range(100)]
    outcome = until_enough(
        lambda seconds: Storm("ours", keys, [b"a" * 20] * 100, seed=7, seconds=seconds, lookers=2, churners=2).run(),
        1.5,
        lambda outcome: min(outcome.operations.values()),
    )
    assert outcome.verdict == "SUCCESS", outcome.failures
    assert outcome.operations.keys() == declared - NOT_COUNTED.keys()
    assert NOT_COUNTED.keys() <= declared
    assert min(outcome.operations.values()) > 0, outcome.operations


@pytest.mark.parametrize("engine", ["timer", "directed"])
def test_one_engine_is_enough(tmp_path: Path, elf_files: Path, engine: str) -> None:
    status, text, report = storm(tmp_path, elf_files, "--seconds", "2", "--design", "ours", "--source", engine)
    assert status == 0, text
    assert report["engines"] == [engine]
    assert report["landed_in_update"] > 0


def test_the_rival_alone_fails(tmp_path: Path, elf_files: Path) -> None:
    status, text, report = storm(tmp_path, elf_files, "storm", "--seconds", "5", "--design", "spinlock")
    assert status == 1
    assert text.splitlines()[-1].startswith("FAILURE: ")
    assert report["blocked"] > 0
    assert "blocked lookup" in report["failures"][0]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_caught(tmp_path: Path, elf_files: Path, lie: str) -> None:
    for seconds in ("0.5", "2", "8"):  # it takes longer where others have the processors
        status, text, report = storm(tmp_path, elf_files, "--seconds", seconds, "--design", lie)
        if any(LIES[lie] in failure for failure in report["failures"]):
            break
    assert status == 1, text
    assert report["verdict"] == "FAILURE"
    assert any(LIES[lie] in failure for failure in report["failures"]), report["failures"]
    if LIES[lie] == "wrong answers":
        assert report["wrong"] > 0
        assert any("legal were the versions" in complaint for complaint in report["complaints"])


def test_a_storm_without_interruptions_fails() -> None:
    outcome = Storm("ours", [1, 2, 3], [b"a" * 20] * 3, seed=1, seconds=1.0, lookers=1, churners=1, sources=0).run()
    assert outcome.finished
    assert outcome.updates > 0
    assert outcome.failures == ["no interruption landed inside an update"]


def test_without_perf_events_the_others_go_on() -> None:
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))  # perf_event_open() needs a file descriptor
    try:
        outcome = until_enough(
            lambda seconds: Storm(
                "ours", [1, 2, 3], [b"a" * 20] * 3, seed=1, seconds=seconds, lookers=1, churners=1
            ).run(),
            1.0,
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert outcome.verdict == "SUCCESS", outcome.failures
    assert outcome.engines == ["timer", "directed"]
    assert outcome.perf_error == "Too many open files"


def test_a_storm_that_cannot_be_set_up_fails() -> None:
    outcome = Storm("ours", [5, 5], [b"a", b"b"], seed=1, seconds=0.2, lookers=1, churners=1).run()
    assert outcome.failures[0] == "set-up failed: filling the table (BID_EXISTS)"
    with pytest.raises(OSError, match="Invalid argument"):
        Storm("ours", [5], [b"a"], seed=1, seconds=0.2, lookers=1, churners=lib.STORM_WORKERS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seconds", "0"), "--seconds"),
        (("--threads", "1"), "--threads"),
        (("--dir", "/nonexistent"), "/nonexistent"),
        (("--design", "none"), "--design"),
        (("--source", "thunder"), "--source"),
        (("--seed", "-1"), "--seed"),
        (("--option", "id-size=7"), "33"),
        (("--option", "colour=red"), "--option"),
        (("thunder",), "thunder"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, elf_files: Path, words: tuple[str, ...], message: str) -> None:
    status, text, report = storm(tmp_path, elf_files, *words)
    assert status == 2
    assert message in text
    assert not report


# --------------------------------------------------------------------------------------------------- the input --


def test_files_are_collected_once_per_inode(elf_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = elf_files.parent / "proc"
    (processes / "7").mkdir(parents=True)
    (processes / "8" / "maps").mkdir(parents=True)  # cannot be read as a file
    program = elf_files / "sub" / "hard link"
    maps = [
        f"1000-2000 r-xp 0 08:01 5 {program}",
        "2000-3000 rw-p 0 00:00 0",
        f"3000-4000 r--p 0 08:01 6 {program} (deleted)",
    ]
    (processes / "7" / "maps").write_text("\n".join(maps) + "\n")
    monkeypatch.setattr(collect, "PROC", processes)
    files = collect.collect([elf_files])
    status = os.stat(program)
    assert files.keys == [inode_key(status.st_dev, status.st_ino)]
    assert files.ids == [read_build_id(sys.executable) or b""]
    assert files.mapped == 1
    assert files.not_elf == 1
    assert files.malformed[0].startswith(str(elf_files / "truncated"))
    assert files.unreadable == [f"{elf_files / 'loop'} (Too many levels of symbolic links)"]
    assert files.hidden == ["process 8 (Is a directory)"]


def test_keys_leave_the_top_bit_clear_and_differ() -> None:
    keys = {inode_key(device, number) for device in range(50) for number in range(1000)}
    assert len(keys) == 50_000
    assert max(keys) < 2**63


# -------------------------------------------------------------------------------------------------- the oracle --

VERSIONS = range(24)


def answer(key: Any, version: int) -> tuple[int, Any]:
    """What a right table says about a version of a key."""
    identifier = ffi.new("struct bid_build_id *")
    return lib.oracle_state(key, version, identifier), identifier


def judge(
    key: Any, lowest: int, highest: int, status: int, identifier: Any, generation: int | None = None
) -> int | None:
    """The version that the oracle sees in an answer, None if it is a wrong one."""
    version = ffi.new("uint64_t *")
    if generation is None:
        right = lib.oracle_judge(key, lowest, highest, status, identifier, version)
    else:
        right = lib.oracle_judge_generation(key, lowest, highest, generation, status, identifier, version)
    return int(version[0]) if right else None


@pytest.fixture
def key() -> Any:
    return ffi.new("struct oracle_key *", {"key": 42, "length": 20, "id": bytes(range(64))})


def test_the_oracle_takes_the_versions_between_and_no_others(key: Any) -> None:
    states = {version: answer(key, version) for version in VERSIONS}
    absent = {version for version in VERSIONS if states[version][0] == lib.BID_ABSENT}
    assert absent
    assert {status for status, _ in states.values()} == {lib.BID_OK, lib.BID_ABSENT, lib.BID_NO_BUILD_ID}
    for lowest in VERSIONS:
        for highest in range(lowest, len(VERSIONS)):
            between = set(range(lowest, highest + 1))
            for version, (status, identifier) in states.items():
                if version in absent:
                    assert judge(key, lowest, highest, status, identifier) == min(between & absent, default=None)
                else:
                    expected = version if version in between else None
                    assert judge(key, lowest, highest, status, identifier) == expected


def test_the_oracle_compares_every_byte(key: Any) -> None:
    lengths = set()
    for version in range(200):
        status, identifier = answer(key, version)
        if status != lib.BID_OK:
            continue
        lengths.add(identifier.length)
        for i in range(identifier.length):
            identifier.bytes[i] ^= 1
            assert judge(key, version, version, status, identifier) is None
            identifier.bytes[i] ^= 1
        identifier.length -= 1
        assert judge(key, version, version, status, identifier) is None
    assert lengths == {20, 32, 64}


def row_of(key: Any, version: int, size: int) -> tuple[bytes, int]:
    """What bid_lookup_many() makes of a version: a row, and a length."""
    status, identifier = answer(key, version)
    if status != lib.BID_OK:
        return bytes(size), 255 if status == lib.BID_NO_BUILD_ID else 0
    return bytes(identifier.bytes)[: identifier.length].ljust(size, b"\0")[:size], identifier.length


@pytest.mark.parametrize("size", [5, 20, 64])
def test_the_oracle_judges_rows(key: Any, size: int) -> None:
    """Each byte of the row and the length; which of the versions it shows does not matter."""
    version = ffi.new("uint64_t *")
    for number in VERSIONS:
        row, length = row_of(key, number, size)
        assert lib.oracle_judge_row(key, number - (number > 0), number + 1, row, size, length, version)
        assert lib.oracle_judge_row(key, number, number, row, size, length, version)
        assert not lib.oracle_judge_row(key, number, number, row, size, length + 1, version)
        assert not lib.oracle_judge_row(key, number + 4, number + 4, row, size, length, version) or not length % 255
        for i in range(size):
            wrong = bytes(byte ^ (place == i) for place, byte in enumerate(row))
            assert not lib.oracle_judge_row(key, number, number, wrong, size, length, version)


def test_the_oracle_judges_keys_that_come_in_batches(key: Any) -> None:
    """They have no generation: an answer is taken for the version whose ID it has."""
    key.batch = 1
    for version in VERSIONS:
        status, identifier = answer(key, version)
        assert (status == lib.BID_ABSENT) == (version % 2 == 1)
        assert judge(key, max(version - 1, 0), version + 1, status, identifier) is not None
        if status == lib.BID_OK:
            assert identifier.generation == 0
            assert judge(key, version + 1, version + 2, status, identifier) is None
            assert judge(key, version, version, lib.BID_STALE, identifier, 1) == version
            assert judge(key, version, version, lib.BID_STALE, identifier, 0) is None


def test_the_oracle_cuts_build_ids_off(key: Any) -> None:
    key.longest = 20
    assert max(answer(key, version)[1].length for version in range(100)) == 20


def test_the_oracle_judges_answers_about_one_generation(key: Any) -> None:
    for version in VERSIONS:
        status, identifier = answer(key, version)
        if status == lib.BID_ABSENT:
            assert judge(key, version, version, status, identifier, version) == version
            assert judge(key, version, version, lib.BID_STALE, identifier, version) is None
        else:
            assert judge(key, version, version, status, identifier, version) == version
            assert judge(key, version, version, status, identifier, version + 1) is None
            assert judge(key, version, version, lib.BID_STALE, identifier, version + 1) == version
            assert judge(key, version, version, lib.BID_STALE, identifier, version) is None
