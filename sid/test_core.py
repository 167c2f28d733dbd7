# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The modules of core dumps: real ones against eu-unstrip, made ones of every form, and damaged ones."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from elfbuild import ABI_TAG, CORE, ET_CORE, PT_LOAD, Elf, Note, Part, gnu, go, number
from hypothesis import given, settings
from hypothesis import strategies as st

from pybuildid.cli import main
from pybuildid.elf import ElfError, NotElfError, read_build_id
from pybuildid.elf.core import NOT_DUMPED, NT_AUXV, NT_FILE, CoreModule, core_modules

ID = bytes(range(1, 21))
FORMS = [(bits, order) for bits in (32, 64) for order in ("little", "big")]
BASE, LIBRARY, IMAGE, VDSO, DATA = 0x400000, 0x500000, 0x600000, 0x700000, 0x800000
PAGE = 4096
PF_R, PF_X = 4, 5


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


# -------------------------------------------------------------------------------------------------- real dumps

#: A module by its start, its build ID, and where that is.
Found = tuple[int, "bytes | None", "int | None"]


def eu_unstrip(core: Path) -> set[Found]:
    """START+SIZE BUILDID@ADDRESS FILE DEBUGFILE MODULENAME for each module."""
    if not shutil.which("eu-unstrip"):
        pytest.skip("no eu-unstrip here: apt-get install elfutils")
    output = subprocess.run(["eu-unstrip", "-n", f"--core={core}"], capture_output=True, text=True, check=True).stdout
    found: set[Found] = set()
    for line in output.splitlines():
        place, build_id = line.split(" ")[:2]
        hexadecimal, _, address = build_id.partition("@")
        start = int(place.partition("+")[0], 16)
        known = hexadecimal != "-"
        found.add((start, bytes.fromhex(hexadecimal) if known else None, int(address, 16) if known else None))
    return found


def check_against_eu_unstrip(core: Path) -> list[CoreModule]:
    modules = core_modules(core)
    assert modules
    assert {(module.start, module.build_id, module.id_address) for module in modules} == eu_unstrip(core)
    return modules


def test_a_process_that_aborts(tmp_path: Path) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern[:1] in ("|", "/", ""):
        pytest.skip(f"core dumps do not go into the process's directory here: sysctl kernel.core_pattern is {pattern}")
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard != resource.RLIM_INFINITY:
        pytest.skip(f"core dumps are limited to {hard} bytes here: ulimit -H -c")
    program = "import os, resource, zlib, ctypes; resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)); os.abort()"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.DEVNULL)
    assert run.returncode == -6
    dumps = list(tmp_path.iterdir())
    if not dumps:
        pytest.skip("the kernel wrote no core dump: is this a container of another PID namespace?")
    modules = check_against_eu_unstrip(dumps[0])
    paths = {module.path: module for module in modules}
    assert paths[os.path.realpath(sys.executable)].build_id == read_build_id(sys.executable)
    assert paths["[vdso]"].build_id
    assert len(modules) > 4
    lines = CliRunner().invoke(main, ["id", str(dumps[0])]).stdout.splitlines()
    assert lines == [f"{module.build_id.hex() if module.build_id else '-'} {module.path}" for module in modules]


def test_a_dump_by_gcore(tmp_path: Path) -> None:
    """Of a debugger: another writer of NT_FILE and of program headers."""
    if not shutil.which("gcore"):
        pytest.skip("no gcore here: apt-get install gdb")
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            command = ["gcore", "-o", str(tmp_path / "core"), str(process.pid)]
            made = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        finally:
            process.kill()
    dumps = list(tmp_path.glob("core.*"))
    if not dumps:
        pytest.skip(f"gcore may not trace here: {made.stderr.strip()[-200:]}")
    modules = check_against_eu_unstrip(dumps[0])
    assert {"[vdso]", os.path.realpath(shutil.which("sleep") or "")} <= {module.path for module in modules}


# -------------------------------------------------------------------------------------------------- made dumps


def file_note(bits: int, order: str, files: Sequence[tuple[int, int, int, bytes]]) -> Note:
    word = bits // 8
    words = [len(files), PAGE, *(value for file in files for value in file[:3])]
    names = b"".join(file[3] + b"\0" for file in files)
    return Note(b"CORE\0", NT_FILE, b"".join(number(value, word, order) for value in words) + names)


