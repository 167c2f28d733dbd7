# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""mappings() and normalize(): against the files themselves, the two sources against each other, and what goes wrong."""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from capabilities import without_map_files
from click.testing import CliRunner
from elfbuild import Elf, Part, gnu

import pybuildid
from pybuildid import Mapping, _procfs, mappings, normalize, read_build_id
from pybuildid.cli import main
from pybuildid.errors import ArgumentRangeError, ArgumentTypeError
from pybuildid.process import ProcessAccessError, ProcessError, ProcessGoneError

ID = bytes(range(20))


@contextmanager
def mapped(path: Path) -> Iterator[int]:
    """The address at which a file is mapped here."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        data = pybuildid._core.ffi.from_buffer(view)
        try:
            yield int(pybuildid._core.ffi.cast("uintptr_t", data))
        finally:
            pybuildid._core.ffi.release(data)


def elf_with_id(build_id: bytes) -> bytes:
    return Elf(segments=[Part([gnu(build_id)])]).build()


def at(address: int, source: str = "auto") -> Mapping:
    (found,) = [mapping for mapping in mappings(source=source) if mapping.start <= address < mapping.end]
    return found


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    path = tmp_path / "an elf"
    path.write_bytes(elf_with_id(ID))
    return path


@contextmanager
def sleeping() -> Iterator[int]:
    """The number of a process that has been started as a whole, and waits."""
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            for _ in range(200):
                if Path(f"/proc/{child.pid}/wchan").read_text() == "hrtimer_nanosleep":
                    break
                names = {os.path.basename(mapping.path) for mapping in mappings(child.pid, source="text")}
                if not names.isdisjoint(("sleep", "coreutils", "busybox")) and any("libc" in name for name in names):
                    break
                time.sleep(0.05)
            yield child.pid
        finally:
            child.kill()


@pytest.fixture
def no_map_files() -> Iterator[None]:
    """As for a user without CAP_CHECKPOINT_RESTORE."""
    with without_map_files():
        yield


def has_query() -> bool:
    try:
        mappings(source="query")
    except ProcessError as error:
        if error.errno != errno.ENOTTY:
            raise
        return False
    return True


@pytest.fixture(params=["query", "text"])
def source(request: pytest.FixtureRequest) -> str:
    if request.param == "query" and not has_query():
        pytest.skip("this kernel has no PROCMAP_QUERY: it came with Linux 6.11")
    return str(request.param)


def generation(path: Path) -> int | None:
    """By FS_IOC_GETVERSION: see ioctl(2)."""
    number = bytearray(8)
    with open(path, "rb") as file:
        try:
            fcntl.ioctl(file, 0x80087601, number)
        except OSError:
            return None
    return int.from_bytes(number[:4], sys.byteorder)


def test_a_file(elf: Path, source: str) -> None:
    with mapped(elf) as address:
        found = at(address, source)
    status = elf.stat()
    assert (found.path, found.deleted, found.inode) == (str(elf), False, status.st_ino)
    assert (found.permissions, found.offset) == ("r--s", 0)
    assert (found.build_id, found.problem) == (ID, None)
    assert found.generation == generation(elf)
    with pytest.raises(FrozenInstanceError):
        found.start = 0  # type: ignore[misc]


def test_both_sources_agree(elf: Path) -> None:
    """But for the vsyscall page, which is no memory area."""
    with sleeping() as pid:
        queried = mappings(pid, source="query")
        text = mappings(pid, source="text")
    assert queried == [mapping for mapping in text if mapping.path != "[vsyscall]"]
    assert {mapping.path for mapping in queried if mapping.build_id} >= {os.path.realpath(shutil.which("sleep") or "")}


def test_every_id_is_that_of_its_file(source: str) -> None:
    checked = 0
    for mapping in mappings(source=source):
        if mapping.is_file and mapping.build_id and not mapping.deleted:
            assert read_build_id(mapping.path) == mapping.build_id
            checked += 1
    assert checked > 10


def test_a_longer_id_than_the_kernel_takes(tmp_path: Path, source: str) -> None:
    path = tmp_path / "long"
    path.write_bytes(elf_with_id(bytes(32)))
    with mapped(path) as address:
        assert at(address, source).build_id == bytes(32)


def test_a_deleted_file(elf: Path, source: str) -> None:
    with mapped(elf) as address:
        elf.unlink()
        found = at(address, source)
    assert (found.path, found.deleted) == (str(elf), True)
    if source == "query" or os.geteuid() == 0:
        assert found.build_id == ID


def test_a_deleted_file_out_of_reach(elf: Path, no_map_files: None) -> None:
    with mapped(elf) as address:
        elf.unlink()
        elf.write_bytes(elf_with_id(bytes(reversed(ID))))  # another file of that name
        found = at(address, "text")
    assert (found.deleted, found.build_id, found.generation) == (True, None, None)
    assert found.problem == "its path leads to another file now"


def test_a_file_that_is_called_deleted(tmp_path: Path, source: str) -> None:
    path = tmp_path / "it is (deleted)"
    path.write_bytes(elf_with_id(ID))
    with mapped(path) as address:
        assert (at(address, source).path, at(address, source).deleted) == (str(path), False)
        path.unlink()
        assert (at(address, source).path, at(address, source).deleted) == (str(path), True)


def test_strange_names(tmp_path: Path, source: str) -> None:
    for name in ("a\nb", " x ", "\\012", "1 2  3", os.fsdecode(b"\xff\xfe")):
        if (name, source) == ("\\012", "text"):
            continue  # the text writes a newline in the same way: it cannot be told
        path = tmp_path / name
        path.write_bytes(elf_with_id(ID))
        with mapped(path) as address:
            assert (at(address, source).path, at(address, source).build_id) == (str(path), ID)


def test_a_path_longer_than_any_call_takes(elf: Path, source: str, tmp_path: Path) -> None:
    """Made from inside: each folder is entered before the next is made."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        for _ in range(20):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        Path("long").write_bytes(elf.read_bytes())
        with mapped(Path("long")) as address:
            found = at(address, source)
    finally:
        os.fchdir(here)
        os.close(here)
        subprocess.run(["rm", "-rf", str(tmp_path / ("d" * 250))], check=True)
    assert found.path.endswith("/long")
    assert len(found.path) > 5000


