# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The build IDs of real files, against every other reader: readelf, eu-readelf, pyelftools, and the kernel itself.

`make test` takes a sample of the ELF files under /usr, that is the same each time; `make readers` takes all of them.
Each disagreement that is known has an entry in KNOWN, with its reason; any other fails.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from procmap import MapQuery

from pybuildid._core import ffi, lib
from pybuildid.elf import NotElfError, read_build_id, scan

ALL_FILES = os.environ.get("PYBUILDID_ALL_FILES") == "1"
SAMPLE = 300
TIMED = 100  # files, at least, that the speed is compared over
TEXT_ID = re.compile(r"^\s*Build ID: ([0-9a-f]+)", re.MULTILINE)
FILE_LINE = re.compile(r"^(?:File: |)(/.*?):?$", re.MULTILINE)

Answers = dict[str, "str | None"]  #: by path: the first build ID that a reader names, in hexadecimal


@functools.lru_cache(1)
def elf_files() -> list[str]:
    """Files under /usr that begin like ELF."""
    paths = (os.path.join(top, name) for top, _, names in os.walk("/usr") for name in names)
    files = sorted(path for path in paths if os.path.isfile(path) and not os.path.islink(path))
    random.Random(1).shuffle(files)
    found = (path for path, result in scan(files, unpack=False) if not isinstance(result, (NotElfError, OSError)))
    return list(found if ALL_FILES else itertools.islice(found, SAMPLE))


# ------------------------------------------------------------------------------------- what other readers answer


def printed(tool: str, package: str, files: list[str]) -> Answers:
    """What a readelf prints. A file that it cannot read has no build ID in its words."""
    if not shutil.which(tool):
        pytest.skip(f"no {tool} here: apt-get install {package}")
    found: Answers = {}
    for at in range(0, len(files), 200):
        batch = files[at : at + 200]
        # Twice the first, as one file alone is printed without its name.
        command = [tool, "-n", batch[0], *batch]
        run = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C"})
        chunks = FILE_LINE.split(run.stdout.decode(errors="replace"))
        for name, text in zip(chunks[1::2], chunks[2::2]):
            found[name] = next(iter(TEXT_ID.findall(text)), None)
    return found


def by_pyelftools(files: list[str]) -> Answers:
    elffile = pytest.importorskip("elftools.elf.elffile", reason="no pyelftools here: pip install pyelftools")
    return {path: _by_pyelftools(elffile.ELFFile, path) for path in files}


def _by_pyelftools(reader: Callable[..., object], path: str) -> str | None:
    with open(path, "rb") as file:
        elf: object = reader(file)
        segments, sections = elf.iter_segments("PT_NOTE"), elf.iter_sections("SHT_NOTE")  # type: ignore[attr-defined]
        for part in itertools.chain(segments, sections):
            for note in part.iter_notes():
                if (note["n_name"], note["n_type"]) == ("GNU", "NT_GNU_BUILD_ID"):
                    return str(note["n_desc"])
    return None


READERS: dict[str, Callable[[list[str]], Answers]] = {
    "readelf": functools.partial(printed, "readelf", "binutils"),
    "eu-readelf": functools.partial(printed, "eu-readelf", "elfutils"),
    "pyelftools": by_pyelftools,
}


# ------------------------------------------------------------------------------------------- known disagreements


def has_go_id_alone(path: str, theirs: str | None) -> bool:
    elf = ffi.new("struct bid_elf *")
    with open(path, "rb") as file:
        status = lib.bid_elf_read_fd(elf, lib.BID_ELF_FILE, file.fileno())
    return bool(status == lib.BID_ELF_OK and elf.id_owner == lib.BID_ELF_OWNER_GO and theirs is None)


#: Reasons, and whether one holds for a file of which a reader says `theirs`.
KNOWN: dict[str, Callable[[str, str | None], bool]] = {
    "they do not take a Go build ID for one": has_go_id_alone,
}


def disagreements(files: list[str], theirs: Answers) -> Iterator[str]:
    for path, result in scan(files, unpack=False):
        ours = result.hex() if isinstance(result, bytes) else None
        other = theirs.get(path)
        if ours != other and not any(holds(path, other) for holds in KNOWN.values()):
            yield f"{path}: {result!r}, theirs {other}"


@pytest.mark.parametrize("reader", READERS)
def test_other_readers_agree(reader: str) -> None:
    files = elf_files()
    theirs = READERS[reader](files)
    assert set(theirs) == set(files)
    assert sum(answer is not None for answer in theirs.values()) >= len(files) // 10
    assert list(disagreements(files, theirs)) == []


FOREIGN = ("powerpc64", "powerpc", "mips64", "s390x", "aarch64_be", "aarch64", "riscv32", "i386")
A_NOTE = """
.section .note.gnu.build-id, "a", %note
.long 4, 8, 3
.asciz "GNU"
.byte 1, 2, 3, 4, 5, 6, 7, 8
"""


