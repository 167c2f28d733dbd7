# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of ELF files: one with read_build_id() or read_note(), many with scan()."""

from __future__ import annotations

import errno
import functools
import io
import operator
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, Union

from pybuildid._arguments import uint
from pybuildid._core import ffi, lib
from pybuildid.elf import _packed
from pybuildid.errors import ArgumentTypeError

if TYPE_CHECKING:
    from pybuildid._arguments import Buffer

__all__ = ["BuildIdNote", "ElfError", "LongBuildIdError", "NotElfError", "read_build_id", "read_note", "scan"]

StrPath = Union[str, "os.PathLike[str]", "os.PathLike[bytes]"]
Path = TypeVar("Path", bound=StrPath)
Result = Union[bytes, "ElfError", OSError, None]

BATCH = 256  # files that scan() hands to C at once: enough to hide the cost of the call, few enough for progress
WINDOW = 4096  # bytes that are read at once where Python reads
OWNERS = {lib.BID_ELF_OWNER_GNU: "GNU", lib.BID_ELF_OWNER_GO: "Go"}


class ElfError(ValueError):
    """A malformed ELF file.

    reason: what is wrong, a sentence without a full stop.
    offset: where it is wrong, in bytes from the beginning of the file, or of what it holds decompressed.
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
    """Neither an ELF file nor a file of ELF notes: it does not begin like one. It may be a sound file of another
    kind."""


class LongBuildIdError(ElfError):
    """The file is sound, but its GNU build ID has more than 64 bytes, the most that a table can hold."""


class PackedElfError(ElfError):
    """A compressed file or an archive member that cannot be decompressed."""

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class NoDecompressorError(PackedElfError):
    """A file that zstd has compressed, on a Python before 3.14: it may hold an ELF file, or anything else."""


@dataclass(frozen=True)
class BuildIdNote:
    """A build ID as it stands in a file.

    build_id: the bytes; None if they are more than 64.
    owner: "GNU"; or "Go" for the ID that the Go linker writes by itself, mostly of 83 bytes. The kernel, perf and
        elfutils do not take that one for a build ID.
    length: of the build ID, in bytes.
    offset: where it begins, in bytes from the beginning of the file, or of what it holds decompressed.
    """

    build_id: bytes | None
    owner: str
    length: int
    offset: int


def read_build_id(
    source: StrPath | int | Buffer,
    *,
    kernel_compatible: bool = False,
    image: bool = False,
    offset: int = 0,
    unpack: bool = True,
) -> bytes | None:
    """The build ID of an ELF file: 1 to 64 bytes, or None if it has none.

    source: a path, a file descriptor (its position stays), or the file's bytes in any contiguous buffer. A file of ELF
        notes and nothing else, such as /sys/kernel/notes, is read as well. So are files that gzip, xz or zstd have
        compressed, such as kernel modules (zstd on Python 3.14 and later), and the members of zip archives, which
        are written as Android writes them: app.apk!/lib/arm64-v8a/libx.so.
    kernel_compatible: give what Linux 6.12 and later find for a mapped file, so None for all else: PT_NOTE segments
        only, the first 256 program headers, native byte order, at most 20 bytes, ELF at the file's first byte and not
        compressed. (The kernel may know even less: in NMI context it cannot read a page that is not in memory.)
    image: the bytes are ELF as it lies in memory, such as the vDSO: segments are found by their address.
    offset: where in the file the ELF file begins, in bytes.
    unpack: read compressed files and members of archives. If False, a file counts as what it is when it is mapped: a
        compressed one is no ELF file, and an archive has no members.

    The GNU build ID comes before that of Go, and PT_NOTE segments come before SHT_NOTE sections. Notes are laid out as
    the alignment of their segment or section says, which is 8 or else 4; where alignment 8 leads to no GNU build ID,
    4 is tried, as the kernel does. Damage in other parts of the file than those that lead to the build ID does not
    matter.

    A Go build ID counts if it has at most 64 bytes. The one that the Go linker writes by itself has 83 and is none
    here, as it is none for the kernel, perf and elfutils; read_note() tells of it. From Go 1.24 on the linker writes a
    GNU build ID besides, and before, `go build -ldflags=-B=0x...` does.

    Raises NotElfError if this is no ELF file, LongBuildIdError if its GNU build ID has more than 64 bytes, another
    ElfError if it is malformed and has no readable build ID or cannot be decompressed, OSError if it cannot be read, or
    is a path of something else than a regular file. None of the former is raised with kernel_compatible, except that a
    file with more than a million notes is malformed everywhere.

    A few KiB are read whatever the file's size; of the worst file a million headers and notes, in seconds. Of a
    compressed file at most 256 MiB are decompressed, in memory.
    """
    note = read_note(source, kernel_compatible=kernel_compatible, image=image, offset=offset, unpack=unpack)
    if note is None or note.owner == "Go" or note.build_id is not None:
        return None if note is None else note.build_id
    name = _name(source)
    raise LongBuildIdError(f"the build ID has {note.length} bytes, and at most 64 are read", note.offset, name)


def read_note(
    source: StrPath | int | Buffer,
    *,
    kernel_compatible: bool = False,
    image: bool = False,
    offset: int = 0,
    unpack: bool = True,
) -> BuildIdNote | None:
    """The build ID of an ELF file with its owner and its place, also if it is longer than 64 bytes; None for none.

    Arguments and exceptions are those of read_build_id(), but that it raises no LongBuildIdError.
    """
    if image and kernel_compatible:
        raise ValueError("the kernel parses files, not images: image and kernel_compatible exclude each other")
    offset = uint(offset, 63, "offset")
    mode = lib.BID_ELF_KERNEL if kernel_compatible else lib.BID_ELF_IMAGE if image else lib.BID_ELF_FILE
    if isinstance(source, (str, os.PathLike)):
        return _of_path(os.fsdecode(source), mode, offset, unpack)
    descriptor = descriptor_of(source)
    if descriptor is not None:
        if not -(2**31) <= descriptor < 2**31:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), f"fd {descriptor}")
        return _of_descriptor(descriptor, mode, _Place(f"fd {descriptor}", offset, unpack=unpack))
    with _bytes_of(source) as view, ffi.from_buffer(view) as data:
        return _of_bytes(data, view.nbytes, mode, _Place("bytes", offset, unpack=unpack))


# ------------------------------------------------------------------------------------------------ a file


@dataclass(frozen=True)
class _Place:
    """What is read, for messages: its name, and where in it the ELF file begins."""

    name: str
    offset: int = 0
    size: int = 2**64 - 1
    unpack: bool = True


def _name(source: object) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    descriptor = descriptor_of(source)
    return "bytes" if descriptor is None else f"fd {descriptor}"


def descriptor_of(source: object) -> int | None:
    """The number of a file descriptor: an int, or NumPy's. An array of NumPy is bytes, even one of a single item."""
    return operator.index(source) if isinstance(source, SupportsIndex) and not getattr(source, "ndim", 0) else None


