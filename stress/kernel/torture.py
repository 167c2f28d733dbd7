# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Runs of the torture module: exact NMIs on one processor, NMIs by IPI on two, and what must be caught."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stress.kernel import coverage, vm
from stress.kernel.build import BUILD, EmulatorError, KernelError, Modules, SlowError, build
from stress.kernel.coverage import Coverage
from stress.kernel.mutants import MUTANTS, Mutant

BOOT_SECONDS = 120.0  #: of a busy machine
SILENCE = 120.0  #: seconds without a line of the torture's, which says so every 10,000 NMIs
TRIES = 8  #: seeds for a mutant until it is caught
SAY_SECONDS = 10.0
SLOWEST = 5000  #: exact NMIs a second: a run takes at most so long
MODULES_AT = "0xffffffffc0000000+0x2000000"  #: where the kernel loads modules
CRASH = re.compile(r"(BUG: .*|Kernel panic.*|general protection fault.*|watchdog: .*lockup.*|WARNING: .*)")
FLAGS = re.compile(r"\bEFLAGS: ([0-9a-f]{8})\b")
NEVER_SET = 0xFFC08028  #: bits of EFLAGS that are zero in every processor: Intel SDM vol. 1, 3.4.3


@dataclass(frozen=True)
class Torture:
    """What one run of the module reports."""

    figures: Mapping[str, int]
    complaint: str = ""  #: what went wrong but for wrong answers: a crash, a block, a machine that hung

    def __getitem__(self, name: str) -> int:
        return self.figures.get(name, 0)

    @property
    def caught(self) -> str:
        """How it shows that something is wrong; "" if nothing is."""
        wrong = f"{self['wrong']:,} wrong answers" if self["wrong"] else ""
        return "; ".join(filter(None, (wrong, self.complaint)))

    @property
    def failures(self) -> dict[str, int]:
        """Updates that failed, by status."""
        return {name[7:]: number for name, number in self.figures.items() if name.startswith("failed_")}


def read(text: str, done: bool = True) -> Torture:
    """The report in a log. `done`: whether the machine was in order afterwards."""
    figures = {
        name: int(number)
        for line in re.findall(r"bid_torture: (.*)", text)
        for name, number in re.findall(r"\b(\w+)=(\d+)\b", line)
        if name != "mark"
    }
    blocked, crash = re.search(r"bid_torture: BLOCKED: (.*)", text), CRASH.search(text)
    complaint = blocked[1] if blocked else crash[0].strip() if crash else ""
    if not complaint and (not done or "wrong" not in figures):
        complaint = "the machine hung: nothing came back from it"
    return Torture(figures, complaint)


def passed(text: str) -> int:
    """NMIs that are over, as far as the log tells."""
    said = re.findall(r"bid_torture: passed (\d+)", text)
    return int(said[-1]) if said else 0


def _refuse_slow(run: vm.Run, what: str, nmis: int) -> None:
    """Raises SlowError if the machine was stopped while it went on: that is no finding."""
    if run.end == vm.SLOW:
        done = f"{passed(run.text):,} of {nmis:,} NMIs in {run.seconds:,.0f} s"
        raise SlowError(f"{what}: too slow here: {done}; see {run.log}")


def refuse_broken(text: str, log: Path) -> None:
    """Raises EmulatorError if the processor pushed flags that cannot be. QEMU 7.2 does it seldom, where NMIs leave no
    time for anything: an iret fails for that, and the kernel with it."""
    odd = next((flags for flags in FLAGS.findall(text) if int(flags, 16) & NEVER_SET), "")
    if odd:
        raise EmulatorError(f"QEMU's processor has EFLAGS {odd}, which no processor has: try another seed; see {log}")


def insert_and_run(modules: Modules, table: str, arguments: str) -> str:
    """Lines of a script that load a table, torture it, and unload both."""
    size = coverage.text_size(modules["bid_table"])
    return (
        f"echo @table {table}\n"
        f"busybox insmod /{table}.ko\n"
        "text=$(busybox cat /sys/module/bid_table/sections/.text); echo @text $text\n"
        f"busybox insmod /bid_torture.ko text=$text text_size={size} {arguments}\n"
        "busybox rmmod bid_torture; busybox rmmod bid_table\n"
        "busybox grep bid_ /proc/vmallocinfo && echo @leaked\n"
    )


@dataclass(frozen=True)
class Exact:
    torture: Torture
    coverage: Coverage
    log: Path


