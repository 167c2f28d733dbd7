# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One measurement: contenders take turns at each figure in each round, so that what drifts hits all alike."""

from __future__ import annotations

import os
import platform
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pybuildid.cli import _machine as machine
from pybuildid.collisions import slab
from stress.programs import CompilerError
from study._measure import ffi, lib
from study.bench import against, bounds
from study.bench.ahead import SMALL, ahead, versus
from study.bench.budget import rounds, share
from study.bench.cold import LOAD, Cold, UnsupportedError
from study.bench.contenders import DEFAULT, Contender, Missing, another, choose
from study.bench.keys import ADVERSARIAL_MOST, Keys, buffer, draws, find, loaded, make, mix
from study.bench.many import Many
from study.bench.result import (
    AFTER_GROW,
    BEFORE_GROW,
    COLD,
    CYCLE_MEAN,
    FLOOR_HUGE,
    FLOOR_PLAIN,
    INSERT_ALL,
    LOADED,
    LOADED_HIT,
    REMOVE_ALL,
    RESIDENT,
    WAITS,
    WHILE_GROWING,
    Figure,
    Interruption,
    Result,
    Worst,
)
from study.bench.subject import BenchError, Hits, SlowError, Subject, pin
from study.bench.waits import PLACES, PROCESSOR, waits
from study.bench.watch import watch

LARGE = 100_000  # entries: from there on the octave of memory is not measured
GROW_FROM = 1000
INTERRUPTED_KEYS = 4096
STEPPED = 16  # keys, the one that reads most among them: each instruction takes some 20 microseconds
SAMPLES = 24_000  # so many samples in the time for all, as far as that makes one of MIN_SAMPLE to MAX_SAMPLE seconds
MIN_SAMPLE, MAX_SAMPLE = 0.001, 0.01
BESIDE = 3  # samples long: company comes in waves
INTERRUPTED = 1 / 400  # of the time for all, at most half a second: lookups from a handler, for each contender
LOOKUPS = 0.6  # of the time of a size; the rest is for updates
AFTERWARDS = 1.0  # seconds a contender: what follows the sizes takes
MANY_ROUNDS = 9
OCTAVE = (2**0.25, 2**0.5, 2**0.75)  # beside a size itself
CYCLE_STEPS = 4  # of a cycle of growth, by as much each

