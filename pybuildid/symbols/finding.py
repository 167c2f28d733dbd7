# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where the file of a build is: found by its build ID. A path alone says nothing: the file may have been replaced."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pybuildid.elf import ElfError, opened, read_build_id, scan
from pybuildid.elf.vdso import read_vdso
from pybuildid.elf.walk import walk
from pybuildid.symbols.elffile import ElfFile

ROOTS = ("/usr/lib/debug/.build-id", "/usr/lib/.build-id")
VDSO = "[vdso]"


@dataclass
class OpenFile:
    """An ELF file with the descriptor that it is read from."""

    path: str
    elf: ElfFile
    descriptor: int | None = None

    def close(self) -> None:
        self.elf.close()
        if self.descriptor is not None:
            os.close(self.descriptor)


@dataclass
class Search:
    """Looks for files on this machine. folders: to be searched as well, whatever the names of files in them."""

    folders: Sequence[str | os.PathLike[str]] = ()
    roots: Sequence[str] = ROOTS
    _by_id: dict[bytes, list[str]] | None = field(default=None, repr=False)

    def program(self, build_id: bytes, path: str) -> tuple[OpenFile | None, str]:
        """The program or library of that build, which was at that path; or why there is none."""
        if path == VDSO:
            return self._vdso(build_id)
        problem = "it is no longer there" if path else "it has no path"
        for each in self._places(build_id, "", path):
            found, its = _open(each, build_id)
            if found and (found.elf.has(".text") or not found.elf.has_dwarf):
                return found, ""
            if found:
                found.close()  # a file of DWARF alone: what is in it is not what ran
            elif each == _here(path) and its:
                problem = its
        return None, problem

    def debug(self, build_id: bytes) -> OpenFile | None:
        """The file with the DWARF of that build, if it was split off."""
        for each in self._places(build_id, ".debug"):
            found, _ = _open(each, build_id)
            if found and (found.elf.has_dwarf or found.elf.has(".symtab")):
                return found
            if found:
                found.close()
        return None

    def shared(self, build_id: bytes, path: str) -> OpenFile | None:
        """The file into which dwz has put the parts that several files share."""
        places = self._places(build_id, ".debug", path)
        return next((found for each in places if (found := _open(each, build_id)[0])), None)

    def _places(self, build_id: bytes, suffix: str, path: str = "") -> Iterator[str]:
        if path.startswith("/"):
            yield _here(path)
        name = build_id.hex()
        for root in self.roots:
            yield f"{root}/{name[:2]}/{name[2:]}{suffix}"
        yield from self._in_folders().get(build_id, ())

    def _in_folders(self) -> dict[bytes, list[str]]:
        if self._by_id is None:
            self._by_id = defaultdict(list)
            for path, found in scan(walk([os.fspath(folder) for folder in self.folders], _not_readable)):
                if isinstance(found, bytes):
                    self._by_id[found].append(path)
        return self._by_id

    def _vdso(self, build_id: bytes) -> tuple[OpenFile | None, str]:
        """The vDSO of the running kernel, if it is the same build."""
        with suppress(OSError, ElfError, ValueError):
            image = read_vdso()
            if read_build_id(image, image=True) == build_id:
                return OpenFile(VDSO, ElfFile(image)), ""
        return None, "the vDSO of another kernel"


def _here(path: str) -> str:
    """A path of a profile, which is UTF-8, as the locale of this process has it."""
    return os.fsdecode(path.encode("utf-8", "surrogateescape"))


def _not_readable(error: OSError) -> None:
    """A folder that may not be read counts as empty."""


def _open(path: str, build_id: bytes) -> tuple[OpenFile | None, str]:
    """The file if it is of that build, or why not; "" if there is none. It is opened once."""
    try:
        with opened(path) as checked:
            found = read_build_id(checked)
            if found != build_id:
                its = f"its build ID is {found.hex()}" if found else "it has no build ID"
                return None, f"it is another file now: {its}"
            descriptor = os.dup(checked)
    except FileNotFoundError:
        return None, ""
    except (OSError, ElfError) as error:
        return None, f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    return of_descriptor(descriptor, path)


def of_descriptor(descriptor: int, path: str) -> tuple[OpenFile | None, str]:
    """Takes the descriptor over."""
    try:
        return OpenFile(path, ElfFile(descriptor), descriptor), ""
    except ValueError as error:
        os.close(descriptor)
        return None, f"it cannot be read: {error}"
    except BaseException:
        os.close(descriptor)
        raise
