# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles in the format of pprof: profile.proto of github.com/google/pprof, mostly as gzip.

A file is read once, a piece at a time, into columns of numbers (columns.py): memory is bounded by what is distinct.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import IO, Union

from pybuildid._core import ffi
from pybuildid._files import replacing
from pybuildid.stacks.columns import FUNCTION as FUNCTION_WIDTH
from pybuildid.stacks.columns import LINE as LINE_WIDTH
from pybuildid.stacks.columns import LOCATION as LOCATION_WIDTH
from pybuildid.stacks.columns import Message, Rows
from pybuildid.stacks.errors import ProfileFormatError
from pybuildid.stacks.model import Label, Line, Location, Mapping, Sample, StackProfile, ValueType
from pybuildid.stacks.wire import (
    WireError,
    fields,
    message,
    number,
    numbers,
    packed,
    signed,
)
from pybuildid.stacks.work import WorkError

StrPath = Union[str, "os.PathLike[str]"]
GZIP = b"\x1f\x8b"

SAMPLE_TYPE, SAMPLE, MAPPING, LOCATION, FUNCTION, STRING = 1, 2, 3, 4, 5, 6
DROP_FRAMES, KEEP_FRAMES, TIME, DURATION, PERIOD_TYPE, PERIOD, COMMENT, DEFAULT_TYPE = 7, 8, 9, 10, 11, 12, 13, 14


# ------------------------------------------------------------------------------------------------ reading


