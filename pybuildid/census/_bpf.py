# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A census by BPF iterators over all tasks: kernel objects, told apart by their addresses."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pybuildid.census._build_ids import Place, count_build_ids
from pybuildid.census._counts import Counts, Limit

if TYPE_CHECKING:
    from pybuildid._iterators import Holder, Iterators

LINKS = 4  # of mappings of one inode, in case that the first ones go before the file is read


@dataclass
class _Seen:
    """What the iterators told of. Addresses: of struct file and struct inode."""

    tasks: int = 0
    processes: set[int] = field(default_factory=set)
    descriptors: set[tuple[int, int]] = field(default_factory=set)  # table, number
    open_files: set[int] = field(default_factory=set)
    open_inodes: set[int] = field(default_factory=set)
    mapped_files: set[int] = field(default_factory=set)
    mapped_per_process: set[tuple[int, int]] = field(default_factory=set)  # process, inode
    links: dict[int, list[str]] = field(default_factory=dict)  # of mappings, by inode
    uncounted: set[int] = field(default_factory=set)  # files

    def add_task(self, task: Holder) -> None:
        self.tasks += 1
        self.processes.add(task.process)

    def add_descriptor(self, holder: Holder) -> None:
        self.descriptors.add((holder.owner, holder.start))
        self.open_files.add(holder.file)
        self.open_inodes.add(holder.inode)
        if not holder.is_counted:
            self.uncounted.add(holder.file)

    def add_area(self, holder: Holder) -> None:
        self.mapped_files.add(holder.file)
        self.mapped_per_process.add((holder.process, holder.inode))
        links = self.links.setdefault(holder.inode, [])
        if len(links) < LINKS:
            links.append(f"/proc/{holder.task}/map_files/{holder.start:x}-{holder.end:x}")
        if not holder.is_counted:
            self.uncounted.add(holder.file)


def count(iterators: Iterators, limits: list[Limit], processes: Collection[int] | None = None) -> Counts:
    """Of the whole system, or of these processes alone."""
    seen = _Seen()

    def of(holders: Iterable[Holder]) -> Iterable[Holder]:
        return holders if processes is None else (one for one in holders if one.process in processes)

    for task in of(iterators.tasks()):
        seen.add_task(task)
    for holder in of(iterators.descriptors()):
        seen.add_descriptor(holder)
    for holder in of(iterators.areas()):
        seen.add_area(holder)
    elf, build_ids = count_build_ids((Place(links) for links in seen.links.values()), limits)
    return Counts(
        processes=len(seen.processes),
        tasks=seen.tasks,
        descriptors=len(seen.descriptors),
        open_files=len(seen.open_files),
        open_inodes=len(seen.open_inodes),
        mapped_files=len(seen.mapped_files),
        only_mapped_files=len(seen.mapped_files - seen.open_files),
        mapped_per_process=len(seen.mapped_per_process),
        mapped_inodes=len(seen.links),
        mapped_elf=elf,
        mapped_build_ids=build_ids,
        counted_files=len((seen.open_files | seen.mapped_files) - seen.uncounted),
    )
