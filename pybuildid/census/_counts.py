# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What every method of a census gives, whichever way it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]  #: called with how much is done, and of how much


@dataclass(frozen=True)
class Limit:
    """Something that a census could not see, so that its numbers are too low or missing.

    what: a sentence without a full stop.
    remedy: what to do to see it.
    processes: "PID NAME" of each that is concerned, if it is about processes.
    """

    what: str
    remedy: str
    processes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counts:
    """The fields of Census of these names. counted_files: struct files that were found, and that the kernel's own
    counter has as well; None where they were not all told apart."""

    processes: int
    tasks: int
    descriptors: int
    open_files: int | None
    open_inodes: int
    mapped_files: int | None
    only_mapped_files: int | None
    mapped_per_process: int
    mapped_inodes: int
    mapped_elf: int
    mapped_build_ids: int
    counted_files: int | None = None