def test_without_map_files(elf: Path, no_map_files: None) -> None:
    with mapped(elf) as address:
        assert at(address, "text").build_id == ID


def with_own_mounts(script: str, *arguments: object) -> str:
    """What a script prints that mounts something. It ends with 77 where it may not."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting needs root, and unshare (apt-get install util-linux)")
    command = ["unshare", "--mount", sys.executable, "-c", script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    if result.returncode == 77:
        pytest.skip(f"this file system cannot be mounted here: {result.stderr}")
    assert result.returncode == 0, result.stderr
    return result.stdout


OVERLAY = """
import mmap, os, sys
from capabilities import without_map_files
from pybuildid import mappings
base, old, new = sys.argv[1:]
for name in ("lower", "upper", "work", "merged"):
    os.mkdir(f"{base}/{name}")
os.rename(f"{base}/an elf", f"{base}/lower/an elf")
layers = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
if os.system(f"mount -t overlay overlay -o {layers} {base}/merged"):
    sys.exit(77)
path = f"{base}/merged/an elf"
def view():
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
def show():
    for source in ("text", "auto"):
        print(*sorted(m.build_id.hex() for m in mappings(source=source) if m.path == path))
original = view()
show()
with open(path, "r+b") as file:
    changed = file.read().replace(bytes.fromhex(old), bytes.fromhex(new))
    file.seek(0)
    file.write(changed)
copy = view()
show()
with without_map_files():
    show()
