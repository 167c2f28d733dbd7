# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of ELF files: every form, broken files, and what other readers say of the files under /usr."""

from __future__ import annotations

import contextlib
import ctypes
import io
import itertools
import mmap
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elfbuild import (
    ABI_TAG,
    ET_CORE,
    ET_EXEC,
    ET_REL,
    PROPERTY,
    PT_LOAD,
    SHT_NOTE,
    Elf,
    Note,
    Part,
    any_bytes,
    broken_files,
    elfs,
    gnu,
    go,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from procmap import MapQuery

from pybuildid._core import ffi, lib
from pybuildid.elf import BuildIdNote, ElfError, LongBuildIdError, NotElfError, read_build_id, read_note, scan
from pybuildid.elf.core import core_modules
from pybuildid.errors import ArgumentRangeError, ArgumentTypeError

ID = bytes(range(1, 21))
OTHER = bytes(range(101, 121))
FORMS = [(bits, order) for bits in (32, 64) for order in ("little", "big")]


def segment(*notes: Note, **keywords: Any) -> Part:
    return Part(notes, **keywords)


def section(*notes: Note, **keywords: Any) -> Part:
    return Part(notes, type=SHT_NOTE, **keywords)


def feed(data: bytes, mode: int, window: int) -> tuple[int, bytes, int, int]:
    """Parses through windows of that many bytes: (status, build ID, error offset, number of windows)."""
    elf = ffi.new("struct bid_elf *")
    lib.bid_elf_begin(elf, mode)
    offset, chunk, count = 0, b"", 0
    while (status := lib.bid_elf_feed(elf, offset, chunk, len(chunk))) == lib.BID_ELF_MORE:
        assert 1 <= elf.want_length <= lib.BID_ELF_MAX_WANT
        offset, count = elf.want_offset, count + 1
        chunk = data[offset : offset + max(window, elf.want_length)]
    return status, bytes(elf.id[0 : elf.id_length]), elf.error_offset, count


# --------------------------------------------------------------------------------------------------- valid files


@pytest.mark.parametrize("align", [0, 1, 2, 3, 4, 5, 8, 16, 4096, 2**32 + 8, 2**63])
@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_alignment(bits: int, order: str, align: int) -> None:
    align %= 2**bits
    notes = [Note(b"Linux\0", 9, b"12345"), PROPERTY, gnu(ID)]
    assert read_build_id(Elf([segment(*notes, align=align)], bits=bits, order=order).build()) == ID
    assert read_build_id(Elf([], [section(*notes, align=align)], bits=bits, order=order).build()) == ID


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_notes_of_four_in_a_part_that_says_eight(bits: int, order: str) -> None:
    """As the kernel reads them. What the part says comes first, if both lead to a build ID."""
    notes = [Note(b"Linux note\0", 9, b"12345"), ABI_TAG, gnu(ID)]
    assert read_build_id(Elf([segment(*notes, align=8, layout=4)], bits=bits, order=order).build()) == ID
    assert read_build_id(Elf([], [section(*notes, align=8, layout=4)], bits=bits, order=order).build()) == ID
    assert read_build_id(Elf([segment(*notes[:2], align=8, layout=4), segment(gnu(ID))]).build()) == ID


def test_gnu_before_go() -> None:
    assert read_build_id(Elf([segment(go(OTHER), gnu(ID))]).build()) == ID
    assert read_build_id(Elf([segment(go(OTHER))], [section(gnu(ID))]).build()) == ID
    assert read_build_id(Elf([segment(go(ID), go(OTHER))]).build()) == ID
    assert read_build_id(Elf([segment(go(bytes(83)), go(ID))]).build()) == ID
    assert read_build_id(Elf([segment(go(bytes(83)))]).build()) is None


def test_a_note_says_whose_it_is_and_where() -> None:
    """Also one that is too long, which is no damage."""
    start = NOTES_AT + 16
    assert read_note(Elf([segment(gnu(ID))]).build()) == BuildIdNote(ID, "GNU", 20, start)
    assert read_note(Elf([segment(go(ID))]).build()) == BuildIdNote(ID, "Go", 20, start)
    assert read_note(Elf([segment(go(bytes(83)))]).build()) == BuildIdNote(None, "Go", 83, start)
    assert read_note(Elf([segment(gnu(bytes(65)))]).build()) == BuildIdNote(None, "GNU", 65, start)
    assert read_note(Elf([segment(ABI_TAG)]).build()) is None
    long = Elf([segment(go(bytes(83)), gnu(bytes(65)))]).build()
    assert read_note(long) == BuildIdNote(None, "GNU", 65, start + 83 + 1 + 16)
    assert read_note(long, kernel_compatible=True) is None
    with pytest.raises(LongBuildIdError, match="65 bytes"):
        read_build_id(long)
    assert read_build_id(Elf([segment(gnu(bytes(65)), gnu(ID))]).build()) == ID


def test_over_65535_segments_and_sections() -> None:
    loads = [Part(b"", PT_LOAD)] * 0x10000
    assert read_build_id(Elf([*loads, segment(gnu(ID))], xnum=True).build()) == ID
    assert read_build_id(Elf(loads, [Part(b"", type=1)] * 0x10000 + [section(gnu(ID))], xnum=True).build()) == ID


@pytest.mark.parametrize(("bits", "order"), FORMS)
@pytest.mark.parametrize("address", [0, 0x400000, 0xFFFFE000])
def test_image(bits: int, order: str, address: int) -> None:
    """In memory the notes lie at their address; the file offset leads elsewhere, as it does in a prelinked vDSO."""
    load = Part(bytes(64), PT_LOAD, offset=64, vaddr=address + 64)
    elf = Elf([segment(gnu(ID)), load], bits=bits, order=order)
    where = elf.build().index(gnu(ID).encode(order))
    prelinked = segment(gnu(ID), offset=8, size=36, vaddr=address + where)
    assert read_build_id(replace(elf, segments=[prelinked, load]).build(), image=True) == ID
    assert read_build_id(replace(elf, segments=[prelinked, load]).build()) is None
    with pytest.raises(ElfError, match="past the end"):
        read_build_id(replace(elf, segments=[replace(prelinked, vaddr=address - 4), load]).build(), image=True)


def test_own_vdso() -> None:
    """The vDSO of this process, from its memory."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[vdso]")]
    if not lines:
        pytest.skip("this kernel maps no vDSO (boot option vdso=0?)")
    start, end = (int(part, 16) for part in lines[0][0].split("-"))
    build_id = read_build_id(ctypes.string_at(start, end - start), image=True)
    assert build_id is not None
    assert len(build_id) == 20


def test_kernel_notes() -> None:
    path = Path("/sys/kernel/notes")
    if not path.exists():
        pytest.skip("no /sys/kernel/notes here (mount sysfs)")
    build_id = read_build_id(path)
    assert build_id
    assert b"GNU\0" + build_id in path.read_bytes()


@pytest.mark.parametrize("order", ["little", "big"])
def test_file_of_notes(order: str) -> None:
    blob = b"".join(note.encode(order) for note in (Note(b"Xen\0", 6, b"1"), ABI_TAG, gnu(ID)))
    assert read_build_id(blob) == ID
    assert read_build_id(ABI_TAG.encode(order)) is None
    with pytest.raises(ElfError) as caught:
        read_build_id(blob[:-1])
    assert caught.value.offset == len(blob) - 36


@given(elfs, st.sampled_from([0, 80, 128, 1000, 4096]))
def test_any_valid_file(elf: Elf, window: int) -> None:
    data = elf.build()
    expected = elf.build_id()
    assert read_build_id(data) == expected
    assert feed(data, lib.BID_ELF_FILE, window)[1] == (expected or b"")


# ------------------------------------------------------------------------------------------------------ sources


def test_sources(tmp_path: Path) -> None:
    data = Elf([segment(gnu(ID))], gap=10000).build()
    path = tmp_path / "file \udcff"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.seek(7)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            sources = [path, str(path), file.fileno(), data, bytearray(data), memoryview(data), mapped]
            assert [read_build_id(source) for source in sources] == [ID] * 7  # type: ignore[arg-type]
        assert file.tell() == 7


def test_buffers_of_other_elements() -> None:
    """Such as arrays of numbers of the other byte order."""
    data = Elf([segment(gnu(ID))]).build().ljust(1024, b"\0")
    for numbers in (ctypes.c_uint32.__ctype_be__ * 256, ctypes.c_uint16 * 16 * 32):
        array = numbers.from_buffer_copy(data)
        assert read_build_id(array) == ID
        shifted = numbers.from_buffer_copy(bytes(8) + data[:-8])
        assert read_build_id(shifted, offset=8) == ID
        with pytest.raises(NotElfError):
            read_build_id(array, offset=1024)
        with pytest.raises(NotElfError):
            read_build_id(array, offset=10**9)


def test_a_huge_file_is_read_by_its_headers(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    far = 2**40
    with path.open("wb") as file:
        file.write(Elf([segment(offset=far, size=36)]).build())
        try:
            file.truncate(far + 36)
        except OSError as error:
            pytest.skip(f"no sparse files of 1 TiB in {tmp_path}: {error}")
        file.seek(far)
        file.write(gnu(ID).encode("little"))
    assert read_build_id(path) == ID
    assert read_build_id(path, kernel_compatible=True) is None  # beyond 4 GiB


@pytest.mark.parametrize("offset", [2**63 - 13, 2**63 - 100, 2**63 - 4096, 2**63 - 4097])
def test_offsets_at_the_end_of_all_files(tmp_path: Path, offset: int) -> None:
    """pread() refuses a range that ends past 2**63 - 1: to a reader such a file has nothing there, and goes on."""
    path = tmp_path / "file"
    for elf in (
        Elf([segment(offset=offset, size=12), segment(gnu(ID))]),
        Elf([], [section(offset=offset, size=12), section(gnu(ID))]),
        Elf([segment()], [section(gnu(ID))], header={"phoff": offset - 56}),
    ):
        path.write_bytes(elf.build())
        assert read_build_id(path) == read_build_id(elf.build()) == ID


def test_not_regular(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        read_build_id(tmp_path)
    with pytest.raises(OSError, match="Not a regular file"):
        read_build_id(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError) as caught:
        read_build_id(tmp_path / "absent")
    assert caught.value.filename == str(tmp_path / "absent")
    with pytest.raises(OSError, match="Bad file descriptor"):
        read_build_id(-1)
    with pytest.raises(OSError, match="Invalid argument"):
        read_build_id("a\0b")
    with pytest.raises(TypeError):
        read_build_id(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image"):
        read_build_id(b"", image=True, kernel_compatible=True)


# ---------------------------------------------------------------------------------------------------- malformed


DS_STORE = b"\0\0\0\1Bud1" + bytes(60)  # of macOS: like a note without a name, in big endian
NOT_ELF = [b"", b"\x7fEL", b"#!/bin/sh\n", bytes(100), b"\4\0\0\0" * 10, b"\x7fFLE" + bytes(60), DS_STORE]


@pytest.mark.parametrize("data", NOT_ELF)
def test_not_elf(data: bytes) -> None:
    with pytest.raises(NotElfError):
        read_build_id(data)
    assert read_build_id(data, kernel_compatible=True) is None


GOOD = Elf([segment(gnu(ID))])
NOTES_AT = len(Elf([segment()]).build())
MALFORMED = [
    ("class", replace(GOOD, header={"class": 3}), 4, "class"),
    ("data", replace(GOOD, header={"data": 0}), 5, "byte order"),
    ("version", replace(GOOD, header={"ident_version": 2}), 6, "version"),
    ("phentsize", replace(GOOD, header={"phentsize": 55}), 54, "program headers"),
    ("phentsize 32", replace(GOOD, bits=32, header={"phentsize": 56}), 42, "program headers"),
    ("shentsize", Elf([], [section(gnu(ID))], header={"shentsize": 40}), 58, "section headers"),
    ("phoff", replace(GOOD, header={"phoff": 10**6}), 10**6, "past the end"),
    ("phoff wraps", replace(GOOD, header={"phoff": 2**64 - 8}), 2**64 - 8, "past the end"),
    ("phnum", Elf([segment(ABI_TAG)], header={"phnum": 7}), 64 + 56, "past the end"),
    ("shoff", Elf([], [section(gnu(ID))], header={"shoff": 10**6}), 10**6, "past the end"),
    ("p_offset", Elf([segment(gnu(ID), offset=10**6)]), 10**6, "past the end"),
    ("p_offset wraps", Elf([segment(gnu(ID), offset=2**64 - 4, size=2**63)]), 2**64 - 4, "past the end"),
    ("note", Elf([segment(gnu(ID), size=35)]), NOTES_AT, "longer than its segment"),
    ("second note", Elf([segment(ABI_TAG, gnu(ID), size=67)]), NOTES_AT + 32, "longer than its segment"),
    ("empty ID", Elf([segment(gnu(b""))]), NOTES_AT + 4, "empty"),
    ("long ID", Elf([segment(gnu(bytes(65)))]), NOTES_AT + 16, "the build ID has 65 bytes, and at most 64 are read"),
]


@pytest.mark.parametrize(
    ("elf", "offset", "reason"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED]
)
def test_malformed(elf: Elf, offset: int, reason: str) -> None:
    with pytest.raises(ElfError, match=reason) as caught:
        read_build_id(elf.build())
    assert caught.value.offset == offset
    assert f"at offset {offset:#x}" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_too_many_notes() -> None:
    with pytest.raises(ElfError, match="too many"):
        read_build_id(Elf([Part(bytes(12 * (lib.BID_ELF_MAX_STEPS + 1)))]).build())
    nearly = bytes(12 * (lib.BID_ELF_MAX_STEPS - 2))
    assert read_build_id(Elf([Part(nearly + gnu(ID).encode("little"))]).build()) == ID


@given(any_bytes, st.sampled_from([0, 80, 128, 4096]), st.integers(0, 3))
@settings(max_examples=1000)
def test_any_bytes(data: bytes, window: int, mode: int) -> None:
    """Broken files give an answer of the documented kinds, the same through any window, in bounded work."""
    whole = feed(data, mode, len(data))
    assert feed(data, mode, window)[:3] == whole[:3]
    assert whole[0] != lib.BID_ELF_MORE
    assert (whole[0] == lib.BID_ELF_OK) == bool(whole[1])
    assert ffi.string(lib.bid_elf_status_name(whole[0])) != b"BID_ELF_?"
    with contextlib.suppress(ElfError):
        assert read_build_id(data) in (None, feed(data, lib.BID_ELF_FILE, window)[1])
    assert len(read_build_id(data, kernel_compatible=True) or b"") <= 20


def test_unknown_mode() -> None:
    assert feed(b"", 4, 0)[0] == feed(b"", -1, 0)[0] == lib.BID_ELF_E_MODE


# --------------------------------------------------------------------------------------------- kernel compatible


NATIVE, FOREIGN = ("little", "big") if sys.byteorder == "little" else ("big", "little")
LOADS = [Part(b"", PT_LOAD)] * 255
LINUX = Note(b"Linux note\0", 9, b"123")
KERNEL = {
    "plain": (Elf([segment(gnu(ID))], order=NATIVE), ID),
    "32 bits": (Elf([segment(gnu(ID))], order=NATIVE, bits=32, type=ET_EXEC), ID),
    "foreign order": (Elf([segment(gnu(ID))], order=FOREIGN), None),
    "relocatable": (Elf([segment(gnu(ID))], order=NATIVE, type=ET_REL), None),
    "core": (Elf([segment(gnu(ID))], order=NATIVE, type=ET_CORE), None),
    "section": (Elf([], [section(gnu(ID))], order=NATIVE), None),
    "Go": (Elf([segment(go(ID))], order=NATIVE), None),
    "21 bytes": (Elf([segment(gnu(bytes(21)), gnu(ID))], order=NATIVE), ID),
    "256 headers": (Elf([*LOADS, segment(gnu(ID))], order=NATIVE), ID),
    "257 headers": (Elf([*LOADS, LOADS[0], segment(gnu(ID))], order=NATIVE), None),
    "lies": (Elf([segment(gnu(ID))], order=NATIVE, header={"phentsize": 1, "ident_version": 9, "data": 9}), ID),
    "no padding": (Elf([segment(gnu(b"12345"), size=21)], order=NATIVE), None),
    "bad segment first": (Elf([segment(offset=2**63, size=99), segment(gnu(ID))], order=NATIVE), ID),
    "size modulo 2^32": (Elf([segment(gnu(ID), size=2**32 + 36)], order=NATIVE), ID),
    "align 8, notes of 4": (Elf([segment(LINUX, gnu(ID), align=8, layout=4)], order=NATIVE), ID),
    "align 8": (Elf([segment(LINUX, gnu(ID), align=8)], order=NATIVE), None),
}


@pytest.mark.parametrize("name", KERNEL)
def test_kernel_compatible(name: str) -> None:
    elf, expected = KERNEL[name]
    assert read_build_id(elf.build(), kernel_compatible=True) == expected


@pytest.mark.parametrize("name", KERNEL)
def test_kernel_itself(tmp_path: Path, map_query: MapQuery, name: str) -> None:
    elf, expected = KERNEL[name]
    (tmp_path / "file").write_bytes(elf.build())
    assert map_query.of_file(tmp_path / "file") == expected


@given(data=broken_files())
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_kernel_agrees(tmp_path: Path, map_query: MapQuery, data: bytes) -> None:
    """The kernel itself, over broken files. Zeros follow: past the end of a file it sees the rest of the page."""
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    path.write_bytes(data + bytes(-len(data) % mmap.PAGESIZE or mmap.PAGESIZE))
    assert read_build_id(path, kernel_compatible=True) == map_query.of_file(path)


# --------------------------------------------------------------------------------------------------------- scan


def test_scan(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(GOOD.build())
    (tmp_path / "none").write_bytes(Elf().build())
    (tmp_path / "text").write_bytes(b"text")
    (tmp_path / "bad").write_bytes(GOOD.build()[:100])
    names = ["good", "none", "text", "bad", "absent", "."]
    for threads in (None, 1, 3):
        found = list(scan([tmp_path / name for name in names] * 500, threads=threads))
        assert [path for path, _ in found] == [tmp_path / name for name in names] * 500
        kinds = [result if isinstance(result, (bytes, type(None))) else type(result) for _, result in found]
        assert kinds == [ID, None, NotElfError, ElfError, FileNotFoundError, IsADirectoryError] * 500
    assert list(scan([])) == []
    with pytest.raises(ValueError, match="threads"):
        scan([], threads=0)


def test_scan_is_lazy(tmp_path: Path) -> None:
    path = tmp_path / "good"
    path.write_bytes(GOOD.build())
    endless = scan(itertools.repeat(path), threads=2)
    assert [result for _, result in itertools.islice(endless, 1000)] == [ID] * 1000
    endless.close()  # type: ignore[attr-defined]


def test_scan_yields_what_it_has_before_an_error_of_the_paths() -> None:
    def paths() -> Iterator[str]:
        yield from ["/dev/null"] * 300
        raise OSError("no more")

    results = scan(paths())
    assert len([next(results) for _ in range(300)]) == 300
    with pytest.raises(OSError, match="no more"):
        next(results)


def test_a_scan_may_be_collected_by_one_of_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it is garbage in a circle. The thread here drops the last reference, when it reads that path."""
    begun, gone = threading.Event(), threading.Event()
    errors: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", errors.append)

    class Dropping(os.PathLike):  # type: ignore[type-arg]
        def __fspath__(self) -> str:
            assert begun.wait(60)
            scans.clear()
            gone.set()
            return "/dev/null"

    scans = [scan(["/dev/null"] * 300 + [Dropping()], threads=1)]
    next(scans[0])
    begun.set()
    assert gone.wait(60)
    assert not scans
    assert not errors


def test_descriptors_are_whole_numbers() -> None:
    class Number:
        def __init__(self, value: int) -> None:
            self.value = value

        def __index__(self) -> int:
            return self.value

    with open(sys.executable, "rb") as file:
        assert read_build_id(Number(file.fileno())) == read_build_id(sys.executable)  # type: ignore[arg-type]
    for number in (2**40, -1):
        with pytest.raises(OSError, match=f"fd {number}"):
            read_build_id(number)


def test_an_array_of_numpy_is_bytes_and_no_descriptor() -> None:
    np = pytest.importorskip("numpy")
    data = np.fromfile(sys.executable, np.uint8)
    assert read_build_id(data) == read_build_id(sys.executable)
    with open(sys.executable, "rb") as file:
        assert read_build_id(np.int64(file.fileno())) == read_build_id(sys.executable)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "source must be a path, a file descriptor or the bytes of a file, not NoneType"),
        (io.BytesIO(b""), "not BytesIO"),
        (memoryview(bytes(64))[::2], "source must be contiguous"),
    ],
    ids=["none", "file", "strided"],
)
def test_no_source(source: Any, message: str) -> None:
    for read in (read_build_id, read_note):
        with pytest.raises(ArgumentTypeError, match=message):
            read(source)


def test_arguments_are_named_when_they_are_wrong() -> None:
    for offset, error in ((-1, ArgumentRangeError), (2**63, ArgumentRangeError), ("a", ArgumentTypeError)):
        with pytest.raises(error, match="offset must be"):
            read_build_id(sys.executable, offset=offset)  # type: ignore[arg-type]
    for threads, error in ((-1, ArgumentRangeError), ("a", ArgumentTypeError)):
        with pytest.raises(error, match="threads must be"):
            scan([], threads=threads)  # type: ignore[arg-type]
    for paths in (None, 5):
        with pytest.raises(ArgumentTypeError, match="paths must be several paths, not "):
            scan(paths)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="source must be a path or a file descriptor, not bytes"):
        core_modules(b"\x7fELF")  # type: ignore[arg-type]


def test_scan_goes_on_after_a_path_that_cannot_be() -> None:
    results = [result for _, result in scan([sys.executable, "a\0b", sys.executable])]
    assert results[0] == results[2]
    assert isinstance(results[1], OSError)
    assert results[1].filename == "a\0b"
    for one in ("/bin", b"/bin"):
        with pytest.raises(TypeError, match="paths must be several"):
            scan(one)  # type: ignore[type-var]
