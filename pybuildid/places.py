# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where samples of a profile are: in which mapping of which file, and at which offset. Lines as of `eu-unstrip -n`."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildid.profile import Module, Sample

NARROW = 20  # bytes of the longest build ID that a handler's record has room for
NO_FILE = ("no mapping", "no file")  # reasons with which there is nothing to be found
DELETED = " (deleted)"
LIBRARY = re.compile(r"\.so(\.|$)")


@dataclass(frozen=True)
class Place:
    """offset: in the file that is mapped by module."""

    module: Module
    offset: int

    @property
    def address(self) -> int:
        """In the process of the module."""
        return self.module.start - self.module.offset + self.offset


class Places:
    """Modules, to be found by build ID and offset or, where a sample has no build ID, by address."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self._modules = list(modules)
        self._by_file: dict[bytes | str, list[Module]] = {}
        for module in self._modules:
            self._by_file.setdefault(module.file, []).append(module)
        self._by_start = sorted(self._modules, key=lambda module: module.start)
        self._starts = [module.start for module in self._by_start]
        self._ends = list(accumulate((module.end for module in self._by_start), max))  # the largest so far

    def of(self, sample: Sample) -> Place | None:
        """Where a sample is, in the first process that had the file so; None if that is not known for sure."""
        if sample.build_id:
            return _in(self._by_file.get(sample.build_id, ()), sample.address)
        if sample.reason in NO_FILE:
            return None
        found = {self.first(place) for place in self._at(sample)}
        return found.pop() if len(found) == 1 else None

    def first(self, place: Place) -> Place:
        """The same place in the first process that had it: files without a build ID are told apart by path."""
        return _in(self._by_file[place.module.file], place.offset) or place

    def _at(self, sample: Sample) -> Iterator[Place]:
        """Where the address may be. The process may not be known, and what is mapped there may have changed."""
        i = bisect_right(self._starts, sample.address) - 1
        while i >= 0 and self._ends[i] > sample.address:
            module = self._by_start[i]
            here = sample.address < module.end and sample.process in (0, module.process)
            if here and _fits(module.build_id, sample.reason):
                yield Place(module, sample.address - module.start + module.offset)
            i -= 1

    def main(self) -> Place | None:
        """The main program: the last one that the first process became. Without such a mark, the first module of that
        process that is not named as a library."""
        own = [module for module in self._modules if module.process == self._modules[0].process]
        marked = [module for module in own if module.main]
        named = [module for module in own if module.path.startswith("/") and not LIBRARY.search(module.path)]
        found = marked[-1:] or named[:1]
        return self.first(Place(found[0], found[0].offset)) if found else None


def _in(modules: Iterable[Module], offset: int) -> Place | None:
    for module in modules:
        if module.offset <= offset < module.offset + module.end - module.start:
            return Place(module, offset)
    return None


def _fits(build_id: bytes | None, reason: str) -> bool:
    """Whether a sample in a file with this build ID would have been counted so."""
    if reason == "no build ID":
        return build_id is None
    if reason == "long build ID":
        return build_id is not None and len(build_id) > NARROW
    return True


def undeleted(path: str) -> str:
    """A path as of /proc/PID/maps, without what the kernel appends when the file has been removed."""
    if path.endswith(DELETED) and not os.path.lexists(path):
        return path[: -len(DELETED)]
    return path


def escaped(path: str) -> str:
    """A path as one word: white space, what does not show, and backslashes as the octal numbers of their bytes, as in
    /proc/mounts. `printf %b` turns it back."""

    def octal(found: re.Match[str]) -> str:
        return "".join(f"\\{byte:03o}" for byte in os.fsencode(found[0]))

    return re.sub(r"[\s\\\x00-\x1f\x7f]", octal, path)


def unstrip_line(module: Module) -> str:
    """START+SIZE BUILDID@ADDRESS FILE DEBUGFILE MODULE, with START where the file's first byte would be."""
    start = module.header or module.start - module.offset
    build_id = f"{module.build_id.hex()}@{start + module.id_offset:#x}" if module.build_id else "-"
    path = escaped(module.path) or "-"
    return f"{start:#x}+{module.end - start:#x} {build_id} {path} - {os.path.basename(path) or '-'}"
