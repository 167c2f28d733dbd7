# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of ELF files: one with read_build_id(), many with scan()."""

from __future__ import annotations

import errno
import operator
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, Union

from pybuildid._core import ffi, lib

if TYPE_CHECKING:
    from pybuildid._arguments import Buffer

__all__ = ["ElfError", "NotElfError", "read_build_id", "scan"]

StrPath = Union[str, "os.PathLike[str]", "os.PathLike[bytes]"]
Path = TypeVar("Path", bound=StrPath)
Result = Union[bytes, "ElfError", OSError, None]

BATCH = 256  # files that scan() hands to C at once: enough to hide the cost of the call, few enough for progress


class ElfError(ValueError):
    """A malformed ELF file.

    reason: what is wrong, a sentence without a full stop.
    offset: where it is wrong, in bytes from the beginning of the file.
    source: the path, "fd N" or "bytes".
    """

    def __init__(self, reason: str, offset: int, source: str) -> None:
        super().__init__(reason, offset, source)
        self.reason = reason
        self.offset = offset
        self.source = source

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}, at offset {self.offset:#x}"


class NotElfError(ElfError):
    """Neither an ELF file nor a file of ELF notes: it does not begin like one, and may be perfect as what it is."""


def read_build_id(
    source: StrPath | int | Buffer, *, kernel_compatible: bool = False, image: bool = False
) -> bytes | None:
    """The build ID of an ELF file: 1 to 64 bytes, or None if it has none.

    source: a path, a file descriptor (its position stays), or the file's bytes in any contiguous buffer. A file of ELF
        notes and nothing else, such as /sys/kernel/notes, is read as well.
    kernel_compatible: give what Linux 6.12 and later find for a mapped file, so None for all else: PT_NOTE segments
        only, the first 256 program headers, native byte order, at most 20 bytes. (The kernel may know even less: in
        NMI context it cannot read a page that is not in memory.)
    image: the bytes are ELF as it lies in memory, such as the vDSO: segments are found by their address.

    The GNU build ID comes before that of Go, and PT_NOTE segments come before SHT_NOTE sections. Damage in other
    parts of the file than those that lead to the build ID does not matter.

    A Go build ID counts if it has at most 64 bytes. The one that the Go linker writes by itself has 83 and is none
    here, as it is none for the kernel, perf and elfutils: from Go 1.24 on the linker writes a GNU build ID besides,
    and before, `go build -ldflags=-B=0x...` does.

    Raises NotElfError if this is no ELF file, ElfError if it is malformed and has no readable build ID, OSError if it
    cannot be read, or is a path of something else than a regular file. Neither of the first two is raised with
    kernel_compatible, except that a file with more than a million notes is malformed everywhere.

    A few KiB are read whatever the file's size; of the worst file a million headers and notes, in seconds.
    """
    if image and kernel_compatible:
        raise ValueError("the kernel parses files, not images: image and kernel_compatible exclude each other")
    mode = lib.BID_ELF_KERNEL if kernel_compatible else lib.BID_ELF_IMAGE if image else lib.BID_ELF_FILE
    if isinstance(source, (str, os.PathLike)):
        result = _read_batch([source], mode)[0]
        if isinstance(result, Exception):
            raise result
        return result
    elf = ffi.new("struct bid_elf *")
    if isinstance(source, SupportsIndex):  # an int, or NumPy's
        descriptor = operator.index(source)
        if not -(2**31) <= descriptor < 2**31:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), f"fd {descriptor}")
        name, status = f"fd {descriptor}", lib.bid_elf_read_fd(elf, mode, descriptor)
        if status == lib.BID_ELF_E_IO:
            raise OSError(ffi.errno, os.strerror(ffi.errno), name)
    else:
        with memoryview(source) as view, ffi.from_buffer(view) as data:  # type: ignore[arg-type]  # see NumPyArray
            name, status = "bytes", lib.bid_elf_parse(elf, mode, data, view.nbytes)
    if status == lib.BID_ELF_OK:
        return bytes(ffi.buffer(elf.id, elf.id_length))
    error = _error(status, elf.error_offset, name, kernel_compatible)
    if error:
        raise error
    return None


def scan(
    paths: Iterable[Path], *, threads: int | None = None, kernel_compatible: bool = False
) -> Iterator[tuple[Path, Result]]:
    """Reads many files in parallel: yields (path, result) in the order given.

    A result is what read_build_id() would return, or the exception that it would raise: bytes, None, ElfError,
    NotElfError or OSError. Paths of something else than regular files (directories, devices, pipes) are not opened;
    their result is an OSError.

    threads: how many read at once; None is one for each processor that this process may use. The GIL is released
        while they do. paths is consumed as results are, some batches of files ahead of them, so it may be endless.
        What it raises comes after the results of the paths before.
    """
    if isinstance(paths, (str, bytes)):
        raise TypeError(f"paths must be several, such as [{paths!r}]")
    if threads is None:
        threads = len(os.sched_getaffinity(0))
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    return _scan(iter(paths), threads, lib.BID_ELF_KERNEL if kernel_compatible else lib.BID_ELF_FILE)


def _scan(paths: Iterator[Path], threads: int, mode: int) -> Iterator[tuple[Path, Result]]:
    pending: deque[tuple[list[Path], Future[list[Result]]]] = deque()
    with ThreadPoolExecutor(threads, "pybuildid-scan") as pool:
        try:
            failed = None
            while True:
                while len(pending) < threads + 1 and not failed:
                    batch, failed = _take(paths)
                    if not batch:
                        break
                    pending.append((batch, pool.submit(_read_batch, batch, mode)))
                if not pending:
                    break
                done, results = pending.popleft()
                yield from zip(done, results.result())
            if failed:
                raise failed
        finally:
            for _, results in pending:
                results.cancel()


def _take(paths: Iterator[Path]) -> tuple[list[Path], Exception | None]:
    """Some of them, and what they raised after those."""
    batch: list[Path] = []
    try:
        batch.extend(islice(paths, BATCH))  # what came before an error stays
    except Exception as error:
        return batch, error
    return batch, None


def _read_batch(paths: Iterable[StrPath], mode: int) -> list[Result]:
    """Reads files in one call that releases the GIL."""
    names = [os.fsencode(path) for path in paths]
    possible = [name for name in names if b"\0" not in name]
    answers = ffi.new("struct bid_elf_answer[]", len(possible))
    lib.bid_elf_read_files(answers, mode, b"\0".join(possible) + b"\0", len(possible))
    results = iter([_result(answers[i], name, mode) for i, name in enumerate(possible)])
    return [_os_error(errno.EINVAL, os.fsdecode(name)) if b"\0" in name else next(results) for name in names]


def _result(answer: Any, name: bytes, mode: int) -> Result:
    if answer.status == lib.BID_ELF_OK:
        return bytes(ffi.buffer(answer.id, answer.length))
    path = os.fsdecode(name)
    if answer.status == lib.BID_ELF_E_IO:
        return _os_error(answer.errnum, path)
    return _error(answer.status, answer.offset, path, mode == lib.BID_ELF_KERNEL)


def _os_error(number: int, path: str) -> OSError:
    text = "Not a regular file" if number == errno.ENOTSUP else os.strerror(number)
    return OSError(number, text, path)


def _error(status: int, offset: int, source: str, kernel_compatible: bool) -> ElfError | None:
    if status == lib.BID_ELF_NO_BUILD_ID:
        return None
    reason = ffi.string(lib.bid_elf_status_text(status)).decode()
    if status == lib.BID_ELF_NOT_ELF:
        return NotElfError(reason, 0, source)
    return ElfError(reason, offset, source)
