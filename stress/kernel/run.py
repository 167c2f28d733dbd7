# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Everything about the table in a kernel, in one campaign, with one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from stress.kernel import inodes, kfunc, memory, torture, vm
from stress.kernel.build import MissingError, Modules, build, find_kernel, missing
from stress.kernel.inodes import Inodes
from stress.kernel.kfunc import Kfunc
from stress.kernel.mutants import MUTANTS, Mutant
from stress.kernel.torture import Caught, Exact, Torture
from stress.report import Judged

NMIS = 2_000_000
SHARE = 0.95  #: of the instructions that thread context executes, interrupted by so many NMIs
IN_RESIZE = 10_000
QUICK_MUTANTS = ("published-before-filled", "sleepers-forgotten")
QUICK_NMIS = 60_000
SPINLOCK = "spinlock in the buckets"


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    seed: int = 2023
    nmis: int = NMIS
    two_seconds: int = 30  #: of NMIs between two processors
    mutant_nmis: int = 200_000
    mutants: Sequence[Mutant] = MUTANTS
    rounds: int = 3  #: of the file system that comes and goes
    control_rounds: int = 2  #: the same where answers must be wrong: one has some twenty wrong ones


def quick(seed: int) -> Plan:
    """For a minute or two."""
    mutants = [mutant for mutant in MUTANTS if mutant.name in QUICK_MUTANTS]
    return Plan(seed, QUICK_NMIS, 5, 200_000, mutants, 2, 1)


@dataclass
class Outcome(Judged):
    plan: Plan
    exact: Exact
    two: Torture
    caught: Caught
    sound: Inodes
    control: Inodes
    kfunc: Kfunc | None  #: None: what it needs is missing
    memory: dict[str, float]  #: bytes an entry
    failures: list[str] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        exact = self.exact.torture
        names = ("nmis", "in_text", "in_update", "in_resize", "lookups", "updates", "nmi_updates", "resizes", "wrong")
        more = ("most_slots", "most_records", "dwelt")
        hpet = ("again", "most_row")  # NMIs that came where the last one had; the most in a row
        blocked = [run for run in (exact, self.two) if run.complaint]
        return {
            "failures": self.failures,
            "guest_kernel": find_kernel().release,
            "seed": self.plan.seed,
            **{name: exact[name] for name in (*names, *more[:2], *hpet)},
            "blocked": len(blocked),
            **self.exact.coverage.report(),
            "two_processors": {name: self.two[name] for name in (*names, *more)},
            "mutants": self.caught.how,
            "inodes": inodes.report(self.sound, self.control),
            "bytes_an_entry": self.memory,
            "kfunc": {**self.kfunc.figures, "works": self.kfunc.works} if self.kfunc else None,
        }


def _judge_torture(outcome: Outcome) -> list[str]:
    exact, coverage = outcome.exact.torture, outcome.exact.coverage
    found = []
    for name, run in (("exact NMIs", exact), ("two processors", outcome.two)):
        if run.caught:
            found.append(f"{name}: {run.caught}")
    if exact["nmis"] < outcome.plan.nmis:
        found.append(f"only {exact['nmis']:,} exact NMIs")
    if exact["in_update"] * 2 < exact["nmis"]:
        found.append(f"only {exact['in_update']:,} of {exact['nmis']:,} NMIs came inside an update")
    if exact["in_resize"] < min(IN_RESIZE, outcome.plan.nmis // 10):
        found.append(f"only {exact['in_resize']:,} NMIs came in the midst of a resize")
    if outcome.plan.nmis >= NMIS and coverage.share < SHARE:
        found.append(f"only {coverage.share:.1%} of the instructions were interrupted")
    return found


def _judge_rest(outcome: Outcome) -> list[str]:
    found = [f"{name} was not caught, so the check cannot tell" for name in outcome.caught.missed]
    sound = outcome.sound
    if sound["wrong"] or sound.complaint:
        found.append(f"inodes: {sound['wrong']:,} wrong answers {sound.complaint}".strip())
    if not sound["right"] or not sound["kicked"] or not sound["reused"] or not sound["in_resize"]:
        found.append("inodes: none was found, evicted, used again, or evicted in the midst of a resize")
    if not outcome.control["wrong"]:
        found.append("inodes by their address alone were not caught, so the check cannot tell")
    if outcome.kfunc and not outcome.kfunc.works:
        found.append(f"the kfunc: {outcome.kfunc.complaint or outcome.kfunc}")
    return found


@dataclass(frozen=True)
class _Others:
    two: Torture
    spinlock: str  #: how it was caught
    sound: Inodes
    control: Inodes
    kfunc: Kfunc | None
    memory: dict[str, float]


def _others(modules: Modules, plan: Plan, tick: Callable[[str], None]) -> _Others:
    """What has two processors, or does not have time that passes with instructions."""
    tick("two processors")
    two = torture.two_processors(modules, plan.two_seconds, plan.seed)
    tick(SPINLOCK)
    spinlock = torture.spinlock(modules, plan.seed)
    tick("inodes")
    sound = inodes.run(modules, "inodes", plan.rounds)
    tick("inodes by their address alone")
    control = inodes.control(plan.control_rounds)
    tick("the kfunc")
    called = None if kfunc.missing() else kfunc.run(modules)
    return _Others(two, spinlock, sound, control, called, memory.bytes_an_entry(modules))


def run(plan: Plan, tick: Callable[[str], None] = lambda name: None) -> Outcome:
    """Two machines at a time. Raises KernelError; SlowError if the time was over before the NMIs were."""
    if lacking := missing():
        raise MissingError(lacking)
    vm.stopped.clear()
    tick("building the modules")
    modules = build()
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(_others, modules, plan, tick)
        try:
            exact = torture.exact(modules, plan.nmis, plan.seed, tick=tick)
            caught = torture.catch(modules, plan.mutant_nmis, plan.seed, plan.mutants, tick)
        except BaseException:
            vm.stopped.set()
            raise
        rest = others.result()
    caught.how[SPINLOCK] = rest.spinlock
    caught.how["address of an inode alone"] = (
        f"{rest.control['wrong']:,} wrong answers" if rest.control["wrong"] else ""
    )
    outcome = Outcome(plan, exact, rest.two, caught, rest.sound, rest.control, rest.kfunc, rest.memory)
    outcome.failures += _judge_torture(outcome) + _judge_rest(outcome)
    return outcome
