# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How many open files, cached inodes and mapped ELF files there are: on this machine, and in the discussion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pybuildid._procfs import DELETED, areas_by_process
from pybuildid._rights import as_root
from pybuildid.elf import NotElfError, scan

PROC = Path("/proc")


@dataclass(frozen=True)
class Counts:
    """What the designs are paid for with: objects of the kernel."""

    name: str
    files: int  # struct file
    inodes: int  # cached
    elf_files: int  # unique files that are ELF and mapped: entries of a table
    source: str  # a sentence without a full stop


THREAD = Counts(
    "the thread",
    files=56_780,
    inodes=22_514,
    elf_files=22_514,
    source="one server of the discussion of 2023: open files, and the unique files among them; taken as if each of "
    "these were a mapped ELF file, which is the worst for a table, and no other inode were cached",
)
MILLION = Counts(
    "one million", files=1_000_000, inodes=1_000_000, elf_files=1_000_000, source="a million of each: the worst for all"
)


def machine(proc: Path = PROC) -> Counts:
    """This machine. Mapped files of processes that may not be read are not counted, and `source` says how many."""
    files = int((proc / "sys/fs/file-nr").read_text().split()[0])
    inodes = int((proc / "sys/fs/inode-nr").read_text().split()[0])
    paths, hidden = mapped_files(proc)
    elf_files = sum(not isinstance(answer, (NotElfError, OSError)) for _, answer in scan(paths, unpack=False))
    source = f"{proc}/sys/fs/file-nr, {proc}/sys/fs/inode-nr and {proc}/*/maps"
    if hidden:
        who, only = ("process", "it maps") if hidden == 1 else ("processes", "they map")
        source += f"; {hidden:,} {who} may not be read: files that only {only} are missing ({as_root()})"
    return Counts("this machine", files, inodes, elf_files, source)


def mapped_files(proc: Path = PROC) -> tuple[list[str], int]:
    """One path for each file that a process maps, and how many processes could not be read."""
    paths: dict[tuple[int, int], str] = {}
    hidden = 0
    for process, areas in areas_by_process(proc):
        if isinstance(areas, OSError):
            hidden += 1
            continue
        for area in areas:
            if area.inode and area.name.startswith("/"):
                deleted = area.name.endswith(DELETED)
                path = f"map_files/{area.start:x}-{area.end:x}" if deleted else f"root{area.name}"
                paths.setdefault((area.device, area.inode), f"{process}/{path}")
    return list(paths.values()), hidden
