# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""census(): how many tasks, open files, mapped files, ELF files and build IDs this system has.

The question is from the thread about the patches: the number of struct file instances on a system, against the number
of files that are ELF and mapped anywhere. No method but drgn needs kernel debugging information.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from pybuildid._rights import as_root
from pybuildid.census import _bpf, _drgn, _proc
from pybuildid.census._counts import Counts, Limit, Progress
from pybuildid.census._slabs import Slab, read_slabs

if TYPE_CHECKING:
    from pybuildid._iterators import IteratorError, Iterators

__all__ = ["Census", "Limit", "Slab", "census", "censuses"]

INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h

Method = Literal["auto", "bpf", "proc", "drgn"]


@dataclass(frozen=True)
class Census:
    """Counts of one system at one time. None: not known, and a limit says why.

    host, kernel, machine: as of uname(2).
    time: when it began, seconds since 1970.
    seconds: how long it took; what came or went meanwhile may be counted or not.
    method: "bpf", where all that is not said to be the kernel's own counter comes from BPF iterators, by addresses of
        kernel objects; "proc"; or "drgn", which is "proc" but that tasks, open_files, mapped_files, only_mapped_files
        and mapped_inodes come from kernel memory.
    processes, tasks: thread groups, and threads; those of the kernel as well.
    struct_files: instances of struct file, by the kernel's own counter (/proc/sys/fs/file-nr).
    descriptors: entries of all descriptor tables; tables that tasks share count once.
    open_files: struct files behind them, told apart by their addresses, or by kcmp(2).
    open_inodes: inodes behind them.
    mapped_files: struct files behind mappings. None with "proc", which cannot tell them apart.
    only_mapped_files: of these, those that no descriptor holds. None with "proc".
    other_files: struct files by the kernel's own counter that neither descriptors nor mappings hold, about. None but
        with "bpf", outside of PID namespaces.
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
    only_mapped_files: int | None
    other_files: int | None
    mapped_per_process: int
    mapped_inodes: int
    mapped_elf: int
    mapped_build_ids: int
    cached_inodes: int | None
    unused_inodes: int | None
    slabs: tuple[Slab, ...] | None
    limits: tuple[Limit, ...]


class UnsupportedCensusError(RuntimeError):
    """The method that was asked for does not work here: the message says why, and what to do."""


def _no_progress(done: int, of: int) -> None:
    pass


def census(*, method: Method = "auto", progress: Progress = _no_progress) -> Census:
    """Counts tasks, files, mappings and inodes of this system.

    method: "bpf": by BPF iterators, which takes root (CAP_BPF and CAP_PERFMON; CAP_SYS_PTRACE and
        CAP_CHECKPOINT_RESTORE for build IDs). "proc": from /proc alone. "drgn": kernel objects through drgn. A method
        that cannot be had raises UnsupportedCensusError. "auto": the first of "bpf", "drgn" and "proc" that can.
    progress: called with how much is done and of how much: processes, for "proc".

    It changes nothing. What it may not look at is named in .limits; processes that end meanwhile are left out.
    """
    with closing(censuses(method=method, progress=progress)) as taken:
        return next(taken)


def censuses(*, method: Method = "auto", progress: Progress = _no_progress) -> Generator[Census, None, None]:
    """One census after another, each taken when it is asked for. What they need is given back by close()."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, not {method!r}")
    with ExitStack() as stack:
        iterators, refused = _iterators(method, stack) if method in ("auto", "bpf") else (None, None)
        while True:
            began = time.time()
            limits: list[Limit] = []
            if iterators:
                progress(0, 1)
                by, counts = "bpf", _bpf.count(iterators, limits)
                progress(1, 1)
            else:
                by, counts = _without_bpf(method, refused, progress, limits)
            yield _census(by, counts, began, limits)


def _iterators(method: Method, stack: ExitStack) -> tuple[Iterators | None, IteratorError | None]:
    """Those of BPF, or why there are none."""
    from pybuildid._iterators import IteratorError, Iterators  # whoever takes no census needs no recorder loaded

    try:
        return stack.enter_context(Iterators()), None
    except IteratorError as error:
        if method == "bpf":
            raise UnsupportedCensusError(str(error)) from error
        return None, error


def _without_bpf(
    method: Method, refused: IteratorError | None, progress: Progress, limits: list[Limit]
) -> tuple[str, Counts]:
    """refused: why there are no iterators, if they were tried."""
    kernel = None
    reasons, remedies = ([refused.what], [refused.remedy]) if refused else ([], [])
    if method == "proc":
        reasons, remedies = ["the census was asked to use /proc alone"], ["do not ask for that"]
    else:
        try:
            kernel = _drgn.kernel_counts()
        except _drgn.DrgnError as error:
            if method == "drgn":
                raise UnsupportedCensusError(str(error)) from error
            reason, _, remedy = str(error).rpartition(": ")
            reasons.append(reason)
            remedies.append(remedy)
    if not kernel:
        what = f"struct files behind mappings cannot be told apart: {', and '.join(reasons)}"
        limits.append(Limit(what, "; or ".join(remedies)))
    counts = _proc.count(progress, limits)
    return ("drgn", replace(counts, **vars(kernel))) if kernel else ("proc", counts)


def _census(by: str, counts: Counts, began: float, limits: list[Limit]) -> Census:
    struct_files = _numbers("fs/file-nr", limits)[0]
    inodes = _numbers("fs/inode-nr", limits)
    numbers = vars(counts).copy()
    counted = numbers.pop("counted_files")
    other_files = None if struct_files is None or counted is None else max(0, struct_files - counted)
    if _in_namespace():
        other_files = None  # the counter is of the whole system
        limits.append(
            Limit("only processes of this PID namespace are seen", "run outside of the container (--pid=host)")
        )
    slabs = _slabs(limits)
    uname = platform.uname()
    return Census(
        host=uname.node,
        kernel=uname.release,
        machine=uname.machine,
        time=int(began),
        seconds=round(time.time() - began, 3),
        method=by,
        struct_files=struct_files,
        other_files=other_files,
        cached_inodes=inodes[0],
        unused_inodes=inodes[1],
        slabs=slabs,
        limits=tuple(limits),
        **numbers,
    )


def _numbers(name: str, limits: list[Limit]) -> list[int] | list[None]:
    file = _proc.PROC / "sys" / name
    try:
        return [int(word) for word in file.read_text().split()]
    except OSError as error:
        limits.append(Limit(f"{file}: {error.strerror}", "mount proc with its sys directory"))
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


def _in_namespace() -> bool:
    try:
        return os.stat(_proc.PROC / "self/ns/pid").st_ino != INITIAL_PID_NAMESPACE
    except OSError:
        return False
