# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What was recorded: stacks of frames in files, and their forms in files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pybuildid._files import replacing
from pybuildid._recorder import ffi
from pybuildid.profile import Module
from pybuildid.profile.places import unstrip_line
from pybuildid.profile.pprof import PprofWriter
from pybuildid.record._recorder import REASONS, SOURCES, Recorder, Status
from pybuildid.record.kernel import KernelMap, KernelPart
from pybuildid.symbols.perfmap import PerfMap

#: Files of which no mapping is known get addresses of their own in pprof, from here on. No process has such.
_NOWHERE, _APART = 1 << 56, 1 << 40


@dataclass(frozen=True)
class RecordedFile:
    """One state of one file.

    build_id: None if it has none, or could not be read. path: as its process saw it, "" if it is not known.
    start, end, offset: an executable mapping of it, in the first process that had it; end 0 if none is known.
    device, inode, generation, size, mtime_ns: its state; all 0 if only the kernel knew its build ID.
    """

    build_id: bytes | None
    path: str
    start: int
    end: int
    offset: int
    id_offset: int
    device: int
    inode: int
    generation: int
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """For people: the path, or else the build ID."""
        return self.path or (f"[{self.build_id.hex()}]" if self.build_id else "[unknown]")


@dataclass(frozen=True)
class MadeCode:
    """Code that a process made at run time, and gave names to."""

    process: int

    @property
    def name(self) -> str:
        """As perf calls it."""
        return f"/tmp/perf-{self.process}.map"


@dataclass(frozen=True)
class Frame:
    """A place in code.

    address: with a file the offset in it, else the address. file: number in Recorded.files, or None.
    reason: index of REASONS, 0 if the table gave the build ID. source: of the build ID, index of SOURCES.
    kernel: whether it is code of the kernel.
    """

    address: int
    file: int | None
    reason: int
    source: int
    kernel: bool


@dataclass(frozen=True)
class Stack:
    """Frames, the innermost first: first those of the kernel, then those of the process. count: how often."""

    process: int
    command: str
    frames: tuple[Frame, ...]
    count: int


@dataclass(frozen=True)
class Recorded:
    """What was recorded. began: seconds since 1970. seconds: how long. frequency: samples a second on each CPU."""

    stacks: tuple[Stack, ...]
    files: tuple[RecordedFile, ...]
    status: Status
    frequency: int
    began: float
    seconds: float
    kernel: KernelMap
    made: Mapping[int, PerfMap] = field(default_factory=dict)  #: names that processes gave to code that they made

    def outcomes(self) -> list[tuple[str, str, int]]:
        """How user frames were resolved: (reason, source, count), the most frequent first."""
        counts = sorted(self.status.outcomes.items(), key=lambda item: -item[1])
        return [(REASONS[reason], SOURCES[source], count) for (reason, source), count in counts]

    def by_process(self) -> Counter[tuple[int, str]]:
        """Samples of each process: (PID, command)."""
        counts: Counter[tuple[int, str]] = Counter()
        for stack in self.stacks:
            counts[stack.process, stack.command] += stack.count
        return counts

    def by_file(self) -> Counter[str]:
        """Samples by the file that the innermost frame is in."""
        counts: Counter[str] = Counter()
        for stack in self.stacks:
            counts[self.place(stack.frames[0], stack.process)[0] if stack.frames else "[unknown]"] += stack.count
        return counts

    def part(self, frame: Frame, process: int) -> RecordedFile | KernelPart | MadeCode | None:
        """The file, the part of the kernel, or the named code of the process, that a frame is in."""
        if frame.kernel:
            return self.kernel.part_of(frame.address)
        if frame.file is not None:
            return self.files[frame.file]
        names = self.made.get(process)
        named = names and (names.find(frame.address) or names.find(frame.address - 1))  # -1: of a caller
        return MadeCode(process) if named else None

    def place(self, frame: Frame, process: int) -> tuple[str, int]:
        """A name for people, and the address in what has that name."""
        part = self.part(frame, process)
        return (part.name if part else "[unknown]"), frame.address

    # ------------------------------------------------------------------------------------------ files of it

    def folded(self) -> Iterator[str]:
        """A line for each stack: COMMAND;OUTERMOST;...;INNERMOST COUNT, frames as FILE+0xOFFSET."""
        for stack in self.stacks:
            names = [stack.command or "[unknown]"]
            for frame in reversed(stack.frames):
                name, address = self.place(frame, stack.process)
                names.append(f"{os.path.basename(name) or name}+{address:#x}")
            yield ";".join(name.replace(";", ":").replace("\n", "?") for name in names) + f" {stack.count}"

    def write_folded(self, path: str | os.PathLike[str]) -> None:
        """The file is there whole or not at all."""
        with replacing(path) as file:
            file.writelines(os.fsencode(line) + b"\n" for line in self.folded())

    def unstrip_lines(self) -> Iterator[str]:
        """The files of all frames, one line each in the format of `eu-unstrip -n`."""
        used = {frame.file for stack in self.stacks for frame in stack.frames if frame.file is not None}
        for number in sorted(used):
            file = self.files[number]
            yield unstrip_line(
                Module(0, file.start, file.end, file.offset, 0, file.id_offset, file.build_id, file.path)
            )

    def write_pprof(self, path: str | os.PathLike[str], *, main: str = "") -> None:
        """Writes profile.proto as gzip. A mapping is a file, and has its build ID; addresses are those of the first
        process that had the file mapped, so the offset in the file is address - start + offset of the mapping.

        main: the path of the main program, which is to be the first mapping."""
        writer = PprofWriter(
            1_000_000_000 // self.frequency,
            int(self.began * 1e9),
            int(self.seconds * 1e9),
            (f"{self.status.with_build_id} of {self.status.frames} user frames have a build ID",),
        )
        places = _Places(self, writer)
        for file in self.files:
            if main and file.path == main:
                places.mapping(file)
        for stack in self.stacks:
            frames = [places.place(frame, stack.process, i > 0) for i, frame in enumerate(stack.frames)]
            labels = [("command", stack.command), ("process", str(stack.process))]
            writer.stack(frames, stack.count, labels)
        writer.write(path)


