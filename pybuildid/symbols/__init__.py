# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Functions, files and lines for the addresses of a profile: Symbolizer.

Names come from .symtab, .dynsym and .gnu_debugdata of the file, and from DWARF: of the file, of /usr/lib/debug, and of
debuginfod servers. A file counts if its build ID is the one that was recorded, wherever it is, and only then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType

from pybuildid.stacks.model import Line, Location, Mapping, StackProfile
from pybuildid.symbols._elfutils import MissingLibraryError
from pybuildid.symbols.debuginfod import Client, is_wanted
from pybuildid.symbols.demangle import demangled
from pybuildid.symbols.dwarf import Function
from pybuildid.symbols.finding import VDSO, Search
from pybuildid.symbols.module import Module
from pybuildid.symbols.perfmap import is_perf_map

__all__ = ["FileNames", "MissingLibraryError", "Search", "Symbolizer", "is_wanted"]

NO_BUILD_ID = "without a build ID nothing says whether a file is the one that ran"


@dataclass
class FileNames:
    """What became of a file's addresses. source: where names are from. problem: why there are none, or not all."""

    path: str
    build_id: str
    addresses: int = 0
    named: int = 0
    source: str = ""
    problem: str = ""


@dataclass
class Symbolizer:
    """Gives the locations of a profile their names, in place.

        with Symbolizer(profile) as symbolizer:
            symbolizer.name()
            symbolizer.ask(seconds=60)

    Names that the profile has stay where nothing better is found. Raises MissingLibraryError without elfutils' libdw.
    """

    profile: StackProfile
    search: Search = field(default_factory=Search)
    _modules: dict[str, Module] = field(default_factory=dict)
    _places: dict[str, list[int]] = field(default_factory=dict)
    _reports: dict[str, FileNames] = field(default_factory=dict)

    def __enter__(self) -> Symbolizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for module in self._modules.values():
            module.close()

    @property
    def files(self) -> list[FileNames]:
        """Those that have addresses, the ones with most first."""
        return sorted(self._reports.values(), key=lambda report: -report.addresses)

    def name(self) -> None:
        """Names functions from files of this machine."""
        places = defaultdict(list)
        for at, location in enumerate(self.profile.locations):
            if mapping := self.profile.mapping(location):
                places[mapping.identity].append(at)
        self._places = dict(places)
        for identity in self._places:
            mapping = self._mapping(identity)
            report = self._reports[identity] = FileNames(mapping.path, mapping.build_id, len(self._places[identity]))
            build_id = _build_id(mapping)
            if build_id is None or _is_named_at_record(mapping.path):
                nothing_said = mapping.path.startswith("/") and not is_perf_map(mapping.path)
                report.problem = NO_BUILD_ID if nothing_said else ""
            else:
                self._modules[identity] = Module(build_id, mapping.path)
                self._modules[identity].look(self.search)
        self._take(self._modules)

    def missing(self) -> list[str]:
        """The files whose DWARF was not found, the ones with most addresses first."""
        found = (identity for identity, module in self._modules.items() if not module.is_complete)
        return sorted(found, key=lambda identity: -self._reports[identity].addresses)

    def ask(self, client: Client, step: Callable[[FileNames], object] = lambda file: None) -> None:
        """Asks servers for the missing files. step: is called with each file before the servers are asked for it."""
        changed = []
        for identity in self.missing():
            step(self._reports[identity])
            self._modules[identity].ask(client, self.search)
            changed.append(identity)
        self._take(changed)

    # ---------------------------------------------------------------------------------------- names

    def _mapping(self, identity: str) -> Mapping:
        mapping = self.profile.mapping(self.profile.locations[self._places[identity][0]])
        assert mapping
        return mapping

    def _take(self, identities: Iterable[str]) -> None:
        """Takes the names of these files into the profile."""
        found = {at: functions for identity in identities for at, functions in self._functions(identity)}
        names = demangled(function.name for functions in found.values() for function in functions)
        known: dict[Function, Line] = {}
        for at, functions in found.items():
            for function in functions:
                if function not in known:
                    known[function] = _line(function, names[function.name])
            lines = tuple([known[function] for function in functions])
            self.profile.locations[at] = self.profile.locations[at]._replace(lines=lines)
        for identity in self._reports:
            self._count(identity)

    def _functions(self, identity: str) -> Iterator[tuple[int, list[Function]]]:
        module = self._modules[identity]
        for at in self._places[identity]:
            location = self.profile.locations[at]
            mapping = self.profile.mapping(location)
            assert mapping
            functions = module.find(self.profile.file_offset(location), mapping.offset)
            if functions:
                yield at, functions

    def _count(self, identity: str) -> None:
        report, module = self._reports[identity], self._modules.get(identity)
        located = [self.profile.locations[at] for at in self._places[identity]]
        report.named = sum(bool(location.lines) for location in located)
        if _is_named_at_record(report.path) and report.named < report.addresses:
            who = "the process" if is_perf_map(report.path) else "the kernel"
            report.problem = f"{who} named {report.named:,} of its {report.addresses:,} addresses"
        if module:
            report.source, report.problem = module.source, module.problem
            if not report.problem and report.named < report.addresses:
                without = report.addresses - report.named
                report.problem = f"{without:,} of its addresses are in no symbol" if module.source else "it is stripped"
        self._mark(located)

    def _mark(self, located: list[Location]) -> None:
        """Tells other tools which names their mappings have, so that they do not look for them by the path."""
        has: Counter[int] = Counter()
        for location in located:
            if location.lines:
                lines = location.lines
                has[location.mapping] |= 1 | 2 * bool(lines[0].file) | 4 * bool(lines[0].line) | 8 * (len(lines) > 1)
        for number, bits in has.items():
            functions, files, numbered, inlined = (bool(bits & bit) for bit in (1, 2, 4, 8))
            mapping = self.profile.mappings[number - 1]
            self.profile.mappings[number - 1] = mapping._replace(
                functions=functions, files=files, lines=numbered, inlined=inlined
            )


def _is_named_at_record(path: str) -> bool:
    """Code that a program made, and the kernel's: another run, or another boot, has it at other addresses."""
    return is_perf_map(path) or (path.startswith("[") and path != VDSO)


def _build_id(mapping: Mapping) -> bytes | None:
    try:
        return bytes.fromhex(mapping.build_id) or None
    except ValueError:
        return None  # a word of others, such as Go's


def _line(function: Function, name: str) -> Line:
    return Line(name, function.name, function.file, function.line, function.start_line)
