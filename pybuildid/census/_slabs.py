# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Sizes of the kernel's objects, from /proc/slabinfo or /sys/kernel/slab. Both take root."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SLABINFO = Path("/proc/slabinfo")
SYSFS = Path("/sys/kernel/slab")
WANTED = re.compile(r"filp|inode_cache|(?!lsm_)\w+_inode(_cache)?")  # struct file, and inodes by file system
PAGE = 4096


@dataclass(frozen=True)
class Slab:
    """One kind of object in the kernel's slab allocator. Caches that the kernel merged show the sum of all.

    name: of the cache, such as "filp" (struct file) or "ext4_inode_cache".
    objects: in use.
    object_bytes: of one, with alignment and debugging aids.
    objects_per_slab: how many fit.
    total_bytes: of all slabs.
    """

    name: str
    objects: int
    object_bytes: int
    objects_per_slab: int
    total_bytes: int


def parse_slabinfo(text: str) -> Iterator[Slab]:
    """The caches of files and inodes in the text of /proc/slabinfo (version 2.1)."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 15 and WANTED.fullmatch(fields[0]):
            objects, _, size, per_slab, pages = (int(field) for field in fields[1:6])
            yield Slab(fields[0], objects, size, per_slab, int(fields[14]) * pages * PAGE)


def from_sysfs(directories: Iterable[Path]) -> Iterator[Slab]:
    for directory in directories:
        if WANTED.fullmatch(directory.name):
            names = ("objects", "slab_size", "objs_per_slab", "slabs", "order")
            numbers = [int((directory / name).read_text().split()[0]) for name in names]
            objects, size, per_slab, slabs, order = numbers
            yield Slab(directory.name, objects, size, per_slab, slabs * PAGE << order)


def read_slabs() -> tuple[Slab, ...]:
    """Those in use, the largest first. Raises OSError where neither source may be read or exists."""
    try:
        found = list(parse_slabinfo(SLABINFO.read_text()))
    except FileNotFoundError:
        found = list(from_sysfs(sorted(SYSFS.iterdir())))
    return tuple(sorted((slab for slab in found if slab.objects), key=lambda slab: -slab.total_bytes))
