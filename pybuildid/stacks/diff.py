# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Two profiles side by side: which functions take more or less of the whole."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from pybuildid.stacks.model import StackProfile
from pybuildid.stacks.totals import FunctionKey, Totals, function_totals

#: What versions make of one library's name: libssl.so.1.1 and libssl.so.3, libc-2.31.so and libc-2.36.so.
VERSION = re.compile(r"(?<=\.so)(\.\d+)+$|-\d+(\.\d+)*(?=\.so|$)|(?<=\D)\d+(\.\d+)+(?=\.so)")
SAME, OTHER, BEFORE, AFTER = "same build", "another build", "before only", "after only"


@dataclass(frozen=True)
class Change:
    """A function in both profiles. Shares are of all that was counted there, from 0 to 1.

    alone: in the function itself. total: with what it calls. match: whether it was the same build.
    """

    name: str
    module: str
    match: str
    alone_before: float
    alone_after: float
    total_before: float
    total_after: float

    @property
    def alone(self) -> float:
        return self.alone_after - self.alone_before

    @property
    def total(self) -> float:
        return self.total_after - self.total_before


def compare(before: StackProfile, after: StackProfile, before_value: int, after_value: int) -> list[Change]:
    """Every function of either, those that changed most first. A function is the same if its name is, and the build ID
    of its file; else one of its name in another build of that file; else the one of its name that is left."""
    old, whole_before = function_totals(before, before_value)
    new, whole_after = function_totals(after, after_value)
    changes = [
        _change(key, match, one, other, whole_before or 1, whole_after or 1)
        for key, match, one, other in _matched(old, new)
    ]
    return sorted(changes, key=lambda each: (-abs(each.alone), -abs(each.total), each.name))


def nameless_share(profile: StackProfile, value: int) -> float:
    """Of what was counted in functions themselves: where the function is not known."""
    totals, whole = function_totals(profile, value)
    return sum(each.alone for each in totals.values() if not each.named) / (whole or 1)


Match = tuple[FunctionKey, str, "Totals | None", "Totals | None"]


def _matched(old: dict[FunctionKey, Totals], new: dict[FunctionKey, Totals]) -> list[Match]:
    found: list[Match] = []
    left, right = dict(old), dict(new)

    def pair(one: FunctionKey, other: FunctionKey, match: str) -> None:
        found.append((other, match, left.pop(one), right.pop(other)))

    same = {(key.name, key.identity): key for key in left}
    for key in list(right):
        if (key.name, key.identity) in same:
            pair(same[key.name, key.identity], key, SAME)
    for alike in (lambda key: (key.name, family(key.module)), lambda key: key.name):
        ours, theirs = _by(left, alike), _by(right, alike)
        for name, keys in theirs.items():
            if len(keys) == len(ours.get(name, ())) == 1:
                pair(ours[name][0], keys[0], OTHER)
    found += [(key, BEFORE, totals, None) for key, totals in left.items()]
    found += [(key, AFTER, None, totals) for key, totals in right.items()]
    return found


def _by(totals: dict[FunctionKey, Totals], alike: object) -> dict[object, list[FunctionKey]]:
    found: defaultdict[object, list[FunctionKey]] = defaultdict(list)
    for key in totals:
        found[alike(key)].append(key)  # type: ignore[operator]
    return dict(found)


def family(module: str) -> str:
    """The name of a file without its version."""
    return VERSION.sub("", module)


def _change(
    key: FunctionKey, match: str, before: Totals | None, after: Totals | None, whole_before: int, whole_after: int
) -> Change:
    one, other = before or Totals(), after or Totals()
    return Change(
        key.name,
        key.module,
        match,
        one.alone / whole_before,
        other.alone / whole_after,
        one.total / whole_before,
        other.total / whole_after,
    )
