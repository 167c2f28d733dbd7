# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What recording takes by itself: the time of its process, and that of its programs in the kernel."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stress.record.build import BUILD, build_work
from stress.record.run import working

HZ = 99
BPF_CALL = {"x86_64": 321, "aarch64": 280}  #: number of bpf(2)
ENABLE_STATS = 32  #: BPF_ENABLE_STATS; its first argument is BPF_STATS_RUN_TIME, 0
SAMPLER = 7  #: BPF_PROG_TYPE_PERF_EVENT
STARTS = 5.0  #: seconds until everything is loaded and learned


@dataclass(frozen=True)
class Own:
    """Seconds: of the clock, of processor time of the process and its children, and of its programs. samples: taken.
    verified: instructions that the verifier visits for the program that takes samples."""

    seconds: float
    process: float
    programs: float
    samples: int
    verified: int

    @property
    def share(self) -> float:
        """Of one processor."""
        return (self.process + self.programs) / self.seconds


@contextmanager
def _run_times() -> Iterator[None]:
    """The kernel counts how long each program runs, as long as a descriptor is open."""
    libc = ctypes.CDLL(None, use_errno=True)
    attribute = ctypes.create_string_buffer(120)
    descriptor = libc.syscall(BPF_CALL[platform.machine()], ENABLE_STATS, attribute, len(attribute))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        os.close(descriptor)


def _process_seconds(pid: int) -> float:
    """Of a process and of its children, which read files for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return own + sum(_process_seconds(int(child)) for child in children.split())


def _programs(pid: int) -> list[dict[str, int]]:
    """Of the descriptors of a process: what the kernel says of each program."""
    programs = {}
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            fields = dict(re.findall(r"^(\w+):\s*(\d+)$", file.read_text(), re.MULTILINE))
            if "run_time_ns" in fields:
                programs[fields["prog_id"]] = {name: int(value) for name, value in fields.items()}
    return list(programs.values())


def own(seconds: float = 10.0) -> Own:
    """`pybuildid record` at its usual frequency, while all processors are busy."""
    program = build_work(BUILD)
    with ExitStack() as stack:
        for _ in os.sched_getaffinity(0):
            stack.enter_context(working(program, ()))
        stack.enter_context(_run_times())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        command = [sys.executable, "-m", "pybuildid", "record", "-F", str(HZ), "-o", f"{folder}/record.pb.gz"]
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(process.kill)
        time.sleep(STARTS)
        began, before, programs = time.monotonic(), _process_seconds(process.pid), _programs(process.pid)
        time.sleep(seconds)
        after, now, took = _programs(process.pid), _process_seconds(process.pid), time.monotonic() - began
    (sampler,) = (one for one in after if one["prog_type"] == SAMPLER)
    runs = sampler["run_cnt"] - sum(one["run_cnt"] for one in programs if one["prog_type"] == SAMPLER)
    ran = sum(one["run_time_ns"] for one in after) - sum(one["run_time_ns"] for one in programs)
    return Own(took, now - before, ran / 1e9, runs, sampler["verified_insns"])
