# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table as a kernel module: it builds without a warning, needs nothing, and bears real NMIs in short runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stress.edits import Edit
from stress.kernel import build, campaign, coverage, inodes, kfunc, torture
from stress.kernel.build import Modules

#: What the lookup's object file may need of a kernel. All of its calls are these.
NEEDS = {
    "__preempt_count",  # preemption is disabled by counting here
    "__SCT__preempt_schedule_notrace",  # ... and what was held up meanwhile runs after: never in an NMI
    "__x86_return_thunk",  # how functions return where a processor's return predictor is not to be trusted
}
SEED = 7

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


@needs_kernel
def test_exact_nmis_find_nothing_and_repeat(modules: Modules) -> None:
    first, second = (torture.exact(modules, campaign.QUICK_NMIS, SEED, warm=2000) for _ in range(2))
    assert first.torture.caught == ""
    assert first.torture["nmis"] >= campaign.QUICK_NMIS
    assert first.torture["in_update"] * 2 > first.torture["nmis"]
    assert first.torture["in_resize"] > first.torture["nmis"] // 10
    assert first.coverage.share > 0.5
    assert first.torture.figures == second.torture.figures  # the same seed does the same
    assert first.coverage == second.coverage


@needs_kernel
def test_mutants_are_caught(modules: Modules) -> None:
    some = campaign.quick(SEED)
    caught = torture.catch(modules, some.mutant_nmis, SEED, some.mutants)
    assert set(caught.how) == set(campaign.QUICK_MUTANTS)
    assert caught.missed == []


@needs_kernel
def test_spinlocks_are_caught(modules: Modules) -> None:
    assert "has not returned" in torture.spinlock(modules, SEED).complaint


@needs_kernel
def test_inodes_come_and_go(modules: Modules) -> None:
    found = inodes.run(modules, "test-inodes", 2)
    assert found.complaint == ""
    assert found["wrong"] == found["missed"] == 0
    assert min(found[name] for name in ("nmis", "right", "absent", "kicked", "in_resize", "reused", "mapped")) > 0


@needs_kernel
@pytest.mark.skipif(bool(kfunc.missing()), reason=kfunc.missing())
def test_a_bpf_program_looks_up_in_nmis(modules: Modules) -> None:
    found = kfunc.run(modules)
    assert found.works, found


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
