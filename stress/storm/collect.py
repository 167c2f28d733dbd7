# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The real input: ELF files that are mapped by some process or lie under given directories, with their build IDs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pybuildid import ElfError, NotElfError, scan
from pybuildid._procfs import DELETED, areas_by_process

ID_MAX = 64
MASK = (1 << 64) - 1
PROC = Path("/proc")

Inode = tuple[int, int]  #: st_dev, st_ino


def inode_key(device: int, number: int) -> int:
    """The table's key for an inode: user space does not see its address, so device and number are mixed to 63 bits.

    Both are multiplied by odd constants and the halves folded together; no two inodes of one device whose numbers
    differ by less than 2**59 get one key. The top bit stays clear: the storm's keys that are never inserted have it.
    """
    mixed = (number * 0x9E3779B97F4A7C15 ^ device * 0xBB67AE8584CAA73B) & MASK
    return (mixed ^ mixed >> 31) >> 1


@dataclass
class Collection:
    """Files by inode, and what was left out, by name where it could not be read."""

    keys: list[int] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)  #: b"": the file has no build ID
    paths: list[str] = field(default_factory=list)
    mapped: int = 0  #: of them, files that some process maps
    without_id: int = 0
    not_elf: int = 0
    malformed: list[str] = field(default_factory=list)  #: ELF files, and what is wrong with them
    unreadable: list[str] = field(default_factory=list)  #: files and directories, and why
    hidden: list[str] = field(default_factory=list)  #: processes whose mappings could not be read, and why

    def add(self, inode: Inode, path: str, identifier: bytes) -> None:
        self.keys.append(inode_key(*inode))
        self.ids.append(identifier)
        self.paths.append(path)
        self.without_id += not identifier


def mapped_files(collection: Collection) -> set[str]:
    """The files that processes map; those that were deleted since have no path, and are left out."""
    paths: set[str] = set()
    for process, areas in areas_by_process(PROC):
        if isinstance(areas, OSError):
            collection.hidden.append(f"process {process.name} ({areas.strerror})")
            continue
        names = (area.name for area in areas if area.inode)
        paths.update(name for name in names if name.startswith("/") and not name.endswith(DELETED))
    return paths


def files_under(directories: Iterable[Path], collection: Collection) -> Iterator[str]:
    def note(error: OSError) -> None:
        collection.unreadable.append(f"{error.filename} ({error.strerror})")

    for directory in directories:
        for parent, _, names in os.walk(directory, onerror=note):
            for name in names:
                yield os.path.join(parent, name)


def by_inode(paths: Iterable[str], collection: Collection) -> dict[Inode, str]:
    """One path for each regular file, whatever hard and symbolic links lead to it; dangling ones are no files."""
    inodes: dict[Inode, str] = {}
    for path in paths:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            collection.unreadable.append(f"{path} ({error.strerror})")
            continue
        if stat.S_ISREG(status.st_mode):
            inodes.setdefault((status.st_dev, status.st_ino), path)
    return inodes


def collect(directories: Iterable[Path], progress: Callable[[int], None] = lambda found: None) -> Collection:
    """Reads every candidate once per inode. Two inodes of one key (less likely than a broken disk) raise ValueError."""
    collection = Collection()
    mapped = by_inode(sorted(mapped_files(collection)), collection)
    inodes = {**by_inode(files_under(directories, collection), collection), **mapped}
    for (inode, path), (_, answer) in zip(inodes.items(), scan(inodes.values(), unpack=False)):
        if isinstance(answer, NotElfError):
            collection.not_elf += 1
        elif isinstance(answer, ElfError):
            collection.malformed.append(str(answer))
        elif isinstance(answer, OSError):
            collection.unreadable.append(f"{path} ({answer.strerror})")
        else:
            collection.add(inode, path, (answer or b"")[:ID_MAX])
            collection.mapped += inode in mapped
            if len(collection.keys) % 100 == 0:
                progress(len(collection.keys))
    if len(set(collection.keys)) != len(collection.keys):
        raise ValueError("two inodes have one key")
    return collection
