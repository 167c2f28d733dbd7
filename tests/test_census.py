# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""pybuildid.census(): exact counts over processes that are made for it, and what it says of what it cannot see."""

from __future__ import annotations

import errno
import mmap
import os
import random
import sys
import types
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import pytest
from counted import STANDARD, Only, program
from elfbuild import PT_LOAD, Elf, Part, gnu

from pybuildid import census
from pybuildid._iterators import IteratorError, Iterators
from pybuildid._rights import as_root
from pybuildid.census import UnsupportedCensusError, _drgn, _kcmp, _slabs, host
from pybuildid.census._build_ids import Place, count_build_ids
from pybuildid.census._counts import Limit
from pybuildid.census.designs import designs, table_bytes

pytestmark = pytest.mark.usefixtures("records")  # it reads the first page of every file, as a recording does


@pytest.fixture
def kcmp() -> None:
    error = _kcmp.available()
    if error:
        pytest.skip(f"no kcmp here (CONFIG_KCMP, seccomp): {error}")


# ------------------------------------------------------------------------------------------------------- kcmp


@pytest.mark.usefixtures("kcmp")
def test_files_are_told_apart_as_kernel_objects(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    first, second = (os.open(path, os.O_RDONLY) for _ in range(2))
    copy = os.dup(first)
    own = os.getpid()
    try:
        assert _kcmp.kcmp(_kcmp.KCMP_FILE, (own, first), (own, copy)) == 0
        order = _kcmp.kcmp(_kcmp.KCMP_FILE, (own, first), (own, second))
        assert order != 0
        assert _kcmp.kcmp(_kcmp.KCMP_FILE, (own, second), (own, first)) == -order
        assert _kcmp.distinct_files([(own, first), (own, second), (own, copy)]) == 2
    finally:
        for descriptor in (first, second, copy):
            os.close(descriptor)


@pytest.mark.usefixtures("kcmp")
def test_sorting_takes_n_log_n_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    real = _kcmp.kcmp

    def counting(*arguments: Any) -> int:
        nonlocal calls
        calls += 1
        return real(*arguments)

    monkeypatch.setattr(_kcmp, "kcmp", counting)
    n = 200
    descriptors = [os.open("/dev/null", os.O_RDONLY) for _ in range(n)]
    copies = [os.dup(descriptor) for descriptor in descriptors]
    try:
        mixed = [(os.getpid(), number) for number in descriptors + copies]
        random.Random(1).shuffle(mixed)
        assert _kcmp.distinct_files(mixed) == n
        assert calls <= 2 * n * log2(2 * n) + 2 * n
        for _ in range(n // 2):
            os.close(copies.pop())
        gone = 2**22 + 1  # no thread has such a number: PID_MAX_LIMIT
        assert _kcmp.distinct_files([*mixed, (gone, 0)]) == n
    finally:
        for descriptor in (*descriptors, *copies):
            os.close(descriptor)


# ----------------------------------------------------------------------------------------------------- counts


@pytest.mark.usefixtures("kcmp")
def test_open_files(only: Only, tmp_path: Path) -> None:
    """Opened twice: two files of one inode. Duplicated or inherited: no new file. All threads share a table."""
    (tmp_path / "a").touch()
    text = """
a, again = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[1], os.O_RDONLY)
copy = os.dup(a)
stay = threading.Event()
threading.Thread(target=stay.wait, daemon=True).start()
"""
    with program(text, str(tmp_path / "a")) as pid:
        found = only(pid)
    assert (found.processes, found.tasks) == (1, 2)
    assert found.descriptors == STANDARD + 3
    assert found.open_files == STANDARD + 2
    assert found.open_inodes == STANDARD + 1


@pytest.mark.usefixtures("kcmp")
def test_open_files_of_a_fork(only: Only, tmp_path: Path) -> None:
    text = """
read, write = os.pipe()
ready, told = os.pipe()
if os.fork() == 0:
    os.close(write)
    os.close(ready)
    own = os.open("/dev/null", os.O_RDONLY)
    os.close(told)
    os.read(read, 1)
    os._exit(0)
os.close(read)
os.close(told)
os.read(ready, 1)
os.close(ready)
"""
    with program(text) as pid:
        (child,) = (int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        found = only(pid, child)
    assert found.descriptors == 2 * STANDARD + 1 + 2
    assert found.open_files == STANDARD + 2 + 1  # both ends of the pipe, and what the child opened


@pytest.mark.usefixtures("kcmp")
def test_a_thread_with_a_descriptor_table_of_its_own(only: Only) -> None:
    text = """
ready, stay = threading.Event(), threading.Event()
def work():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    os.open("/dev/null", os.O_RDONLY)
    ready.set()
    stay.wait()
threading.Thread(target=work, daemon=True).start()
ready.wait()
"""
    with program(text) as pid:
        found = only(pid)
    assert found.tasks == 2
    assert found.descriptors == 2 * STANDARD + 1
    assert found.open_files == STANDARD + 1


def test_mapped_files(only: Only, tmp_path: Path) -> None:
    """One inode mapped twice, by two processes, counts once. Deleted files, with a space in their names, count."""
    files = {
        "with ID": Elf([Part([gnu(bytes(20))])]).build(),
        "without": Elf([Part(b"code", PT_LOAD)]).build(),
        "text": b"text",
        "gone": Elf([Part([gnu(bytes(8))])]).build(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in files]
    with program("pass") as plain:
        before = only(plain)
        with program("kept = [mapped(path) for path in sys.argv[1:] * 2]", *paths) as pid:
            (tmp_path / "gone").unlink()
            found = only(plain, pid)
    assert found.mapped_inodes == before.mapped_inodes + 4
    can_follow = os.geteuid() == 0  # the links in map_files need privileges
    assert found.mapped_elf == before.mapped_elf + (3 if can_follow else 2)
    assert found.mapped_build_ids == before.mapped_build_ids + (2 if can_follow else 1)
    assert any("could not be read" in limit.what for limit in found.limits) == (not can_follow)
    assert found.mapped_per_process >= found.mapped_inodes + 2  # Python and libc, of both


def test_processes_that_end_meanwhile(only: Only) -> None:
    with program("pass") as pid:
        assert only(pid).processes == 1
    found = only(pid)
    assert (found.processes, found.tasks, found.descriptors, found.mapped_inodes) == (0, 0, 0, 0)


def test_this_system() -> None:
    """The whole system, as far as it may be seen: numbers that must be in proportion."""
    calls: list[tuple[int, int]] = []
    found = census(progress=lambda *numbers: calls.append(numbers))
    assert calls[-1][0] == calls[-1][1] == len(calls) - 1
    assert 0 < found.mapped_build_ids <= found.mapped_elf <= found.mapped_inodes <= found.mapped_per_process
    assert found.processes <= found.tasks
    assert found.open_inodes <= found.descriptors
    assert found.open_files is None or found.open_inodes <= found.open_files <= found.descriptors
    assert found.struct_files
    assert found.cached_inodes
    assert found.slabs is None or "filp" in [slab.name for slab in found.slabs]


def test_mappings_that_go_before_their_file_is_read(tmp_path: Path) -> None:
    """Another mapping of the file serves as well; a file without any more is said."""
    path = tmp_path / "program"
    path.write_bytes(Elf([Part([gnu(bytes(20))])]).build())
    gone, there = "/proc/self/map_files/1000-2000", str(path)
    limits: list[Limit] = []
    places = [Place([gone, gone, there]), Place([gone]), Place([gone, gone], there)]
    assert count_build_ids(places, limits) == (1, 1)
    assert [limit.what for limit in limits] == [
        "2 mapped files could not be read, for no process had them mapped any more"
    ]


# ----------------------------------------------------------------------------------------------------- limits


def test_processes_that_may_not_be_read_are_named(in_child: Callable[..., None]) -> None:
    """Seen as a user without rights: of a process of root, or of the first process."""
    other = os.getpid() if os.geteuid() == 0 else 1

    def as_nobody() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        found = census(method="proc")
        for what in ("open files of ", "mappings of "):
            (limit,) = (limit for limit in found.limits if limit.what.startswith(what))
            count = len(limit.processes)
            assert limit.what == f"{what}{count:,} process{'' if count == 1 else 'es'} may not be looked at"
            assert str(other) in [process.split()[0] for process in limit.processes]
            assert limit.remedy == "run as root"
        assert len(limit.processes) < found.processes

    in_child(as_nobody)


def test_a_proc_that_hides_processes(only: Only, monkeypatch: pytest.MonkeyPatch) -> None:
    """As mounted with hidepid=1: their directories are there, and cannot be read."""
    listdir = os.listdir

    def hiding(path: Any = ".") -> list[str]:
        if str(path).endswith("/proc/1/task"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", hiding)
    found = only(1, os.getpid())
    assert found.processes == 2
    assert [limit.processes for limit in found.limits if limit.what.startswith(("open files of", "mappings of"))] == [
        ("1",),
        ("1",),
    ]


def test_a_process_that_is_just_ending(only: Only, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": [] if str(path).endswith("/proc/1/task") else listdir(path))
    assert only(1, os.getpid()).processes == 1


def test_files_whose_file_system_is_gone(only: Only, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are open all the same, and told apart."""
    before = only(os.getpid())
    stat, pipe = os.stat, os.pipe()
    gone = tuple(f"/task/{os.getpid()}/fd/{end}" for end in pipe)

    def dead(path: Any, **keywords: Any) -> os.stat_result:
        if str(path).endswith(gone):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(path))
        return stat(path, **keywords)

    monkeypatch.setattr(os, "stat", dead)
    try:
        found = only(os.getpid())
    finally:
        for end in pipe:
            os.close(end)
    assert found.descriptors == before.descriptors + 2
    if before.open_files is not None:
        assert found.open_files == before.open_files + 2
    assert found.open_inodes == before.open_inodes + 1


def test_mapped_files_with_other_ends_of_lines(only: Only, tmp_path: Path) -> None:
    path = tmp_path / "a\rb c"
    path.write_bytes(b"x" * 4096)
    before = only(os.getpid())
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        found = only(os.getpid())
    assert found.mapped_inodes == before.mapped_inodes + 1


def test_without_kcmp(only: Only, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kcmp, "NUMBERS", {})
    found = only(os.getpid())
    assert found.open_files is None
    assert found.open_inodes > 0
    assert any("no kcmp" in limit.what and "CONFIG_KCMP" in limit.remedy for limit in found.limits)


def test_without_counters_and_slabs(only: Only, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(host, "read_slabs", refuse)
    only(os.getpid())
    (tmp_path / "proc/sys").unlink()
    (tmp_path / "proc/sys").symlink_to(tmp_path)
    found = only(os.getpid())
    assert (found.struct_files, found.cached_inodes, found.slabs) == (None, None, None)
    told = " ".join(limit.what for limit in found.limits)
    assert "file-nr" in told
    assert "inode-nr" in told
    assert "slabinfo" in told
    assert [design.total_bytes for design in designs(found)][:2] == [None, None]


# ------------------------------------------------------------------------------------------------------ slabs

SLABINFO = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> ...
ext4_inode_cache  216187 216202   1128   14    4 : tunables    0    0    0 : slabdata  15443  15443      0
lsm_inode_cache   218235 218368     32  128    1 : tunables    0    0    0 : slabdata   1706   1706      0
xfs_inode             70     80   1024   16    4 : tunables    0    0    0 : slabdata      5      5      0
filp                 719    756    192   21    1 : tunables    0    0    0 : slabdata     36     36      0
dentry                 1      1    192   21    1 : tunables    0    0    0 : slabdata      1      1      0
"""


def test_slabinfo() -> None:
    found = {slab.name: slab for slab in _slabs.parse_slabinfo(SLABINFO)}
    assert list(found) == ["ext4_inode_cache", "xfs_inode", "filp"]
    assert found["filp"] == _slabs.Slab("filp", 719, 192, 21, 36 * 4096)


def test_slabs_without_slabinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("filp", "dentry"):
        (tmp_path / name).mkdir()
        numbers = {
            "objects": "719 N0=719",
            "slab_size": "192",
            "objs_per_slab": "21",
            "slabs": "36 N0=36",
            "order": "1",
        }
        for file, text in numbers.items():
            (tmp_path / name / file).write_text(text + "\n")
    monkeypatch.setattr(_slabs, "SLABINFO", tmp_path / "absent")
    monkeypatch.setattr(_slabs, "SYSFS", tmp_path)
    assert _slabs.read_slabs() == (_slabs.Slab("filp", 719, 192, 21, 36 * 8192),)


# ------------------------------------------------------------------------------------------------------- drgn


class Object:
    """What stands for a drgn object in the stand-in below: a value, and members."""

    def __init__(self, value: int, **members: Object) -> None:
        self.value = value
        self.__dict__.update(members)

    def value_(self) -> int:
        return self.value


def stand_in(monkeypatch: pytest.MonkeyPatch, fails: Exception | None = None) -> None:
    """A stand-in for drgn with four tasks: two threads, another process, a thread of the kernel.

    It shows that the counting is right if drgn's functions are as documented for drgn 0.3. It shows nothing about a
    real kernel.
    """
    inodes = [Object(0x100), Object(0x200)]
    files = [Object(1, f_inode=inodes[0]), Object(2, f_inode=inodes[0]), Object(3, f_inode=inodes[1])]
    tables = {0x10: [(0, files[0]), (1, files[0]), (2, files[1])], 0x20: [(0, files[1])], 0: []}
    areas = {0x30: [files[1], files[1], Object(0)], 0x40: [files[1], files[2]]}
    first, second, kernel = Object(0x30), Object(0x40), Object(0)
    tasks = [
        Object(1, files=Object(0x10), mm=first),
        Object(2, files=Object(0x10), mm=first),
        Object(3, files=Object(0x20), mm=second),
        Object(4, files=Object(0), mm=kernel),
    ]

    class Program:
        def set_kernel(self) -> None:
            if fails:
                raise fails

        def load_default_debug_info(self) -> None:
            pass

    drgn: Any = types.ModuleType("drgn")
    drgn.Program, drgn.FaultError = Program, KeyError
    helpers: Any = types.ModuleType("drgn.helpers.linux")
    helpers.for_each_task = lambda program: tasks
    helpers.for_each_file = lambda task: tables[task.files.value]
    helpers.for_each_vma = lambda mm: [Object(0, vm_file=file) for file in areas[mm.value]]
    for module in (drgn, helpers):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def without_bpf(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Iterators) -> None:
        raise IteratorError(errno.EPERM, "no BPF", "ask for it")

    monkeypatch.setattr(Iterators, "__init__", refused)


def test_drgn_counts_kernel_objects(only: Only, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    without_bpf(monkeypatch)
    found = only(os.getpid(), method="auto")
    assert found.method == "drgn"
    assert (found.tasks, found.open_files, found.mapped_files, found.mapped_inodes) == (4, 2, 2, 2)
    assert found.only_mapped_files == 1
    assert not any("told apart" in limit.what for limit in found.limits)


@pytest.mark.parametrize(
    ("fails", "remedy"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/kcore"), "CONFIG_PROC_KCORE"),
        (PermissionError(errno.EACCES, "Permission denied", "/proc/kcore"), as_root()),
        (LookupError("no debugging information"), "debug symbols"),
        (None, "pip install drgn"),
    ],
)
def test_without_drgn(only: Only, monkeypatch: pytest.MonkeyPatch, fails: Exception | None, remedy: str) -> None:
    stand_in(monkeypatch, fails)
    without_bpf(monkeypatch)
    if not fails:
        monkeypatch.setitem(sys.modules, "drgn", None)
    found = only(os.getpid(), method="auto")
    assert (found.method, found.mapped_files) == ("proc", None)
    (limit,) = (limit for limit in found.limits if "told apart" in limit.what)
    assert limit.what.startswith("struct files behind mappings cannot be told apart: no BPF, and ")
    assert str(fails or "") in limit.what
    assert remedy in limit.remedy
    assert "ask for it; or " in limit.remedy
    with pytest.raises(UnsupportedCensusError, match="no BPF: ask for it"):
        only(os.getpid(), method="bpf")
    with pytest.raises(UnsupportedCensusError, match=remedy):
        only(os.getpid(), method="drgn")
    assert _drgn.DrgnError.__doc__


# ---------------------------------------------------------------------------------------------------- designs


def test_designs(only: Only) -> None:
    found = only(os.getpid())
    pointers, inodes, table = designs(found)
    assert pointers.total_bytes == 8 * (found.struct_files or 0)
    assert inodes.total_bytes == 8 * (found.cached_inodes or 0)
    assert table.total_bytes == table_bytes(found.mapped_build_ids)
    assert 20 <= table_bytes(100_000) / 100_000 <= 100  # bytes an entry, its build ID of 20 included
