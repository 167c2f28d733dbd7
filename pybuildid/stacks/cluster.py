# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Merging on a Dask cluster. Each worker merges some files, then results are merged a few at a time, in their order: so
what comes out is the same as from one machine, and the last result is all that travels to it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import pybuildid
from pybuildid.stacks._client import ClusterError, connected
from pybuildid.stacks.columns import Message
from pybuildid.stacks.merge import Merger, Problem
from pybuildid.stacks.model import StackProfile, ValueType
from pybuildid.stacks.pprof import FileProfile, encode

PROGRAM = "pybuildid in the same version, by: dask worker ADDRESS"
AT_ONCE = 8  #: results that are merged into one
SHARES = 4  #: parts of the files for each thread of the workers, so that none is idle at the end
MOST = 64  #: files of a part


class Failure(NamedTuple):
    """A file that was left out. machine: of the worker that read it."""

    error: Problem
    machine: str


class Partial(NamedTuple):
    """What some files come to. data: a profile; empty: there is none."""

    data: bytes
    profiles: int
    failures: list[Failure]


def _version() -> tuple[str, str]:
    return pybuildid.__version__, platform.node()


def _kinds(files: Sequence[str]) -> list[ValueType] | None:
    """What the first file that can be read counts, and so all have to."""
    merger = Merger()
    for file in files:
        if not any(error for _, error in merger.add_files([file])):
            return merger.types
    return None


def _merge_files(files: Sequence[str], without: Collection[str], types: list[ValueType] | None) -> Partial:
    merger = Merger(without, types)
    failures = [Failure(error, platform.node()) for _, error in merger.add_files(files) if error]
    return _partial(merger, failures)


def _merge_partials(parts: Sequence[Partial]) -> Partial:
    merger = Merger()
    for part in parts:
        if part.profiles:
            merger.add(FileProfile(Message(BytesIO(part.data).read)), "", part.profiles)
    return _partial(merger, [failure for part in parts for failure in part.failures])


def _partial(merger: Merger, failures: list[Failure]) -> Partial:
    return Partial(encode(merger.result()) if merger.profiles else b"", merger.profiles, failures)


class ClusterMerge:
    """Merges files that the workers can read. Iterate over it to the end: it yields when a part is done."""

    def __init__(self, address: str, files: Sequence[str], without: Collection[str]) -> None:
        self._address, self._without = address, without
        self._files = [os.path.abspath(file) for file in files]
        self._whole = Partial(b"", 0, [])

    def __len__(self) -> int:
        """Files."""
        return len(self._files)

    def __iter__(self) -> Iterator[int]:
        """Of each part, its files. Raises ClusterError."""
        with connected(self._address, _version, PROGRAM) as (client, found):
            for worker, (version, machine) in found.items():
                if version != pybuildid.__version__:
                    text = (
                        f"the worker {worker} on {machine} has pybuildid {version}, and this is {pybuildid.__version__}"
                    )
                    raise ClusterError(text)
            try:
                yield from self._run(client)
            except Exception as error:
                raise ClusterError(f"the cluster at {self._address} did not finish: {error}") from error

    def _run(self, client: Any) -> Iterator[int]:
        from distributed import as_completed

        threads = sum(client.nthreads().values()) or 1
        size = min(MOST, -(-len(self._files) // (SHARES * threads)))
        parts = [self._files[at : at + size] for at in range(0, len(self._files), size)]
        types = client.submit(_kinds, self._files, pure=False)
        level = [client.submit(_merge_files, part, self._without, types, pure=False) for part in parts]
        sizes = {future.key: len(part) for future, part in zip(level, parts)}
        done = as_completed(level, loop=client.loop)  # type: ignore[no-untyped-call]
        while len(level) > 1:
            groups = [level[at : at + AT_ONCE] for at in range(0, len(level), AT_ONCE)]
            level = [client.submit(_merge_partials, group, pure=False) for group in groups]
        (whole,) = level
        del level
        for future in done:  # nobody holds a part once it is merged, so workers drop it
            yield sizes[future.key]
        self._whole = whole.result()

    def failures(self) -> list[Failure]:
        return self._whole.failures

    @property
    def profiles(self) -> int:
        """How many were merged."""
        return self._whole.profiles

    def result(self) -> StackProfile:
        """profiles must be more than none."""
        merger = Merger()
        merger.add(FileProfile(Message(BytesIO(self._whole.data).read)), "", self._whole.profiles)
        return merger.result()
