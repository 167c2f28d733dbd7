# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""/proc/PID/maps as text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DELETED = " (deleted)"  # what the kernel appends to the path of a file that was removed


@dataclass(frozen=True)
class Area:
    """A memory area as the kernel shows it."""

    start: int
    end: int
    permissions: str
    offset: int
    device: int
    inode: int
    name: str


LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)", re.DOTALL)


def parse_line(line: str) -> Area:
    """A line of /proc/PID/maps, without its newline. In names the kernel writes a newline as \\012, and only that: so a
    name that has these four characters is taken for one with a newline."""
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of /proc/PID/maps: {line!r}")
    start, end, offset, major, minor = (int(match[i], 16) for i in (1, 2, 4, 5, 6))
    name = match[8].replace("\\012", "\n")
    return Area(start, end, match[3], offset, os.makedev(major, minor), int(match[7]), name)


def read_areas(maps: str | os.PathLike[str]) -> list[Area]:
    """All areas in a file like /proc/PID/maps."""
    with open(maps, "rb") as file:
        text = file.read()
    return [parse_line(os.fsdecode(line)) for line in text.split(b"\n")[:-1]]  # names have other ends of lines


def areas_by_process(proc: Path) -> Iterator[tuple[Path, list[Area] | OSError]]:
    """The areas of each process that is still there; or why they may not be read."""
    for process in proc.glob("[0-9]*"):
        try:
            yield process, read_areas(process / "maps")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError as error:
            yield process, error
