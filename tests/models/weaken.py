# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Weakens every use of a memory order, one at a time, and sees which model notices.

    python tests/models/weaken.py [--markdown FILE] [FILE:LINE ...]

A use is one place in csrc that names an order of an edge (csrc/README.md). It is made the next weaker order in a copy
of the sources, and the models that pass with the sound sources run until one reports an error. docs/orders.md says
which one did last time, and that comes first; then those that noticed other uses of the same edge.
Exit status: 0 if every use is noticed or its reason stands in REASONS, 1 if not, 2 without the tools, or
for a place without such a use.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
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
PAGE = CSRC.parent / "docs" / "orders.md"
ORDER = re.compile(r"\bBID_([A-Z])_(ACQUIRE|RELEASE|FENCE)\b")
WEAKER = {"ACQUIRE": "memory_order_relaxed", "RELEASE": "memory_order_relaxed", "FENCE": "memory_order_acq_rel"}

LEFT = "LEFT only makes a lookup read the future, by (F); one that finds none yet is from before the first update there"
ORPHAN = (
    "what is an orphan was written before the fork, which orders that; in the child it is changed by this swap alone"
)
AUDITED = "nobody updates the table while it is audited, so what ended the updates comes before all that is read here"

#: Uses that no model can notice: file, function, macro, and which of these it is there.
REASONS = {"table/move.c bid_leave BID_H_RELEASE 1": LEFT}
REASONS |= {
    f"table/orphan.c {use}": ORPHAN
    for use in ("bid_orphans_take_back BID_L_ACQUIRE 1", "bid_orphans_take_back BID_L_ACQUIRE 2")
}
REASONS |= {
    f"table/audit.c {use} 1": AUDITED
    for use in ("bid_audit_slot BID_P_ACQUIRE", "bid_audit_bucket BID_D_ACQUIRE", "bid_audit_bucket BID_P_ACQUIRE")
}

#: Uses in a file that no model has, because the models have another in its place: the macro there that has the order.
STAND_INS = {"process/pins.c bid_platform_barrier BID_S_FENCE 1": "MODEL_BARRIER_FENCE"}
CPU_SECONDS = 10  #: of a processor's time, for a model that may have no end with a weaker order


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


def _weaker(scenario: Scenario, use: Use) -> Scenario | None:
    if macro := STAND_INS.get(use.name):
        return replace(scenario, fault=True, defines=(*scenario.defines, f"{macro}={use.weaker}"))
    return replace(scenario, fault=True, edits=(use.edit(),)) if _may_have(scenario, use) else None


def ask(tools: Tools, scenario: Scenario, use: Use) -> Verdict | None:
    """None: the model is the same with the weaker order, so it cannot notice, and does not run."""
    weaker = _weaker(scenario, use)
    if weaker is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "model.ll"
        run.build(tools, weaker, code)
        return run.check(tools, weaker, code, CPU_SECONDS) if _lines(code) != _sound(tools, scenario) else None


@cache
def told() -> list[list[str]]:
    """The cells of the page's rows."""
    modules = tuple(f"| {module}/" for module in MODULES)
    lines = PAGE.read_text().splitlines() if PAGE.is_file() else []
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith(modules)]


def key(use: Use) -> str:
    """What a use is known by in the page: without line numbers, which change with every edit."""
    return f"{use.file} | `{use.function}` | ({use.edge}) {use.kind.lower()}"


def _noticed_last(use: Use) -> str:
    """Which scenario that was, by the page; or an empty string."""
    rows = [cells for cells in told() if " | ".join(cells[:3]) == key(use)]
    return rows[use.number - 1][4] if len(rows) >= use.number else ""


def _scenarios(use: Use) -> list[Scenario]:
    """In the order in which to ask them. If none is expected to notice: those that notice other uses of the edge."""
    last = _noticed_last(use)
    others = Counter(cells[4] for cells in told() if cells[2].startswith(f"({use.edge})"))
    asked = [one for one in SCENARIOS if one.quick and (others[one.name] or use.name not in REASONS)]
    return sorted(asked, key=lambda one: (one.name != last, -others[one.name]))


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
    if use.name in STAND_INS:
        said += " (weakened in the models' own platform, which has this fence)"
    return f"| {key(use)} | {use.weaker[len('memory_order_') :]} | {by} | {said} |"


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
    found = uses()
    for place in set(options.places) - {use.place for use in found}:
        file = place.partition(":")[0]
        lines = ", ".join(str(use.line) for use in found if use.file == file)
        parser.error(
            f"{place} names no memory order of an edge" + (f"; lines of {file} that do: {lines}" if lines else "")
        )
    tools = Tools.find()
    if tools is None:
        print(HOW_TO_GET, file=sys.stderr)
        return 2
    wanted = [use for use in found if not options.places or use.place in options.places]
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
