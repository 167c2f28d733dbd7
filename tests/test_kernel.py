# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table as a kernel module: it builds without a warning, needs nothing, and bears real NMIs in short runs."""

from __future__ import annotations

import json
import lzma
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stress.__main__ import main
from stress.kernel import build, coverage, image, kfunc, torture, vm
from stress.kernel import run as campaign
from stress.kernel.build import Kernel, Modules
from stress.mutants.edits import Edit

#: What the lookup's object file may need of a kernel. All of its calls are these.
NEEDS = {
    "__preempt_count",  # preemption is disabled by counting here
    "__SCT__preempt_schedule_notrace",  # ... and what was held up meanwhile runs after: never in an NMI
    "__x86_return_thunk",  # how functions return where a processor's return predictor must not be trusted
}
SEED = 7
FIGURES = {"nmis", "in_update", "in_resize", "lookups", "wrong", "resizes", "instructions", "interrupted"}
FIELDS = {*FIGURES, "verdict", "seed", "blocked", "mutants", "inodes"}
INODE_FIELDS = {"nmis", "kicked", "reused", "wrong", "control_wrong"}

needs_kernel = pytest.mark.skipif(bool(build.missing()), reason=build.missing())


@pytest.fixture(scope="module")
def modules() -> Modules:
    return build.build()


@needs_kernel
def test_the_modules_build_without_a_warning(modules: Modules) -> None:
    for name in ("bid_table", "bid_inodes", "bid_kfunc", "bid_torture", "bid_inode_torture"):
        assert modules[name].is_file()


@needs_kernel
def test_a_warning_is_an_error(modules: Modules) -> None:
    edit = Edit("table/status.c", "const char *bid_status_name", "static int unused;\nconst char *bid_status_name")
    with pytest.raises(build.KernelError, match="unused"):
        build.build("warned", [edit], ("csrc/kernel",))
    assert not (build.BUILD / "warned").exists()  # else the next time nothing would be compiled, and nothing be said


@needs_kernel
def test_an_access_that_is_not_named_does_not_compile(modules: Modules) -> None:
    edit = Edit("table/lookup.c", "return bid_load(&table->count, BID_RELAXED);", "return table->count;")
    with pytest.raises(build.KernelError, match="lookup"):
        build.build("unnamed", [edit], ("csrc/kernel",))