def _bytes_of(source: Any) -> memoryview:
    try:
        view = memoryview(source)
    except TypeError:
        wrong = type(source).__name__
        raise ArgumentTypeError(
            f"source must be a path, a file descriptor or the bytes of a file, not {wrong}"
        ) from None
    except (ValueError, BufferError) as error:  # closed or released
        raise ArgumentTypeError(f"source cannot be read as a buffer: {error}") from None
    if not view.c_contiguous:
        raise ArgumentTypeError("source must be contiguous")
    return view


def _of_path(path: str, mode: int, offset: int, unpack: bool) -> BuildIdNote | None:
    try:
        with opened(path) as descriptor:
            return _of_descriptor(descriptor, mode, _Place(path, offset, unpack=unpack))
    except (FileNotFoundError, NotADirectoryError):
        member = _packed.split_member(path)
        if not unpack or not member or not os.path.exists(member[0]):
            raise
    with opened(member[0]) as descriptor:
        return _of_member(descriptor, member[1], mode, _Place(path, offset))


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor of a regular file. Nothing else is opened: a device may act on it, a pipe may wait."""
    if "\0" in path:
        raise _os_error(errno.EINVAL, path)
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise _os_error(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENOTSUP, path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _of_descriptor(descriptor: int, mode: int, place: _Place) -> BuildIdNote | None:
    elf = ffi.new("struct bid_elf *")
    status = lib.bid_elf_read_part(elf, mode, descriptor, place.offset, place.size)
    if status == lib.BID_ELF_E_IO:
        raise OSError(ffi.errno, os.strerror(ffi.errno), place.name)
    if mode == lib.BID_ELF_KERNEL and place.offset:
        return None  # it looks at the file's first byte
    if status == lib.BID_ELF_COMPRESSED and place.unpack:
        return _of_compressed(_packed.FromDescriptor(descriptor, place.offset), place)
    return _note(elf, status, place)


def _of_bytes(data: Any, size: int, mode: int, place: _Place) -> BuildIdNote | None:
    begin = min(place.offset, size)
    elf = ffi.new("struct bid_elf *")
    status = lib.bid_elf_parse(elf, mode, data + begin, size - begin)
    if mode == lib.BID_ELF_KERNEL and place.offset:
        return None
    if status == lib.BID_ELF_COMPRESSED and place.unpack:
        return _of_compressed(io.BytesIO(ffi.buffer(data + begin, size - begin)), place)
    return _note(elf, status, place)


def _of_compressed(file: io.BufferedIOBase | io.RawIOBase, place: _Place) -> BuildIdNote | None:
    """If not even the first bytes can be decompressed, nothing says that this is an ELF file."""
    whole = _Place(place.name)
    try:
        with _packed.decompressed(file) as held:
            try:
                held.read(0, 4)
            except _packed.PackedDamageError as error:
                raise NotElfError(str(error), place.offset, place.name) from error
            return _parsed(held.read, lib.BID_ELF_FILE, whole)
    except _packed.NoDecompressorError as error:
        raise NoDecompressorError(str(error), place.offset, place.name) from error
    except _packed.PackedError as error:
        raise PackedElfError(str(error), place.offset, place.name) from error


def _of_member(descriptor: int, member: str, mode: int, place: _Place) -> BuildIdNote | None:
    try:
        with _packed.opened_member(descriptor, member) as found:
            if mode == lib.BID_ELF_KERNEL:
                return None
            if isinstance(found, _packed.Stored):
                part = _Place(place.name, found.offset + place.offset, max(found.size - place.offset, 0))
                return _of_descriptor(descriptor, mode, part)
            return _parsed(found.read, mode, place)
    except KeyError:
        raise OSError(errno.ENOENT, "No such member of the archive", place.name) from None
    except _packed.PackedError as error:
        raise PackedElfError(str(error), 0, place.name) from error


def read_image(read: Callable[[int, int], bytes], name: str) -> BuildIdNote | None:
    """The build ID of ELF as it lies in memory, of which read(offset, n) gives at most n bytes. Raises ElfError."""
    return _parsed(read, lib.BID_ELF_IMAGE, _Place(name))


def _parsed(read: Callable[[int, int], bytes], mode: int, place: _Place) -> BuildIdNote | None:
    """What read() gives at most so many bytes of, at any offset."""
    elf = ffi.new("struct bid_elf *")
    lib.bid_elf_begin(elf, mode)
    at, window = 0, b""
    while (status := lib.bid_elf_feed(elf, at, window, len(window))) == lib.BID_ELF_MORE:
        at = elf.want_offset
        window = read(place.offset + at, max(elf.want_length, WINDOW))
    return _note(elf, status, place)


def _note(elf: Any, status: int, place: _Place) -> BuildIdNote | None:
    """The parser's answer: a build ID, None, or the exception to raise."""
    owner = OWNERS.get(elf.id_owner, "")
    if status == lib.BID_ELF_OK:
        build_id = bytes(ffi.buffer(elf.id, elf.id_length))
        return BuildIdNote(build_id, owner, elf.id_length, place.offset + elf.id_offset)
    if status == lib.BID_ELF_LONG_ID:
        return BuildIdNote(None, owner, elf.long_length, place.offset + elf.id_offset)
    if error := _error(status, place.offset + elf.error_offset, place.name):
        raise error
    return None


