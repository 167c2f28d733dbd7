# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A census from /proc: descriptors and mappings of each process. Nothing but /proc is needed, and no right to what may
be looked at; what may not is a limit."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pybuildid._procfs import Area, read_areas
from pybuildid._rights import as_root
from pybuildid.census import _kcmp
from pybuildid.census._build_ids import Place, count_build_ids
from pybuildid.census._counts import Counts, Limit, Progress

PROC = Path("/proc")

Identity = tuple[int, int]  #: device and number of an inode


@dataclass
class _Seen:
    """What the walk over all processes gathers."""

    processes: int = 0
    tasks: int = 0
    descriptors: dict[Identity, list[_kcmp.Descriptor]] = field(default_factory=lambda: defaultdict(list))
    mapped: dict[Identity, Place] = field(default_factory=dict)
    mapped_per_process: int = 0
    no_descriptors: list[str] = field(default_factory=list)  # processes that may not be looked at
    no_mappings: list[str] = field(default_factory=list)
    kcmp_error: OSError | None = field(default_factory=_kcmp.available)


def count(progress: Progress, limits: list[Limit]) -> Counts:
    """Processes that this one may not look at are named in limits; those that end meanwhile are left out."""
    seen = _Seen()
    numbers = [int(name) for name in os.listdir(PROC) if name.isdigit()]
    for done, pid in enumerate(numbers):
        progress(done, len(numbers))
        with suppress(FileNotFoundError, ProcessLookupError):
            _visit(pid, seen)
    progress(len(numbers), len(numbers))
    elf, build_ids = count_build_ids(seen.mapped.values(), limits)
    counts = Counts(
        processes=seen.processes,
        tasks=seen.tasks,
        descriptors=sum(map(len, seen.descriptors.values())),
        open_files=_open_files(seen, limits),
        open_inodes=len(seen.descriptors),
        mapped_files=None,
        only_mapped_files=None,
        mapped_per_process=seen.mapped_per_process,
        mapped_inodes=len(seen.mapped),
        mapped_elf=elf,
        mapped_build_ids=build_ids,
    )
    limits += _hidden_processes(seen)
    return counts


def _visit(pid: int, seen: _Seen) -> None:
    directory = PROC / str(pid)
    try:
        threads = [int(name) for name in os.listdir(directory / "task")]
    except PermissionError:  # /proc is mounted with hidepid
        seen.processes += 1
        seen.no_descriptors.append(str(pid))
        seen.no_mappings.append(str(pid))
        return
    if not threads:  # it is just ending
        return
    seen.processes += 1
    seen.tasks += len(threads)
    label = f"{pid} {_name(directory)}"
    try:
        for thread in _descriptor_tables(threads, seen):
            _add_descriptors(directory / "task" / str(thread) / "fd", thread, seen)
    except PermissionError:
        seen.no_descriptors.append(label)
    try:
        _add_mappings(directory, threads, seen)
    except PermissionError:
        seen.no_mappings.append(label)


def _name(directory: Path) -> str:
    return os.fsdecode((directory / "comm").read_bytes()).strip()


def _descriptor_tables(threads: list[int], seen: _Seen) -> Iterator[int]:
    """One thread for each descriptor table of a process: threads share one, but need not (unshare(CLONE_FILES))."""
    first = threads[0]
    yield first
    if seen.kcmp_error:
        return
    for thread in threads[1:]:
        with suppress(ProcessLookupError, PermissionError):
            if _kcmp.kcmp(_kcmp.KCMP_FILES, (first, 0), (thread, 0)) != 0:
                yield thread


def _add_descriptors(directory: Path, thread: int, seen: _Seen) -> None:
    for name in os.listdir(directory):
        with suppress(FileNotFoundError, ProcessLookupError):  # closed meanwhile
            seen.descriptors[_identity(directory / name)].append((thread, int(name)))


def _identity(descriptor: Path) -> Identity:
    """Of the open file's inode. Those whose file system does not answer any more count as one inode."""
    try:
        status = os.stat(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        raise
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _open_files(seen: _Seen, limits: list[Limit]) -> int | None:
    """Descriptors of different inodes are different files, so only those of one inode are compared."""
    if seen.kcmp_error:
        seccomp = seen.kcmp_error.errno in (errno.EPERM, errno.EACCES)
        remedy = "loosen the container's seccomp filter" if seccomp else "a kernel with CONFIG_KCMP has it"
        limits.append(Limit(f"open files cannot be told apart: no kcmp ({seen.kcmp_error.strerror})", remedy))
        return None
    return sum(len(few) if len(few) == 1 else _kcmp.distinct_files(few) for few in seen.descriptors.values())


def _add_mappings(directory: Path, threads: list[int], seen: _Seen) -> None:
    """Of the first thread that has an address space: the first of all may have ended."""
    for thread in threads:
        areas = read_areas(directory / "task" / str(thread) / "maps")
        if areas:
            break
    else:
        return
    own = {_add_mapping(directory, area, seen) for area in areas if area.inode}
    seen.mapped_per_process += len(own)


def _add_mapping(directory: Path, area: Area, seen: _Seen) -> Identity:
    """Through the mapping's own link stat() gives the inode itself; maps may show one device for several (btrfs)."""
    link = f"{directory}/map_files/{area.start:x}-{area.end:x}"
    identity = (area.device, area.inode)
    with suppress(OSError):
        status = os.stat(link)
        identity = (status.st_dev, status.st_ino)
    if identity not in seen.mapped:
        seen.mapped[identity] = Place([link], f"{directory}/root{area.name}")
    return identity


def _processes(named: list[str]) -> str:
    return f"{len(named):,} {'process' if len(named) == 1 else 'processes'}"


def _hidden_processes(seen: _Seen) -> Iterator[Limit]:
    remedy = as_root()
    if seen.no_descriptors:
        what = f"open files of {_processes(seen.no_descriptors)} may not be looked at"
        yield Limit(what, remedy, tuple(seen.no_descriptors))
    if seen.no_mappings:
        what = f"mappings of {_processes(seen.no_mappings)} may not be looked at"
        yield Limit(what, remedy, tuple(seen.no_mappings))
    with suppress(OSError):
        mounts = [line.split() for line in (PROC / "self/mounts").read_text(errors="replace").splitlines()]
        hidden = [words for words in mounts if words[1] == str(PROC) and "hidepid=" in words[3]]
        if hidden and "hidepid=0" not in hidden[-1][3] and os.geteuid() != 0:
            yield Limit("processes of other users are hidden (/proc is mounted with hidepid)", "run as root")
