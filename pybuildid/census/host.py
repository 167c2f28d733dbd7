# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""census(): how many tasks, open files, mapped files, ELF files and build IDs this system has.

The question is from the thread about the patches: the number of struct file instances on a system, against the number
of files that are ELF and mapped anywhere. All comes from /proc, so it needs no kernel debugging information.
"""

from __future__ import annotations

import errno
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from pybuildid._procfs import Area, read_areas
from pybuildid._rights import as_root
from pybuildid.census import _drgn, _kcmp
from pybuildid.census._slabs import Slab, read_slabs
from pybuildid.elf import ElfError, NotElfError, scan

__all__ = ["Census", "Limit", "Slab", "census"]

PROC = Path("/proc")
INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h

Method = Literal["auto", "proc", "drgn"]
Identity = tuple[int, int]  #: device and number of an inode


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
class Census:
    """Counts of one system at one time. None: not known, and a limit says why.

    host, kernel, machine: as of uname(2).
    time: when it began, seconds since 1970.
    seconds: how long it took; processes that came or went meanwhile may be counted or not.
    method: "proc", or "drgn" where tasks, open_files, mapped_files and mapped_inodes come from kernel memory.
    processes, tasks: thread groups, and threads; those of the kernel as well.
    struct_files: instances of struct file, by the kernel's own counter (/proc/sys/fs/file-nr).
    descriptors: entries of all descriptor tables; tables that tasks share count once.
    open_files: struct files behind them, told apart by kcmp(2).
    open_inodes: inodes behind them.
    mapped_files: struct files behind mappings. None with "proc": only drgn can tell them apart.
    mapped_per_process: inodes mapped, counted once per process: at least mapped_inodes.
    mapped_inodes: inodes behind mappings.
    mapped_elf: of these, ELF files.
    mapped_build_ids: of these, those with a build ID.
    cached_inodes, unused_inodes: in the kernel's inode cache, and of these those that nothing refers to
        (/proc/sys/fs/inode-nr).
    slabs: the caches of struct file and of inodes; None if they may not be read.
    limits: what could not be seen.
    """

    host: str
    kernel: str
    machine: str
    time: int
    seconds: float
    method: str
    processes: int
    tasks: int
    struct_files: int | None
    descriptors: int
    open_files: int | None
    open_inodes: int
    mapped_files: int | None
    mapped_per_process: int
    mapped_inodes: int
    mapped_elf: int
    mapped_build_ids: int
    cached_inodes: int | None
    unused_inodes: int | None
    slabs: tuple[Slab, ...] | None
    limits: tuple[Limit, ...]


@dataclass
class _Seen:
    """What the walk over all processes gathers."""

    processes: int = 0
    tasks: int = 0
    descriptors: dict[Identity, list[_kcmp.Descriptor]] = field(default_factory=lambda: defaultdict(list))
    mapped: dict[Identity, tuple[str, str]] = field(default_factory=dict)  # the mapping's link, and the path
    mapped_per_process: int = 0
    no_descriptors: list[str] = field(default_factory=list)  # processes that may not be looked at
    no_mappings: list[str] = field(default_factory=list)
    kcmp_error: OSError | None = field(default_factory=_kcmp.available)


def census(*, method: Method = "auto", progress: Callable[[int, int], None] = lambda done, of: None) -> Census:
    """Counts tasks, files, mappings and inodes of this system.

    method: "proc": from /proc alone. "drgn": kernel objects through drgn; raises UnsupportedCensusError where that
        cannot be. "auto": through drgn where it is installed and can read the kernel, else from /proc.
    progress: called with the number of processes done and of all.

    Processes that this one may not look at are left out and named in .limits; those that end meanwhile are left out.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, not {method!r}")
    began = time.time()
    limits: list[Limit] = []
    kernel = _kernel_counts(method, limits)
    seen = _Seen()
    numbers = [int(name) for name in os.listdir(PROC) if name.isdigit()]
    for done, pid in enumerate(numbers):
        progress(done, len(numbers))
        with suppress(FileNotFoundError, ProcessLookupError):
            _visit(pid, seen)
    progress(len(numbers), len(numbers))
    elf, build_ids = _read_build_ids(seen.mapped.values(), limits)
    inodes = _numbers("fs/inode-nr", limits)
    uname = platform.uname()
    found = Census(
        host=uname.node,
        kernel=uname.release,
        machine=uname.machine,
        time=int(began),
        seconds=0.0,
        method="proc",
        processes=seen.processes,
        tasks=seen.tasks,
        struct_files=_numbers("fs/file-nr", limits)[0],
        descriptors=sum(map(len, seen.descriptors.values())),
        open_files=_open_files(seen, limits),
        open_inodes=len(seen.descriptors),
        mapped_files=None,
        mapped_per_process=seen.mapped_per_process,
        mapped_inodes=len(seen.mapped),
        mapped_elf=elf,
        mapped_build_ids=build_ids,
        cached_inodes=inodes[0],
        unused_inodes=inodes[1],
        slabs=_slabs(limits),
        limits=(),
    )
    if kernel:
        found = replace(found, method="drgn", **vars(kernel))
    limits += _hidden_processes(seen)
    return replace(found, seconds=round(time.time() - began, 3), limits=tuple(limits))