"""


def test_overlay(elf: Path, tmp_path: Path) -> None:
    """What is mapped stays the original, with the device, the number and the path that a copy of it has."""
    other = bytes(range(100, 120))
    shown = with_own_mounts(OVERLAY, tmp_path, ID.hex(), other.hex()).splitlines()
    assert shown == [ID.hex()] * 2 + [" ".join(sorted((ID.hex(), other.hex())))] * 4


BTRFS = """
import mmap, os, shutil, sys
from capabilities import without_map_files
from pybuildid import mappings
base, = sys.argv[1:]
os.truncate(os.open(f"{base}/image", os.O_CREAT | os.O_RDWR), 1 << 27)
os.mkdir(f"{base}/top")
if os.system(f"mkfs.btrfs -q {base}/image >&2 && mount -o loop {base}/image {base}/top"):
    sys.exit(77)
kept = []
for name in ("one", "two"):
    os.system(f"btrfs -q subvolume create {base}/top/{name}")
    path = shutil.copy(f"{base}/{name}", f"{base}/top/{name}/file")
    with open(path, "rb") as file:
        kept.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    print("stat", os.stat(path).st_dev, os.stat(path).st_ino)
def show():
    for source in ("text", "auto"):
        for m in sorted(mappings(source=source), key=lambda m: m.path):
            if m.path.endswith("/file"):
                print(m.device, m.inode, m.deleted, m.build_id.hex())
show()
with without_map_files():
    show()
for name in ("one", "two"):
    os.unlink(f"{base}/top/{name}/file")
