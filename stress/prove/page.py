# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""docs/proof.md: guarantees by checks, what each check found, and the mutants."""

from __future__ import annotations

from stress.prove.checks import GUARANTEES, Found
from stress.prove.run import Proof, Result

MARKS = {"SUCCESS": "✓", "FAILURE": "✗", "SKIPPED": "skipped"}
HEAD = """\
# What was checked, and what was found

Written by `make prove`, which runs the short forms; do not edit.
"""
MATRIX = """\
## Guarantees by checks

✓: the check speaks for the guarantee and found nothing wrong; ✗: it failed; skipped: it could not be run here, or not
all of it. A number: so many mutants, which break the guarantee, were caught by the check.
"""
MUTANTS = """\
## Mutants

Builds of the sources with one fault each. Every check that is named for one has to catch it by itself.
"""


def _table(*rows: tuple[str, ...]) -> list[str]:
    """The first is the heading."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|---" * len(rows[0]) + "|", *rest]


def _caught(mutants: list[Found], guarantee: str, check: str) -> int:
    """How many of those that break this guarantee this check found."""
    return sum(
        mutant["guarantee"] == guarantee
        and any(finding["kind"] == check and finding["found"] for finding in mutant["findings"])
        for mutant in mutants
    )


def _cell(proof: Proof, guarantee: str, result: Result) -> str:
    number = _caught(proof.mutants, guarantee, result.check)
    mark = MARKS[result.verdict] if guarantee in result.guarantees else ""
    return " ".join(filter(None, [mark, str(number) if number else ""]))


def _matrix(proof: Proof) -> list[str]:
    results = [result for result in proof.results if result.guarantees]
    cells = {name: tuple(_cell(proof, name, result) for result in results) for name in GUARANTEES}
    rows = ((name, text, *cells[name]) for name, text in GUARANTEES.items())
    return _table(("number", "guarantee", *(result.check for result in results)), *rows)


def _checks(proof: Proof) -> list[str]:
    rows = (
        (result.check, f"{result.verdict}: {result.figure}", f"`{result.command}`", f"{result.seconds:,.0f}")
        for result in proof.results
    )
    return _table(("check", "found", "command", "seconds"), *rows)


def _caught_by(mutant: Found) -> str:
    found = [finding for finding in mutant["findings"] if finding["found"]]
    return ", ".join(f"{finding['check']} ({finding['seconds']:.1f} s)" for finding in found) or str(mutant["state"])


def _mutants(proof: Proof) -> list[str]:
    rows = ((one["guarantee"], one["mutant"], one["fault"], _caught_by(one)) for one in proof.mutants)
    return _table(("guarantee", "mutant", "fault", "caught by"), *rows)


def page(proof: Proof) -> str:
    machine = proof.machine
    verdict = (
        f"**{proof.summary()}** on {machine['date']}, Linux {machine['kernel']}, {machine['processor']}, "
        f"{machine['processors']} processors, of the code in csrc/ whose SHA-256, its files taken together by name, "
        f"begins with {proof.sources}."
    )
    lines = [HEAD, verdict, "", MATRIX, *_matrix(proof), "", "## The checks", "", *_checks(proof)]
    if proof.mutants:
        lines += ["", MUTANTS, *_mutants(proof)]
    return "\n".join(lines) + "\n"