def _os_error(number: int, path: str) -> OSError:
    text = "Not a regular file" if number == errno.ENOTSUP else os.strerror(number)
    return OSError(number, text, path)


def _error(status: int, offset: int, source: str) -> ElfError | None:
    if status == lib.BID_ELF_NO_BUILD_ID:
        return None
    reason = ffi.string(lib.bid_elf_status_text(status)).decode()
    if status in (lib.BID_ELF_NOT_ELF, lib.BID_ELF_COMPRESSED):
        return NotElfError(reason, offset, source)
    return ElfError(reason, offset, source)


# ------------------------------------------------------------------------------------------------ many files


def scan(
    paths: Iterable[Path], *, threads: int | None = None, kernel_compatible: bool = False, unpack: bool = True
) -> Iterator[tuple[Path, Result]]:
    """Reads many files in parallel: yields (path, result) in the order given.

    A result is what read_build_id() would return, or the exception that it would raise: bytes, None, ElfError,
    NotElfError or OSError. Paths of something else than regular files (directories, devices, pipes) are not opened;
    their result is an OSError.

    kernel_compatible, unpack: as for read_build_id().
    threads: how many read at once; None is one for each processor that this process may use. The GIL is released
        while they do (but for compressed files and members of archives, which Python reads). paths is consumed as
        results are, some batches of files ahead of them, so it may be endless. What it raises comes after the results
        of the paths before.
    """
    if isinstance(paths, (str, bytes)):
        raise ArgumentTypeError(f"paths must be several, such as [{paths!r}]")
    if not isinstance(paths, Iterable):
        raise ArgumentTypeError(f"paths must be several paths, not {type(paths).__name__}")
    threads = len(os.sched_getaffinity(0)) if threads is None else uint(threads, 31, "threads")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    mode = lib.BID_ELF_KERNEL if kernel_compatible else lib.BID_ELF_FILE
    return _scan(iter(paths), threads, functools.partial(_read_batch, mode=mode, unpack=unpack))


