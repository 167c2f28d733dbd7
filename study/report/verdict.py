# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The verdict: one word and three sentences, from the figures."""

from __future__ import annotations

from dataclasses import dataclass

from study.memory import FILE_POINTER, INODE_POINTER, OURS
from study.report.documents import Collisions, Document, Documents, Memory

SHOWN = 4  # missed bounds that the sentence names
MEANING = (
    "A missed aim is no wrong answer and no blocked lookup: it says that the table is slower or larger here than it "
    "was meant to be, and by how much."
)


@dataclass(frozen=True)
class Verdict:
    """SUCCESS: the storm found nothing wrong, and it could have. FAILURE: it did, or could not. UNDECIDED: no storm."""

    word: str
    sentences: tuple[str, str, str]  # the storm; the comparison; collisions and memory


def judge(documents: Documents) -> Verdict:
    """Never better than the figures: the storm's own verdict is not taken on trust."""
    storm = documents.storm
    word = "UNDECIDED" if storm is None else "FAILURE" if storm_problems(storm) else "SUCCESS"
    return Verdict(word, (_storm(storm), _bench(documents.bench), _rest(documents.collisions, documents.memory)))


def storm_problems(storm: Document) -> list[str]:
    """What speaks against the table, or against the storm as evidence."""
    problems = [str(failure) for failure in storm["failures"]]
    for name, what in (
        ("wrong", "wrong answers"),
        ("wrong_at_end", "wrong entries at the end"),
        ("blocked", "blocked lookups"),
        ("errno_changed", "changes of errno"),
    ):
        if storm[name]:
            problems.append(f"{storm[name]:,} {what}")
    for kind in ("slots", "records"):
        worst, bound = storm[f"max_{kind}_read"], storm[f"bound_{kind}"]
        if worst > bound:
            problems.append(f"a lookup read {worst} {kind}, and the bound is {bound}")
    if not storm["landed_in_update"]:
        problems.append("no interruption landed inside an update")
    if not any(other["blocked"] or other["wrong"] for other in storm["others"]):
        problems.append("no rival was caught, so the harness may not be able to tell")
    if storm["verdict"] != "SUCCESS" and not problems:
        problems.append(f"the storm's own verdict is {storm['verdict']}")
    return list(dict.fromkeys(problems))


def missed(ratio: Document) -> bool:
    """Whether a ratio that has a bound was measured and is over it."""
    return ratio["median"] is not None and ratio["bound"] is not None and ratio["median"] > ratio["bound"]


def _storm(storm: Document | None) -> str:
    if storm is None:
        return "No storm was run, so nothing is said about lookups that interrupt an update."
    problems = storm_problems(storm)
    if problems:
        return f"The storm speaks against the table, or cannot speak for it: {'; '.join(problems)}."
    caught = next(other for other in storm["others"] if other["blocked"] or other["wrong"])
    return (
        f"Signal handlers interrupted updates {storm['landed_in_update']:,} times, {storm['landed_in_resize']:,} times "
        f"while a resize stood half done, and of {storm['lookups']:,} lookups none was wrong, none blocked and none "
        f"read more than {storm['max_slots_read']} slots (bound {storm['bound_slots']}), while the same storm "
        f"caught the {caught['design']} table."
    )


def _bench(bench: Document | None) -> str:
    if bench is None:
        return "Speed was not compared with any other design."
    if bench.get("unusable"):  # not in documents of older versions
        return f"Nothing is said about speed, for the comparison is not usable: {bench['unusable']}."
    bounded = [ratio for ratio in bench["ratios"] if ratio["bound"] is not None and ratio["median"] is not None]
    over = [ratio for ratio in bounded if missed(ratio)]
    early, within = bench.get("ended_early"), len(bounded) - len(over)  # not in documents of older versions
    begin = f"The comparison ended early ({early}): of" if early else "Of"
    text = f"{begin} {len(bounded)} aims for speed and memory that were measured, {within} are met"
    if not over:
        return f"{text}."
    worst = sorted(over, key=lambda ratio: -ratio["median"] / ratio["bound"])
    more = f", and {len(worst) - SHOWN} more" if len(worst) > SHOWN else ""
    return f"{text} and {len(over)} missed: {', '.join(map(_ratio, worst[:SHOWN]))}{more}. {MEANING}"


def _ratio(ratio: Document) -> str:
    unit = f" {ratio['unit']}" if ratio.get("unit") else ""  # not in documents of older versions
    return (
        f"{ratio['label']} at {ratio['size']:,} entries ({ratio['median']:.2f}{unit}, bound {ratio['bound']:g}{unit})"
    )


def _rest(collisions: Collisions | None, memory: Memory | None) -> str:
    parts = [_collisions(collisions) if collisions else "collisions were not counted"]
    parts.append(_memory(memory) if memory else "memory was not measured")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _collisions(collisions: Collisions) -> str:
    judgement, cases = collisions.judgement, collisions.cases
    failed = [case for case in cases if not case.middle_bits.holds]
    shifts = f"shift {', '.join(map(str, judgement.holding))} alone" if judgement.holding else "no shift"
    return (
        f"middle bits of the inode's address are as good as an ideal hash with {shifts} of {len(judgement.by_shift)} "
        f"({judgement.best.probes.mean:.2f} probes a hit, ideal {judgement.best.ideal.mean:.2f}), and shift "
        f"{cases[0].middle_bits.shift if cases else judgement.shift} fails in {len(failed)} of {len(cases)} cases"
    )


def _memory(memory: Memory) -> str:
    parts = []
    for balance in memory.balances[:2]:
        files, inodes = (balance.cost(OURS) / balance.cost(name) for name in (FILE_POINTER, INODE_POINTER))
        parts.append(f"{files:.2g} and {inodes:.2g} times for {balance.counts.name}")
    return (
        "of a pointer in every struct file, and of one in every inode, our table takes this many times the memory: "
        + ", ".join(parts)
    )