class _Places:
    """Addresses and mappings of frames for pprof."""

    def __init__(self, recorded: Recorded, writer: PprofWriter) -> None:
        self._recorded, self._writer = recorded, writer
        self._mappings: dict[RecordedFile | KernelPart | MadeCode, tuple[int, int]] = {}

    def place(self, frame: Frame, process: int, is_caller: bool) -> tuple[int, int]:
        part = self._recorded.part(frame, process)
        address = frame.address - is_caller  # in the call, not behind it
        if part is None:
            return address, 0
        bias, mapping = self.mapping(part)
        return address + bias, mapping

    def mapping(self, part: RecordedFile | KernelPart | MadeCode) -> tuple[int, int]:
        if part not in self._mappings:
            self._mappings[part] = self._add(part)
        return self._mappings[part]

    def _add(self, part: RecordedFile | KernelPart | MadeCode) -> tuple[int, int]:
        """What an address in the part gets added, and the number of its mapping."""
        if isinstance(part, MadeCode):
            names = self._recorded.made[part.process]
            number = self._writer.mapping(*names.range, 0, part.name, b"")
            self._writer.name(number, names.find)
            return 0, number
        add, build_id = self._writer.mapping, part.build_id or b""
        if isinstance(part, KernelPart):
            number = add(part.start, part.end, 0, part.name, build_id)
            self._writer.name(number, self._recorded.kernel.function_at)
            return 0, number
        if part.end:
            return part.start - part.offset, add(part.start, part.end, part.offset, part.path, build_id)
        start = _NOWHERE + len(self._mappings) * _APART
        return start, add(start, start + _APART, 0, part.path, build_id)


# ---------------------------------------------------------------------------------------------- from the recorder


def read_result(
    recorder: Recorder, frequency: int, began: float, seconds: float, made: Mapping[int, PerfMap] | None = None
) -> Recorded:
    """Copies everything out of the recorder's memory."""
    raw = recorder.result()
    files = [_read_file(raw.files[i]) for i in range(raw.file_count)]
    files = _named(files)
    frames: dict[bytes, Frame] = {}
    size = ffi.sizeof("struct bid_recorded_frame")
    buffer = ffi.buffer(raw.frames, raw.frame_count * size) if raw.frame_count else b""
    stacks = []
    for i in range(raw.stack_count):
        stack = raw.stacks[i]
        own = []
        for j in range(stack.first, stack.first + stack.depth):
            key = bytes(buffer[j * size : (j + 1) * size])
            if key not in frames:
                frames[key] = _read_frame(raw.frames[j])
            own.append(frames[key])
        command = ffi.string(stack.command, 16).decode(errors="replace")
        stacks.append(Stack(stack.tgid, command, tuple(own), stack.count))
    stacks.sort(key=lambda one: -one.count)
    return Recorded(tuple(stacks), tuple(files), recorder.status(), frequency, began, seconds, KernelMap(), made or {})


def _read_file(raw: Any) -> RecordedFile:
    state = raw.state
    return RecordedFile(
        build_id=bytes(raw.id[0 : raw.id_length]) or None,
        path=ffi.string(raw.path).decode(errors="surrogateescape"),
        start=raw.start,
        end=raw.end,
        offset=raw.offset,
        id_offset=raw.id_offset,
        device=state.device,
        inode=state.number,
        generation=state.generation,
        size=state.size,
        mtime_ns=state.mtime * 1_000_000_000 + state.mtime_ns,
    )


def _named(files: list[RecordedFile]) -> list[RecordedFile]:
    """What only the kernel knew goes by its build ID alone: it is the file that has the same one, if there is one."""
    known = {file.build_id: file for file in files if file.build_id and file.end}
    return [known.get(file.build_id, file) if file.build_id and not file.end else file for file in files]


def _read_frame(raw: Any) -> Frame:
    return Frame(raw.address, raw.file - 1 if raw.file else None, raw.reason, raw.source, bool(raw.kernel))