Report = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to measure.

    names: of designs; all by default, and ours in any case.
    sizes: entries.
    threads: that look up at once, for the figure of several; 0: as many as there are processors, at most 8.
    seconds: for all of it: there are as many rounds as fit, but one of everything.
    rounds: samples of each figure, at most.
    keys: see keys.find().
    patience: seconds for one call of a contender; who takes longer hangs. Inserts are given up after half of that.
    against: a checkout, whose table is measured beside ours, and nobody else's; "": none.
    """

    names: Sequence[str] = DEFAULT
    sizes: Sequence[int] = (1_000, 57_000, 1_000_000)
    threads: int = 0
    seconds: float = 240
    rounds: int = 9
    seed: int = 1
    keys: str = "slabs"
    patience: float = 120
    against: str = ""


def _contenders(options: Options) -> tuple[tuple[Contender, ...], tuple[Missing, ...]]:
    """Those named; or ours and another build of it alone. Raises BenchError, and UnknownDesignError."""
    if not options.against:
        return choose(options.names)
    with TemporaryDirectory(prefix="pybuildid-") as folder:
        try:
            other = another(against.build(Path(options.against), Path(folder)))
        except (OSError, ValueError) as error:
            raise BenchError(f"--against: {error}") from None
    return (*choose(())[0], other), ()


@contextmanager
def pinned(processor: int) -> Iterator[None]:
    """Pins the calling thread to a processor, for the block."""
    before = os.sched_getaffinity(0)
    pin(processor)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Measurement:
    """One measurement of all figures, in this process."""

    def __init__(self, options: Options, report: Report) -> None:
        self.options, self._report = options, report
        self.report("compiling the peers that are here")
        self.contenders, self.missing = _contenders(options)
        allowed = sorted(os.sched_getaffinity(0))
        self.processors = tuple(allowed[: min(options.threads or 8, len(allowed))])
        self.partner = allowed[1] if len(allowed) > 1 else None
        self.begin = time.monotonic()
        lib.timing_slow_ns = int(options.patience / 2 * 1e9)
        self.min_ns = int(min(max(options.seconds / SAMPLES, MIN_SAMPLE), MAX_SAMPLE) * 1e9)
        self.samples: dict[tuple[str, str, int], dict[int, float]] = {}  # by round
        self.busy: dict[tuple[str, str, int], list[float]] = {}
        self.round = 0
        self.left_out: list[float] = []
        self.worst: list[Worst] = []
        self.notes: list[str] = []
        self.sizes: list[int] = []
        self.interruptions: list[Interruption] = []
        self.source = ""
        for contender in self.contenders:
            self._note(bool(contender.handicap), contender.handicap)
        watch.begin("")  # compiling took as long as it took, and nobody hung

    def report(self, step: str) -> None:
        watch.begin(step)
        self._report(step)

    def measure(self) -> None:
        options = self.options
        with pinned(self.processors[0]):
            mixed = self._keys(sorted(set(options.sizes)))
            for n in mixed:  # before there is a table in this process: children would inherit what it leaves behind
                self._memory_of_all(n, mixed[n])
            for number, n in enumerate(mixed):
                self.sizes.append(n)
                self._size(n, mixed[n], time.monotonic() + share(self._left(), n, list(mixed)[number:]))
            self._waits()
            self._loaded()
            self._adversarial()
            for contender in self.contenders:
                self.interruptions.append(self._interrupt(contender))
        took = time.monotonic() - self.begin
        self._note(
            took > 1.1 * options.seconds,
            f"it took {took:.0f} seconds instead of {options.seconds:.0f}: one round of everything is as long as that",
        )

    def _keys(self, sizes: Sequence[int]) -> dict[int, array[int]]:
        """By entries: mixed keys for each size."""
        options, found = self.options, {}
        for size in sizes:
            self.report(f"{size:,} entries: keys")
            addresses = find(options.keys, size, options.seed)
            self.source = addresses.source
            mixed = mix(addresses, size, options.seed)
            n = len(mixed) // 2
            self._note(n < size, f"{self.source}: {n:,} of them are entries, instead of {size:,}")
            found[n] = mixed
        return found

    def result(self, ended_early: str = "") -> Result:
        """What has been measured so far. ended_early: why nothing was measured after that."""
        options = self.options
        self._note(
            options.threads > len(self.processors),
            f"there are {len(self.processors)} processors, so that many look up at once instead of {options.threads}",
        )
        self._note(bool(ended_early), f"it ended early: {ended_early}")
        self._note(self.partner is None, "figures of several threads need a second processor")
        figures = tuple(map(self._figure, self.samples))
        interruptions = tuple(self.interruptions)
        return Result(
            machine=machine.this(),
            seed=options.seed,
            rounds=options.rounds,
            seconds=options.seconds,
            took=time.monotonic() - self.begin,
            threads=len(self.processors),
            processors=self.processors,
            keys=self.source,
            sizes=tuple(self.sizes),
            left_out=sum(self.left_out) / max(len(self.left_out), 1),
            contenders=self.contenders,
            missing=self.missing,
            figures=figures,
            interruptions=interruptions,
            worst=tuple(self.worst),
            ratios=() if options.against else bounds.ratios(figures, self.missing, self.sizes),
            versus=versus(figures, self.contenders, self.sizes),
            ahead=ahead(figures, self.contenders, interruptions, self.sizes),
            notes=tuple(self.notes),
            ended_early=ended_early,
            against=options.against,
            head_to_head=against.judge(figures),
        )

    def _note(self, condition: bool, text: str) -> None:
        if condition and text not in self.notes:
            self.notes.append(text)

    def _sample(self, what: str, who: str, size: int, value: float) -> None:
        """Keeps a sample of this round."""
        self.samples.setdefault((what, who, size), {})[self.round] = value

    def _hits(self, what: str, who: str, size: int, hits: Hits) -> None:
        """Keeps hits in company as a sample."""
        self._sample(what, who, size, hits.ns)
        if hits.busy is not None:
            self.busy.setdefault((what, who, size), []).append(hits.busy)

    def _figure(self, key: tuple[str, str, int]) -> Figure:
        samples, busy = self.samples[key], self.busy.get(key)
        mean = None if busy is None else sum(busy) / len(busy)
        return Figure(*key, tuple(samples.values()), rounds=tuple(samples), busy=mean)

    def _fitting(self, n: int) -> list[Contender]:
        """The contenders that are measured at this size."""
        fitting = []
        for contender in self.contenders:
            most = contender.limit() or n
            self._note(n > most, f"{contender.name} is measured up to {most:,} entries")
            if n <= most:
                fitting.append(contender)
        return fitting

    def _left(self) -> float:
        """Seconds that are left for the sizes."""
        end = self.begin + self.options.seconds - AFTERWARDS * len(self.contenders)
        return end - time.monotonic()

    # -------------------------------------------------------------------------------------------- a size

    def _size(self, n: int, mixed: array[int], until: float) -> None:
        keys = make(mixed, self.options.seed, len(self.processors))
        contenders = self._fitting(n)
        self.report(f"{n:,} entries: filling {len(contenders)} tables")
        begin = time.monotonic()
        subjects = [Subject(contender, mixed, keys, self.options.seed) for contender in contenders]
        filling = time.monotonic() - begin  # so long the growth and the worst lookup will take, too
        begin = time.monotonic()
        self._lookups(subjects, mixed, begin + LOOKUPS * (until - filling - begin))
        if n == max(self.options.sizes):
            self._many(subjects)
        self.report(f"{n:,} entries: the worst lookup")
        for subject in subjects:
            self._look_at_worst(subject, "the keys of the measurement", STEPPED)
            self.left_out += subject.left_out
            subject.close()
        self._growth(contenders, n, mixed, keys)
        self._updates(contenders, n, mixed, keys, until)

    def _turns(self, until: float, who: Sequence[Any]) -> Iterator[tuple[int, list[Any]]]:
        """As many rounds as end in time. Each begins with another of `who`."""
        for number in rounds(self.options.rounds, until):
            self.round, first = number, number % len(who)
            yield number, [*who[first:], *who[:first]]
        self.round = 0

    def _repeated(self, times: int) -> Iterator[int]:
        """Rounds in which everyone has the same place."""
        for self.round in range(times):
            yield self.round
        self.round = 0

    def _lookups(self, subjects: Sequence[Subject], mixed: array[int], until: float) -> None:
        figures: list[tuple[str, Callable[[Subject], float]]] = [
            ("hit", lambda subject: subject.hit(self.min_ns)),
            ("dependent hit", lambda subject: subject.dependent_hit(self.min_ns)),
            ("miss", lambda subject: subject.miss(self.min_ns)),
        ]
        n = subjects[0].keys.n
        told = [one.contender for one in subjects if one.functions.reserve != ffi.NULL]  # ours, and another build of it
        resized = [Subject(one, mixed, subjects[0].keys, self.options.seed) for one in told]
        floors = self._floors(subjects[0].bytes())
        for number, turn in self._turns(until, subjects):
            for what, measure in figures:
                self.report(f"{n:,} entries: {what}, round {number + 1}")
                for subject in turn:
                    self._sample(what, subject.contender.name, n, measure(subject))
                for who, floor in floors.items():
                    self._floor(what, who, floor, n)
            self._cold(turn, floors[FLOOR_HUGE], number)
            self.report(f"{n:,} entries: hits in company, round {number + 1}")
            for subject in turn if len(self.processors) > 1 else ():
                together = subject.together(self.min_ns, self.processors)
                self._hits(f"hit, {len(self.processors)} threads at once", subject.contender.name, n, together)
            self._company(turn, resized)
        for floor in floors.values():
            lib.timing_array_destroy(floor)
        for subject in resized:
            subject.close()

    def _cold(self, turn: Sequence[Subject], floor: Any, number: int) -> None:
        n = turn[0].keys.n
        self.report(f"{n:,} entries: cold hits, round {number + 1}")
        try:
            cold = Cold(turn, floor, number)
        except UnsupportedError as error:
            self._note(True, str(error))
            return
        for who in cold.warm:
            self._note(True, f"{who}: no cold hits at {n:,} entries, for a lookup may read {lib.COLD_PAGES_MAX} pages")
        found = cold.measure()
        self._sample(COLD, FLOOR_HUGE, n, found.pop(LOAD))
        for who, ns in found.items():
            self._sample(COLD, who, n, ns)

    def _company(self, turn: Sequence[Subject], resized: Sequence[Subject]) -> None:
        """Hits of each subject beside a partner, and alone just before."""
        if self.partner is None or turn[0].keys.n < 64:
            return
        pairs = [("churn", subject, subject.beside_churn) for subject in turn]
        pairs += [("resizes", subject, subject.beside_resizes) for subject in resized]
        for name, subject, beside in pairs:
            who, n = subject.contender.name, subject.keys.n
            self._sample(f"hit before {name}", who, n, subject.quiet(self.min_ns))
            self._hits(f"hit beside {name}", who, n, beside(BESIDE * self.min_ns, self.partner))

    def _many(self, subjects: Sequence[Subject]) -> None:
        """Lookups of many keys: by ours, and in the same turns by cds_lfht, or another build of ours."""
        self.report("many keys at a call, from Python and in C")
        others = [subject for subject in subjects[1:] if subject.functions.into_arrays != ffi.NULL]
        many = Many(subjects[0], self.options.seed, others)
        for _ in self._repeated(min(self.options.rounds, MANY_ROUNDS)):
            for what, subject, ns in many.turn():
                self._sample(what, subject.contender.name, subject.keys.n, ns)
        many.close()

    def _floors(self, size: int) -> dict[str, Any]:
        """Arrays of as many bytes as our table has."""
        floors = {
            FLOOR_PLAIN: lib.timing_array_create(size, 0, self.options.seed),
            FLOOR_HUGE: lib.timing_array_create(size, 1, self.options.seed),
        }
        if ffi.NULL in floors.values():
            raise BenchError(f"no memory for an array of {size:,} bytes")
        return floors

    def _floor(self, what: str, who: str, floor: Any, n: int) -> None:
        timing = ffi.new("struct timing *")
        time = {"hit": lib.timing_array_loads, "dependent hit": lib.timing_array_chain}.get(what)
        if time is not None:
            if time(floor, self.min_ns, timing) != lib.TIMING_OK:
                raise BenchError("no memory")
            self._sample(what, who, n, timing.ns)

    def _updates(self, contenders: Sequence[Contender], n: int, mixed: array[int], keys: Keys, until: float) -> None:
        for number, turn in self._turns(until, contenders):
            self.report(f"{n:,} entries: updates, round {number + 1}")
            for contender in turn:
                lib.timing_trim()  # or who uses malloc() would have the memory of the round before
                subject = Subject(contender, mixed, keys, self.options.seed, filled=False)
                with self._unless_slow(n):
                    self._update(subject)
                subject.settle()
                subject.close()

    def _update(self, subject: Subject) -> None:
        who, n = subject.contender.name, subject.keys.n
        for what, of_all in (("insert", INSERT_ALL), ("churn", ""), ("remove", REMOVE_ALL)):
            begin = time.process_time_ns()
            self._sample(what, who, n, getattr(subject, what)())
            subject.settle()
            if of_all and n >= SMALL:  # below, settling takes more
                self._sample(of_all, who, n, (time.process_time_ns() - begin) / n)

    @contextmanager
    def _unless_slow(self, n: int) -> Iterator[None]:
        """If inserts are given up, as those of a peer that has lost a resize, there is a note instead of a figure."""
        try:
            yield
        except SlowError as error:
            self._note(True, f"at {n:,} entries a measurement was given up, {error}")

    def _growth(self, contenders: Sequence[Contender], n: int, mixed: array[int], keys: Keys) -> None:
        """Lookups while a table grows from GROW_FROM entries to the largest size."""
        if self.partner is None or n != max(self.options.sizes) or n < 2 * GROW_FROM:
            return
        for contender in contenders:
            self.report(f"{contender.name}: lookups while it grows from {GROW_FROM:,} to {n:,}")
            subject = Subject(contender, mixed, keys, self.options.seed, filled=False)
            with self._unless_slow(n):
                timing = subject.while_growing(GROW_FROM, self.partner)
                self._hits("lookup while it grows, mean", contender.name, n, subject.hits([timing]))
                self._sample("lookup while it grows, 99.9 %", contender.name, n, timing.p999)
                self._sample("lookup while it grows, worst", contender.name, n, timing.most)
            subject.settle()
            subject.close()

    # -------------------------------------------------------------------------------------------- memory

    def _memory_of_all(self, n: int, mixed: array[int]) -> None:
        self.report(f"{n:,} entries: memory")
        for contender in self._fitting(n):
            self._memory(contender, n, mixed)
            if (
                contender.functions.resizing != ffi.NULL and n >= bounds.MIDDLE
            ):  # below, what a process pays once is much
                self._cycle(contender, n)

    def _memory(self, contender: Contender, n: int, mixed: array[int]) -> None:
        resident, allocated = _footprint(contender, n, mixed, n)
        self._sample(RESIDENT, contender.name, n, resident / n)
        if contender.own_allocator:
            self._note(True, f"{contender.name}: malloc() cannot tell what it allocated, not all is from there")
        else:
            self._sample("bytes an entry, allocated", contender.name, n, allocated / n)
        if contender.grows and n < LARGE:  # a table that doubles is now half empty and now full
            sizes = [n, *(round(n * part) for part in OCTAVE)]
            found = [resident / n, *(_footprint(contender, n, mixed, size)[0] / size for size in sizes[1:])]
            self._sample("bytes an entry, resident, mean of an octave", contender.name, n, sum(found) / len(found))

    def _cycle(self, contender: Contender, n: int) -> None:
        """In the cycle of growth that n entries lie in, at its ends and between, and at the worst moment of the next
        grow."""
        keys, ends = slab.made(slab.RECORDED, 5 * n // 2), ffi.new("uint64_t[2]")
        most, name = ffi.new("double *"), contender.name
        watch.turn(name)
        found = lib.bid_resident_cycle(contender.functions, n, buffer(keys), len(keys), ends, ends + 1, most)
        if found != lib.BID_RESIDENT_OK:
            raise BenchError(f"{name}: it did not grow twice between {n:,} and {len(keys):,} entries")
        steps = [round(ends[0] * (ends[1] / ends[0]) ** (i / CYCLE_STEPS)) for i in range(CYCLE_STEPS + 1)]
        found = [_footprint(contender, 0, keys, entries)[0] / entries for entries in steps]
        mean = (sum(found) - (found[0] + found[-1]) / 2) / CYCLE_STEPS  # of the curve through them
        for what, size in ((AFTER_GROW, found[0]), (CYCLE_MEAN, mean), (BEFORE_GROW, found[-1])):
            self._sample(what, name, n, size)
        self._sample(WHILE_GROWING, name, n, float(most[0]))
        self._note(True, f"{name}: the cycle of growth around {n:,} entries goes from {ends[0]:,} to {ends[1]:,}")

    # --------------------------------------------------------------------------------------------- worst

    def _look_at_worst(self, subject: Subject, keys: str, stepped: int) -> None:
        cost = subject.cost()
        known = cost.most_slots > 0
        rng = random.Random(self.options.seed)
        sample = [cost.worst, *(subject.keys.present[rng.randrange(subject.keys.n)] for _ in range(stepped - 1))]
        instructions = subject.instructions(sample)
        self.worst.append(
            Worst(
                who=subject.contender.name,
                size=subject.keys.n,
                keys=keys,
                slots=cost.most_slots if known else None,
                records=cost.most_records if known else None,
                mean_records=cost.records if known else None,
                instructions=instructions or None,
            )
        )

    def _waits(self) -> None:
        """Cache lines of a hit, in the worst slot of a bucket whose record has a place there."""
        if platform.machine() != PROCESSOR:
            return
        self.report(WAITS)
        try:
            counted = max(waits()[:PLACES])
        except (FileNotFoundError, CompilerError) as error:
            self.missing += (Missing(WAITS, "gcc binutils", str(error)),)
        else:
            self._sample(WAITS, self.contenders[0].name, max(self.sizes), counted)

    def _loaded(self) -> None:
        """Hits in the addresses of loaded objects, beside glibc's _dl_find_object."""
        addresses, starts = loaded()
        n = len(starts)
        if n < 2:
            self.missing += (Missing(LOADED, "libc6 (2.35 or later)", "this glibc does not have it"),)
            return
        self.report(f"{LOADED}: {n} objects")
        mixed = starts + array("Q", range(1, n + 1))  # as many that are not there
        subject = Subject(self.contenders[0], mixed, make(mixed, self.options.seed), self.options.seed)
        asked, _buffers = draws(buffer(addresses), buffer(starts), n, self.options.seed)
        timing = ffi.new("struct timing *")
        for _ in self._repeated(self.options.rounds):
            self._sample(LOADED_HIT, self.contenders[0].name, n, subject.hit(self.min_ns))
            if lib.timing_loaded(asked, self.min_ns, timing) != lib.TIMING_OK:
                raise BenchError(f"{LOADED}: a wrong answer")
            self._sample(LOADED_HIT, LOADED, n, timing.ns)
        subject.close()

    def _adversarial(self) -> None:
        """The worst lookup among keys that were made to collide."""
        self.report("keys that collide")
        addresses = find("adversarial", ADVERSARIAL_MOST // 2, self.options.seed)
        mixed = mix(addresses, ADVERSARIAL_MOST // 2, self.options.seed)
        keys = make(mixed, self.options.seed)
        for contender in self.contenders:
            subject = Subject(contender, mixed, keys, self.options.seed)
            self._look_at_worst(subject, addresses.source, 1)
            subject.close()

    def _interrupt(self, contender: Contender) -> Interruption:
        self.report(f"{contender.name}: lookups from a handler that interrupts the updater")
        keys = find("slabs", INTERRUPTED_KEYS // 2, self.options.seed).keys
        result = ffi.new("struct interrupt_result *")
        seconds = min(max(INTERRUPTED * self.options.seconds, 0.05), 0.5)
        arguments = contender.expected(INTERRUPTED_KEYS), buffer(keys), len(keys), seconds
        if lib.interrupt_run(contender.functions, *arguments, result) != lib.INTERRUPT_OK:
            raise BenchError(f"{contender.name}: the child that is interrupted failed")
        fields = ("interruptions", "in_update", "answered", "busy", "wrong", "blocked", "updates", "resizes")
        return Interruption(contender.name, *(int(getattr(result, name)) for name in fields))


def _footprint(contender: Contender, expected: int, mixed: array[int], n: int) -> tuple[int, int]:
    """Resident and allocated bytes of n entries."""
    watch.turn(contender.name)
    keys = mixed[:n]

    resident, allocated = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    arguments = contender.expected(expected), buffer(keys), n, resident, allocated
    if lib.bid_resident(contender.functions, *arguments) != lib.BID_RESIDENT_OK:
        raise BenchError(f"{contender.name}: the child that measures memory failed")
    return int(resident[0]), int(allocated[0])
