# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The census by BPF iterators, beside that by /proc and kcmp(2), over processes that are made for it; and that nothing
is left of it."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from counted import STANDARD, Only, program
from unrepaired import unrepaired

from csrc.build_bpf import BpfBuildError, compile_bpf
from pybuildid import Census, census
from pybuildid._iterators import IteratorError, Iterators
from pybuildid.census import _bpf, _kcmp
from pybuildid.census._counts import Counts, Limit
from stress.mutants.edits import Edit, copy_edited

pytestmark = pytest.mark.usefixtures("records")  # it reads the first page of every file, as a recording does

#: What both ways count, and have to find the same of where nothing changes.
BOTH = (
    *("processes", "tasks", "descriptors", "open_files", "open_inodes"),
    *("mapped_per_process", "mapped_inodes", "mapped_elf", "mapped_build_ids"),
)


@pytest.fixture(scope="module")
def iterators() -> Iterator[Iterators]:
    missing = _kcmp.available()
    if missing:
        pytest.skip(f"no kcmp here (CONFIG_KCMP, seccomp): {missing}")
    try:
        with Iterators() as loaded:
            yield loaded
    except IteratorError as error:
        pytest.skip(str(error))


def counted(iterators: Iterators, *pids: int) -> Counts:
    limits: list[Limit] = []
    counts = _bpf.count(iterators, limits, pids)
    assert limits == []
    return counts


def differences(found: Counts, expected: Census) -> list[str]:
    return [
        f"{name}: {getattr(found, name)}, by /proc {getattr(expected, name)}"
        for name in BOTH
        if getattr(found, name) != getattr(expected, name)
    ]


