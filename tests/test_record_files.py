# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`record` and files of all kinds: each frame has the build ID of what is mapped, or a reason."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from recording import build_program, children, let_run, need_record, record_enough, record_when_ready, running, wait_for

from pybuildid.record import REASONS, SOURCES, Recorded, Recording
from pybuildid.record._recorder import Recorder
from stress.record.build import build_library

pytestmark = pytest.mark.usefixtures("records")

IDS = [bytes([0xCD, i, *range(18)]) for i in range(3)]
TABLE = SOURCES.index("table")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_record()
    return build_program(tmp_path_factory.mktemp("files"), IDS)


def build_ids(recorded: Recorded) -> Counter[bytes | None]:
    """Samples by the build ID of the innermost frame of the process, as the table gave it."""
    counts: Counter[bytes | None] = Counter()
    for stack in recorded.stacks:
        user = [frame for frame in stack.frames if not frame.kernel]
        if user:
            frame = user[0]
            known = frame.file is not None and frame.source == TABLE
            counts[recorded.files[frame.file].build_id if known else None] += stack.count  # type: ignore[index]
    return counts


def check(recorded: Recorded) -> None:
    counts = build_ids(recorded)
    assert counts[IDS[-1]] > 0.9 * counts.total() > 10
    for reason, source, count in recorded.outcomes():
        assert source == "table" or count < 0.02 * recorded.status.frames, (reason, source, count)


MOUNTS = {
    "tmpfs": "mount -t tmpfs none mnt && cp files/* mnt",
    "overlay, lower": "mkdir upper work && mount -t overlay none mnt -o lowerdir=files,upperdir=upper,workdir=work",
    "overlay, upper": "mkdir upper work && cp files/* upper && mkdir empty && "
    "mount -t overlay none mnt -o lowerdir=empty,upperdir=upper,workdir=work",
    "btrfs": "truncate -s 120M image && mkfs.btrfs -q image && mount -o loop image mnt && cp files/* mnt",
    "ext4": "truncate -s 20M image && mkfs.ext4 -q image && mount -o loop image mnt && cp files/* mnt",
    "xfs": "truncate -s 320M image && mkfs.xfs -q image && mount -o loop image mnt && cp files/* mnt",
    "bind": "mount --bind files mnt",
}


@contextmanager
def mounted(kind: str, program: Path, tmp_path: Path) -> Iterator[list[int]]:
    """Processes that run the program there, in a mount namespace of their own; the mount goes with them."""
    package = {"btrfs": "btrfs-progs", "xfs": "xfsprogs", "ext4": "e2fsprogs"}.get(kind)
    if package and shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not on PATH (Debian: apt-get install {package})")
    shutil.copytree(program.parent, tmp_path / "files")
    (tmp_path / "mnt").mkdir()
    script = f"({MOUNTS[kind]}) >&2 || exit 33; sync; exec $PWD/mnt/work $PWD/mnt {len(IDS)}"
    command = ["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", script]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stderr
            if process.stdout.readline() != b"ready\n":
                pytest.skip(f"no such mount here: {process.stderr.read().decode()}")
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            yield list(map(int, children))
        finally:
            process.kill()


