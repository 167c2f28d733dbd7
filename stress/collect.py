# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The real input: ELF files that are mapped by some process or lie under given directories, with their build IDs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pybuildid import scan

ID_MAX = 64
MASK = (1 << 64) - 1


def inode_key(device: int, number: int) -> int:
    """The table's key for an inode: user space does not see its address, so device and number are mixed to 64 bits.

    The mixture is one-to-one in the number for each device, and the top bit is clear (the storm's keys that are never
    inserted have it set).
    """
    mixed = (number * 0x9E3779B97F4A7C15 ^ device * 0xBB67AE8584CAA73B) & MASK
    return (mixed ^ mixed >> 31) >> 1


@dataclass
class Collection:
    """Files by inode, and what was left out."""

    keys: list[int] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)  #: b"": the file has no build ID
    paths: list[str] = field(default_factory=list)
    mapped: int = 0  #: of them, files that some process maps
    without_id: int = 0
    not_elf: int = 0
    unreadable: int = 0
    denied: int = 0  #: processes whose mappings may not be read


def mapped_files() -> tuple[set[str], int]:
    """The files that processes map, and the number of processes whose mappings may not be read."""
    paths: set[str] = set()
    denied = 0
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(errors="surrogateescape").splitlines()
        except PermissionError:
            denied += 1
            continue
        except OSError:
            continue  # the process has ended
        for line in lines:
            path = line.split(maxsplit=5)[-1]
            if path.startswith("/") and not path.endswith(" (deleted)"):
                paths.add(path)
    return paths, denied


def files_under(directories: Iterable[Path]) -> Iterator[str]:
    for directory in directories:
        for parent, _, names in os.walk(directory):
            for name in names:
                yield os.path.join(parent, name)


def collect(directories: Iterable[Path], progress: Callable[[int], None] = lambda found: None) -> Collection:
    """Reads every candidate once per inode, hard links and symbolic links included."""
    collection = Collection()
    mapped, collection.denied = mapped_files()
    inodes: dict[tuple[int, int], str] = {}
    seen_mapped = set()
    for path in (*sorted(mapped), *files_under(directories)):
        try:
            status = os.stat(path)
        except OSError:
            collection.unreadable += 1
            continue
        if stat.S_ISREG(status.st_mode):
            inode = (status.st_dev, status.st_ino)
            inodes.setdefault(inode, path)
            if path in mapped:
                seen_mapped.add(inode)
    inode_of = {path: inode for inode, path in inodes.items()}
    for path, answer in scan(list(inode_of)):
        name = os.fspath(path)
        if isinstance(answer, OSError):
            collection.unreadable += 1
            continue
        if isinstance(answer, Exception):
            collection.not_elf += 1
            continue
        identifier = (answer or b"")[:ID_MAX]
        inode = inode_of[str(name)]
        collection.keys.append(inode_key(*inode))
        collection.ids.append(identifier)
        collection.paths.append(str(name))
        collection.mapped += inode in seen_mapped
        collection.without_id += not identifier
        if len(collection.keys) % 100 == 0:
            progress(len(collection.keys))
    return collection
