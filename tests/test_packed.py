# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of ELF files in other files: at an offset, compressed, in archives; and what is said where that fails."""

from __future__ import annotations

import contextlib
import gzip
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from elfbuild import ET_REL, SHT_NOTE, Elf, Part, gnu, go, number
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybuildid.cli import main
from pybuildid.elf import BuildIdNote, ElfError, NotElfError, PackedElfError, _packed, read_build_id, read_note, scan
from pybuildid.errors import ArgumentRangeError

ID = bytes(range(1, 21))
OTHER = bytes(range(101, 121))
LIBRARY = Elf([Part([gnu(ID)])])
#: As a kernel module: notes in a section, section headers at the end, behind more bytes than one window.
MODULE = Elf([], [Part([gnu(ID)], type=SHT_NOTE), Part(bytes(30_000), type=1)], type=ET_REL)
HAS_ZSTD = sys.version_info >= (3, 14)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# ---------------------------------------------------------------------------------------------------- at an offset


@pytest.mark.parametrize("offset", [1, 4096, 5000])
def test_at_an_offset(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(offset - 1) + b"\0" + LIBRARY.build() + bytes(100))
    start = offset + LIBRARY.build().index(ID)
    with path.open("rb") as file:
        for source in (path, file.fileno(), path.read_bytes()):
            assert read_note(source, offset=offset) == BuildIdNote(ID, "GNU", 20, start)
            assert read_build_id(source, offset=offset, kernel_compatible=True) is None  # it looks at byte 0
            with pytest.raises(NotElfError):
                read_build_id(source, offset=offset - 1)
            with pytest.raises(NotElfError):
                read_build_id(source, offset=10**9)
            for wrong in (-1, 2**63):
                with pytest.raises(ArgumentRangeError, match="offset"):
                    read_build_id(source, offset=wrong)
    path.write_bytes(bytes(offset) + Elf([Part([gnu(ID)], offset=10**6)]).build())
    with pytest.raises(ElfError) as caught:
        read_build_id(path, offset=offset)
    assert caught.value.offset == offset + 10**6


def test_the_offset_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096) + LIBRARY.build())
    for text in ("4096", "0x1000"):
        assert run("id", "--offset", text, path).output == f"{ID.hex()} {path}\n"
    assert "not an offset" in run("id", "--offset", "-1", path).stderr
    assert "not an offset" in run("id", "--offset", "page", path).stderr
    assert "not an ELF file" in run("id", path).stderr


# ------------------------------------------------------------------------------------------------------ compressed


def zstd(data: bytes) -> bytes:
    if not shutil.which("zstd"):
        pytest.skip("no zstd here: apt-get install zstd")
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),  # as the kernel's build does
    "zst": zstd,
}
HERE = ["gz", "xz", *(["zst"] if HAS_ZSTD else [])]


@pytest.mark.parametrize("form", HERE)
@pytest.mark.parametrize("elf", [LIBRARY, MODULE])
def test_compressed(tmp_path: Path, form: str, elf: Elf) -> None:
    path = tmp_path / f"module.ko.{form}"
    path.write_bytes(FORMS[form](elf.build()))
    note = BuildIdNote(ID, "GNU", 20, elf.build().index(ID))
    with path.open("rb") as file:
        file.seek(3)
        assert [read_note(source) for source in (path, file.fileno(), path.read_bytes())] == [note] * 3
        assert file.tell() == 3
    assert read_build_id(path, kernel_compatible=True) is None  # the kernel maps what it finds
    assert list(scan([path, path])) == [(path, ID)] * 2
    assert run("scan", tmp_path).output == run("id", path).output == f"{ID.hex()} {path}\n"
    with pytest.raises(NotElfError):
        read_build_id(path, unpack=False)
    assert isinstance(dict(scan([path], unpack=False))[path], NotElfError)
    (tmp_path / "padded").write_bytes(bytes(100) + path.read_bytes())
    assert read_build_id(tmp_path / "padded", offset=100) == ID


@pytest.mark.skipif(HAS_ZSTD, reason="this Python has zstd")
def test_zstd_is_told_where_python_has_none(tmp_path: Path) -> None:
    (tmp_path / "module.ko.zst").write_bytes(zstd(MODULE.build()))
    (tmp_path / "other.zst").write_bytes(zstd(b"text"))
    with pytest.raises(PackedElfError, match=r"Python 3\.14"):
        read_build_id(tmp_path / "module.ko.zst")
    result = run("scan", tmp_path)  # the other one may be anything, and nobody has named it
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path}/module.ko.zst: {_packed.ZSTD_MISSING}\n"
    assert "`zstd -d`" in run("id", tmp_path / "other.zst").stderr