show()
"""


def test_btrfs(tmp_path: Path) -> None:
    """Files of two subvolumes that share device and inode number in maps, and have another device by stat(); also if
    they are found by their paths alone."""
    if not shutil.which("mkfs.btrfs"):
        pytest.skip("no mkfs.btrfs: apt-get install btrfs-progs")
    other = bytes(reversed(ID))
    (tmp_path / "one").write_bytes(elf_with_id(ID))
    (tmp_path / "two").write_bytes(elf_with_id(other))
    shown = with_own_mounts(BTRFS, tmp_path)
    (_, first, inode), (_, second, same), *found = (line.split() for line in shown.splitlines())
    assert first != second
    assert inode == same
    (device,) = {row[0] for row in found}
    assert device not in (first, second)
    there, deleted = ([[device, inode, told, wanted.hex()] for wanted in (ID, other)] for told in ("False", "True"))
    assert found == [*there * 4, *deleted * 2]


def test_the_vdso(source: str) -> None:
    vdso = [mapping for mapping in mappings(source=source) if mapping.path == "[vdso]"]
    if not vdso:
        pytest.skip("this process has no vDSO (the kernel was started with vdso=0)")
    assert vdso[0].build_id
    assert not vdso[0].is_file


def test_not_elf(tmp_path: Path, source: str) -> None:
    path = tmp_path / "text"
    path.write_text("not ELF\n")
    with mapped(path) as address:
        assert (at(address, source).build_id, at(address, source).problem) == (None, None)


def test_damaged(tmp_path: Path, source: str) -> None:
    """That is a problem, and not the same as to have none."""
    path = tmp_path / "damaged"
    path.write_bytes(elf_with_id(ID)[:60])
    with mapped(path) as address:
        found = at(address, source)
    assert found.build_id is None
    assert found.problem == "a header or note lies past the end of the file, at offset 0x0"


def test_devices_are_not_opened() -> None:
    with open("/dev/zero", "r+b", buffering=0) as zero, mmap.mmap(zero.fileno(), 4096, mmap.MAP_PRIVATE):
        found = [mapping for mapping in mappings() if mapping.path == "/dev/zero"]
    assert [(mapping.build_id, mapping.problem) for mapping in found] == [(None, "not a regular file")]


def test_leaves_no_descriptors(elf: Path, request: pytest.FixtureRequest) -> None:
    """Neither of a file, nor of another one that its path leads to now."""
    for _ in range(2):
        with mapped(elf):
            before = len(os.listdir("/proc/self/fd"))
            mappings()
            elf.unlink()
            elf.write_bytes(elf_with_id(ID))
            mappings()
            assert len(os.listdir("/proc/self/fd")) <= before
        request.getfixturevalue("no_map_files")


def test_the_end_of_a_mapping_is_outside() -> None:
    """At the ends of two mappings with a hole between them."""
    with sleeping() as pid:
        all_of_it = mappings(pid)
        one, two = next((a, b) for a, b in zip(all_of_it, all_of_it[1:]) if a.end < b.start)
        addresses = [all_of_it[0].start - 1, one.start, one.end - 1, one.end, two.start - 1, two.start, 2**64 - 1]
        told = [location.mapping for location in normalize(pid, addresses)]
    assert told == [None, one, one, None, None, two, None]


def test_normalize(elf: Path) -> None:
    with mapped(elf) as address:
        first, none, inside = normalize(None, [address, 1, address + 7])
    assert (first.build_id, first.offset) == (ID, 0)
    assert (inside.build_id, inside.offset) == (ID, 7)
    assert (none.build_id, none.offset, none.mapping) == (None, None, None)


def test_arguments_are_named_when_they_are_wrong() -> None:
    for pid in ("1", 1.5):
        with pytest.raises(ArgumentTypeError, match=f"pid must be an integer, not {type(pid).__name__}"):
            mappings(pid)  # type: ignore[arg-type]
    for addresses in (5, None, "abc", b"ab"):
        with pytest.raises(ArgumentTypeError, match="addresses must be integers in"):
            normalize(None, addresses)  # type: ignore[arg-type]
    with pytest.raises(ArgumentRangeError, match=r"addresses\[1\] must be 0 to 2\*\*64 - 1, not -1"):
        normalize(None, [1, -1])


def test_normalize_code_of_another_process() -> None:
    """By the offset, the bytes at an address are those of the file."""
    with sleeping() as pid:
        codes = [mapping for mapping in mappings(pid) if "x" in mapping.permissions and mapping.is_file]
        for location in normalize(pid, [mapping.start + 0x123 for mapping in codes]):
            assert location.mapping is not None
            assert location.offset is not None
            with open(location.mapping.path, "rb") as file, open(f"/proc/{pid}/mem", "rb") as memory:
                file.seek(location.offset)
                memory.seek(location.address)
                assert file.read(64) == memory.read(64)
    assert len(codes) >= 2


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    with pytest.raises(pybuildid.ProcessGoneError, match=f"process {child.pid}: there is no such process") as caught:
        mappings(child.pid)
    assert isinstance(caught.value, ProcessLookupError)


def test_a_zombie() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        with pytest.raises(pybuildid.ProcessGoneError, match="has ended"):
            mappings(child)
    finally:
        os.waitpid(child, 0)


def test_no_permission() -> None:
    if os.geteuid() != 0:
        pytest.skip("giving up the rights of root needs them: run as root")
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            mappings(1)
        except pybuildid.ProcessAccessError as error:
            os._exit(0 if isinstance(error, PermissionError) and error.pid == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_kernels_own_threads_have_no_mappings() -> None:
    for pid in os.listdir("/proc"):
        flags = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6] if pid.isdigit() else "0"
        if int(flags) & 0x00200000:  # PF_KTHREAD
            assert mappings(int(pid)) == []
            return
    pytest.skip("no kernel thread is visible here: this is a container")


def test_unknown_source() -> None:
    with pytest.raises(ValueError, match="source must be"):
        mappings(source="maps")


def test_lines() -> None:
    line = "7ffe-8000 r-xp 00001000 fd:01 42                         /a\\012b (deleted)"
    area = _procfs.parse_line(line)
    assert area == _procfs.Area(0x7FFE, 0x8000, "r-xp", 0x1000, os.makedev(0xFD, 1), 42, "/a\nb (deleted)")
    with pytest.raises(ValueError, match="not a line"):
        _procfs.parse_line("nonsense")


# ------------------------------------------------------------------------------------------- the command line


def test_command_json() -> None:
    result = CliRunner().invoke(main, ["maps", str(os.getpid()), "--json", "-"])
    assert result.exit_code == 0
    rows = json.loads(result.output)
    assert {row["build_id"] for row in rows if row["inode"]} >= {(read_build_id(pybuildid._core.__file__) or b"").hex()}
    assert any(row["path"] == "[vdso]" for row in rows)


def test_command_json_of_a_file(elf: Path) -> None:
    elf.write_bytes(elf.read_bytes().ljust(3 * mmap.PAGESIZE, b"\0"))
    with (
        open(elf, "rb") as file,
        mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=mmap.PAGESIZE) as view,
    ):
        data = pybuildid._core.ffi.from_buffer(view)
        address = int(pybuildid._core.ffi.cast("uintptr_t", data)) + 5
        mapping = at(address)
        listed = json.loads(CliRunner().invoke(main, ["maps", str(os.getpid()), "--json", "-"]).output)
        command = ["maps", str(os.getpid()), "--json", "-", "--address", f"{address:x}", "--address", "1"]
        (found, nothing) = json.loads(CliRunner().invoke(main, command).output)
        pybuildid._core.ffi.release(data)
    expected = {
        "start": address - 5,
        "end": mapping.end,
        "permissions": "r--p",
        "offset": mmap.PAGESIZE,
        "device": f"{os.major(mapping.device)}:{os.minor(mapping.device)}",
        "inode": elf.stat().st_ino,
        "generation": mapping.generation,
        "path": str(elf),
        "deleted": False,
        "build_id": ID.hex(),
        "problem": None,
    }
    assert expected in listed
    assert found == {"address": address, "build_id": ID.hex(), "offset": mmap.PAGESIZE + 5, "mapping": expected}
    assert nothing == {"address": 1, "build_id": None, "offset": None, "mapping": None}


def test_command_table_of_problems(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(elf_with_id(ID)[:60])
    with mapped(path):
        result = CliRunner().invoke(main, ["maps", str(os.getpid())])
    (line,) = [line for line in result.output.splitlines() if str(path) in line]
    assert "(a header or note lies past the end of the file, at offset 0x0)" in line


def test_command_table(elf: Path) -> None:
    with mapped(elf) as address:
        result = CliRunner().invoke(main, ["maps", str(os.getpid())])
        resolved = CliRunner().invoke(main, ["maps", str(os.getpid()), "--address", f"{address + 16:x}"])
    assert result.exit_code == 0
    (line,) = [line for line in result.output.splitlines() if "an elf" in line]
    assert line.split()[:2] == [f"{address:x}-{address + mmap.PAGESIZE:x}", "r--s"]
    assert ID.hex() in line
    assert resolved.output.splitlines()[1].split()[:3] == [f"{address + 16:x}", ID.hex(), "10"]


def test_command_shows_strange_names(tmp_path: Path) -> None:
    """Each on one line, and without moving the cursor."""
    path = tmp_path / "a\n\x1b[2J"
    path.write_bytes(elf_with_id(ID))
    with mapped(path) as address:
        shown = CliRunner().invoke(main, ["maps", str(os.getpid())]).output
        resolved = CliRunner().invoke(main, ["maps", str(os.getpid()), "--address", f"{address:x}"]).output
    for output in (shown, resolved):
        (line,) = [line for line in output.splitlines() if ID.hex() in line]
        assert line.rstrip().endswith("a\\n\\x1b[2J")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["4194304"], 1, "Error: process 4194304: there is no such process"),
        (["0"], 2, "is not a process number"),
        (["1", "--address", "zz"], 2, "'zz' is not a hexadecimal address"),
    ],
)
def test_command_errors(arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(main, ["maps", *arguments])
    assert result.exit_code == code
    assert message in result.output


@pytest.mark.parametrize("kind", [ProcessGoneError, ProcessAccessError, ProcessError])
def test_errors_come_through_a_pool_of_processes(kind: type[ProcessError]) -> None:
    error = pickle.loads(pickle.dumps(kind(3, "No such process", 7)))
    assert (type(error), str(error), error.pid, error.errno) == (kind, "process 7: No such process", 7, 3)
