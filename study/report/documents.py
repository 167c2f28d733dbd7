# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The JSON documents that a report is made from, checked as far as the report relies on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybuildid._files import read_input
from pybuildid.collisions import Chains, Probes
from pybuildid.collisions.middle_bits import Case, Judgement
from study.memory import FILE_POINTER, INODE_POINTER, OURS, Balance, Cost, Curve, Design, Point
from study.memory.counts import Counts

Document = Mapping[str, Any]

#: What makes each document, for who has none.
MAKERS = {
    "storm": "python -m stress --json storm.json",
    "bench": "python -m study bench --json bench.json",
    "collisions": "pybuildid collisions --json collisions.json",
    "memory": "python -m study memory --json memory.json",
}
STORM_NUMBERS = (
    *("seed", "seconds", "threads", "interruptions", "nested", "landed_in_update", "landed_in_resize"),
    *("landed_in_lookup", "lookups", "updates", "wrong", "wrong_at_end", "blocked", "errno_changed", "resizes"),
    *("entries", "max_slots_read", "max_records_read"),
)
INTERRUPTION_NUMBERS = ("interruptions", "in_update", "answered", "busy", "blocked", "wrong")
MACHINE = ("processor", "processors", "kernel", "memory_bytes", "huge_pages", "python", "date")
WORST_NUMBERS = ("slots", "records", "instructions")  # None: not known
#: What comes of taking a document's parts for what they should be.
_MALFORMED = (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError)


class DocumentError(ValueError):
    """A file that is not the document that it should be: its message names the file and says why."""


@dataclass(frozen=True)
class Collisions:
    source: str
    judgement: Judgement
    cases: tuple[Case, ...]
    verdict: str


@dataclass(frozen=True)
class Memory:
    balances: tuple[Balance, ...]
    curves: tuple[Curve, ...]
    verdicts: tuple[str, ...]  # for each balance


@dataclass(frozen=True)
class Documents:
    """What there is; None where nothing was measured."""

    storm: Document | None = None
    bench: Document | None = None
    collisions: Collisions | None = None
    memory: Memory | None = None
    commands: Mapping[str, str] | None = None  # that made each
    machines: Mapping[str, Document] = field(default_factory=dict)  # of each document that says where it was made

    @property
    def of_one_machine(self) -> bool:
        """One processor and one kernel, as far as the documents say."""
        return len({(one["processor"], one["kernel"]) for one in self.machines.values()}) < 2


def read(files: Mapping[str, Path]) -> Documents:
    """Reads documents by name: storm, bench, collisions, memory. Raises DocumentError and OSError."""
    parsed: dict[str, Any] = {}
    commands: dict[str, str] = {}
    machines: dict[str, Document] = {}
    for name, path in files.items():
        document = _load(path)
        try:
            parsed[name] = _PARSERS[name](document)
            commands[name] = _command(name, document)
            if machine := _machine(document):
                machines[name] = machine
        except _MALFORMED as error:
            made = MAKERS[name].partition(" --json")[0]
            what = f"it has no {error}" if isinstance(error, KeyError) else "its parts are not of their types"
            raise DocumentError(f"{path} is no JSON document of this version's `{made}`: {what}") from None
    return Documents(**parsed, commands=commands, machines=machines)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_input(path))
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise DocumentError(f"{path} is no JSON object")
    return document


def _command(name: str, document: Document) -> str:
    if "command" in document:
        return str(document["command"])
    if name == "storm":
        return f"python -m stress --seed {document['seed']} --seconds {document['seconds']:.0f} --json storm.json"
    return MAKERS[name]


def _machine(document: Document) -> Document | None:
    """Where it was made, by what the document says of it; None if that is not even the processor and the kernel."""
    about = document.get("machine", document)
    if about is document and not {"processor", "kernel"} <= about.keys():
        return None
    kernel, _ = "" + about["kernel"], "" + about["processor"]
    about.get("memory_bytes", 0) + 0
    known = {name: about[name] for name in MACHINE if name in about}
    return {**known, "kernel": kernel if kernel.startswith("Linux") else f"Linux {kernel}"}


