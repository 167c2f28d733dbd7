# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A system-wide sampling profiler whose stacks have build IDs: Recording and Recorded.

BPF programs take user and kernel stacks on all CPUs, and turn each address into (build ID, file offset) on the spot,
from a table and from the mappings that they keep themselves (csrc/bpf). Where they have no answer they take the
kernel's own. Nothing is done in the processes that are sampled.

    with Recording(frequency=99) as recording:
        recording.start()
        time.sleep(10)
        recorded = recording.stop()
    recorded.write_pprof("record.pb.gz")
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType

from pybuildid.record._recorder import REASONS, SOURCES, Recorder, RecordError, Status, ThreadError, check_process
from pybuildid.record.kernel import KernelPart
from pybuildid.record.made import Makers
from pybuildid.record.recorded import Frame, Recorded, RecordedFile, Stack, read_result

__all__ = [
    "REASONS",
    "SOURCES",
    "Frame",
    "KernelPart",
    "RecordError",
    "Recorded",
    "RecordedFile",
    "Recording",
    "Stack",
    "Status",
    "ThreadError",
    "check_process",
]


class Recording:
    """A recording that is made. Needs root (or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_CHECKPOINT_RESTORE) and Linux
    6.1 or later; raises RecordError, which says what is missing.

    frequency: samples a second on each CPU. only: of the processes that target() is called for, and their children.
    clock: by the clock, also where there is a hardware counter of cycles. memory: bytes for the table, 0: 32 MiB.
    """

    def __init__(self, *, frequency: int = 99, only: bool = False, clock: bool = False, memory: int = 0) -> None:
        self.frequency = frequency
        self._recorder = Recorder(frequency=frequency, only=only, clock=clock, memory=memory)
        self._makers = Makers(self._recorder.made, self._recorder.reader)
        self._began = self._started = 0.0  # by the clock; of the monotonic one

    def target(self, pid: int) -> None:
        """Samples this process, and those that it will start. Raises OSError if there is none, and ThreadError, which
        is one, if it is a thread of another."""
        self._recorder.target(pid)

    def start(self) -> None:
        self._began, self._started = time.time(), time.monotonic()
        self._recorder.start()
        self._makers.start()

    def status(self) -> Status:
        return self._recorder.status()

    def stop(self) -> Recorded:
        """Ends sampling. Everything that was recorded is in the result, which outlives this object."""
        seconds = time.monotonic() - self._started  # somebody may have set the clock
        self._recorder.stop()
        return read_result(self._recorder, self.frequency, self._began, seconds, self._makers.stop())

    def close(self) -> None:
        """Gives everything back: programs, maps, events and threads. They go with the process, however it ends."""
        self._makers.close()
        self._recorder.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def record(seconds: float, pids: Iterable[int] = (), *, frequency: int = 99) -> Recorded:
    """Records for so many seconds: these processes and their children, or all."""
    targets = list(pids)
    with Recording(frequency=frequency, only=bool(targets)) as recording:
        for pid in targets:
            recording.target(pid)
        recording.start()
        time.sleep(seconds)
        return recording.stop()