@needs_kernel
def test_a_lookup_needs_nothing_of_the_kernel(modules: Modules) -> None:
    lookup = modules.tree / "csrc" / "table" / "lookup.o"
    symbols = subprocess.run(["nm", "-u", str(lookup)], capture_output=True, text=True, check=True).stdout
    assert set(symbols.split()) - {"U"} <= NEEDS


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of the short form, by the command line."""
    file = tmp_path_factory.mktemp("kernel") / "kernel.json"
    run = CliRunner().invoke(main, ["kernel", "--quick", "--seed", str(SEED), "--json", str(file)])
    assert run.exit_code == 0, run.output
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@needs_kernel
def test_the_short_form(short: dict[str, Any]) -> None:
    assert not FIELDS - set(short)
    assert not INODE_FIELDS - set(short["inodes"])
    assert (short["verdict"], short["seed"], short["wrong"], short["blocked"]) == ("SUCCESS", SEED, 0, 0)
    assert short["nmis"] >= campaign.QUICK_NMIS
    assert short["in_update"] * 2 > short["nmis"]
    assert short["in_resize"] > short["nmis"] // 10
    assert short["interrupted"] > short["instructions"] // 2
    assert short["guest_kernel"] == build.find_kernel().release
    assert short["two_processors"]["nmis"] > 0


@needs_kernel
def test_exact_nmis_repeat(modules: Modules, short: dict[str, Any]) -> None:
    again = torture.exact(modules, campaign.QUICK_NMIS, SEED)
    figures = {**again.torture.figures, **again.coverage.report()}
    assert {name: figures[name] for name in FIGURES} == {name: short[name] for name in FIGURES}


@needs_kernel
def test_nmis_that_leave_no_time_end_all_the_same(modules: Modules) -> None:
    """A timer that allows too little for the way out of a handler stopped all threads, without a limit."""
    for seed in (1, 2, 3):
        with suppress(build.EmulatorError):  # seen with one of eleven seeds
            found = torture.exact(modules, 5000, seed, "least=1 period=16 patience=100000").torture
            break
    assert found.caught == ""
    assert found["nmis"] >= 5000
    assert found["most_row"] > 0


@pytest.mark.parametrize(
    ("content", "booted"),
    [
        (b"code" + lzma.compress(b"\x7fELF" + b"\4\0\0\0\x08\0\0\0\x12\0\0\0Xen\0"), "vmlinux-"),
        (b"code" + lzma.compress(b"\x7fELF without that note"), "packed"),
        (b"packed otherwise", "packed"),
    ],
    ids=["with the note", "without it", "not by xz"],
)
def test_an_image_is_unpacked_where_that_can_be_booted(
    content: bytes, booted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packed").write_bytes(content)
    monkeypatch.setattr(image, "BUILD", tmp_path)
    monkeypatch.setattr(image, "find_kernel", lambda: Kernel("1.2.3", tmp_path / "packed", tmp_path))
    for function in ("unpacked", "bootable"):
        monkeypatch.setattr(image, function, cache(getattr(image, function).__wrapped__))
    assert image.bootable().name.startswith(booted)


def test_flags_that_no_processor_has_are_not_the_tables_fault() -> None:
    crash = "BUG: TASK stack guard page was hit\nRSP: 0018:ffffc9000064c000 EFLAGS: {}\n"
    torture.refuse_broken(crash.format("00000246"), Path("log"))
    with pytest.raises(build.EmulatorError, match="EFLAGS 1fe42083, which no processor has"):
        torture.refuse_broken(crash.format("1fe42083"), Path("log"))


@needs_kernel
def test_a_slow_machine_is_not_said_to_be_wrong(modules: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torture, "BOOT_SECONDS", 1)
    with pytest.raises(build.SlowError, match="too slow here: 0 of 1,000 NMIs in"):
        torture.exact(modules, 1000, SEED)


@needs_kernel
def test_a_machine_that_says_nothing_hangs() -> None:
    run = vm.boot(vm.Machine("silent", "while :; do :; done", {}, exact=True, silence=5, limit=200))
    assert run.end == vm.SILENT


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "missing", lambda: "missing: a kernel (Debian: apt-get install it)")
    run = CliRunner().invoke(main, ["kernel", "--quick"])
    assert run.exit_code == 2
    assert "apt-get install it" in run.output


@needs_kernel
def test_mutants_are_caught(short: dict[str, Any]) -> None:
    names = {*campaign.QUICK_MUTANTS, campaign.SPINLOCK, "address of an inode alone"}
    assert set(short["mutants"]) == names
    assert all(short["mutants"].values())
    assert "has not returned" in short["mutants"][campaign.SPINLOCK]


@needs_kernel
def test_inodes_come_and_go(short: dict[str, Any]) -> None:
    found = short["inodes"]
    assert found["complaint"] == ""
    assert found["wrong"] == found["missed"] == 0
    assert min(found[name] for name in ("nmis", "right", "absent", "kicked", "in_resize", "reused", "mapped")) > 0
    assert found["control_wrong"] > 0


@needs_kernel
@pytest.mark.skipif(bool(kfunc.missing()), reason=kfunc.missing())
def test_a_bpf_program_looks_up_in_nmis(short: dict[str, Any]) -> None:
    assert short["kfunc"]["works"], short["kfunc"]


def test_what_a_log_says() -> None:
    fine = (
        "[ 1.0] bid_torture: mark=ffff\n[ 2.0] bid_torture: nmis=5 in_text=3\n[ 2.1] bid_torture: wrong=0 blocked=0\n"
    )
    assert torture.read(fine).caught == ""
    assert torture.read(fine)["in_text"] == 3
    assert torture.read(fine.replace("wrong=0", "wrong=2")).caught == "2 wrong answers"
    assert "page fault" in torture.read(fine + "BUG: unable to handle page fault for address: 1").caught
    assert "stand still" in torture.read(fine + "bid_torture: BLOCKED: the updates stand still\n").caught
    assert "hung" in torture.read(fine, done=False).caught
    assert "hung" in torture.read("").caught


def test_coverage_counts_what_threads_execute(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text("IN:\n0x1000:  90  nop\n0x1004:  90\n\n0x2000: 90\n0x1008: 90\n")
    by_threads = coverage.executed(record, 0x1000, 0x100, 0x2000)
    assert by_threads == {0, 4}
    found = coverage.measure({0: "f", 4: "f", 8: "g", 12: "g"}, by_threads, [4, 12])
    assert (found.executed, found.interrupted, found.spared) == (3, 2, {"f": [0]})
    assert coverage.hits("x bid_torture: hits 1a:3 ff:1\n") == {0x1A: 3, 0xFF: 1}
