# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The keys of a measurement, and the orders in which they are asked for."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybuildid._procfs import read_areas
from pybuildid.collisions import slab
from pybuildid.collisions.slab import Addresses
from study._measure import ffi, lib

DRAWS = 1024 * int(lib.TIMING_CHUNK)  # keys drawn at random, with repetition, and walked in order
KINDS = ("slabs", "machine", "files", "adversarial")
ADVERSARIAL_MOST = 2000  # keys: chains of so many take their time
MASK = (1 << 64) - 1


class KeysError(ValueError):
    """The keys that were asked for are not there: the message says why."""


def find(kind: str, n: int, seed: int) -> Addresses:
    """2 * n keys of a kind, or as many as there are: a kind of KINDS, or the name of a file of addresses.

    slabs: made after the geometry recorded with ext4. machine: made after this machine's own slabs. files: device and
    inode number of files that the user has. adversarial: all in one bucket of a table that hashes without a seed, as
    all contenders but ours do.
    """
    if kind == "slabs":
        return slab.made_slabs(slab.RECORDED, 2 * n, seed)
    if kind == "machine":
        return slab.machine(2 * n, seed)
    if kind == "files":
        return files(2 * n)
    if kind == "adversarial":
        return adversarial(2 * min(n, ADVERSARIAL_MOST))
    try:
        return slab.from_file(kind)
    except OSError as error:
        raise KeysError(f"{kind}: {error.strerror}; keys are {', '.join(KINDS)} or a file of addresses") from None
    except slab.AddressFileError as error:
        raise KeysError(str(error)) from None


def files(n: int, top: str = "/usr") -> Addresses:
    """Inodes of files below a directory, as device << 32 ^ inode number: no addresses, but as close together."""
    keys: dict[int, None] = {}
    for entry in _walk(top):
        found = entry.stat(follow_symlinks=False)
        keys[(found.st_dev << 32 ^ found.st_ino) & MASK] = None
        if len(keys) == n:
            break
    if len(keys) < 2:
        raise KeysError(f"{top} has no files")
    return Addresses(array("Q", keys), f"device and inode number of {len(keys):,} files below {top}", real=True)


def _walk(top: str) -> Iterator[os.DirEntry[str]]:
    stack = [top]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry
        except OSError:
            continue


def adversarial(n: int) -> Addresses:
    """Keys whose hash has 40 zeros at its low end, by turning the hash of the rivals and peers round."""
    turn_first = pow(0xBB67AE8584CAA73B, -1, 1 << 64)
    turn_last = pow(0x9E3779B97F4A7C15, -1, 1 << 64)

    def key(hash: int) -> int:
        hash ^= hash >> 32
        hash = hash * turn_first & MASK
        hash ^= hash >> 32
        return hash * turn_last & MASK

    keys = array("Q", (key(i << 40) for i in range(1, n + 1)))
    return Addresses(keys, f"{n:,} keys that collide in a table that hashes without a seed", real=False)


@dataclass(frozen=True)
class Keys:
    """n keys that are there and as many that are not, for one contender; C arrays in `buffers`."""

    n: int
    present: Any  # uint64_t[], in the order of insertion
    absent: Any
    cycle: Any  # the present ones in another random order
    next: Any  # of present[i] on it: what its ID begins with
    hits: Any  # struct timing_draws *
    misses: Any
    others: tuple[Any, ...]  # hits of the threads beside the first one, who would else all ask for the same key at once
    buffers: tuple[Any, ...]


def buffer(keys: array[int]) -> Any:
    return ffi.from_buffer("uint64_t[]", keys)


def zeros(n: int) -> array[int]:
    return array("Q", bytes(8 * n))


def make(mixed: array[int], seed: int, threads: int = 1) -> Keys:
    """From keys that are mixed already: the first half is there. threads: that look up at once."""
    n = len(mixed) // 2
    present, absent, cycle, following = buffer(mixed[:n]), buffer(mixed[n : 2 * n]), buffer(zeros(n)), buffer(zeros(n))
    if lib.timing_cycle(present, n, seed, cycle, following) != lib.TIMING_OK:
        raise MemoryError
    hits, hit_buffers = draws(present, following, n, seed + 1)
    misses, miss_buffers = draws(absent, ffi.NULL, n, seed + 2)
    others = [draws(present, following, n, seed + 3 + i) for i in range(threads - 1)]
    buffers = (*hit_buffers, *miss_buffers, *(buffers for _, buffers in others))
    return Keys(n, present, absent, cycle, following, hits, misses, tuple(other for other, _ in others), buffers)


def draws(keys: Any, following: Any, n: int, seed: int) -> tuple[Any, tuple[Any, ...]]:
    draws, sums = buffer(zeros(DRAWS)), buffer(zeros(DRAWS // int(lib.TIMING_CHUNK)))
    lib.timing_draw(keys, following, n, seed, draws, sums, DRAWS)
    result = ffi.new("struct timing_draws *")
    result.keys, result.sums, result.n = draws, sums, DRAWS
    return result, (draws, sums)


def loaded() -> tuple[array[int], array[int]]:
    """Addresses inside the objects that this process has loaded, and where each begins; empty before glibc 2.35."""
    addresses, starts = array("Q"), array("Q")
    for area in read_areas("/proc/self/maps"):
        if "x" in area.permissions and area.name.startswith("/"):
            address = area.start + 16
            start = int(lib.timing_loaded_start(address))
            if start and start not in starts:
                addresses.append(address)
                starts.append(start)
    return addresses, starts


def mix(addresses: Addresses, n: int, seed: int) -> array[int]:
    """At most 2 * n of the keys in random order, an even number."""
    keys = addresses.keys[:]
    if len(keys) < 2:
        raise KeysError(f"{addresses.source}: two are needed at least, one to be there and one that is not")
    lib.timing_shuffle(buffer(keys), len(keys), seed)
    return keys[: min(2 * n, len(keys) // 2 * 2)]


def exists(kind: str) -> bool:
    """Whether it is a kind, or a file."""
    return kind in KINDS or Path(kind).is_file()