class UnsupportedCensusError(RuntimeError):
    """The method that was asked for does not work here: the message says why, and what to do."""


def _kernel_counts(method: Method, limits: list[Limit]) -> _drgn.KernelCounts | None:
    if method != "proc":
        try:
            return _drgn.kernel_counts()
        except _drgn.DrgnError as error:
            if method == "drgn":
                raise UnsupportedCensusError(str(error)) from error
            reason, _, remedy = str(error).rpartition(": ")
    else:
        reason, remedy = "the census was asked to use /proc alone", "do not ask for that"
    limits.append(Limit(f"struct files behind mappings cannot be told apart: {reason}", remedy))
    return None


def _numbers(name: str, limits: list[Limit]) -> list[int] | list[None]:
    try:
        return [int(word) for word in (PROC / "sys" / name).read_text().split()]
    except OSError as error:
        limits.append(Limit(f"{PROC}/sys/{name}: {error.strerror}", "mount proc with its sys directory"))
        return [None, None]


def _slabs(limits: list[Limit]) -> tuple[Slab, ...] | None:
    try:
        return read_slabs()
    except PermissionError:
        limits.append(Limit("sizes of kernel objects may not be read (/proc/slabinfo)", as_root()))
    except OSError:
        limits.append(
            Limit("this kernel shows no slabs (/proc/slabinfo)", "a kernel with CONFIG_SLUB_DEBUG shows them")
        )
    return None


# ------------------------------------------------------------------------------------------------- processes


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
        seen.mapped[identity] = (link, f"{directory}/root{area.name}")
    return identity


# ------------------------------------------------------------------------------------------------- build IDs


def _read_build_ids(mapped: Iterable[tuple[str, str]], limits: list[Limit]) -> tuple[int, int]:
    """(ELF files, those with a build ID), by the links of the mappings, which root may follow, or else by path."""
    places = list(mapped)
    elf = build_ids = unread = 0
    again = []
    for (_, result), (_, path) in zip(scan((link for link, _ in places), unpack=False), places):
        if isinstance(result, PermissionError):
            again.append(path)
        elif not isinstance(result, (NotElfError, OSError)):
            elf += 1
            build_ids += isinstance(result, bytes)
    for _, result in scan(again, unpack=False):
        unread += isinstance(result, OSError) and result.errno != errno.ENOTSUP
        if isinstance(result, (bytes, ElfError, type(None))) and not isinstance(result, NotElfError):
            elf += 1
            build_ids += isinstance(result, bytes)
    if unread:
        what = f"{unread:,} mapped files could not be read by their paths (deleted, in a container, or not permitted)"
        limits.append(Limit(what, as_root()))
    return elf, build_ids


# ---------------------------------------------------------------------------------------------------- limits


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
        if os.stat(PROC / "self/ns/pid").st_ino != INITIAL_PID_NAMESPACE:
            yield Limit("only processes of this PID namespace are seen", "run outside of the container (--pid=host)")
    with suppress(OSError):
        mounts = [line.split() for line in (PROC / "self/mounts").read_text(errors="replace").splitlines()]
        hidden = [words for words in mounts if words[1] == str(PROC) and "hidepid=" in words[3]]
        if hidden and "hidepid=0" not in hidden[-1][3] and os.geteuid() != 0:
            yield Limit("processes of other users are hidden (/proc is mounted with hidepid)", "run as root")