def _storm(document: Document) -> Document:
    for run in (document, *_list(document["others"])):
        for name in STORM_NUMBERS:
            run[name] + 0
        str(run["design"]), list(run["failures"])
    str(document["verdict"]), document["bound_slots"] + 0, document["bound_records"] + 0
    return document


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _known(value: Any) -> Any:
    return 0 if value is None else value


def _bench(document: Document) -> Document:
    """figures: what, who, size, median, min, max; ratios: label, size, median (None: not measured), min, max, bound or
    None; interruptions; worst; and sentences for people."""
    for figure in document["figures"]:
        "" + figure["what"] + figure["who"], figure["size"] + figure["median"] + figure["min"] + figure["max"]
    for ratio in document["ratios"]:
        str(ratio["label"]), ratio["size"] + 0
        if ratio["median"] is None:
            str(ratio["reason"])
            continue
        ratio["median"] + ratio["min"] + ratio["max"]
        if ratio["bound"] is not None:
            ratio["median"] / ratio["bound"]
    for one in document["interruptions"]:
        str(one["who"]), sum(one[name] for name in INTERRUPTION_NUMBERS)
    for one in document["worst"]:
        str(one["who"]), str(one["keys"]), one["size"] + sum(_known(one[name]) for name in WORST_NUMBERS)
    for one in document["ahead"]:
        str(one["who"]), list(one["why"]), str(one["price"])
        sum(lead["size"] + lead["by"] for lead in one["leads"]), ["" + lead["what"] for lead in one["leads"]]
    for one in document.get("versus", ()):  # not in documents of older versions
        str(one["who"]), one["size"] + sum(one["ratios"].values())
    for peer in document.get("missing", ()):  # not in documents of older versions
        str(peer["name"]), str(peer["package"]), str(peer["reason"])
    list(document["notes"]), document["took"] + 0
    return document


def _collisions(document: Document) -> Collisions:
    judgement = Judgement(tuple(map(_chains, document["by_shift"])), tuple(map(_chains, document["others"])))
    judgement.best.load + judgement.shift + len(judgement.holding), judgement.other("mix")
    cases = tuple(Case(case["name"], _chains(case["middle_bits"]), _chains(case["mix"])) for case in document["cases"])
    cases[0].middle_bits.label, [case.middle_bits.excess + case.mix.excess for case in cases]
    kind = "" if document["real"] else "A stand-in, not real addresses: "
    return Collisions(kind + document["source"], judgement, cases, str(document["verdict"]))


def _chains(document: Document) -> Chains:
    return Chains(
        **{name: document[name] for name in ("hash", "shift", "keys", "buckets")},
        lengths=tuple(document["lengths"]),
        ideal_lengths=tuple(document["ideal_lengths"]),
        probes=Probes(**document["probes"]),
        ideal=Probes(**document["ideal"]),
    )


def _pair(numbers: list[int] | None) -> tuple[int, int] | None:
    if numbers is None:
        return None
    first, second = numbers
    return first, second


def _memory(document: Document) -> Memory:
    balances = tuple(
        Balance(
            Counts(**balance["counts"]),
            tuple(Cost(**cost) for cost in balance["costs"]),
            _pair(balance["break_even_files"]),
            _pair(balance["break_even_inodes"]),
        )
        for balance in document["balances"]
    )
    curves = tuple(
        Curve(Design(**curve["design"]), tuple(Point(**point) for point in curve["points"]))
        for curve in document["curves"]
    )
    for balance in balances:
        counts = balance.counts
        counts.files + counts.inodes + counts.elf_files + sum(cost.bytes for cost in balance.costs)
        balance.cost(OURS) / balance.cost(FILE_POINTER) + balance.cost(OURS) / balance.cost(INODE_POINTER)
    balances[0], curves[0].points[0].entries + curves[0].points[0].bytes
    return Memory(balances, curves, tuple(str(balance["verdict"]) for balance in document["balances"]))


_PARSERS = {"storm": _storm, "bench": _bench, "collisions": _collisions, "memory": _memory}
