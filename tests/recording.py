# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the tests of `record` share: whether it can run here, a program to record, and the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from pybuildid.record import Recorded, RecordError, Recording
from stress.record.build import FRAMES, build_library

RECORD = [sys.executable, "-m", "pybuildid", "record"]
STRESS = Path(__file__).resolve().parent.parent / "stress" / "record"


@cache
def _why_not() -> str:
    try:
        with Recording(frequency=1) as recording:
            recording.start()
    except RecordError as error:
        return str(error)
    return ""


def need_record() -> None:
    """Skips a test where nothing can be recorded, and says what is missing."""
    if _why_not():
        pytest.skip(_why_not())


def run_record(*arguments: str | Path | int, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*RECORD, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


ENOUGH, LONGEST = 60, 20.0  #: samples, and seconds: other programs may have the processors


def record_enough(*pids: int) -> Recorded:
    """Records these processes until there are samples enough to judge by."""
    end = time.monotonic() + LONGEST
    with Recording(frequency=997, only=True) as recording:
        for pid in pids:
            recording.target(pid)
        recording.start()
        while recording.status().samples < ENOUGH and time.monotonic() < end:
            time.sleep(0.1)
        return recording.stop()


def record_when_ready(command: list[str]) -> Recorded:
    """Records a program from the moment on at which it prints that it is ready."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            return record_enough(process.pid)
        finally:
            process.kill()


def build_program(folder: Path, build_ids: list[bytes]) -> Path:
    """A program whose stack has a library for each of these build IDs, in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, build_id in enumerate(build_ids):
        build_library(folder / f"l{i:02}.so", build_id)
    program = folder / "work"
    command = ["cc", *FRAMES, str(STRESS / "work.c"), "-o", str(program), "-ldl", "-pthread"]
    subprocess.run(command, check=True)
    return program


def let_run(pid: int, seconds: float) -> None:
    """Until the process has had so much CPU time from now on: other programs may have the processors."""

    def cpu_seconds() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    end, enough = time.monotonic() + LONGEST, cpu_seconds() + seconds
    while cpu_seconds() < enough:
        assert time.monotonic() < end, f"process {pid} did not run for {seconds} s within {LONGEST} s"
        time.sleep(0.02)


def samples_are_taken(pid: int) -> bool:
    """By this process: it has the events, and so the handlers of its signals before."""
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") == "anon_inode:[perf_event]":
                return True
    return False


def wait_for(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Of a process and of its children."""
    found = []
    with suppress(OSError):
        for text in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, text.read_text().split()):
                found += [child, *children(child)]
    return found


@contextmanager
def running(
    program: Path, libraries: int, *arguments: str, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The program, when it has loaded its libraries, of another folder if one is given."""
    command = [str(program), str(folder or program.parent), str(libraries), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()