@pytest.mark.parametrize("reader", READERS)
def test_other_readers_agree_on_files_of_other_machines(reader: str, tmp_path: Path) -> None:
    """Both classes and byte orders, as a real assembler writes them: /usr has files of this machine alone."""
    names = ("clang", *(f"clang-{version}" for version in range(25, 10, -1)))
    clang = next(filter(None, map(shutil.which, names)), None)
    if not clang:
        pytest.skip("no assembler for other machines here: apt-get install clang")
    (tmp_path / "note.s").write_text(A_NOTE)
    files = [str(tmp_path / f"{machine}.o") for machine in FOREIGN]
    for machine, file in zip(FOREIGN, files):
        subprocess.run([clang, f"--target={machine}-linux-gnu", "-c", "-o", file, tmp_path / "note.s"], check=True)
    assert {Path(file).read_bytes()[4:6] for file in files} == {b"\1\1", b"\1\2", b"\2\1", b"\2\2"}
    assert READERS[reader](files) == dict.fromkeys(files, "0102030405060708")
    assert list(scan(files)) == [(file, bytes(range(1, 9))) for file in files]
    assert list(scan(files, kernel_compatible=True)) == [(file, None) for file in files]


# ---------------------------------------------------------------------------------------------------- the kernel


def test_the_kernel_agrees_on_files(map_query: MapQuery) -> None:
    files = elf_files()
    assert files
    ours = {path: read_build_id(path, kernel_compatible=True) for path in files}
    assert {path: build_id for path, build_id in ours.items() if build_id != map_query.of_file(Path(path))} == {}


def mapped_elf(pid: int) -> Iterator[tuple[int, str]]:
    """The first address and a path of each file that a process has mapped."""
    seen = set()
    for line in Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape").splitlines():
        words = line.split(maxsplit=5)
        if words[4] != "0" and (words[3], words[4]) not in seen:
            seen.add((words[3], words[4]))
            start, end = (int(part, 16) for part in words[0].split("-"))
            link = f"/proc/{pid}/map_files/{start:x}-{end:x}"
            yield start, link if os.access(link, os.R_OK) else words[5]


def answers(query: MapQuery, start: int, path: str) -> tuple[bytes | None, bytes | None] | None:
    """Ours, and the kernel's. Again where they differ: a process may map or write something else in between."""
    for _ in range(5):
        theirs = query.build_id(start)
        try:
            ours = read_build_id(path, kernel_compatible=True)
        except OSError:
            return None  # no regular file, or not ours to read
        if ours == theirs:
            break
    return ours, theirs


def compare_process(pid: int) -> tuple[int, list[str]]:
    """How many files of a process were compared, and those of which the kernel says otherwise."""
    compared, different = 0, []
    with MapQuery(pid) as query:
        for start, path in mapped_elf(pid):
            with suppress(FileNotFoundError, ProcessLookupError, IsADirectoryError):  # gone meanwhile, or by its name
                found = answers(query, start, path)
                compared += found is not None
                if found and found[0] != found[1]:
                    different.append(
                        f"process {pid}, {os.path.realpath(path)}: {found[0]!r}, the kernel says {found[1]!r}"
                    )
    return compared, different


@pytest.mark.usefixtures("map_query")
def test_the_kernel_agrees_on_what_is_mapped() -> None:
    """In every process that may be read, as it runs."""
    compared, different = 0, []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                count, found = compare_process(int(name))
                compared += count
                different += found
    own, _ = compare_process(os.getpid())
    assert 0 < own <= compared
    assert different == []


# --------------------------------------------------------------------------------------------------------- speed


def test_twice_as_fast_as_eu_readelf() -> None:
    """scan() over files in memory, against one process of eu-readelf that prints the notes of the same files.

    The best of three each, taken in turns. `make readers` prints microseconds a file.
    """
    if not shutil.which("eu-readelf"):
        pytest.skip("no eu-readelf here: apt-get install elfutils")
    files = elf_files()
    assert len(files) >= TIMED
    ours, theirs = [], []
    for _ in range(3):
        began = time.perf_counter()
        results = list(scan(files))
        ours.append(time.perf_counter() - began)
        assert any(isinstance(result, bytes) for _, result in results)
        began = time.perf_counter()
        subprocess.run(["eu-readelf", "-n", *files], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        theirs.append(time.perf_counter() - began)
    micro = 1e6 / len(files)
    told = f"{len(files):,} files: scan() {min(ours) * micro:.1f} us a file, eu-readelf -n {min(theirs) * micro:.1f} us"
    print(told)
    assert min(theirs) >= 2 * min(ours), told
