# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of the inodes that a census found mapped."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pybuildid._rights import as_root
from pybuildid.census._counts import Limit
from pybuildid.elf import NotElfError, Result, scan

GONE = FileNotFoundError()


@dataclass(frozen=True)
class Place:
    """Where a mapped inode can be read. links: of its mappings, /proc/PID/map_files/..., each of which goes when the
    mapping does. path: of the file, for those who may not follow links; None if it is not known."""

    links: list[str]
    path: str | None = None


def count_build_ids(places: Iterable[Place], limits: list[Limit]) -> tuple[int, int]:
    """(ELF files, those with a build ID)."""
    elf = build_ids = unread = gone = 0
    for result in _results(list(places)):
        if result is GONE:
            gone += 1
        elif isinstance(result, OSError):
            unread += result.errno != errno.ENOTSUP  # a device, pipe or socket is no ELF file
        elif not isinstance(result, NotElfError):
            elf += 1
            build_ids += isinstance(result, bytes)
    if unread:
        what = f"{_files(unread)} could not be read (deleted, in a container, or not permitted)"
        limits.append(Limit(what, as_root()))
    if gone:
        what = f"{_files(gone)} could not be read, for no process had {'it' if gone == 1 else 'them'} mapped any more"
        limits.append(Limit(what, "take the census again when less begins and ends"))
    return elf, build_ids


def _files(number: int) -> str:
    return f"{number:,} mapped file{'s' * (number != 1)}"


def _results(places: list[Place]) -> Iterator[Result]:
    """Of each place; GONE of those whose mappings are."""
    by_path = []
    while places:
        again = []
        for place, (_, result) in zip(places, scan((place.links[0] for place in places), unpack=False)):
            if isinstance(result, PermissionError):
                if place.path is None:
                    yield result
                else:
                    by_path.append(place.path)
            elif isinstance(result, (FileNotFoundError, ProcessLookupError)):
                if len(place.links) == 1:
                    yield GONE
                else:
                    again.append(Place(place.links[1:], place.path))
            else:
                yield result
        places = again
    for _, result in scan(by_path, unpack=False):
        yield result