def _scan(
    paths: Iterator[Path], threads: int, read: Callable[[list[Path]], list[Result]]
) -> Iterator[tuple[Path, Result]]:
    pending: deque[tuple[list[Path], Future[list[Result]]]] = deque()
    pool = ThreadPoolExecutor(threads, "pybuildid-scan")
    try:
        failed = None
        while True:
            while len(pending) < threads + 1 and not failed:
                batch, failed = _take(paths)
                if not batch:
                    break
                pending.append((batch, pool.submit(read, batch)))
            if not pending:
                break
            done, results = pending.popleft()
            yield from zip(done, results.result())
        pool.shutdown()
        if failed:
            raise failed
    finally:  # without waiting: one of its own threads may be the one that collects this as garbage
        pool.shutdown(wait=False, cancel_futures=True)


def _take(paths: Iterator[Path]) -> tuple[list[Path], Exception | None]:
    """The first of some items, and the exception that the iterator raised after them."""
    batch: list[Path] = []
    try:
        batch.extend(islice(paths, BATCH))  # what came before an error stays
    except Exception as error:
        return batch, error
    return batch, None


def _read_batch(paths: Iterable[StrPath], *, mode: int, unpack: bool) -> list[Result]:
    """Reads files in one call that releases the GIL; those that C does not take, one after the other."""
    names = [os.fsencode(path) for path in paths]
    possible = [name for name in names if b"\0" not in name]
    answers = ffi.new("struct bid_elf_answer[]", len(possible))
    lib.bid_elf_read_files(answers, mode, b"\0".join(possible) + b"\0", len(possible))
    results = iter([_result(answers[i], name, mode, unpack) for i, name in enumerate(possible)])
    return [_os_error(errno.EINVAL, os.fsdecode(name)) if b"\0" in name else next(results) for name in names]


def _result(answer: Any, name: bytes, mode: int, unpack: bool) -> Result:
    if answer.status == lib.BID_ELF_OK:
        return bytes(ffi.buffer(answer.id, answer.length))
    path = os.fsdecode(name)
    if answer.status in (lib.BID_ELF_COMPRESSED, lib.BID_ELF_LONG_ID):
        return _read_alone(path, mode, unpack)
    if answer.status == lib.BID_ELF_E_IO:
        missing = answer.errnum in (errno.ENOENT, errno.ENOTDIR)
        return _read_alone(path, mode, unpack) if missing and "!/" in path else _os_error(answer.errnum, path)
    return _error(answer.status, answer.offset, path)


def _read_alone(path: str, mode: int, unpack: bool) -> Result:
    try:
        return read_build_id(path, kernel_compatible=mode == lib.BID_ELF_KERNEL, unpack=unpack)
    except (ElfError, OSError) as error:
        return error
