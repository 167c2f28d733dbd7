# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Weakens every use of a memory order, one at a time, and sees which model notices.

    python tests/models/weaken.py [--markdown FILE] [FILE:LINE ...]

A use is one place in csrc/table or csrc/inode that names an order of an edge (csrc/README.md). It is made the next
weaker order in a copy of the sources, and the models that pass with the sound sources run until one reports an error.
Exit status: 0 if every use is noticed or its reason stands in REASONS, 1 if not, 2 without the tools.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import run
from run import CSRC, HOW_TO_GET, SCENARIOS, Scenario, Tools, Verdict

from stress.mutants.edits import Edit

MODULES = ("table", "process", "region", "inode")
DEFINITIONS = "bid_atomic.h"
ORDER = re.compile(r"\bBID_([A-Z])_(ACQUIRE|RELEASE|FENCE)\b")
WEAKER = {"ACQUIRE": "memory_order_relaxed", "RELEASE": "memory_order_relaxed", "FENCE": "memory_order_acq_rel"}

AGAIN = "who sees FROZEN and not yet the future looks again; with the order it does so once"
ELSEWHERE = "readers of a region compute addresses from others, which the models cannot follow"

#: Uses that no model can notice: file, function, macro, and which of these it is there.
REASONS = {
    "process/pins.c bid_platform_barrier BID_S_FENCE 1": "the models have their own platform, with this fence",
    "table/move.c bid_freeze BID_P_RELEASE 1": AGAIN,
    "table/move.c bid_migrate BID_P_RELEASE 1": AGAIN,
    "table/move.c bid_leave BID_H_RELEASE 1": "who reads LEFT and not yet the future gets what was right before",
    "region/reader.c bid_region_lookup BID_H_ACQUIRE 1": ELSEWHERE,
    "region/region.c bid_region_publish BID_H_RELEASE 1": ELSEWHERE,
}
REASONS |= {
    f"table/orphan.c {use}": "only the child of a fork comes here, and the models have no fork"
    for use in ("bid_orphans_take_back BID_L_ACQUIRE 1", "bid_orphans_take_back BID_L_ACQUIRE 2")
}
REASONS |= {
    f"table/audit.c {use} 1": "nobody updates the table while it is audited"
    for use in ("bid_audit_slot BID_P_ACQUIRE", "bid_audit_bucket BID_D_ACQUIRE", "bid_audit_bucket BID_P_ACQUIRE")
}
CPU_SECONDS = 10  #: of a processor's time, for a model that may have no end with a weaker order

#: The scenarios that are most likely to notice, by edge; the other quick ones come after these.
LIKELY = {
    "P": (
        "publish and look up",
        "publish in a second bucket and look up",
        "insert against insert of one key",
        "begin to grow and grow against insert",
        "remove, look up",
        "grow, look up",
        "two helpers of one resize, look up",
    ),
    "F": ("grow, look up", "begin to grow and grow, iterate over nothing", "grow, begin again, retire"),
    "D": ("two helpers of one resize, look up",),
    "H": (
        "grow, look up",
        "two helpers of one resize, look up",
        "retire, reclaim, look up",
        "begin to grow and grow, look up many",
        "begin against replace, look up",
        "take over a seed against reseed",
        "reseed, reclaim, look up",
        "begin to grow and grow against insert",
    ),
    "E": (
        "retire, reclaim, look up",
        "retire, reclaim with membarrier, plain pin",
        "retire, observe a reader elsewhere, reclaim",
    ),
    "U": (
        "retire, reclaim, look up",
        "retire, reclaim with membarrier, plain pin",
        "retire, reclaim, temporary pin",
        "retire, reclaim with a plain pin, overflowing pin",
    ),
    "S": ("retire, reclaim, look up",),
    "L": (
        "a descriptor freed and taken again",
        "a descriptor taken again while another thread retires",
        "retire, another thread reclaims, look up",
    ),
    "C": ("a late insert while a future array is built", "a late insert when the future array is in use"),
    "I": ("associate against evict",),
    "G": ("retire, observe a reader elsewhere, reclaim",),
    "R": ("pages of a region given back and taken",),
}


@dataclass(frozen=True)
class Use:
    file: str  #: below csrc/
    line: int
    start: int  #: where in the file
    function: str
    macro: str
    weaker: str
    number: int  #: of this macro in functions of this name, from 1

    @property
    def name(self) -> str:
        return f"{self.file} {self.function} {self.macro} {self.number}"

    @property
    def edge(self) -> str:
        return self.macro[4]

    @property
    def kind(self) -> str:
        return self.macro[6:]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    def edit(self) -> Edit:
        text = (CSRC / self.file).read_text()
        return Edit(self.file, text, text[: self.start] + self.weaker + text[self.start + len(self.macro) :])


@dataclass(frozen=True)
class Finding:
    use: Use
    noticed: Verdict | None  #: by this scenario
    asked: int  #: scenarios that reach it and ran

    @property
    def reason(self) -> str:
        return REASONS.get(self.use.name, "")

    @property
    def ok(self) -> bool:
        return self.noticed is not None or bool(self.reason)


def sources() -> Iterator[Path]:
    for module in MODULES:
        yield from sorted(file for file in (CSRC / module).glob("*.[ch]") if file.name != DEFINITIONS)


