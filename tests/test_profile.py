# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The profiler: what its handler resolves, in this process and in commands, and what it writes."""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from profiled import BURNS, Compile, need, profiled, result_of, run_cli
from terminal import on_terminal

from pybuildid import read_build_id
from pybuildid.cli import main
from pybuildid.profile import (
    REASONS,
    Module,
    Profile,
    ProfileError,
    ProfileResult,
    Sample,
    profile_command,
)
from pybuildid.profile._recording import library
from pybuildid.profile.pprof import PprofWriter


def work(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(i * i for i in range(1000))


def count_of(result: ProfileResult, build_id: bytes | None) -> int:
    return sum(sample.count for sample in result.counts if sample.build_id == build_id)


# ------------------------------------------------------------------------------------------ in this process


@pytest.mark.parametrize("timer", [False, True])
def test_all_of_it_resolves(timer: bool) -> None:
    with Profile(timer=timer) as profile:
        threads = [threading.Thread(target=work, args=(0.4,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    result = profile.result
    assert result.samples > 20
    assert result.in_elf_code == result.samples == result.resolved == sum(result.by_reason.values())
    assert sum(sample.count for sample in result.counts) == result.samples - result.lost
    assert result.ticks >= result.samples
    assert result.processes == 1
    if timer:
        assert result.source == "a CPU timer of the process"
    for sample in result.counts:
        module = result.module_of(sample)
        assert module is not None
        assert module.offset <= sample.address < module.offset + module.end - module.start
        if module.path.startswith("/"):
            assert read_build_id(module.path) == sample.build_id


def test_threads_that_were_there_before_are_seen() -> None:
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            sum(i * i for i in range(1000))

    thread = threading.Thread(target=run)
    thread.start()
    with Profile() as profile:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            time.sleep(0.01)
    stop.set()
    thread.join()
    assert profile.result.samples > 20


@pytest.mark.parametrize(("option", "value"), [("frequency", 0), ("frequency", 10**6), ("follow", 0), ("follow", 1e9)])
def test_bad_options(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option), Profile(**{option: value}):  # type: ignore[arg-type]
        pass


def test_not_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"BIDPROF2" + bytes(500))
    map_it, memory = ctypes.CDLL(library("_profiler")).bid_agent_map, ctypes.c_void_p()
    assert map_it(os.fsencode(path), ctypes.byref(memory)) == 22
    assert map_it(os.fsencode(tmp_path / "none"), ctypes.byref(memory)) == 2


def test_modules_agree_with_elfutils() -> None:
    need("eu-unstrip", "elfutils")
    with Profile() as profile:
        work(0.2)
    theirs = subprocess.run(["eu-unstrip", "-n", "-p", str(os.getpid())], capture_output=True, text=True).stdout
    known = {}
    for line in theirs.splitlines():
        place, id = line.split()[:2]
        known[id.split("@")[0]] = (place.split("+")[0], id)
    lines = [line for line in profile.result.unstrip_lines() if "[vdso]" not in line]
    assert lines
    for line in lines:
        place, id, path = line.split()[:3]
        assert known[id.split("@")[0]] == (place.split("+")[0], id), path


# ------------------------------------------------------------------------------------------------- commands


#: Works once the header of its own file is not in memory any more: when the profiler has had it dropped.
WAITS = r"""
#include <sys/mman.h>
extern const char __ehdr_start[];
int main(int count, char **arguments)
{
    unsigned char there = 1;
    for (int i = 0; count > 1 && there & 1 && i < 5000; i++) {
        nap(2);
        mincore((void *)__ehdr_start, 4096, &there);
    }
    for (clock_t end = clock() + CLOCKS_PER_SEC / 2; clock() < end;)
        burn_without_calls();
    return there & 1;
}
"""


@pytest.mark.usefixtures("nobody_records")
def test_header_pages_evicted(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(WAITS)
    result, code = profile_command([program], parse=True)
    assert code == 1
    assert result.by_reason["resolved"] == result.in_elf_code == result.samples > 100
    assert result.parsed > 0.9 * result.samples
    counts = []
    for _ in range(5):  # whoever reads the file meanwhile, such as a census of the system, has the page in memory again
        result, code = profile_command([program, "wait"], parse=True, evict=True, follow=0.01)
        kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True).stdout.strip()
        if code and kind in ("tmpfs", "ramfs"):
            pytest.skip(f"{tmp_path} is on {kind}, which evicts nothing: run with TMPDIR=/var/tmp")
        assert code == 0
        assert result.resolved == result.in_elf_code == result.samples > 100
        assert count_of(result, read_build_id(program)) > 0.9 * result.samples
        counts.append((result.not_in_memory, result.samples))
        if result.not_in_memory > 100:
            return
    pytest.fail(f"samples whose page was out of memory, and all: {counts}")


LOADER = r"""
#include <dlfcn.h>
int main(int count, char **arguments)
{
    void *library = dlopen(arguments[1], RTLD_NOW);
    void (*work)(void) = count > 1 && library ? (void (*)(void))dlsym(library, "work") : 0;
    if (!work)
        return 9;
    work();
    return 0;
}
"""


def test_code_that_is_loaded_meanwhile(compiled: Compile) -> None:
    works = "void work(void) { for (int i = 0; i < 80; i++) burn_without_calls(); }"
    loaded = compiled(works, "-shared", "-fPIC", name="loaded.so")
    program = compiled(LOADER)
    followed, code = profile_command([program, loaded], follow=0.02)
    assert code == 0
    assert count_of(followed, read_build_id(loaded)) > 0.5 * followed.samples
    assert str(loaded) in {module.path for module in followed.modules}
    missed, _ = profile_command([program, loaded], follow=3600)
    assert missed.by_reason["no mapping"] > 0.9 * missed.samples
    assert count_of(missed, read_build_id(loaded)) == 0


ANONYMOUS = r"""
#include <sys/mman.h>
int main(void)
{
    /* mov $600000000, %ecx; 1: dec %ecx; jnz 1b; ret */
    static const unsigned char code[] = {0xb9, 0x00, 0x46, 0xc3, 0x23, 0xff, 0xc9, 0x75, 0xfc, 0xc3};
    void *memory = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(memory, code, sizeof code);
    for (int i = 0; i < 3; i++) {
        struct timespec pause = {0, 50000000};
        nanosleep(&pause, 0);
        ((void (*)(void))memory)();
    }
    return 0;
}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the code is for x86-64")
def test_code_without_a_file(compiled: Compile) -> None:
    program = compiled(ANONYMOUS)
    result, _ = profile_command([program], follow=0.02)
    assert result.by_reason["no file"] > 0.8 * result.samples > 50
    assert {sample.reason for sample in result.counts if sample.build_id is None} <= {"no file", "no mapping"}


def test_a_daemon_that_closes_everything_is_sampled_on(compiled: Compile) -> None:
    closes = "for (int i = 3; i < 1024; i++) close(i); burn(500); return 0;"
    result, code = profile_command([compiled(f"int main(void) {{ {closes} }}")])
    assert code == 0
    assert result.samples > 100


def test_programs_that_a_command_starts(compiled: Compile) -> None:
    program = compiled("int main(void) { if (fork() == 0) { burn(400); _exit(0); } wait(0); return 0; }")
    result, code = profile_command(["sh", "-c", f"{program}; {program}; exit 5"])
    assert code == 5
    assert result.processes >= 5  # the shell, and twice a program and its child
    assert count_of(result, read_build_id(program)) > 300
    assert result.resolved == result.in_elf_code


def test_the_caller_ignores_its_children_as_before() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        _, code = profile_command(["grep", "-q", "SigIgn:.*1....$", "/proc/self/status"])
        assert (code, signal.getsignal(signal.SIGCHLD)) == (0, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_command_that_is_killed(compiled: Compile, tmp_path: Path) -> None:
    program = compiled("int main(void) { burn(300); raise(SIGKILL); return 0; }")
    run = run_cli("--json", "-", "--", program, cwd=tmp_path)
    assert run.returncode == 128 + 9
    found = json.loads(run.stdout)
    assert found["samples"] > 50
    assert found["by_reason"]["resolved"] == found["samples"]
    assert found["exit_code"] == -9
    assert set(found["by_reason"]) == set(REASONS)


def test_the_program_blocks_the_signal(compiled: Compile) -> None:
    source = """
    int main(void)
    {
        sigset_t all, before;
        sigfillset(&all);
        for (int i = 0; i < 5; i++) {
            sigprocmask(SIG_SETMASK, &all, &before);
            burn(50);
            sigprocmask(SIG_SETMASK, &before, 0);
        }
        return 0;
    }
    """
    result, code = profile_command([compiled(source)])
    if result.source != "perf events":
        pytest.skip("no perf events here: sysctl kernel.perf_event_paranoid=2 allows them, from Linux 5.19 on")
    assert code == 0
    assert result.late >= 5
    assert result.samples < 50  # none is made up of the late ones


def test_programs_of_go(compiled: Compile, tmp_path: Path) -> None:
    note = (
        'asm(".pushsection .note.go.buildid, \\"a\\", @note\\n .long 4, 4, 4\\n .asciz \\"Go\\"\\n .byte 0\\n"'
        '" .long 7\\n .popsection");'
    )
    program = compiled(note + BURNS % 100)
    run = run_cli("--", program, cwd=tmp_path)
    assert run.returncode == 1
    assert "written in Go" in run.stderr
    result, _ = profile_command(["sh", "-c", f"{program}; :"])
    assert [(each.processes, "written in Go" in each.reason) for each in result.unwatched] == [(1, True)]
    assert result.processes == 1


@pytest.mark.parametrize("name", ["My Projects", "a:b", "a\nb", "$LIB"])
def test_a_library_whose_path_ld_preload_does_not_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    copy = Path(shutil.copy(library(), folder))
    monkeypatch.setattr("pybuildid.profile.library", lambda: str(copy))
    before = os.listdir("/proc/self/fd")
    result, code = profile_command(["sh", "-c", "true; /bin/true; exit 4"])
    assert (result.processes, code) == (2, 4)
    assert os.listdir("/proc/self/fd") == before


# ----------------------------------------------------------------------------------------------- the command


def test_command(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(BURNS % 400)
    run = run_cli("--", program, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert re.search(r"100\.0% +resolved in the signal handler", run.stderr)
    id = read_build_id(program)
    assert id
    assert id.hex() in run.stderr
    text = run_cli("--text", "--", program, cwd=tmp_path).stderr
    assert re.search(rf"^0x[0-9a-f]+\+0x[0-9a-f]+ {id.hex()}@0x[0-9a-f]+ {program} - program$", text, re.MULTILINE)


def test_the_report_in_a_file(tmp_path: Path) -> None:
    run = profiled("sh", "-c", "echo err >&2", cwd=tmp_path, options=["--report", "report"])
    assert run.stderr == "err\n"
    assert "samples" in (tmp_path / "report").read_text()


def test_no_such_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["profile", "-o", str(tmp_path / "p"), "--", "/no/such/command"])
    assert result.exit_code == 1
    assert "check the path" in result.output


def test_what_follows_the_command_is_its_own(tmp_path: Path) -> None:
    """Its options are not taken for the profiler's, as -o is, which would be written over."""
    file = tmp_path / "words"
    file.write_text("b\na\n")
    run = run_cli("sort", "-o", file, file, cwd=tmp_path)
    assert (run.returncode, file.read_text()) == (0, "a\nb\n"), run.stderr
    run = run_cli("--text", "--", "printf", "%s ", "--", "--json", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "-- --json "), run.stderr


def test_names_are_no_markup(tmp_path: Path) -> None:
    output = tmp_path / "[red]:+1: \x1b[2J.pb.gz"
    run = run_cli("-o", output, "true", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "ritten: " + str(output).replace("\x1b", "\\x1b") in run.stderr


def test_strange_names_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The report moves no cursor. --text has a line of five words for each file."""
    id = bytes(range(20))
    module = Module(1, 0x1000, 0x2000, 0, 0x1000, 0x200, id, "/a\n\x1b[2J")
    result = result_of(module, counts=[Sample(id, 0x10, REASONS[0], 1, module=0)])
    monkeypatch.setattr("pybuildid.cli.profile.profile_command", lambda *_, **__: (result, 0))
    monkeypatch.chdir(tmp_path)
    report, text = (CliRunner().invoke(main, ["profile", *option, "true"]).output for option in ((), ("--text",)))
    assert "/a\\n\\x1b[2J" in report
    assert text.splitlines() == list(result.unstrip_lines())
    assert text.endswith(" /a\\012\\033[2J - a\\012\\033[2J\n")


def test_a_narrow_terminal_cuts_no_id_off(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(BURNS % 100, name="a_program_with_a_name_that_is_long")
    shown = on_terminal("profile", "-o", tmp_path / "p", program, env={"COLUMNS": "60"}).decode()
    id = read_build_id(program)
    assert id
    assert re.search(rf"{id.hex()} +{program}", shown)


def test_a_mistyped_option_runs_nothing(tmp_path: Path) -> None:
    run = run_cli("--txt", "touch", tmp_path / "ran", cwd=tmp_path)
    assert run.returncode == 2
    assert re.search("No such option.*--txt", run.stderr)
    assert not (tmp_path / "ran").exists()


def test_output_is_looked_at_first(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for output, named in ((tmp_path / "none" / "p", tmp_path / "none"), (tmp_path, tmp_path)):
        run = run_cli("-o", output, "--", "touch", ran, cwd=tmp_path)
        assert run.returncode == 2
        assert f"'{named}'" in run.stderr
        assert not ran.exists()


# ---------------------------------------------------------------------------------------------------- pprof


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """A message, by the encoding's description alone."""
    position, found = 0, []

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(data):
        tag = varint()
        value: int | bytes = varint()
        if tag & 7 == 2:
            length = int(value)
            value = data[position : position + length]
            position += length
        else:
            assert tag & 7 == 0
        found.append((tag >> 3, value))
    return found


def test_pprof_says_what_was_counted(tmp_path: Path) -> None:
    with Profile() as profile:
        work(0.3)
    path = tmp_path / "p.pb.gz"
    profile.result.write_pprof(path)
    message = fields(gzip.decompress(path.read_bytes()))
    strings = [value for number, value in message if number == 6]
    assert strings[0] == b""
    mappings = [dict(fields(bytes(value))) for number, value in message if number == 3]
    build_ids = {strings[int(mapping.get(6, 0))] for mapping in mappings}
    sampled = {sample.build_id.hex().encode() for sample in profile.result.counts if sample.build_id}
    sampled.add((read_build_id(sys.executable) or b"").hex().encode())  # the main program's first
    callers = {module.build_id.hex().encode() for module in profile.result.modules if module.build_id}
    assert sampled <= build_ids <= sampled | callers
    samples = [dict(fields(bytes(value))) for number, value in message if number == 2]
    assert len(samples) == len(profile.result.counts)
    locations = [dict(fields(bytes(value))) for number, value in message if number == 4]
    for location in locations:
        mapping = mappings[int(location[2]) - 1]
        assert int(mapping[2]) <= int(location[3]) < int(mapping[3])


def test_go_reads_it(tmp_path: Path) -> None:
    need("go", "golang-go")
    writer = PprofWriter(1_000_000)
    mapping = writer.mapping(0x1000, 0x3000, 0x1000, "/tmp/of no file", bytes(range(20)))
    writer.sample(0x1234, 42, mapping)
    writer.sample(0xFFFF, 7, labels=[("fallback", "no mapping")])
    path = tmp_path / "p.pb.gz"
    writer.write(path)
    run = subprocess.run(["go", "tool", "pprof", "-raw", path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "1: 0x1000/0x3000/0x1000 /tmp/of no file 000102030405060708090a0b0c0d0e0f10111213" in run.stdout
    assert re.search(r"^ +42 +42000000: 1", run.stdout, re.MULTILINE)
    assert re.search(r"fallback:\[no mapping\]", run.stdout)


ABANDONED = """
from pybuildid import Profile
profile = Profile(timer={timer})
profile.__enter__()
sum(i * i for i in range(10**6))
{more}
print("end")
"""


@pytest.mark.parametrize("more", ["", "del profile; Profile().__enter__()"])
@pytest.mark.parametrize("timer", [False, True])
def test_a_process_may_end_before_the_block(more: str, timer: bool) -> None:
    """Signals come until the last moment, when the library that handles them is let go."""
    run = subprocess.run(
        [sys.executable, "-c", ABANDONED.format(timer=timer, more=more)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""


def test_a_second_start_leaves_the_first_alone() -> None:
    """And when that has ended another may follow."""
    profile = Profile()
    with pytest.raises(ProfileError, match="no result before"):
        assert profile.result
    with profile:
        with pytest.raises(ProfileError, match="running already"):
            profile.__enter__()
        sum(range(3_000_000))
    assert profile.result.samples
    with pytest.raises(ProfileError, match="not running"):
        profile.__exit__(None, None, None)
    with Profile() as again:
        work(0.1)
    assert again.result.samples
    assert again.result.modules


def test_arguments_that_are_none() -> None:
    with pytest.raises(TypeError, match="frequency"):
        Profile(frequency=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no command"):
        profile_command([])
