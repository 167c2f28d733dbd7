# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Addresses of inodes, as keys: from a file, or made after the slabs in which this machine's kernel keeps inodes."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from pybuildid._files import read_input

SLABINFO = Path("/proc/slabinfo")
DIRECT_MAP = 0xFFFF888100000000  # where x86-64 maps all memory, and 4 GiB on: where the recorded inodes begin
PAGE = 4096
SPARE = 4  # places for each slab, so that slabs lie as scattered as in the recording
SOME = 57_000  # inodes, where the machine does not say how many: those that were mapped where the question came up
ADJACENT = 3  # one slab in three follows the one before it, as in the recording


class AddressFileError(ValueError):
    """A line of a file of addresses that is none: its message names the file, the line and what is wrong."""


@dataclass(frozen=True)
class SlabCache:
    """One kind of inode in the kernel's slab allocator. Sizes in bytes."""

    name: str
    object_bytes: int  # from one object to the next
    slab_bytes: int  # a power of two; a slab begins at a multiple of it
    cached: int = 0  # objects in use; 0: not counted

    @property
    def objects(self) -> int:
        """Objects in one slab."""
        return self.slab_bytes // self.object_bytes

    def __post_init__(self) -> None:
        if self.slab_bytes <= 0 or self.slab_bytes & (self.slab_bytes - 1):
            raise ValueError(f"a slab has a power of two of bytes, not {self.slab_bytes}")
        if not 0 < self.object_bytes <= self.slab_bytes:
            raise ValueError(f"an object of {self.object_bytes} bytes does not fit into a slab of {self.slab_bytes}")


#: As recorded on Linux 6.18 with ext4: what stands in where this machine does not tell.
RECORDED = SlabCache("ext4_inode_cache", 1128, 16 << 10)


@dataclass(frozen=True)
class Addresses:
    """Keys, and where they come from."""

    keys: array[int]  # typecode "Q"
    source: str  # a sentence without a full stop
    real: bool  # addresses that a kernel gave; else a stand-in
    caches: tuple[SlabCache, ...] = ()  # that they were made after


def inode_caches(text: str) -> tuple[SlabCache, ...]:
    """The caches of inodes in the text of /proc/slabinfo, those with most inodes first.

    By name: *inode_cache (ext4, shmem, proc, ...), and what XFS, Btrfs and others call theirs: *_inode.
    """
    caches = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 6 or not fields[0].endswith(("inode_cache", "_inode")) or fields[0].startswith("lsm_"):
            continue
        cached, _, object_bytes, _, pages = (int(field) for field in fields[1:6])
        if cached:
            caches.append(SlabCache(fields[0], object_bytes, pages * PAGE, cached))
    return tuple(sorted(caches, key=lambda cache: -cache.cached))


def made(
    cache: SlabCache, n: int, seed: int = 1, *, adjacent: int = ADJACENT, per_slab: int | None = None
) -> array[int]:
    """Addresses of n inodes of one cache: slabs scattered over the direct map, one in `adjacent` right after another.

    Of each slab the first `per_slab` objects are used, by default all. Where in its object an inode begins is left
    out, because it moves all addresses alike.
    """
    rng = random.Random(seed)
    used = cache.objects if per_slab is None else per_slab
    slabs = -(-n // used)
    places = slabs * SPARE
    taken: set[int] = set()
    keys = array("Q")
    place = 0
    for _ in range(slabs):
        place = (place + 1) % places if rng.randrange(adjacent) == 0 else rng.randrange(places)
        while place in taken:
            place = rng.randrange(places)
        taken.add(place)
        start = DIRECT_MAP + place * cache.slab_bytes
        keys.extend(range(start, start + used * cache.object_bytes, cache.object_bytes))
    return keys[:n]


def made_slabs(cache: SlabCache, n: int, seed: int = 1) -> Addresses:
    """A stand-in: n inodes in slabs of a given geometry."""
    where = f"{n:,} inodes in made slabs of {cache.slab_bytes:,} bytes with objects of {cache.object_bytes:,} bytes"
    return Addresses(made(cache, n, seed), where, real=False, caches=(cache,))


def from_file(path: str | PathLike[str]) -> Addresses:
    """Real addresses, one a line in hexadecimal; what follows one on its line, and lines with #, are skipped.

    Raises AddressFileError for a line that is no address, and for a file without any; OSError. An address that comes
    twice counts once.
    """
    keys: dict[int, None] = {}
    try:
        lines = read_input(path).decode().splitlines()
    except UnicodeDecodeError:
        raise AddressFileError(f"{path}: no text: give a file with an address a line, in hexadecimal") from None
    for number, line in enumerate(lines, 1):
        word = line.partition("#")[0].split(maxsplit=1)[:1]
        if not word:
            continue
        try:
            key = int(word[0], 16)
        except ValueError:
            raise AddressFileError(f"{path}, line {number}: {word[0]!r} is no hexadecimal address") from None
        if key < 0 or key >> 64:
            raise AddressFileError(f"{path}, line {number}: {word[0]} does not fit into 64 bits")
        keys[key] = None
    if not keys:
        raise AddressFileError(f"{path} has no address: give one a line, in hexadecimal")
    return Addresses(array("Q", keys), f"{len(keys):,} addresses from {path}", real=True)


def machine(n: int | None = None, seed: int = 1, slabinfo: Path = SLABINFO) -> Addresses:
    """A stand-in for this machine's inodes: as many as it caches, in slabs of the sizes that it has for each kind.

    n: so many instead, the kinds in proportion. Where /proc/slabinfo may not be read (it takes root), the geometry
    that was recorded on Linux 6.18 with ext4 is used for n inodes or SOME, and `source` says so.
    """
    try:
        caches = inode_caches(slabinfo.read_text())
        problem = "has no cache of inodes"
    except OSError as error:
        caches, problem = (), f"cannot be read ({error.strerror}; it takes root)"
    if not caches:
        stand_in = made_slabs(RECORDED, n or SOME, seed)
        return Addresses(stand_in.keys, f"{stand_in.source}, as recorded with ext4: {slabinfo} {problem}", False)
    total = sum(cache.cached for cache in caches)
    keys = array("Q")
    base = 0
    for number, cache in enumerate(caches):
        count = cache.cached if n is None else max(round(n * cache.cached / total), 1)
        some = made(cache, count, seed + number)
        keys.extend(key + base for key in some)
        base += max(some) - DIRECT_MAP + cache.slab_bytes
        base += -base % (1 << 20)  # a slab begins at a multiple of its size
    kinds = ", ".join(f"{cache.cached:,} {cache.name} of {cache.object_bytes:,} bytes" for cache in caches[:3])
    source = (
        f"{len(keys):,} inodes in made slabs after this machine's {slabinfo} ({kinds}{', ...' * (len(caches) > 3)})"
    )
    return Addresses(keys, source, real=False, caches=caches)