def _function_at(text: str, offset: int) -> str:
    """The last definition at the left margin before it."""
    names = re.findall(r"^[A-Za-z].*?\b(\w+)\([^;{]*\)\n\{", text[:offset], re.MULTILINE)
    return names[-1] if names else ""


def uses() -> list[Use]:
    found: list[Use] = []
    for path in sources():
        text, file = path.read_text(), str(path.relative_to(CSRC))
        code = re.sub(r"/\*.*?\*/|^#.*?$", lambda match: " " * len(match[0]), text, flags=re.DOTALL | re.MULTILINE)
        for match in ORDER.finditer(code):
            macro, function = match[0], _function_at(text, match.start())
            number = 1 + sum((use.file, use.function, use.macro) == (file, function, macro) for use in found)
            line = text.count("\n", 0, match.start()) + 1
            found.append(Use(file, line, match.start(), function, macro, WEAKER[match[2]], number))
    return found


def _lines(code: Path) -> list[str]:
    """What a model is compiled to, without what says where that comes from."""
    lines = code.read_text().splitlines()
    return [line.partition(", !dbg")[0] for line in lines if not line.startswith(("!", "source_filename", "; Mod"))]


@cache
def _sound(tools: Tools, scenario: Scenario) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "model.ll"
        run.build(tools, scenario, code)
        return _lines(code)


def _may_have(scenario: Scenario, use: Use) -> bool:
    """Whether the model includes the file, if that is none of the headers that the files include."""
    texts = "".join((run.HERE / name).read_text() for name in (f"{scenario.model}.c", "model.h"))
    return use.file.endswith(".h") or f'{Path(use.file).name}"' in texts


def ask(tools: Tools, scenario: Scenario, use: Use) -> Verdict | None:
    """None: the model is the same with the weaker order, so it cannot notice, and does not run."""
    if not _may_have(scenario, use):
        return None
    weaker = replace(scenario, fault=True, edits=(use.edit(),))
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "model.ll"
        run.build(tools, weaker, code)
        return run.check(tools, weaker, code, CPU_SECONDS) if _lines(code) != _sound(tools, scenario) else None


def _scenarios(use: Use) -> list[Scenario]:
    """In the order in which to ask them; where none is expected to notice, the likeliest alone."""
    likely = LIKELY[use.edge][:1] if use.name in REASONS else LIKELY[use.edge]
    rank = {name: number for number, name in enumerate(likely)}
    asked = [one for one in SCENARIOS if one.quick and (one.name in rank or use.name not in REASONS)]
    return sorted(asked, key=lambda one: rank.get(one.name, len(likely)))


def weaken(tools: Tools, use: Use) -> Finding:
    asked = 0
    for scenario in _scenarios(use):
        verdict = ask(tools, scenario, use)
        if verdict is None:
            continue
        asked += 1
        if verdict.ok:
            return Finding(use, verdict, asked)
        if verdict.error and run.NO_END not in verdict.error:
            raise RuntimeError(f"{use.place}, {scenario.name}: {verdict.error}")
    return Finding(use, None, asked)


HEAD = """\
# Each use of a memory order, weakened by itself

Written by `make verify-orders` (`tests/models/weaken.py`): in a copy of the sources one use of an acquire or release is
made relaxed, or a fence weaker, and the models of `tests/models` run until one reports an error. The letters are the
edges of [csrc/README.md](../csrc/README.md).

| place | function | order | becomes | noticed by | as, or why not |
|---|---|---|---|---|---|
"""


def row(finding: Finding) -> str:
    use, noticed = finding.use, finding.noticed
    by, said = (noticed.name, noticed.error[len("reported: ") :]) if noticed else ("", finding.reason or "NOT NOTICED")
    return f"| {key(use)} | {use.weaker[len('memory_order_') :]} | {by} | {said} |"


def key(use: Use) -> str:
    """What a use is known by in the table: without line numbers, which change with every edit."""
    return f"{use.file} | `{use.function}` | ({use.edge}) {use.kind.lower()}"


def markdown(findings: Sequence[Finding]) -> str:
    return HEAD + "".join(f"{row(finding)}\n" for finding in findings)


def main() -> int:
    parser = argparse.ArgumentParser(description="Weakens every use of a memory order, one at a time.")
    parser.add_argument("places", nargs="*", metavar="FILE:LINE", help="only these (default: all)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a table there")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many at a time (default: %(default)s)")
    options = parser.parse_args()
    if options.places and options.markdown:
        parser.error("the table is of all uses: --markdown without places")
    tools = Tools.find()
    if tools is None:
        print(HOW_TO_GET, file=sys.stderr)
        return 2
    wanted = [use for use in uses() if not options.places or use.place in options.places]
    findings = []
    with ThreadPoolExecutor(options.jobs) as executor:
        for finding in executor.map(partial(weaken, tools), wanted):
            findings.append(finding)
            use, noticed = finding.use, finding.noticed
            said = f"{noticed.seconds:5.1f} s  {noticed.name}: {noticed.error}" if noticed else finding.reason
            print(f"{use.place:<24} {use.macro:<14} {use.weaker[13:]:<8} {said or 'NOT NOTICED'}", flush=True)
    if options.markdown:
        options.markdown.write_text(markdown(findings))
    return 0 if findings and all(one.ok for one in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