@pytest.mark.parametrize("kind", MOUNTS)
def test_file_systems_in_another_mount_namespace(kind: str, program: Path, tmp_path: Path) -> None:
    with mounted(kind, program, tmp_path) as children:
        check(record_enough(*children))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_entries_end_with_their_inodes(kind: str, program: Path, tmp_path: Path) -> None:
    """When the file system is unmounted, the program at its tracepoint removes them."""
    with Recorder(frequency=99, clock=True) as recorder:
        with mounted(kind, program, tmp_path) as children:
            recorder.start()
            let_run(children[0], 1)
            recorder.stop()  # the hooks stay
            raw = recorder.result()
            files = [raw.files[i] for i in range(raw.file_count)]
            inodes = [int(file.state.inode) for file in files if bytes(file.id[0 : file.id_length]) in IDS]
            present = [inode for inode in inodes if recorder.known(inode)]
            assert len(present) >= len(IDS)
        end = time.monotonic() + 20
        while any(map(recorder.known, present)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(map(recorder.known, present))


def test_in_namespaces_of_its_own_and_without_a_path(program: Path, tmp_path: Path) -> None:
    """As a container has them; and everything is deleted when it runs."""
    shutil.copytree(program.parent, tmp_path / "files")
    script = f"exec $PWD/files/work $PWD/files {len(IDS)}"
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            shutil.rmtree(tmp_path / "files")
            recorded = record_enough(*map(int, children))
        finally:
            process.kill()
    check(recorded)
    used = {frame.file for stack in recorded.stacks for frame in stack.frames if frame.file is not None}
    ours = [recorded.files[number] for number in used if (recorded.files[number].build_id or b"") in IDS]
    assert {file.path for file in ours} == {str(tmp_path / "files" / f"l{i:02}.so") for i in range(len(IDS))}


MEMFD = """
import ctypes, os, sys
fd = os.memfd_create("code")
os.write(fd, open(sys.argv[1], "rb").read())
library = ctypes.CDLL(f"/proc/self/fd/{fd}")
link = library.link_call
link.restype = ctypes.c_ulong
chain = (ctypes.c_void_p * 1)(ctypes.cast(link, ctypes.c_void_p).value)
print("ready", flush=True)
while True:
    link(0, 0, chain, ctypes.c_ulong(10**7))
"""


def test_memfd(program: Path) -> None:
    command = ["python3", "-c", MEMFD, str(program.parent / f"l{len(IDS) - 1:02}.so")]
    recorded = record_when_ready(command)
    counts = build_ids(recorded)
    assert counts[IDS[-1]] > 0.9 * counts.total() > 10
    assert "/memfd:code" in {file.path for file in recorded.files if file.build_id == IDS[-1]}


def test_a_file_that_is_rewritten_has_its_new_build_id(tmp_path: Path) -> None:
    """The same inode, at the same address in the kernel, with other contents."""
    need_record()
    other = bytes([0xEE, *range(19)])
    program = build_program(tmp_path / "files", IDS)
    library, new = program.parent / "l02.so", tmp_path / "new.so"
    build_library(new, other)
    with Recording(frequency=997) as recording:
        recording.start()
        for contents in (None, new.read_bytes()):
            if contents:
                library.write_bytes(contents)
            subprocess.run([str(program), str(program.parent), "3", "200"], check=True, timeout=60)
        recorded = recording.stop()
    counts = build_ids(recorded)
    assert counts[IDS[-1]] > 5
    assert counts[other] > 5


@pytest.fixture
def on_tmpfs() -> Iterator[Path]:
    """A folder of this test alone: others may run the same."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="pybuildid-") as folder:
        yield Path(folder)


def test_inodes_that_come_and_go_at_one_address(on_tmpfs: Path, tmp_path: Path) -> None:
    """Files on tmpfs, which tells nobody of their end; and on the file system of the tests."""
    need_record()
    ids = [bytes([0xF0, i, *range(18)]) for i in range(12)]
    program = build_program(tmp_path / "files", IDS[:1])
    places = [on_tmpfs if i % 2 else tmp_path for i in range(len(ids))]
    for i, build_id in enumerate(ids):
        build_library(tmp_path / f"kept{i}.so", build_id)
    with Recording(frequency=997) as recording:
        recording.start()
        for i, place in enumerate(places):
            folder = place / "pybuildid-coming-and-going"
            folder.mkdir()
            try:
                shutil.copy(tmp_path / f"kept{i}.so", folder / "l00.so")
                subprocess.run([str(program), str(folder), "1", "100"], check=True, timeout=60)
            finally:
                shutil.rmtree(folder)
        recorded = recording.stop()
    counts = build_ids(recorded)
    assert all(counts[build_id] > 2 for build_id in ids)
    assert not counts[IDS[0]]


def test_memory_without_a_file_and_files_without_a_build_id(tmp_path: Path) -> None:
    need_record()
    program = build_program(tmp_path, IDS)
    source = Path(__file__).parent.parent / "stress" / "record" / "chain.c"
    flags = ["-O1", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-Wl,--build-id=none"]
    subprocess.run(["cc", *flags, str(source), "-o", str(tmp_path / "l02.so")], check=True)
    with running(program, len(IDS)) as process:
        recorded = record_enough(process.pid)
    innermost = Counter[tuple[str, str]]()
    for stack in recorded.stacks:
        user = [frame for frame in stack.frames if not frame.kernel]
        if user and user[0].file is not None:
            innermost[REASONS[user[0].reason], recorded.files[user[0].file].path] += stack.count
    assert innermost.most_common(1)[0][0] == ("in a file without a build ID", str(tmp_path / "l02.so"))


#: Maps the code of a library at an offset in a large file, which begins as the library does; and runs it there.
FAR = """
import ctypes, mmap, os, sys
library, path, offset = sys.argv[1], sys.argv[2], int(sys.argv[3])
code = open(library, "rb").read()
with open(path, "w+b") as file:
    file.write(code)
    file.truncate(offset + len(code))
    file.seek(offset)
    file.write(code)
c = ctypes.CDLL(None)
c.mmap.restype = ctypes.c_void_p
fd = os.open(path, os.O_RDONLY)
size = -(-len(code) // 4096) * 4096
at = c.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, fd, ctypes.c_long(offset))
assert at != 2**64 - 1
place = int(sys.argv[4])
link = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong)(at + place)
chain = (ctypes.c_void_p * 1)(at + place)
print("ready", flush=True)
while True:
    link(0, 0, ctypes.cast(chain, ctypes.c_void_p), 10**7)
"""


@pytest.mark.parametrize(("offset", "source"), [(5 << 30, "table"), (17 << 40, "kernel")])
def test_a_file_that_is_large(offset: int, source: str, program: Path, on_tmpfs: Path) -> None:
    """Beyond 16 TiB a range has no room for the offset, and the kernel answers."""
    library = program.parent / f"l{len(IDS) - 1:02}.so"
    symbols = subprocess.run(["nm", "-D", str(library)], capture_output=True, text=True, check=True).stdout
    place = next(int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" link_call"))
    command = [sys.executable, "-c", FAR, *map(str, (library, on_tmpfs / "large", offset, place))]
    recorded = record_when_ready(command)
    found = Counter[tuple[str, bytes | None, bool]]()
    for stack in recorded.stacks:
        user = [frame for frame in stack.frames if not frame.kernel]
        if user and user[0].file is not None:
            is_there = offset + place <= user[0].address < offset + place + 4096
            found[SOURCES[user[0].source], recorded.files[user[0].file].build_id, is_there] += stack.count
    assert found[source, IDS[-1], True] > 0.8 * found.total() > 10, found


def test_the_processes_that_read_files_are_not_recorded(program: Path, tmp_path: Path) -> None:
    """They read many here."""
    others = {*children(os.getpid())}
    with Recording(frequency=4999) as recording:
        recording.start()
        before = recording.status().read
        for i in range(400):
            copy = tmp_path / f"{i}.so"
            shutil.copy(program.parent / "l00.so", copy)
            with copy.open("rb") as file, mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_EXEC):
                pass
        wait_for(lambda: recording.status().read + recording.status().unreadable >= before + 300)
        own = {*children(os.getpid())} - others
        recorded = recording.stop()
    assert len(own) > 1
    assert recorded.status.samples > 100
    assert not {stack.process for stack in recorded.stacks} & own