#: Programs by what they show. Each gets a folder of its own as its argument, with a file "text" in it.
PROGRAMS = {
    "nothing": "",
    "a file opened twice, and once duplicated": """
path = sys.argv[1] + "/text"
a, again = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
os.dup(a)
""",
    "pipes, sockets, and inodes that many files share": """
kept = os.pipe(), socket.socketpair(), [os.eventfd(0) if hasattr(os, "eventfd") else 0 for _ in range(3)]
import select
epoll = select.epoll(), select.epoll()
""",
    "threads with the same table, and one with its own": """
ready, stay = threading.Barrier(3), threading.Event()
def shares():
    ready.wait()
    stay.wait()
def has_its_own():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    os.open("/dev/null", os.O_RDONLY)
    ready.wait()
    stay.wait()
for work in shares, has_its_own:
    threading.Thread(target=work, daemon=True).start()
ready.wait()
""",
    "a file mapped in pieces, and one mapped twice": """
with open(sys.argv[1] + "/large", "w+b") as file:
    file.truncate(64 * mmap.PAGESIZE)
    pieces = [mmap.mmap(file.fileno(), mmap.PAGESIZE, offset=i * mmap.PAGESIZE) for i in range(0, 64, 2)]
kept = mapped(sys.argv[1] + "/text"), mapped(sys.argv[1] + "/text")
""",
    "memory that is a file of the kernel's": """
shared = mmap.mmap(-1, 1 << 16)
descriptor = os.memfd_create("memory") if hasattr(os, "memfd_create") else os.open("/dev/null", os.O_RDWR)
os.ftruncate(descriptor, 1 << 16)
kept = mmap.mmap(descriptor, 1 << 16)
""",
    "a deleted file": """
path = sys.argv[1] + "/gone"
with open(path, "w") as file:
    file.write("x")
kept = mapped(path)
os.unlink(path)
""",
    "many mappings, so that one read does not hold them all": """
with open(sys.argv[1] + "/many", "w+b") as file:
    file.truncate(6000 * mmap.PAGESIZE)
    pieces = [mmap.mmap(file.fileno(), mmap.PAGESIZE, offset=i * mmap.PAGESIZE) for i in range(0, 6000, 2)]
""",
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_both_ways_count_the_same(what: str, iterators: Iterators, tmp_path: Path, only: Only) -> None:
    (tmp_path / "text").write_text("text")
    with program(PROGRAMS[what], str(tmp_path)) as pid:
        assert differences(counted(iterators, pid), only(pid)) == []


#: A file opened twice, duplicated and mapped; a child that inherits all that; a thread with a table of its own.
FAMILY = """
path = sys.argv[1] + "/text"
a, again = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
os.dup(a)
kept = mapped(path)  # with a descriptor
read, write = os.pipe()
ready, told = os.pipe()
if os.fork() == 0:
    os.close(write)
    os.close(ready)
    os.close(told)
    os.read(read, 1)
    os._exit(0)
os.close(read)
os.close(told)
os.read(ready, 1)
os.close(ready)
done, stay = threading.Event(), threading.Event()
def has_its_own():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    os.close(write)
    done.set()
    stay.wait()
threading.Thread(target=has_its_own, daemon=True).start()
done.wait()
"""


@contextmanager
def family(folder: Path) -> Iterator[tuple[int, int]]:
    (folder / "text").write_text("text")
    with program(FAMILY, str(folder)) as pid:
        (child,) = (int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        yield pid, child


def test_a_fork_shares_files_and_not_tables(iterators: Iterators, tmp_path: Path, only: Only) -> None:
    with family(tmp_path) as pids:
        found, alone = counted(iterators, *pids), counted(iterators, pids[0])
        assert differences(found, only(*pids)) == []
    assert (found.processes, found.tasks) == (2, 3)
    assert (found.descriptors, found.open_files) == (3 * (STANDARD + 4) + 2, STANDARD + 3 + 2)
    assert found.mapped_files == alone.mapped_files
    assert found.mapped_per_process == 2 * alone.mapped_per_process


#: Faults of the programs, each of which the comparison has to find.
FAULTS = {
    "inodes are taken for files": ("holder->file = (u64)file;", "holder->file = (u64)BPF_CORE_READ(file, f_inode);"),
    "files are taken for inodes": ("holder->inode = (u64)inode;", "holder->inode = (u64)file;"),
    "all have one table": ("holder.owner = (u64)BPF_CORE_READ(task, files);", ""),
    "a thread is taken for a process": ("number_of(BPF_CORE_READ(task, group_leader))", "number_of(task)"),
    "a descriptor is left out": ("if (!task || !file)\n        return 0;\n    holder.owner = (u64)BPF",
                                 "if (!task || !file || !context->fd)\n        return 0;\n    holder.owner = (u64)BPF"),
    "a mapping ends elsewhere": ("holder.end = area->vm_end;", "holder.end = area->vm_start;"),
    "one task is left out": ("if (!task)\n", "if (!task || task->pid != task->tgid)\n"),
}  # fmt: skip


SOURCE = "iterators/iterators.bpf.c"


def edited(folder: Path, *edits: Edit) -> Path:
    """The programs with these edits of their sources."""
    csrc = copy_edited(edits, folder / "csrc")
    programs = folder / "iterators.bpf.o"
    try:
        compile_bpf(csrc / SOURCE, programs, csrc / "iterators", csrc=csrc)
    except BpfBuildError as error:
        if "not installed" not in str(error):
            raise
        pytest.skip(str(error))
    return programs


@pytest.mark.usefixtures("iterators")
@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_finds_faults(fault: str, tmp_path: Path, only: Only) -> None:
    faulty = edited(tmp_path, Edit(SOURCE, *FAULTS[fault]))
    with family(tmp_path) as pids, Iterators(faulty) as iterators:
        assert differences(_bpf.count(iterators, [], pids), only(*pids)) != []


@pytest.mark.usefixtures("iterators")
def test_an_iterator_that_may_crash_the_kernel_is_not_run(tmp_path: Path) -> None:
    command = [*unrepaired(tmp_path), sys.executable, "-m", "pybuildid", "inodes"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode, result.stdout[:200]
    assert "over mappings may crash it when a process ends: Linux 6.2" in result.stderr


def test_processes_that_share_everything(iterators: Iterators) -> None:
    """As vfork() has it until execve(): one table of descriptors, and one of mappings."""
    text = """
CLONE_VM, CLONE_FILES, SIGCHLD = 0x100, 0x400, 17
pause = ctypes.cast(ctypes.CDLL(None).pause, ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p))
stack = mmap.mmap(-1, 1 << 16)
top = ctypes.addressof(ctypes.c_char.from_buffer(stack)) + (1 << 16)
child = ctypes.CDLL(None).clone(pause, ctypes.c_void_p(top), CLONE_VM | CLONE_FILES | SIGCHLD, None)
assert child > 0
import atexit
atexit.register(os.kill, child, 9)
"""
    with program(text) as pid:
        (child,) = (int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        both, one = counted(iterators, pid, child), counted(iterators, pid)
    assert (both.processes, both.tasks) == (2, 2)
    assert (both.descriptors, both.open_files) == (one.descriptors, one.open_files) == (STANDARD, STANDARD)
    assert (both.mapped_files, both.mapped_inodes) == (one.mapped_files, one.mapped_inodes)
    assert both.mapped_per_process == 2 * one.mapped_per_process


def test_a_process_whose_first_thread_has_ended(iterators: Iterators) -> None:
    text = """
def rest():
    end()
    os._exit(0)
threading.Thread(target=rest).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit, of this thread alone
"""
    with program(text) as pid:
        found = counted(iterators, pid)
    assert (found.processes, found.tasks, found.descriptors) == (1, 2, STANDARD)
    assert found.mapped_build_ids > 0


def test_files_are_told_apart_by_who_opened_them(iterators: Iterators, tmp_path: Path) -> None:
    """Of one inode: a file mapped and closed, one mapped and open, and one mapped twice and closed."""
    (tmp_path / "text").write_bytes(b"x" * mmap.PAGESIZE)
    text = """
c_mmap = ctypes.CDLL(None).mmap  # that of Python keeps a duplicate of the descriptor
c_mmap.restype = ctypes.c_void_p
def map_times(n):
    descriptor = os.open(sys.argv[1] + "/text", os.O_RDONLY)
    for _ in range(n):
        address = c_mmap(None, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ, mmap.MAP_PRIVATE, descriptor,
                         ctypes.c_long(0))
        assert address != 2**64 - 1
    return descriptor
os.close(map_times(1))
map_times(1)
os.close(map_times(2))
"""
    with program("") as plain, program(text, str(tmp_path)) as pid:
        before, found = counted(iterators, plain), counted(iterators, pid)
    assert before.mapped_files is not None
    assert before.mapped_files == before.only_mapped_files
    assert (found.descriptors, found.open_files) == (STANDARD + 1, STANDARD + 1)
    assert found.mapped_inodes == before.mapped_inodes + 1
    assert found.mapped_files == before.mapped_files + 3
    assert found.only_mapped_files == before.mapped_files + 2


def test_in_a_pid_namespace_by_its_own_numbers(iterators: Iterators) -> None:
    """The numbers of processes are those of /proc there, so the mapped files can be read."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not on PATH (Debian: apt-get install util-linux)")
    code = (
        "from pybuildid import census; c = census(method='bpf'); print(c.processes, c.mapped_build_ids, c.other_files)"
    )
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", f"{code}; print(c.limits)"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare failed" in result.stderr:
        pytest.skip(f"no PID namespace can be made here: {result.stderr}")
    numbers, limits = result.stdout.splitlines()
    processes, build_ids, other = numbers.split()
    assert (processes, other) == ("1", "None"), result.stderr
    assert int(build_ids) > 2
    assert "only processes of this PID namespace are seen" in limits
    assert "could not be read" not in limits


HIDDEN = 500  #: files that neither a descriptor nor a mapping holds


def in_messages(stack: ExitStack, files: list[int]) -> None:
    """They are under way between two sockets."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        stack.callback(end.close)
    for i in range(0, len(files), 250):  # the most that a message may have: 253
        socket.send_fds(ends[0], [b"x"], files[i : i + 250])


def in_io_uring(stack: ExitStack, files: list[int]) -> None:
    """They are registered with a ring."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    setup, register, register_files = 425, 427, 2  # the same numbers everywhere
    ring = syscall(setup, 1, ctypes.create_string_buffer(120))
    if ring < 0:
        pytest.skip(f"no io_uring here (Linux 5.1, sysctl kernel.io_uring_disabled): {os.strerror(ctypes.get_errno())}")
    stack.callback(os.close, ring)
    numbers = (ctypes.c_int * len(files))(*files)
    assert syscall(register, ring, register_files, numbers, len(files)) == 0, os.strerror(ctypes.get_errno())


@pytest.mark.parametrize("hide", [in_messages, in_io_uring])
def test_files_that_nobody_shows_are_others(hide: Callable[[ExitStack, list[int]], None], iterators: Iterators) -> None:
    """The kernel's own counter has them."""
    changes = []
    for _ in range(5):  # other programs open, hide and close files meanwhile
        before = census(method="bpf").other_files
        if before is None:
            pytest.skip("in a PID namespace, which sees a part of the system")
        with ExitStack() as stack:
            opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(HIDDEN)]
            try:
                held = census(method="bpf").other_files
                hide(stack, opened)
            finally:
                for descriptor in opened:
                    os.close(descriptor)
            found = census(method="bpf").other_files
        assert held is not None
        assert found is not None
        changes.append((held - before, found - before))
        if abs(held - before) < HIDDEN / 2 < found - before:
            return
    pytest.fail(f"other files more than before, when they were open and when they were hidden: {changes}")


def test_the_whole_system(iterators: Iterators) -> None:
    """Numbers that must be in proportion, and in one pass of each iterator."""
    found = census()
    assert found.method == "bpf"
    assert found.mapped_files is not None
    assert found.only_mapped_files is not None
    assert 0 < found.mapped_build_ids <= found.mapped_elf <= found.mapped_inodes <= found.mapped_files
    assert found.only_mapped_files <= found.mapped_files
    assert found.open_inodes <= (found.open_files or 0) <= found.descriptors


def test_nothing_is_left_in_this_process(iterators: Iterators) -> None:
    descriptors = os.listdir("/proc/self/fd")
    for _ in range(3):
        census(method="bpf")
    unfinished = iterators.areas()
    next(unfinished)
    unfinished.close()  # type: ignore[attr-defined]
    assert os.listdir("/proc/self/fd") == descriptors