def exact(
    modules: Modules, nmis: int, seed: int, more: str = "", tick: Callable[[str], None] = lambda name: None
) -> Exact:
    """NMIs after exact numbers of instructions, on one processor. `more`: parameters. Raises SlowError
    and EmulatorError."""
    began = said = time.monotonic()

    def watch(log: Path) -> None:
        nonlocal said
        now, done = time.monotonic(), passed(log.read_text(errors="replace"))
        if now - said > SAY_SECONDS:
            said = now
            tick(f"{done:,} of {nmis:,} exact NMIs, {done / (now - began):,.0f} a second")

    record = BUILD / "runs" / "exact.asm"
    arguments = f"nmis={nmis} seed={seed} warm=20000 seconds=1000000 rare=24 map=1 {more}"
    machine = vm.Machine(
        "exact",
        insert_and_run(modules, "bid_table", arguments),
        {f"{name}.ko": modules[name] for name in ("bid_table", "bid_torture")},
        exact=True,
        limit=BOOT_SECONDS + nmis / SLOWEST,
        silence=SILENCE,
        watch=watch,
        arguments=("-d", "in_asm", "-D", str(record), "-dfilter", MODULES_AT),
    )
    run = vm.boot(machine)
    _refuse_slow(run, "exact NMIs", nmis)
    refuse_broken(run.text, run.log)
    torture = read(run.text, run.ended)
    if "@leaked" in run.text:
        torture = Torture(torture.figures, "memory was left when the table had been destroyed")
    text, mark = re.search(r"@text (0x[0-9a-f]+)", run.text), re.search(r"mark=([0-9a-f]+)", run.text)
    if not text or not mark:
        raise KernelError(f"the machine did not come up: see {run.log}")
    size = coverage.text_size(modules["bid_table"])
    by_threads = coverage.executed(record, int(text[1], 16), size, int(mark[1], 16))
    record.unlink(missing_ok=True)
    functions = coverage.instructions(modules["bid_table"])
    return Exact(torture, coverage.measure(functions, by_threads, coverage.hits(run.text)), run.log)


def two_processors(modules: Modules, seconds: int, seed: int) -> Torture:
    """Each of two processors updates, and sends NMIs to the other."""
    arguments = f"cpus=2 hpet=0 nmis=1000000000 seconds={seconds} seed={seed} dwell=512 patience=60"
    files = {f"{name}.ko": modules[name] for name in ("bid_table", "bid_torture")}
    script = insert_and_run(modules, "bid_table", arguments)
    run = vm.boot(vm.Machine("two", script, files, cpus=2, limit=BOOT_SECONDS + seconds * 2))
    return read(run.text, run.ended)


def spinlock(modules: Modules, seed: int) -> str:
    """Buckets with a spinlock each, on two processors: a handler must wait for what it interrupted. How that showed."""
    arguments = f"cpus=2 hpet=0 nmis=1000000000 seconds=60 seed={seed} rival=1 patience=4"
    files = {f"{name}.ko": modules[name] for name in ("bid_table", "bid_torture")}
    script = insert_and_run(modules, "bid_table", arguments)
    run = vm.boot(vm.Machine("spinlock", script, files, cpus=2, limit=BOOT_SECONDS * 2))
    complaint = read(run.text, run.ended).complaint
    return complaint if "has not returned" in complaint else ""


@dataclass
class Caught:
    """The mutants, and how each was caught; "" for one that was not."""

    how: dict[str, str] = field(default_factory=dict)

    @property
    def missed(self) -> list[str]:
        return [name for name, how in self.how.items() if not how]


def _some_mutants(builds: Mapping[str, Modules], names: Sequence[str], sound: Modules, nmis: int, seed: int) -> Caught:
    """Boots once, and tortures these one after the other until the machine crashes or hangs."""
    script = "".join(insert_and_run(builds[name], name, f"nmis={nmis} seed={seed} bear=20") for name in names)
    files = {f"{name}.ko": builds[name]["bid_table"] for name in names}
    limit = BOOT_SECONDS + 30 * len(names)
    files["bid_torture.ko"] = sound["bid_torture"]
    run = vm.boot(vm.Machine("mutants", script, files, exact=True, limit=limit, silence=SILENCE))
    _refuse_slow(run, f"mutants {', '.join(names)}", nmis)
    parts = re.split(r"@table (\S+)", run.text)[1:]
    found = Caught()
    for name, text in zip(parts[::2], parts[1::2]):
        last = name == parts[-2]
        found.how[name] = read(text, run.ended or not last).caught
    return found


def catch(
    sound: Modules,
    nmis: int,
    seed: int,
    mutants: Sequence[Mutant] = MUTANTS,
    tick: Callable[[str], None] = lambda name: None,
) -> Caught:
    """Every mutant under exact NMIs; one that is not caught again, with the next seed."""
    builds = {}
    for mutant in mutants:
        tick(f"building {mutant.name}")
        builds[mutant.name] = build(f"mutants/{mutant.name}", mutant.edits, ("csrc/kernel",))
    caught = Caught()
    for attempt in range(TRIES):
        left = [name for name in builds if not caught.how.get(name)]
        while left:
            tick(f"torturing {', '.join(left)}")
            found = _some_mutants(builds, left, sound, nmis, seed + attempt).how
            if not found:
                raise KernelError(f"the machine did not come up: see {BUILD / 'runs' / 'mutants.log'}")
            caught.how.update(found)
            left = [name for name in left if name not in found]
    return caught