@contextmanager
def _problems(path: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ProfileFormatError(path, f"its gzip is damaged or cut off ({error})") from error
    except WireError as error:
        raise ProfileFormatError(path, f"no profile in the format of pprof: {error}") from error
    except WorkError as error:
        raise ProfileFormatError(path, f"too much work: {error}") from error
    except MemoryError as error:
        raise ProfileFormatError(path, f"too large: {str(error) or 'there is no memory for it'}") from error


def open_regular(path: StrPath) -> IO[bytes]:
    """Raises ProfileFormatError for what is no file, before it is opened: a pipe may wait."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ProfileFormatError(os.fspath(path), "no regular file: save it as one")
    return open(path, "rb")


@contextmanager
def _opened(path: str) -> Iterator[tuple[Callable[[int], bytes], int]]:
    """read() of the message, decompressed, and the bytes of the file."""
    with open_regular(path) as file:
        packed, size = file.read(2) == GZIP, os.fstat(file.fileno()).st_size
        file.seek(0)
        if not packed:
            yield file.read, size
            return
        with gzip.open(file) as unpacked:
            yield unpacked.read, size


class FileProfile(StackProfile):
    """A profile from a file. Its locations are made when they are first asked for."""

    samples: Rows

    def __init__(self, message: Message) -> None:
        self.strings = message.strings()
        if not self.strings or self.strings[0]:
            raise WireError("it has no table of strings")
        self._message = message
        functions = self._function(0)
        self._functions = dict(zip(functions, zip(*(self._function(at) for at in range(1, 5)))))
        if len(self._functions) < len(functions):
            raise WireError("two functions have the same id")
        self._mapping_numbers: dict[int, int] = {0: 0}
        self._known_labels: dict[bytes, Label] = {}
        self._made: list[Location] | None = None
        super().__init__()
        self._read_others()
        self.samples = Rows(
            ffi.addressof(message.c, "samples"), [self._labels(each) for each in message.label_sets()], message
        )
        self._check()

    def _function(self, at: int) -> list[int]:
        return self._message.column("functions", FUNCTION_WIDTH, at, "q" if at == 4 else "Q")

    # ---- what is in no table

    def _read_others(self) -> None:
        scalars: dict[int, int] = {}
        for name, value in fields(self._message.others()):
            if name == SAMPLE_TYPE:
                self.types.append(self._type(_scalars(value)))
            elif name == MAPPING:
                self.mappings.append(self._mapping(_scalars(value)))
            elif name == COMMENT:
                self.comments += map(self._text, numbers(value))
            elif name == PERIOD_TYPE:
                self.period_type = self._type(_scalars(value))
            elif name in (SAMPLE, LOCATION, FUNCTION, STRING):
                raise WireError("a number stands where a message should")
            elif isinstance(value, int):
                scalars[name] = value
            else:
                raise WireError("something else stands where a number should")
        self.period, self.time_ns, self.duration_ns = (signed(scalars.get(at, 0)) for at in (PERIOD, TIME, DURATION))
        texts = (self._text(scalars.get(at, 0)) for at in (DEFAULT_TYPE, DROP_FRAMES, KEEP_FRAMES))
        self.default_type, self.drop_frames, self.keep_frames = texts

    def _text(self, number: int) -> str:
        if number >= len(self.strings):
            raise WireError("a text is not in the table of strings")
        return self.strings[number]

    def _type(self, value: dict[int, int]) -> ValueType:
        return ValueType(self._text(value.get(1, 0)), self._text(value.get(2, 0)))

    def _mapping(self, value: dict[int, int]) -> Mapping:
        number = value.get(1, 0)
        if number in self._mapping_numbers:
            raise WireError(f"two mappings have the id {number}" if number else "a mapping has no id")
        self._mapping_numbers[number] = len(self._mapping_numbers)
        start, limit, offset = (value.get(field, 0) for field in (2, 3, 4))
        path, build_id = (self._text(value.get(field, 0)) for field in (5, 6))
        return Mapping(start, limit, offset, path, build_id, *(bool(value.get(field)) for field in (7, 8, 9, 10)))

    def _labels(self, content: bytes) -> tuple[Label, ...]:
        return tuple([self._label(_bytes(value)) for _, value in fields(content)])

    def _label(self, content: bytes) -> Label:
        label = self._known_labels.get(content)
        if label is None:
            value = _scalars(content)
            key, text, unit = (self._text(value.get(at, 0)) for at in (1, 2, 4))
            label = self._known_labels[content] = Label(key, text, signed(value.get(3, 0)), unit)
        return label

    # ---- locations

    def _check(self) -> None:
        """Raises for damage that would be found only when locations are made."""
        known, rows = len(self.types), self.samples
        if len(rows) and not known:
            raise WireError("it has samples, and no types of their values")
        if len(rows) and rows.width != known:
            raise WireError(f"a sample has {rows.width} values, and there are {known} types of them")
        texts = max((max(self._function(at), default=0) for at in (1, 2, 3)), default=0)
        if texts >= len(self.strings):
            raise WireError("a function's name is not in the table of strings")
        if not self._functions.keys() >= set(self._message.column("lines", LINE_WIDTH, 0)):
            raise WireError("a line is of a function that there is not")
        if not self._mapping_numbers.keys() >= set(self._message.column("locations", LOCATION_WIDTH, 1)):
            raise WireError("a location is in a mapping that there is not")

    def places(self) -> Iterator[tuple[int, int, int, int]]:
        """Of each location: its mapping's number, its address, and where its lines begin and end."""
        columns = (self._message.column("locations", LOCATION_WIDTH, at) for at in (1, 2, 3))
        mappings, addresses, ends = columns
        return zip(map(self._mapping_numbers.__getitem__, mappings), addresses, [0, *ends], ends)

    @cached_property
    def _lines(self) -> tuple[list[int], list[int]]:
        return self._message.column("lines", LINE_WIDTH, 0), self._message.column("lines", LINE_WIDTH, 1, "q")

    @cached_property
    def _folded(self) -> list[int]:
        return self._message.column("locations", LOCATION_WIDTH, 4)

    def make_location(self, number: int, place: tuple[int, int, int, int]) -> Location:
        """number: of the location. place: what places() has of it."""
        mapping, address, begin, end = place
        lines = tuple(
            [self._line(function, line) for function, line in zip(*(each[begin:end] for each in self._lines))]
        )
        return Location(mapping, address, lines, bool(self._folded[number - 1]))

    def _line(self, function: int, line: int) -> Line:
        name, system_name, file, start_line = self._functions[function]
        strings = self.strings
        return Line(strings[name], strings[system_name], strings[file], line, start_line)

    @property
    def is_as_read(self) -> bool:
        """Whether nobody has its list of locations, and may have changed it."""
        return self._made is None

    @property
    def locations(self) -> list[Location]:
        if self._made is None:
            self._made = [self.make_location(number, place) for number, place in enumerate(self.places(), 1)]
        return self._made

    @locations.setter
    def locations(self, locations: list[Location]) -> None:
        if locations:
            self._made = locations


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise WireError("a number stands where a message should")
    return value


def _scalars(value: int | bytes) -> dict[int, int]:
    return {name: each for name, each in fields(_bytes(value)) if isinstance(each, int)}


def read_pprof(path: StrPath) -> FileProfile:
    """A profile from a file, which is read to its end. Raises ProfileFormatError, OSError."""
    name = os.fspath(path)
    with _problems(name), _opened(name) as (read, size):
        return FileProfile(Message(read, size=size))


def message_of(profile: StackProfile) -> FileProfile:
    """The same, as if it had been read from a file: itself if it was, and is as it was read."""
    if isinstance(profile, FileProfile) and profile.is_as_read:
        return profile
    return FileProfile(Message(BytesIO(encode(profile)).read))


# ------------------------------------------------------------------------------------------------ writing


@dataclass
class _Encoder:
    """Numbers strings and functions as they come, as the format wants them."""

    strings: dict[str, int] = field(default_factory=lambda: {"": 0})
    functions: dict[tuple[str, str, str, int], int] = field(default_factory=dict)
    labels: dict[Label, bytes] = field(default_factory=dict)

    def text(self, name: int, text: str) -> bytes:
        return number(name, self.strings.setdefault(text, len(self.strings)))

    def type(self, value: ValueType) -> bytes:
        return self.text(1, value.kind) + self.text(2, value.unit)

    def label(self, label: Label) -> bytes:
        known = self.labels.get(label)
        if known is None:
            content = self.text(1, label.key) + self.text(2, label.text) + number(3, label.number)
            known = self.labels[label] = message(3, content + self.text(4, label.unit))
        return known

    def sample(self, sample: Sample) -> bytes:
        content = packed(1, sample.stack) + packed(2, sample.values)
        return message(SAMPLE, content + b"".join(map(self.label, sample.labels)))

    def samples(self, samples: Iterable[Sample]) -> Iterable[bytes]:
        if isinstance(samples, Rows):
            return samples.encoded(lambda labels: b"".join(map(self.label, labels)))
        return map(self.sample, samples)

    def mapping(self, place: int, mapping: Mapping) -> bytes:
        start, limit, offset, path, build_id, *flags = mapping
        content = number(1, place) + number(2, start) + number(3, limit) + number(4, offset)
        content += self.text(5, path) + self.text(6, build_id)
        return message(MAPPING, content + b"".join(number(7 + i, flag) for i, flag in enumerate(flags)))

    def location(self, place: int, location: Location) -> bytes:
        content = [number(1, place), number(2, location.mapping), number(3, location.address)]
        for line in location.lines:
            function = (line.name, line.system_name or line.name, line.file, line.start_line)
            its = self.functions.setdefault(function, len(self.functions) + 1)
            content.append(message(4, number(1, its) + number(2, line.line)))
        return message(LOCATION, b"".join([*content, number(5, location.folded)]))

    def function(self, place: int, name: str, system_name: str, file: str, start_line: int) -> bytes:
        content = number(1, place) + self.text(2, name) + self.text(3, system_name) + self.text(4, file)
        return message(FUNCTION, content + number(5, start_line))

    def parts(self, profile: StackProfile) -> Iterator[bytes]:
        for kind in profile.types:
            yield message(SAMPLE_TYPE, self.type(kind))
        yield from self.samples(profile.samples)
        for place, mapping in enumerate(profile.mappings, 1):
            yield self.mapping(place, mapping)
        for place, location in enumerate(profile.locations, 1):
            yield self.location(place, location)
        for function, place in self.functions.items():
            yield self.function(place, *function)
        if profile.period_type:
            yield message(PERIOD_TYPE, self.type(profile.period_type))
        yield number(TIME, profile.time_ns) + number(DURATION, profile.duration_ns) + number(PERIOD, profile.period)
        yield self.text(DROP_FRAMES, profile.drop_frames) + self.text(KEEP_FRAMES, profile.keep_frames)
        yield self.text(DEFAULT_TYPE, profile.default_type)
        if profile.comments:
            yield packed(COMMENT, [self.strings.setdefault(text, len(self.strings)) for text in profile.comments])
        for text in self.strings:
            yield message(STRING, text.encode("utf-8", "surrogateescape"))


def encode(profile: StackProfile) -> bytes:
    """The message, not compressed."""
    return b"".join(_Encoder().parts(profile))


def write_pprof(profile: StackProfile, path: StrPath) -> None:
    """Writes gzip. The file is there whole or not at all, and may be the one whose samples are read meanwhile."""
    with replacing(path) as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as packed:
        pending, size = [], 0
        for part in _Encoder().parts(profile):
            pending.append(part)
            size += len(part)
            if size > 1 << 16:
                packed.write(b"".join(pending))
                pending, size = [], 0
        packed.write(b"".join(pending))
