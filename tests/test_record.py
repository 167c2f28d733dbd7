# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`pybuildid record`: what it writes, what it says, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import bpf_programs_of
from recording import (
    RECORD,
    build_program,
    children,
    let_run,
    need_record,
    record_enough,
    run_record,
    running,
    samples_are_taken,
    wait_for,
)
from terminal import Terminal
from unrepaired import unrepaired

from pybuildid.record import REASONS, RecordError, Recording
from pybuildid.record._recorder import Recorder
from pybuildid.stacks.files import read_profile

pytestmark = pytest.mark.usefixtures("records")

IDS = [bytes([0xAB, i, *range(18)]) for i in range(4)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_record()
    return build_program(tmp_path_factory.mktemp("program"), IDS)


def test_every_frame_of_a_process_has_its_build_id(program: Path) -> None:
    with running(program, len(IDS)) as process:
        recorded = record_enough(process.pid)
    assert recorded.stacks
    deep = [stack for stack in recorded.stacks if len([f for f in stack.frames if not f.kernel]) > len(IDS)]
    assert sum(stack.count for stack in deep) > 0.9 * recorded.status.samples
    for stack in deep:
        user = [frame for frame in stack.frames if not frame.kernel]
        found = [recorded.files[frame.file].build_id for frame in user[: len(IDS)] if frame.file is not None]
        assert found == IDS[::-1]  # the innermost first
        assert {frame.reason for frame in user[: len(IDS)]} == {0}
        assert {stack.process, stack.command} == {process.pid, "work"}
    offsets = {frame.address for stack in deep for frame in stack.frames[-len(IDS) :] if not frame.kernel}
    assert all(offset < 2 << 20 for offset in offsets)


def test_command_output_and_status(program: Path, tmp_path: Path) -> None:
    command = ["--folded", "folded.txt", "--processes", "--files", "--", program, program.parent, len(IDS), "1500"]
    result = run_record("-F", "997", *map(str, command), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not result.stdout
    assert "resolved from the table" in result.stderr
    assert "Written: record.pb.gz and folded.txt" in result.stderr
    assert re.search(r"\d+ work", result.stderr)
    lines = (tmp_path / "folded.txt").read_text().splitlines()
    deep = [line for line in lines if re.search(r"l00\.so\+\w+;l01\.so\+\w+;l02\.so\+\w+;l03\.so\+\w+", line)]
    assert deep
    assert all(re.fullmatch(r"[^;]+(;[^;]+)* \d+", line) for line in lines)


def test_pprof_opens_the_profile(program: Path, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not on PATH (Debian: apt-get install golang-go)")
    with running(program, len(IDS), "storm") as process:
        result = run_record("-F", "997", "-p", process.pid, "--seconds", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    raw = ["go", "tool", "pprof", "-raw", "record.pb.gz"]
    text = subprocess.run(raw, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    for i, build_id in enumerate(IDS):
        assert re.search(rf"/l{i:02}\.so {build_id.hex()}", text)
    assert "[kernel.kallsyms]" in text


READS = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1M", "count=20000")  # most of its time is the kernel's


def names_in(profile: Path, path: str) -> set[str]:
    """The functions of the file, or part of the kernel, with this path."""
    read = read_profile(profile)
    inside = [each for each in read.locations if (mapping := read.mapping(each)) and mapping.path.endswith(path)]
    return {line.name for each in inside for line in each.lines}


def test_functions_have_names(tmp_path: Path) -> None:
    """Those of files at the end, as by `pybuildid symbolize`; those of the kernel when they are recorded."""
    need_record()
    result = run_record("-F", "997", "--", *READS, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\S+ +\S+ +\S+ +\w+ +\[kernel.kallsyms\]", result.stderr)
    assert "no longer there" not in result.stderr
    kernel = names_in(tmp_path / "record.pb.gz", "[kernel.kallsyms]")
    assert "vfs_read" in kernel
    assert kernel <= {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}
    assert any("read" in name for name in names_in(tmp_path / "record.pb.gz", "/libc.so.6"))


def test_without_symbols(tmp_path: Path) -> None:
    need_record()
    result = run_record("-F", "997", "--no-symbols", "--", *READS, cwd=tmp_path)
    assert "have names" not in result.stderr
    assert not names_in(tmp_path / "record.pb.gz", "/libc.so.6")


def test_status_of_the_command(tmp_path: Path) -> None:
    need_record()
    assert run_record("--", "sh", "-c", "exit 3", cwd=tmp_path).returncode == 3
    assert run_record("--", "sh", "-c", "kill -TERM $$", cwd=tmp_path).returncode == 128 + signal.SIGTERM
    missing = run_record("--", "no-such-command", cwd=tmp_path)
    assert missing.returncode == 1
    assert "no-such-command: no such command" in missing.stderr


def test_children_are_recorded_and_others_are_not(program: Path, tmp_path: Path) -> None:
    with running(program, len(IDS)) as other:
        script = f"{program} {program.parent} 2 200 & {program} {program.parent} 1 200; wait"
        result = run_record("-F", "997", "--json", "-", "--", "sh", "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    names = {name: pid for pid, name, _ in document["by_process"]}
    assert "work" in names
    assert other.pid not in {pid for pid, _, _ in document["by_process"]}
    assert document["lost"] == 0
    assert document["with_build_id"] > 0.8 * document["user_frames"]


def test_all_processes(program: Path, tmp_path: Path) -> None:
    with running(program, len(IDS)) as process:
        result = run_record("-F", "499", "--seconds", "1", "--json", "-", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert process.pid in {pid for pid, _, _ in json.loads(result.stdout)["by_process"]}


def test_a_process_that_there_is_not(tmp_path: Path) -> None:
    result = run_record("-p", 2**40, "--seconds", "1", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: /proc/{2**40}: there is no process {2**40}: it has ended, or the number is wrong\n"
    )


def test_text(program: Path, tmp_path: Path) -> None:
    with running(program, len(IDS)) as process:
        result = run_record("-F", "997", "-p", process.pid, "--seconds", "1", "--text", cwd=tmp_path)
    for i, build_id in enumerate(IDS):
        pattern = rf"0x[0-9a-f]+\+0x[0-9a-f]+ {build_id.hex()}@0x[0-9a-f]+ {program.parent}/l{i:02}\.so - l{i:02}\.so"
        assert re.search(pattern, result.stderr)


def test_without_samples_nothing_is_written(tmp_path: Path) -> None:
    need_record()
    (tmp_path / "record.pb.gz").write_text("the last one")
    result = run_record("-F", "1", "--", "true", cwd=tmp_path)
    assert "there are no samples" in result.stderr
    assert (tmp_path / "record.pb.gz").read_text() == "the last one"


def test_without_rights(tmp_path: Path) -> None:
    need_record()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not on PATH (Debian: apt-get install util-linux)")
    bounds = "-sys_admin,-bpf,-perfmon"
    without = ["setpriv", f"--bounding-set={bounds}", f"--inh-caps={bounds}"]
    command = [*without, *RECORD, "--", "touch", "started"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 77
    assert "CAP_BPF" in result.stderr
    assert not (tmp_path / "started").exists()


# --------------------------------------------------------------------------------------- nothing is left behind


def loaded() -> set[int]:
    """The programs of recorders, by their numbers."""
    if shutil.which("bpftool") is None:
        pytest.skip("bpftool is not on PATH (Debian: apt-get install bpftool)")
    output = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout
    names = ("take_sample", "on_write", "on_exit_mmap", "on_newtask", "scan")
    return {program["id"] for program in json.loads(output) if program.get("name") in names}


def names_of(programs: set[int]) -> set[str]:
    output = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout
    return {program["name"] for program in json.loads(output) if program["id"] in programs}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_however_it_ends(number: signal.Signals, program: Path, tmp_path: Path) -> None:
    command = [*RECORD, "-F", "499", "--seconds", "50"]
    with (
        running(program, len(IDS)) as sampled,
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
    ):
        wait_for(lambda: samples_are_taken(process.pid))
        own = bpf_programs_of(process.pid)
        assert len(own) > 5
        assert own & loaded()
        let_run(sampled.pid, 0.3)
        process.send_signal(number)
        status = process.wait(timeout=60)
    wait_for(lambda: not loaded() & own)
    if number == signal.SIGKILL:
        assert status == -signal.SIGKILL
    else:
        assert status == 0
        assert (tmp_path / "record.pb.gz").stat().st_size > 100


def test_the_profile_is_written_when_the_terminal_is_gone(program: Path, tmp_path: Path) -> None:
    with running(program, len(IDS)) as sampled, Terminal("record", "-o", tmp_path / "p.pb.gz") as terminal:
        terminal.read_until(b"samples,")
        let_run(sampled.pid, 0.5)
        terminal.hang_up()
    assert read_profile(tmp_path / "p.pb.gz").samples


def test_nothing_is_left_in_this_process() -> None:
    need_record()
    descriptors = len(os.listdir("/proc/self/fd"))
    threads = len(os.listdir("/proc/self/task"))
    others = {*children(os.getpid())}
    for _ in range(3):
        with Recording(frequency=99) as recording:
            recording.start()
            recording.stop()
            own = {*children(os.getpid())} - others
        assert len(own) > 1
        assert not any(Path(f"/proc/{pid}").exists() for pid in own)  # not even as zombies
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert len(os.listdir("/proc/self/task")) == threads


CHILDREN = """
import os, signal
from pybuildid.record._recorder import Recorder
signals = []
signal.signal(signal.SIGCHLD, lambda number, frame: signals.append(number))
with Recorder(frequency=99) as recorder:
    recorder.start()
    try:
        print(os.waitpid(-1, os.WNOHANG))
    except ChildProcessError:
        print("no children")
print(signals)
"""


def test_a_program_that_records_sees_no_children() -> None:
    """Those that read files send it no signal, and waitpid() does not find them."""
    need_record()
    result = subprocess.run([sys.executable, "-c", CHILDREN], capture_output=True, text=True, timeout=60)
    assert result.stdout == "no children\n[]\n", result.stderr


def test_two_recordings_at_once(program: Path) -> None:
    with running(program, len(IDS)) as process, Recording(frequency=499) as outer:
        outer.start()
        recorded = record_enough(process.pid)
        others = outer.stop()
    assert recorded.status.with_build_id > 0.9 * recorded.status.frames
    assert process.pid in {stack.process for stack in others.stacks}


def test_without_its_programs(tmp_path: Path) -> None:
    """As of a package that was built where there is no clang."""
    with pytest.raises(RecordError, match="install clang and libbpf-dev"):
        Recorder(frequency=99, programs=tmp_path / "none")
    environment = {**os.environ, "CLANG": "no-such-compiler"}
    build = "from pathlib import Path; from csrc.build_record import build_programs; build_programs(Path('%s'))"
    command = [sys.executable, "-c", build % tmp_path]
    root = Path(__file__).parent.parent
    result = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    assert "`pybuildid record` will not work" in result.stderr
    assert not list(tmp_path.rglob("*.o"))


def test_without_the_iterator_over_mappings(program: Path, tmp_path: Path) -> None:
    """Where it may crash the kernel it is not loaded: programs that start later are resolved as ever."""
    need_record()
    options = ["-F", "997", "--json", "-", "-o", "p.pb.gz", "--folded", "folded.txt"]
    command = [*unrepaired(tmp_path), *RECORD, *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with running(program, len(IDS)) as before, subprocess.Popen(command, cwd=tmp_path, **pipes) as recorder:  # type: ignore[call-overload]
        wait_for(lambda: samples_are_taken(recorder.pid))
        assert "scan" not in names_of(bpf_programs_of(recorder.pid))
        with running(program, len(IDS)) as after:
            for process in (before, after):
                let_run(process.pid, 0.5)  # some hundred samples
            recorder.send_signal(signal.SIGINT)
            stdout, stderr = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, stderr
    document = json.loads(stdout)
    assert {before.pid, after.pid} <= {pid for pid, _, _ in document["by_process"]}
    found = {(one["reason"], one["source"]): one["frames"] for one in document["outcomes"]}
    assert found["resolved", "table"] > 100
    assert found["of a process whose mappings were not known yet", "kernel"] > 100
    assert "Not from the table: programs that ran before the recording have the kernel's own answers alone" in stderr


def test_reasons_are_those_of_the_header() -> None:
    header = (Path(__file__).parent.parent / "csrc" / "bpf" / "space.h").read_text()
    assert len(REASONS) == int(re.findall(r"BID_FRAME_REASONS = (\d+)", header)[0])