@pytest.mark.parametrize("form", HERE)
def test_compressed_text_and_damage(tmp_path: Path, form: str) -> None:
    text, cut, broken, magic, twice = (tmp_path / name for name in ("text", "cut", "broken", "magic", "twice"))
    text.write_bytes(FORMS[form](b"text"))
    noise = Elf(MODULE.segments, [MODULE.sections[0], Part(os.urandom(60_000), type=1)], type=ET_REL)
    packed = FORMS[form](noise.build())
    cut.write_bytes(packed[:50_000])
    broken.write_bytes(packed[:40_000] + bytes(1000) + packed[41_000:])
    magic.write_bytes(packed[:6] + b"\xff" * 60)
    twice.write_bytes(FORMS[form](FORMS[form](LIBRARY.build())))
    for path in (text, magic, twice):
        with pytest.raises(NotElfError):
            read_build_id(path)
    for path in (cut, broken):
        with pytest.raises(PackedElfError, match="compressed data is damaged"):
            read_build_id(path)
    assert run("scan", tmp_path).stderr.count("\n") == 2
    assert "is damaged" in run("id", cut).stderr


@pytest.mark.parametrize("form", HERE)
def test_a_bomb_is_not_unpacked(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of some KiB that holds more than the limit, with a header that leads to its end."""
    monkeypatch.setattr(_packed, "MOST", 1 << 20)
    path = tmp_path / "bomb"
    size = 64 << 20
    path.write_bytes(FORMS[form](Elf([], [], header={"shoff": size - 64, "shnum": 1}).build() + bytes(size)))
    taken: list[int] = []
    fill = _packed.Unpacked._fill

    def watched(held: _packed.Unpacked, end: int) -> None:
        fill(held, end)
        taken.append(len(held._bytes))

    monkeypatch.setattr(_packed.Unpacked, "_fill", watched)
    with pytest.raises(PackedElfError, match="more than 1 MiB"):
        read_build_id(path)
    assert max(taken) == 1 << 20
    near = tmp_path / "near"  # its build ID comes first: the rest is not asked for
    near.write_bytes(FORMS[form](LIBRARY.build() + bytes(size)))
    taken.clear()
    assert read_build_id(near) == ID
    assert max(taken) <= 8192
    exact = tmp_path / "exact"
    exact.write_bytes(FORMS[form]((LIBRARY.build() + bytes(1 << 20))[: 1 << 20]))
    assert read_build_id(exact) == ID


# -------------------------------------------------------------------------------------------------------- archives


@pytest.fixture
def apk(tmp_path: Path) -> Path:
    path = tmp_path / "app.apk"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("assets/text", "text")
        archive.writestr("lib/x86_64/libstored.so", LIBRARY.build())
        archive.writestr("lib/x86_64/libsmall.so", MODULE.build(), zipfile.ZIP_DEFLATED)
        archive.writestr("lib/bz2.so", MODULE.build(), zipfile.ZIP_BZIP2)
        archive.writestr("lib/cut.so", LIBRARY.build()[:100])
        archive.writestr("lib/next.so", Elf([Part([gnu(OTHER)])]).build())
    return path


def test_members_of_archives(apk: Path) -> None:
    for member in ("lib/x86_64/libstored.so", "lib/x86_64/libsmall.so", "lib/bz2.so"):
        assert read_build_id(f"{apk}!/{member}") == ID
        assert read_build_id(f"{apk}!/{member}", kernel_compatible=True) is None
    stored = f"{apk}!/lib/x86_64/libstored.so"
    assert read_note(stored) == BuildIdNote(ID, "GNU", 20, apk.read_bytes().index(ID))
    assert list(scan([stored, f"{apk}!/lib/next.so"])) == [(stored, ID), (f"{apk}!/lib/next.so", OTHER)]
    assert run("id", stored).output == f"{ID.hex()} {stored}\n"
    with pytest.raises(NotElfError):
        read_build_id(f"{apk}!/assets/text")
    with pytest.raises(FileNotFoundError):
        read_build_id(stored, unpack=False)
    with pytest.raises(ElfError, match="past the end"):  # of the member, though the archive goes on
        read_build_id(f"{apk}!/lib/cut.so")


def test_what_is_no_member(apk: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such member"):
        read_build_id(f"{apk}!/lib/none.so")
    with pytest.raises(FileNotFoundError, match="No such file"):
        read_build_id(f"{tmp_path}/none.apk!/lib/x.so")
    with pytest.raises(IsADirectoryError):
        read_build_id(f"{tmp_path}!/lib/x.so")
    (tmp_path / "no.apk").write_bytes(b"no archive")
    with pytest.raises(PackedElfError, match="File is not a zip file"):
        read_build_id(f"{tmp_path}/no.apk!/lib/x.so")
    stderr = run("id", apk).stderr
    assert f"{apk}!/lib/NAME.so" in stderr
    assert "Error: " in run("id", f"{apk}!/lib/none.so").stderr


def test_a_path_that_looks_like_a_member(tmp_path: Path) -> None:
    """What is there under this very name comes first."""
    (tmp_path / "a!").mkdir()
    (tmp_path / "a!" / "b").write_bytes(LIBRARY.build())
    assert read_build_id(tmp_path / "a!" / "b") == ID
    with pytest.raises(FileNotFoundError):
        read_build_id(tmp_path / "a!" / "c")


@pytest.mark.parametrize("damage", ["directory", "header", "data"])
def test_damaged_archives(apk: Path, damage: str) -> None:
    data = bytearray(apk.read_bytes())
    header = data.index(b"PK\3\4", 10)  # of the library that is stored
    if damage == "directory":
        del data[-30:]
    elif damage == "header":
        data[header : header + 4] = b"PKxx"
    else:
        del data[200:300]
    apk.write_bytes(data)
    with pytest.raises(ElfError):
        read_build_id(f"{apk}!/lib/x86_64/libstored.so")


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_to_an_archive(apk: Path, data: st.DataObject) -> None:
    """Numbers that lie give another answer or one of the documented exceptions."""
    good = apk.with_suffix(".good")
    if not good.exists():
        good.write_bytes(apk.read_bytes())
    whole = bytearray(good.read_bytes())
    marks = [found.start() for found in re.finditer(b"PK[\1\3\5]", bytes(whole))]
    for _ in range(data.draw(st.integers(1, 4))):
        at = min(data.draw(st.sampled_from(marks)) + data.draw(st.integers(4, 60)), len(whole) - 8)
        size = data.draw(st.sampled_from([1, 2, 4, 8]))
        telling = st.sampled_from([0, 1, 8, 14, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1])
        whole[at : at + size] = number(data.draw(st.one_of(telling, st.integers(0, 2**64 - 1))), size, "little")
    apk.write_bytes(whole)
    for member in ("lib/x86_64/libstored.so", "lib/x86_64/libsmall.so", "lib/bz2.so"):
        with contextlib.suppress(ElfError, FileNotFoundError):
            assert len(read_build_id(f"{apk}!/{member}") or b"") <= 64


# ------------------------------------------------------------------------------------------------- Go, and long IDs


def test_what_is_said_of_long_build_ids(tmp_path: Path) -> None:
    (tmp_path / "go").write_bytes(Elf([Part([go(bytes(83))])]).build())
    (tmp_path / "long").write_bytes(Elf([Part([gnu(bytes(range(80)))])]).build())
    result = run("id", tmp_path / "go", tmp_path / "long")
    assert result.exit_code == 1
    assert result.stdout == ""
    go_line, long_line = result.stderr.splitlines()
    assert "a Go build ID of 83 bytes, not a GNU build ID" in go_line
    assert "a GNU build ID of 80 bytes" in long_line
    assert "at most 64" in long_line
    for line in (go_line, long_line):
        assert "damaged" not in line
        assert "complete" not in line
    found = json.loads(run("id", "--json", "-", tmp_path / "go", tmp_path / "long").stdout)
    assert [(entry["owner"], entry["length"], entry["build_id"]) for entry in found] == [
        ("Go", 83, None),
        ("GNU", 80, None),
    ]
    scanned = dict(scan([tmp_path / "go", tmp_path / "long"]))
    assert scanned[tmp_path / "go"] is None
    assert "80 bytes" in str(scanned[tmp_path / "long"])


def test_a_program_of_go_itself() -> None:
    """Of Go before 1.24, a distribution's, whose linker writes no GNU build ID."""
    tool = shutil.which("go")
    if not tool:
        pytest.skip("no Go here: apt-get install golang-go")
    said = subprocess.run([tool, "tool", "buildid", tool], capture_output=True, text=True).stdout.strip()
    note = read_note(tool)
    if note is None or note.owner != "Go":
        pytest.skip(f"{tool} has a GNU build ID")
    start = note.offset
    assert Path(tool).read_bytes()[start : start + note.length].decode() == said
    assert run("id", tool).exit_code == (note.length > 64)


WITHOUT_LZMA = """
import sys
sys.modules["_lzma"] = None
from pybuildid.cli import main
import pybuildid.symbols
main(["id", sys.argv[1]])
"""


def test_a_python_that_was_compiled_without_lzma(tmp_path: Path) -> None:
    """All else works there, and the error says what is missing."""
    (tmp_path / "module.ko.xz").write_bytes(lzma.compress(b"\x7fELF"))
    run = [
        subprocess.run([sys.executable, "-c", WITHOUT_LZMA, name], capture_output=True, text=True, cwd=tmp_path)
        for name in (sys.executable, "module.ko.xz")
    ]
    assert "Traceback" not in run[0].stderr
    assert run[0].stdout or "no build ID" in run[0].stderr
    assert run[1].stderr == f"Error: module.ko.xz: {_packed.LZMA_MISSING}\n"
