# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Code that recorded processes make: its names, from the files that they write for perf."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fuse import SILENCE, served
from profiled import Compile, remove_maps
from recording import let_run, need_record, run_record

from pybuildid.record import Recording
from pybuildid.record._recorder import Recorder
from pybuildid.record.made import Makers
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.model import StackProfile
from pybuildid.symbols.perfmap import PerfMap

pytestmark = [
    pytest.mark.usefixtures("records"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the code that the program makes is for x86-64"),
]

#: Two functions with frame pointers: `outer` calls `inner`, which counts down. The arguments are milliseconds of CPU
#: time; when the names are written (new, late; old: with an old date); whether the memory is executable when it is
#: mapped or is changed to be so later; and the user whom the process becomes first.
MAKES_CODE = r"""
#include <sys/mman.h>
#include <sys/stat.h>
static const unsigned char code[] = {
    0x55, 0x48, 0x89, 0xe5, 0x89, 0xf8, 0xff, 0xc8, 0x75, 0xfc, 0x5d, 0xc3, 0x90, 0x90, 0x90, 0x90,
    0x55, 0x48, 0x89, 0xe5, 0xe8, 0xe7, 0xff, 0xff, 0xff, 0x5d, 0xc3};
static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
static void tell(unsigned char *made, const char *how)
{
    char name[64];
    struct timespec old[2] = {{1, 0}, {1, 0}};
    snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
    FILE *file = fopen(name, "w");
    if (!file)
        return;
    fprintf(file, "%lx c inner\n%lx b outer\n", (unsigned long)made, (unsigned long)made + 16);
    fclose(file);
    if (strcmp(how, "old") == 0)
        utimensat(AT_FDCWD, name, old, 0);
}
int main(int n, char **arguments)
{
    int changed = strcmp(arguments[3], "changed") == 0, rights = PROT_READ | PROT_EXEC;
    if (n > 4 && setuid(atoi(arguments[4])))
        return 1;
    unsigned char *made = mmap(0, 4096, PROT_WRITE | (changed ? 0 : rights), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(made, code, sizeof code);
    if (changed)
        mprotect(made, 4096, rights);
    if (strcmp(arguments[2], "late") != 0)
        tell(made, arguments[2]);
    while (now_ms() < atoi(arguments[1]))
        ((void (*)(unsigned))(made + 16))(300000);
    if (strcmp(arguments[2], "late") == 0)
        tell(made, "");
    return 0;
}
"""
Names = Callable[[int], dict[int, PerfMap]]
HEADERS = ("-include", "sys/types.h", "-include", "fcntl.h", "-fno-omit-frame-pointer")


@pytest.fixture
def program(compiled: Compile) -> Path:
    need_record()
    return compiled(MAKES_CODE, *HEADERS)


@pytest.fixture
def names_of(reader: Callable[[], int]) -> Names:
    """What a process names, by one look."""

    def look(process: int) -> dict[int, PerfMap]:
        makers = Makers(lambda: [process], reader)
        makers.start()
        return makers.stop()

    return look


@pytest.fixture
def reader() -> Iterator[Callable[[], int]]:
    need_record()
    with Recorder(frequency=1) as recorder:
        yield recorder.reader


@pytest.fixture(autouse=True)
def _no_files_are_left() -> object:
    yield
    remove_maps(rb"\A\w+ c inner\n\w+ b outer\n")


def functions(profile: StackProfile) -> Counter[tuple[str, ...]]:
    """Samples by what stands for the two innermost frames of the process: a function, or a file without one."""
    counts: Counter[tuple[str, ...]] = Counter()
    for sample in profile.samples:
        user = []
        for number in sample.stack:
            location = profile.location(number)
            mapping = profile.mapping(location)
            if mapping and mapping.path.startswith("["):
                continue  # the kernel
            name = location.lines[0].name if location.lines else ""
            user.append(name or (mapping.path if mapping else ""))
        counts[tuple(user[:2])] += sample.values[0]
    return counts


def share_named(tmp_path: Path, *command: str | Path) -> float:
    """Records a command. The share of its samples that are in inner(), called by outer()."""
    result = run_record("-F", "997", "--files", "--", *command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    counts = functions(read_profile(tmp_path / "record.pb.gz"))
    assert counts.total() > 50, result.stderr
    return counts["inner", "outer"] / counts.total()


@pytest.mark.parametrize(("names", "memory"), [("new", "mapped"), ("late", "changed")])
def test_names_of_made_code(program: Path, names: str, memory: str, tmp_path: Path) -> None:
    """Memory that is made executable by mprotect() is in no mapping that the hooks know."""
    assert share_named(tmp_path, program, "400", names, memory) > 0.8


def test_names_of_another_process(program: Path, tmp_path: Path) -> None:
    """One before it had the same number."""
    assert share_named(tmp_path, program, "300", "old", "mapped") == 0


def test_reports(program: Path, tmp_path: Path) -> None:
    command = ["-F", "997", "--files", "--folded", "folded.txt", "--", str(program), "400", "new", "mapped"]
    result = run_record(*command, cwd=tmp_path)
    assert re.search(r"\d+ +\d\d\.\d% +/tmp/perf-\d+\.map", result.stderr), result.stderr
    assert re.search(r";perf-\d+\.map\+0x\w+;perf-\d+\.map\+0x\w+ \d+\n", (tmp_path / "folded.txt").read_text())


def test_a_process_that_was_there_before(program: Path, tmp_path: Path) -> None:
    """It wrote the names before the recording began."""
    with subprocess.Popen([str(program), "60000", "new", "mapped"]) as process:
        try:
            let_run(process.pid, 1)
            for seconds in (1, 4, 16):  # other programs may have the processors
                result = run_record("-F", "997", "--seconds", seconds, "-p", process.pid, cwd=tmp_path)
                counts = functions(read_profile(tmp_path / "record.pb.gz"))
                if counts.total() > 20:
                    break
        finally:
            process.kill()
    assert counts["inner", "outer"] > 0.8 * counts.total() > 20, result.stderr


def test_in_namespaces_that_end_first(program: Path, tmp_path: Path) -> None:
    """It is another process there, and its /tmp is gone with it."""
    # As the program itself may lie in /tmp, it is opened before that is covered.
    inside = (
        f"exec 3<{shlex.quote(str(program))}; mount -t tmpfs none /tmp && cat <&3 >/tmp/made && exec 3<&- && "
        "chmod +x /tmp/made && /tmp/made 1500 new mapped && umount /tmp"
    )
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", inside]
    if subprocess.run([*command[:-1], "mount -t tmpfs none /tmp"], capture_output=True).returncode:
        pytest.skip("no namespaces and mounts can be made here")
    assert share_named(tmp_path, *command) > 0.6


def test_of_another_user(program: Path, tmp_path: Path) -> None:
    """The user whose process it is may name its code."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="pybuildid-") as folder:
        os.chmod(folder, 0o755)  # that user may come in
        copy = shutil.copy(program, folder)
        assert share_named(tmp_path, copy, "400", "new", "mapped", "65534") > 0.8


PLANTED = {
    "of another user": "os.chown(path, 65533, 65533)",
    "a link": "os.rename(path, path + '.other'); os.symlink(path + '.other', path)",
    "a FIFO": "os.unlink(path); os.mkfifo(path)",
    "a folder": "os.unlink(path); os.mkdir(path)",
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_others_planted_is_not_believed(what: str, names_of: Names) -> None:
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    path.write_text("1000 10 planted\n")
    try:
        assert names_of(os.getpid())[os.getpid()].find(0x1008)
        exec(PLANTED[what], {"os": os, "path": str(path)})
        assert names_of(os.getpid()) == {}
    finally:
        for left in (path, Path(f"{path}.other")):
            if left.is_dir():
                left.rmdir()
            else:
                left.unlink(missing_ok=True)


@contextmanager
def chrooted(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with this root directory."""
    code = f"import os, time; os.chroot({str(root)!r}); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            if not process.stdout.readline():
                pytest.skip("chroot() is for root")
            yield process
        finally:
            process.kill()


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path, names_of: Names) -> None:
    """/tmp of a process's own root directory, which leads out of it."""
    (tmp_path / "root" / "proc").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "root" / "tmp").symlink_to(tmp_path / "tmp")
    with chrooted(tmp_path / "root") as process:
        (tmp_path / "tmp" / f"perf-{process.pid}.map").write_text("1000 10 planted\n")
        assert names_of(process.pid) == {}
        (tmp_path / "root" / "tmp").unlink()
        (tmp_path / "tmp").rename(tmp_path / "root" / "tmp")
        assert names_of(process.pid)[process.pid].find(0x1008)


