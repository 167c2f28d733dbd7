# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""save() and load(): the format byte by byte, and every file that is none."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from conftest import make_entries

from pybuildid import Table
from pybuildid.errors import ArgumentTypeError, IdLengthError, MaxEntriesError, SavedTableError


def saved(
    version: int = 1, id_size: int = 4, keys: tuple[int, ...] = (7, 2**64 - 1), lengths: bytes = b"\3\xff"
) -> bytes:
    """By docs/table-file.md, not by the code."""
    n = len(keys)
    data = b"BIDTABLE" + struct.pack("<IIQ", version, id_size, n)
    data += struct.pack(f"<{n}Q{n}I", *keys, *range(5, 5 + n)) + lengths + (b"abc\0" + bytes(4 * n))[: id_size * n]
    return data + struct.pack("<I", zlib.crc32(data))


def test_the_format() -> None:
    table = Table.load(io.BytesIO(saved()))
    assert table.id_size == 4
    assert dict(table.items(generations=True)) == {7: (b"abc", 5), 2**64 - 1: (b"", 6)}
    written = io.BytesIO()
    Table.load(io.BytesIO(saved(keys=(7,), lengths=b"\3"))).save(written)
    assert written.getvalue() == saved(keys=(7,), lengths=b"\3")


@pytest.mark.parametrize("id_size", [1, 20, 64])
def test_round_trip(tmp_path: Path, id_size: int) -> None:
    path = tmp_path / "table"
    table = Table(id_size=id_size)
    for key, id in make_entries(3000, id_size=64).items():
        table.insert(key, id[-(key % (id_size + 1)) :][:id_size], generation=key % 1000)
    table.save(path)
    again = Table.load(path, seed=5)
    assert again.id_size == id_size
    assert again.items(generations=True) == table.items(generations=True)
    assert Table.load(path, id_size=64, max_entries=5000) == table
    with pytest.raises(MaxEntriesError):
        Table.load(path, max_entries=100)
    with pytest.raises(IdLengthError) if id_size > 1 else pytest.raises(ValueError, match="id_size"):
        Table.load(path, id_size=id_size - 1)


def test_a_file_that_is_cut_off_or_changed_anywhere_is_refused() -> None:
    data = saved()
    for end in range(len(data)):
        with pytest.raises(SavedTableError, match=r"no saved table|cut off"):
            Table.load(io.BytesIO(data[:end]))
    for i in range(len(data)):
        with pytest.raises(SavedTableError):
            Table.load(io.BytesIO(data[:i] + bytes([data[i] ^ 0x40]) + data[i + 1 :]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no saved table"),
        (b"\x7fELF" * 20, "no saved table"),
        (saved(version=2), "of version 2 of the format, and this library reads version 1"),
        (saved() + b"\0", "cut off or damaged: 63 bytes, and 2 entries take 62"),
        (b"BIDTABLE" + struct.pack("<IIQ", 1, 20, 2**62), "entries take"),
        (saved(id_size=65, lengths=b"\3\xff"), "."),
        (saved(lengths=b"\3\5"), "a build ID of more than 4 bytes"),
        (saved(keys=(7, 7)), "a key comes twice"),
    ],
)
def test_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(data)
    with pytest.raises(SavedTableError, match=message) as caught:
        Table.load(tmp_path / "table")
    assert str(tmp_path / "table") in str(caught.value)


def test_what_was_there_stays_until_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table"
    Table({1: b"a"}).save(path)
    path.chmod(0o640)
    Table({2: b"b"}).save(path)
    assert path.stat().st_mode & 0o777 == 0o640

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Table({3: b"c"}).save(path)
    assert dict(Table.load(path)) == {2: b"b"}
    assert os.listdir(tmp_path) == ["table"]


def test_saves_to_one_path_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes a file of its own first, and removes no other."""
    path, synced = tmp_path / "table", []

    def other_comes_in_between(fd: int) -> None:
        synced.append(fd)
        if len(synced) == 1:
            Table({2: b"b"}).save(path)

    monkeypatch.setattr(os, "fsync", other_comes_in_between)
    Table({1: b"a"}).save(path)
    assert len(synced) == 2
    assert dict(Table.load(path)) == {1: b"a"}
    assert os.listdir(tmp_path) == ["table"]


def test_an_error_names_the_path_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "table"
    with pytest.raises(FileNotFoundError) as caught:
        Table().save(path)
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match="No space") as full:
        Table().save("/dev/full")
    assert full.value.filename == "/dev/full"


@pytest.mark.parametrize("wrong", [5, None, b"path", io.StringIO("BIDTABLE")], ids=lambda wrong: type(wrong).__name__)
def test_no_file(wrong: Any) -> None:
    for use in (Table().save, Table.load):
        with pytest.raises(
            ArgumentTypeError, match=f"file must be a path or an open binary file, not .*{type(wrong).__name__}"
        ):
            use(wrong)


class PathInBytes:
    def __init__(self, path: bytes) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return self.path


def test_a_path_that_is_no_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/table\xff"
    Table({1: b"a"}).save(os.fsdecode(path))
    assert dict(Table.load(os.fsdecode(path))) == {1: b"a"}
    Table({2: b"b"}).save(PathInBytes(path))  # type: ignore[arg-type]
    assert dict(Table.load(PathInBytes(path))) == {2: b"b"}  # type: ignore[arg-type]


class FewBytesAtATime(io.RawIOBase):
    """As a socket, or a pipe that a signal interrupts."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += bytes(data[:10])
        return min(len(data), 10)


def test_a_file_without_a_buffer() -> None:
    file = FewBytesAtATime()
    Table({1: b"a"}).save(file)  # type: ignore[arg-type]
    assert not file.closed
    assert dict(Table.load(io.BytesIO(file.written))) == {1: b"a"}
