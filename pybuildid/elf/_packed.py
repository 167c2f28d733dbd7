# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""ELF files that are packed: compressed (kernel modules), or members of an archive (libraries in an APK).

Decompressors are those of the standard library. What they make is kept from the beginning as far as it was asked for,
and never more than MOST bytes: a file of a few KiB may claim to hold terabytes.
"""

from __future__ import annotations

import errno
import gzip
import importlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

MOST = 256 << 20  #: bytes of what a compressed file holds
CHUNK = 1 << 20
ZSTD_MISSING = "zstd is in the standard library of Python 3.14 and later: use that, or decompress the file by `zstd -d`"
LZMA_MISSING = (
    "this Python was compiled without lzma: compile it again with liblzma's headers (Debian: liblzma-dev), or "
    "decompress the file by `xz -d`"
)

_LOCAL_HEADER = 30  # bytes of a member's header in a zip archive, before its name and extra field


class PackedError(ValueError):
    """The packed form cannot be read; the text says why, and what would help."""


class NoDecompressorError(PackedError):
    """This Python has no decompressor for the file, so nothing is known of its content."""


class PackedDamageError(PackedError):
    """The compressed data is damaged or cut off."""


def read_at(descriptor: int, n: int, offset: int) -> bytes:
    """At most n bytes. No file goes on past 2**63 - 1, and pread() refuses a range that does."""
    n = min(n, 2**63 - 1 - offset)
    return os.pread(descriptor, n, offset) if n > 0 and offset >= 0 else b""


class FromDescriptor(io.RawIOBase):
    """The file behind a descriptor from `base` on. The descriptor's own position stays."""

    def __init__(self, descriptor: int, base: int = 0) -> None:
        self._descriptor = descriptor
        self._base = base
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = read_at(self._descriptor, len(buffer), self._base + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = os.fstat(self._descriptor).st_size - self._base
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        if not 0 <= position < 2**63:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = position
        return self._position

    def tell(self) -> int:
        return self._position


#: What decompressors and zipfile raise of damaged data. Those in OPTIONAL are of modules that Python may not have.
DAMAGE = (EOFError, zlib.error, zipfile.BadZipFile, struct.error, ValueError, IndexError)
OPTIONAL = ("LZMAError", "ZstdError")


@contextmanager
def _as_packed_error() -> Iterator[None]:
    """Turns the exceptions of all decompressors into one kind. Some raise an OSError, which has a number only if
    reading has failed."""
    try:
        yield
    except PackedError:
        raise
    except (NotImplementedError, RuntimeError) as error:  # of zipfile: a method that it does not have, a password
        raise PackedError(f"this archive member cannot be decompressed ({error})") from error
    except Exception as error:
        numbered = isinstance(error, OSError) and error.errno is not None
        if numbered or not (isinstance(error, (OSError, *DAMAGE)) or type(error).__name__ in OPTIONAL):
            raise
        raise PackedDamageError(f"the compressed data is damaged ({error})") from error


class Unpacked:
    """The output of a decompressor, which is a file-like object, to be read at any offset."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._bytes = bytearray()

    def _fill(self, end: int) -> None:
        with _as_packed_error():
            while len(self._bytes) < end:
                more = self._file.read(min(end - len(self._bytes), CHUNK))
                if not more:
                    break
                self._bytes += more

    def read(self, offset: int, n: int) -> bytes:
        """At most n bytes; fewer where they end. Raises PackedError."""
        self._fill(min(offset + n, MOST))
        if offset >= MOST and len(self._bytes) == MOST and self._file.read(1):
            raise PackedError(f"it holds more than {MOST >> 20} MiB: decompress it, and give that")
        return bytes(self._bytes[offset : offset + n])


@contextmanager
def decompressed(file: io.BufferedIOBase | io.RawIOBase) -> Iterator[Unpacked]:
    """The content of a compressed file, whose first bytes say how to decompress it. Raises NoDecompressorError,
    PackedError."""
    raw: Any = file if isinstance(file, io.BufferedIOBase) else io.BufferedReader(file)
    magic = raw.read(6)
    raw.seek(0)
    with _decompressor(magic, raw) as held:
        yield Unpacked(held)


def _decompressor(magic: bytes, file: Any) -> Any:
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    name, kind, missing = "compression.zstd", "ZstdFile", ZSTD_MISSING
    if magic.startswith(b"\xfd7zXZ"):
        name, kind, missing = "lzma", "LZMAFile", LZMA_MISSING
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise NoDecompressorError(missing) from None
    return getattr(module, kind)(file)


@dataclass(frozen=True)
class Stored:
    """A member that lies in its archive as it is."""

    offset: int
    size: int


def split_member(path: str) -> tuple[str, str] | None:
    """The archive and the member of `app.apk!/lib/x.so`, the notation of Android; None if this is none."""
    archive, mark, member = path.rpartition("!/")
    return (archive, member) if mark and archive and member else None


@contextmanager
def opened_member(descriptor: int, member: str) -> Iterator[Stored | Unpacked]:
    """A member of the zip archive behind a descriptor. Raises KeyError if it has none of this name, and PackedError."""
    with _as_packed_error():
        archive = zipfile.ZipFile(io.BufferedReader(FromDescriptor(descriptor)))
    with archive:
        info = archive.getinfo(member)
        if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
            yield Stored(_data_offset(descriptor, info.header_offset), info.compress_size)
            return
        with _as_packed_error():
            file = archive.open(info)
        with file:
            yield Unpacked(file)


def _data_offset(descriptor: int, header: int) -> int:
    """Behind the member's own header, whose name and extra field need not be as long as those of the directory."""
    data = read_at(descriptor, _LOCAL_HEADER, header)
    if len(data) < _LOCAL_HEADER or not data.startswith(b"PK\3\4"):
        raise PackedDamageError("the archive is damaged (a member is not where the directory says)")
    lengths = int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    return header + _LOCAL_HEADER + lengths
