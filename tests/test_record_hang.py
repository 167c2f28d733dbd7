# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`record` beside a file system that does not answer: that costs the build IDs of its files, and nothing else."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import bpf_programs_of
from fuse import SILENCE, SPEAK, served
from recording import RECORD, build_program, children, let_run, need_record, running, samples_are_taken, wait_for

from pybuildid.record import REASONS, SOURCES, Recording

pytestmark = pytest.mark.usefixtures("nobody_records")

IDS = [bytes([0xD5, i, *range(18)]) for i in range(2)]
SILENT = "in a file whose file system does not answer"
LONGEST = 60  #: seconds that a recording of two may take on a busy machine


class Hung(NamedTuple):
    """A program that runs code of files whose file system has become silent; and a copy of it elsewhere."""

    process: subprocess.Popen[bytes]
    server: subprocess.Popen[bytes]
    program: Path

    def starts(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([str(self.program), *map(str, arguments)], stdout=subprocess.PIPE)


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[Hung]:
    need_record()
    program, mount = build_program(tmp_path / "files", IDS), tmp_path / "mnt"
    with served(program.parent, mount) as server, running(program, len(IDS), folder=mount) as process:
        let_run(process.pid, 0.2)  # all of its code is in memory
        server.send_signal(SILENCE)
        try:
            yield Hung(process, server, program)
        finally:
            server.kill()  # before the process: it would wait for an answer when it closes its files


def record(hung: Hung, folder: Path, *arguments: str | int) -> tuple[str, str]:
    """What the command says. If it does not end, the file system does, for not even SIGKILL may end it else."""
    command = [*RECORD, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        output = process.communicate(timeout=LONGEST)
    finally:
        if process.poll() is None:
            hung.server.kill()
            process.kill()
            process.communicate()
    assert process.returncode == 0, output[1]
    return output


def test_a_process_whose_files_do_not_answer(hung: Hung, tmp_path: Path) -> None:
    options: list[str | int] = ["-F", 997, "-p", hung.process.pid, "--seconds", 2, "--json", "-", "--text"]
    stdout, stderr = record(hung, tmp_path, *options)
    document = json.loads(stdout)
    found = {one["reason"]: one["frames"] for one in document["outcomes"]}
    assert found[SILENT] > 0.2 * document["user_frames"] > 20, found
    assert document["files"]["silent"] >= len(IDS)  # others may have such file systems as well
    assert re.search(r"Lost: \d+ files could not be read, for their file systems do not answer", stderr)
    assert (tmp_path / "record.pb.gz").stat().st_size > 100


def test_other_files_are_read_meanwhile(hung: Hung) -> None:
    with Recording(frequency=997) as recording:
        recording.start()
        subprocess.run([str(hung.program), str(hung.program.parent), str(len(IDS)), "300"], check=True, timeout=LONGEST)
        recorded = recording.stop()
    by_table = {recorded.files[frame.file].build_id for stack in recorded.stacks for frame in stack.frames
                if frame.file is not None and frame.source == SOURCES.index("table")}  # fmt: skip
    assert by_table > set(IDS)
    assert recorded.status.silent >= len(IDS)


def test_an_answer_that_comes_late_is_taken(hung: Hung) -> None:
    with Recording(frequency=997, only=True) as recording:
        recording.target(hung.process.pid)
        recording.start()
        assert silent_frames(recording, hung) > 10
        hung.server.send_signal(SPEAK)
        wait_for(lambda: silent_frames(recording, hung) == 0)


def silent_frames(recording: Recording, hung: Hung) -> int:
    """So many frames come to have this reason while the process runs for a while."""

    def count() -> int:
        time.sleep(0.2)  # samples are collected every 0.1 s
        reason = REASONS.index(SILENT)
        return sum(frames for (why, _), frames in recording.status().outcomes.items() if why == reason)

    before = count()
    let_run(hung.process.pid, 0.1)
    return count() - before


def test_the_recorder_can_be_killed(hung: Hung, tmp_path: Path) -> None:
    """And nothing of it is left but the process that waits for the file system, as long as that is silent."""
    with subprocess.Popen([*RECORD, "-o", "p.pb.gz"], cwd=tmp_path, stderr=subprocess.DEVNULL) as recorder:
        wait_for(lambda: samples_are_taken(recorder.pid))
        own = children(recorder.pid)
        recorder.kill()
        assert recorder.wait(timeout=LONGEST) == -signal.SIGKILL
    assert len(own) > 1
    wait_for(lambda: not is_there(own[0]))
    left = [pid for pid in own if is_there(pid)]
    assert left
    assert not any(map(bpf_programs_of, left))
    hung.server.kill()
    wait_for(lambda: not any(map(is_there, own)))


def is_there(pid: int) -> bool:
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False