def image(bits: int, order: str, *notes: Note) -> bytes:
    """The first page of a file, as it is in memory."""
    load = Part(b"", PT_LOAD, offset=0, vaddr=0)
    return Elf([load, Part(notes)], bits=bits, order=order).build().ljust(PAGE, b"\0")


def load(start: int, content: bytes, flags: int = PF_R) -> Part:
    return Part(content, PT_LOAD, vaddr=start, flags=flags)


def dump(bits: int = 64, order: str = "little", **header: int) -> Elf:
    """A program of two ranges with a library whose page is missing, text, an image without a file, and the vDSO."""
    files = [
        (BASE, BASE + PAGE, 0, b"/bin/program (deleted)"),
        (BASE + PAGE, BASE + 3 * PAGE, 1, b"/bin/program (deleted)"),
        (LIBRARY, LIBRARY + PAGE, 0, b"/lib/caf\xe9"),
        (LIBRARY + PAGE, LIBRARY + 2 * PAGE, 1, b"/lib/caf\xe9"),
        (DATA, DATA + PAGE, 0, b"/etc/text"),
    ]
    vector = b"".join(number(value, bits // 8, order) for value in (3, 0x400040, 33, VDSO, 0, 0))
    notes = Part([CORE, file_note(bits, order, files), Note(b"CORE\0", NT_AUXV, vector), Note(b"LINUX\0", 1, b"1")])
    loads = [
        load(BASE, image(bits, order, ABI_TAG, gnu(ID))),
        load(BASE + PAGE, b"", PF_X),
        load(LIBRARY, b""),
        load(LIBRARY + PAGE, b"", PF_X),
        load(IMAGE, image(bits, order, gnu(bytes(8)))),
        load(VDSO, image(bits, order, gnu(bytes(20))), PF_X),
        load(DATA, b"text".ljust(PAGE, b"\0")),
    ]
    return Elf([notes, *loads], bits=bits, order=order, type=ET_CORE, header=header)


def expected() -> list[CoreModule]:
    bits64 = image(64, "little", ABI_TAG, gnu(ID)).index(ID)
    short = image(64, "little", gnu(bytes(20))).index(gnu(bytes(20)).encode("little")) + 16
    return [
        CoreModule(BASE, BASE + 3 * PAGE, ID, BASE + bits64, "/bin/program", True, None),
        CoreModule(LIBRARY, LIBRARY + 2 * PAGE, None, None, "/lib/caf\udce9", False, NOT_DUMPED),
        CoreModule(IMAGE, IMAGE + PAGE, bytes(8), IMAGE + short, "", False, None),
        CoreModule(VDSO, VDSO + PAGE, bytes(20), VDSO + short, "[vdso]", False, None),
    ]


@pytest.mark.parametrize(("bits", "order"), FORMS)
def test_every_form(tmp_path: Path, bits: int, order: str) -> None:
    path = tmp_path / "core"
    path.write_bytes(dump(bits, order).build())
    found = core_modules(path)
    assert found
    assert [(m.start, m.end, m.build_id, m.path, m.problem) for m in found] == [
        (m.start, m.end, m.build_id, m.path, m.problem) for m in expected()
    ]
    if bits == 64:
        assert found == expected()
    with path.open("rb") as file:
        assert core_modules(file.fileno()) == found
        assert file.tell() == 0


def test_more_segments_than_the_header_counts(tmp_path: Path) -> None:
    elf = dump()
    path = tmp_path / "core"
    path.write_bytes(Elf(elf.segments, type=ET_CORE, xnum=True).build())
    assert core_modules(path) == expected()


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(Elf([Part([gnu(ID)])]).build())
    assert core_modules(path) is None
    path.write_bytes(b"text")
    with pytest.raises(NotElfError):
        core_modules(path)
    with pytest.raises(FileNotFoundError):
        core_modules(tmp_path / "none")
    path.write_bytes(dump(phentsize=55).build())
    with pytest.raises(ElfError, match="program headers"):
        core_modules(path)


def test_a_module_whose_build_id_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "core"
    files = [(BASE, BASE + PAGE, 0, b"/bin/none"), (LIBRARY, LIBRARY + PAGE, 0, b"/bin/go")]
    loads = [load(BASE, image(64, "little", ABI_TAG)), load(LIBRARY, image(64, "little", go(bytes(83))))]
    path.write_bytes(Elf([Part([file_note(64, "little", files)]), *loads], type=ET_CORE).build())
    found = core_modules(path)
    assert found
    assert [(module.path, module.build_id, module.problem) for module in found] == [
        ("/bin/none", None, None),
        ("/bin/go", None, None),
    ]


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "core"
    path.write_bytes(dump().build())
    result = run("id", path)
    assert result.exit_code == 1
    assert result.stdout_bytes.decode(errors="surrogateescape").splitlines() == [
        f"{ID.hex()} /bin/program",
        f"{bytes(8).hex()} [{IMAGE:#x}]",
        f"{bytes(20).hex()} [vdso]",
    ]
    assert result.stderr == f"Error: {path}: /lib/caf\\udce9: {NOT_DUMPED}\n"
    first = json.loads(run("id", "--json", "-", path).stdout)[0]
    assert (first["core"], first["path"], first["build_id"]) == (str(path), "/bin/program", ID.hex())
    assert (first["address"], first["id_address"]) == (BASE, expected()[0].id_address)
    path.write_bytes(Elf([Part([CORE])], type=ET_CORE).build())
    assert "no module can be seen" in run("id", path).stderr
    assert "no build ID" in run("id", "--kernel-compatible", path).stderr


# ------------------------------------------------------------------------------------------------ damaged dumps


def test_cut_anywhere(tmp_path: Path) -> None:
    """What is still there is found: dumps are cut off where a disk or a limit ends."""
    path = tmp_path / "core"
    whole = dump().build()
    starts = {module.start for module in expected()}
    for size in range(0, len(whole), 61):
        path.write_bytes(whole[:size])
        try:
            found = core_modules(path)
        except ElfError:
            assert size < 64
        else:
            assert found is not None
            assert {module.start for module in found} <= starts
            assert all(module.build_id in (None, ID, bytes(8), bytes(20)) for module in found)


@given(st.data())
@settings(max_examples=300)
def test_any_damage(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Numbers that lie give fewer or other modules, or an ElfError."""
    whole = bytearray(dump(*data.draw(st.sampled_from(FORMS))).build())
    for _ in range(data.draw(st.integers(1, 4))):
        size = data.draw(st.sampled_from([1, 2, 4, 8]))
        at = data.draw(st.integers(0, 2048))
        telling = [0, 1, 5, 2**16 - 1, 2**31, 2**32 - 1, 2**63 - 100, 2**63 - 13, 2**63, 2**64 - 16, 2**64 - 1]
        value = data.draw(st.one_of(st.sampled_from(telling), st.integers(0, 2**64 - 1)))
        whole[at : at + size] = number(value, size, data.draw(st.sampled_from(["little", "big"])))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(whole)
    try:
        found = core_modules(path)
    except ElfError:
        return
    assert found is None or all(module.build_id is None or 1 <= len(module.build_id) <= 64 for module in found)


def test_a_dump_that_is_made_to_take_long(tmp_path: Path) -> None:
    """A million mapped files, and a hundred segments of the same million notes: each is read once at most."""
    count = 1_000_000
    files = b"".join(number(value, 8, "little") for value in (count, PAGE)) + bytes(24 * count)
    many = Note(b"CORE\0", NT_FILE, files).encode("little")
    path = tmp_path / "core"
    path.write_bytes(Elf([Part(many)], type=ET_CORE).build())
    assert core_modules(path) == []
    empty = Part(bytes(12 * count))
    start = 64 + 56 * 101
    again = [Part(b"", offset=start, size=12 * count)] * 100
    path.write_bytes(Elf([empty, *again], type=ET_CORE).build())
    assert core_modules(path) == []


@pytest.mark.parametrize("offset", [2**63 - 13, 2**63 - 1, 2**63, 2**64 - 1])
def test_offsets_at_the_end_of_all_files(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "core"
    loads = [load(BASE, image(64, "little", gnu(ID))), Part(b"", PT_LOAD, vaddr=LIBRARY, offset=offset, size=2**40)]
    path.write_bytes(Elf([Part([], offset=offset, size=2**40), *loads], type=ET_CORE).build())
    found = core_modules(path)
    assert found
    assert [module.build_id for module in found] == [ID]
    path.write_bytes(Elf([Part([])], type=ET_CORE, header={"phoff": offset}).build())
    assert core_modules(path) == []