def test_a_folder_that_does_not_answer(
    tmp_path: Path, reader: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds neither this process nor the names of others."""
    monkeypatch.setattr("pybuildid.record.made.SILENT", 0.5)
    (tmp_path / "root").mkdir()
    (tmp_path / "tmp").mkdir()
    own = Path(f"/tmp/perf-{os.getpid()}.map")
    with chrooted(tmp_path / "root") as process:
        for path in (tmp_path / "tmp" / f"perf-{process.pid}.map", own):
            path.write_text("1000 10 made\n")
        with served(tmp_path / "tmp", tmp_path / "root" / "tmp") as server:
            try:
                silent = Makers(lambda: [process.pid, os.getpid()], reader)
                answers = Makers(lambda: [process.pid], reader)
                answers.start()
                assert answers.stop()[process.pid].find(0x1008)
                own.touch()
                (tmp_path / "tmp" / f"perf-{process.pid}.map").touch()
                server.send_signal(SILENCE)
                silent.start()
                assert list(silent.stop()) == [os.getpid()]
                assert not {each.name for each in threading.enumerate()} & {"names of made code"}
            finally:
                server.kill()
                own.unlink()


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch, names_of: Names) -> None:
    monkeypatch.setattr("pybuildid.record.made.MOST", 20)
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    try:
        for text, is_read in (("1000 10 short\n", True), ("1000 10 much too long\n", False)):
            path.write_text(text)
            assert (os.getpid() in names_of(os.getpid())) == is_read
    finally:
        path.unlink()


def test_the_thread_ends_with_the_recording() -> None:
    need_record()
    threads = len(os.listdir("/proc/self/task"))
    recording = Recording(frequency=99)
    recording.start()
    recording.close()  # without stop()
    assert len(os.listdir("/proc/self/task")) == threads
