# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Files of saved tables, as docs/table-file.md describes them. They are written whole, and every field that is read is
checked."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Any, cast

from pybuildid._columns import Columns
from pybuildid._core import lib
from pybuildid._files import read_input, replacing
from pybuildid.errors import ArgumentTypeError, SavedTableError

if TYPE_CHECKING:
    from typing import BinaryIO

MAGIC = b"BIDTABLE"
VERSION = 1
HEADER = struct.Struct("<8sIIQ")  # magic, version, id_size, entries
CHECKSUM = struct.Struct("<I")  # CRC-32 of all that is before it


def write_table(file: str | os.PathLike[str] | BinaryIO, columns: Columns, id_size: int) -> None:
    """Raises OSError."""
    keys, ids, lengths, generations = columns
    header = HEADER.pack(MAGIC, VERSION, id_size, len(keys))
    data = b"".join([header, _little(keys).tobytes(), _little(generations).tobytes(), lengths, ids])
    data += CHECKSUM.pack(zlib.crc32(data))
    path = _path_of(file, "write")
    if path is None:
        _write_all(cast("Any", file), data)
        return
    try:
        with replacing(path) as whole:
            whole.write(data)
            whole.flush()
            os.fsync(whole.fileno())
    except OSError as error:  # of whatever file: the caller knows the path that he gave
        raise OSError(error.errno, error.strerror, path) from None


def read_table(file: str | os.PathLike[str] | BinaryIO) -> tuple[Columns, int]:
    """The entries and their id_size. Raises SavedTableError and OSError."""
    path = _path_of(file, "read")
    data = cast("Any", file).read() if path is None else read_input(path)
    name = getattr(file, "name", "the file") if path is None else path
    if not isinstance(data, (bytes, bytearray)):
        raise _no_file(file)
    try:
        return _parse(bytes(data))
    except SavedTableError as error:
        raise SavedTableError(f"{name}: {error}") from None


def _path_of(file: object, use: str) -> str | None:
    """The path, or None for a file that is open. Of open files, those of text are refused: they take no bytes."""
    if isinstance(file, (str, os.PathLike)):
        return os.fsdecode(file)
    if isinstance(file, io.TextIOBase) or not hasattr(file, use):
        raise _no_file(file)
    return None


def _no_file(file: object) -> ArgumentTypeError:
    return ArgumentTypeError(f"file must be a path or an open binary file, not {type(file).__name__}")


def _write_all(file: Any, data: bytes) -> None:
    """A file without a buffer may take a part of the bytes only."""
    if not isinstance(file, io.RawIOBase):
        file.write(data)
        return
    buffered = io.BufferedWriter(file)
    try:
        buffered.write(data)
        buffered.flush()
    finally:
        buffered.detach()


def _parse(data: bytes) -> tuple[Columns, int]:
    if not data.startswith(MAGIC):
        raise SavedTableError("no saved table")
    if len(data) < HEADER.size:
        raise SavedTableError(f"cut off: {len(data)} bytes, and the header alone has {HEADER.size}")
    _, version, id_size, n = HEADER.unpack_from(data)
    if version != VERSION:
        raise SavedTableError(f"of version {version} of the format, and this library reads version {VERSION}")
    size = HEADER.size + n * (8 + 4 + 1 + id_size) + CHECKSUM.size
    if len(data) != size:
        raise SavedTableError(f"cut off or damaged: {len(data)} bytes, and {n} entries take {size}")
    body = memoryview(data)[: -CHECKSUM.size]
    if zlib.crc32(body) != CHECKSUM.unpack_from(data, len(body))[0] or not 1 <= id_size <= lib.BID_ID_MAX:
        raise SavedTableError("damaged: its checksum is of other data")
    bounds = [HEADER.size, 8 * n, 4 * n, n, id_size * n]
    starts = [sum(bounds[:i]) for i in range(1, 6)]
    keys, generations, lengths, ids = (bytes(body[a:b]) for a, b in zip(starts, starts[1:]))
    if any(length > id_size and length != lib.BID_LENGTH_NO_BUILD_ID for length in set(lengths)):
        raise SavedTableError(f"damaged: a build ID of more than {id_size} bytes")
    if len(set(memoryview(keys).cast("Q"))) != n:
        raise SavedTableError("damaged: a key comes twice")
    return Columns(
        _little(array("Q", keys)), bytearray(ids), bytearray(lengths), _little(array("I", generations))
    ), id_size


def _little(values: array[int]) -> array[int]:
    """From the processor's order of bytes to that of the file, or back."""
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values
