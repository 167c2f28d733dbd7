# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles in the format of pprof: profile.proto of github.com/google/pprof, mostly as gzip.

A file is read twice. Samples come first in it, and the strings that they name last: the first time everything but the
samples is kept, the second time the samples are streamed. So memory is bounded by the distinct addresses.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, Union

from pybuildid.stacks.errors import ProfileFormatError
from pybuildid.stacks.model import Label, Line, Location, Mapping, Sample, StackProfile, ValueType
from pybuildid.stacks.wire import (
    WireError,
    encoded,
    fields,
    message,
    number,
    numbers,
    packed,
    signed,
    split_packed,
    stream_fields,
)

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
    except (WireError, UnicodeError, ValueError, TypeError, IndexError, KeyError) as error:
        if isinstance(error, ProfileFormatError):
            raise
        raise ProfileFormatError(path, f"no profile in the format of pprof: {error}") from error


def open_regular(path: StrPath) -> IO[bytes]:
    """Raises ProfileFormatError for what is no file, before it is opened: a pipe may wait."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ProfileFormatError(os.fspath(path), "no regular file: a profile is read twice, so save it as one")
    return open(path, "rb")


@contextmanager
def _opened(path: str) -> Iterator[Callable[[int], bytes]]:
    """read() of the message, decompressed."""
    with open_regular(path) as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        if not packed:
            yield file.read
            return
        with gzip.open(file) as unpacked:
            yield unpacked.read


class _Tables:
    """All but the samples, as they stand in the file: numbers of strings, of functions."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.strings: list[str] = []
        self.functions: dict[int, dict[int, int]] = {}
        self.mapping_numbers: dict[int, int] = {0: 0}
        self.location_numbers: dict[int, int] = {}
        with _problems(path):
            self._read()

    def _read(self) -> None:
        types, mappings, locations, comments = [], [], [], []
        scalars: dict[int, Any] = {}
        with _opened(self.path) as read:
            for name, value in stream_fields(read):
                if name == SAMPLE_TYPE:
                    types.append(_scalars(value))
                elif name == MAPPING:
                    mappings.append(_scalars(value))
                elif name == LOCATION:
                    locations.append(value)
                elif name == FUNCTION:
                    function = _scalars(value)
                    self.functions[function.get(1, 0)] = function
                elif name == STRING:
                    self.strings.append(_bytes(value).decode("utf-8", "surrogateescape"))
                elif name == COMMENT:
                    comments += numbers(value)
                elif name != SAMPLE:
                    scalars[name] = value
        if not self.strings or self.strings[0]:
            raise WireError("it has no table of strings")
        self.types = [self._type(each) for each in types]
        self.mappings = [self._mapping(each) for each in mappings]
        self.locations = [self._location(_bytes(each)) for each in locations]
        self.comments = [self.strings[each] for each in comments]
        self.scalars = scalars

    def _type(self, value: dict[int, int]) -> ValueType:
        return ValueType(self.strings[value.get(1, 0)], self.strings[value.get(2, 0)])

    def _mapping(self, value: dict[int, int]) -> Mapping:
        self.mapping_numbers[value.get(1, 0)] = len(self.mapping_numbers)
        start, limit, offset = (value.get(field, 0) for field in (2, 3, 4))
        path, build_id = (self.strings[value.get(field, 0)] for field in (5, 6))
        return Mapping(start, limit, offset, path, build_id, *(bool(value.get(field)) for field in (7, 8, 9, 10)))

    def _location(self, message: bytes) -> Location:
        values, lines = {}, []
        for name, value in fields(message):
            if name == 4:
                lines.append(self._line(_scalars(value)))
            else:
                values[name] = value
        self.location_numbers[values.get(1, 0)] = len(self.location_numbers) + 1  # type: ignore[index]
        mapping = self.mapping_numbers[values.get(2, 0)]  # type: ignore[index]
        return Location(mapping, values.get(3, 0), tuple(lines), bool(values.get(5)))  # type: ignore[arg-type]

    def _line(self, value: dict[int, int]) -> Line:
        function = self.functions[value.get(1, 0)]
        name, system_name, file = (self.strings[function.get(field, 0)] for field in (2, 3, 4))
        return Line(name, system_name, file, signed(value.get(2, 0)), signed(function.get(5, 0)))


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise WireError("a number stands where a message should")
    return value


def _scalars(value: int | bytes) -> dict[int, int]:
    return {name: each for name, each in fields(_bytes(value)) if isinstance(each, int)}


class Samples:
    """The samples of a file, read from it each time that they are iterated over."""

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables
        self._encoded = {encoded(each): number for each, number in tables.location_numbers.items()}

    def __iter__(self) -> Iterator[Sample]:
        known = len(self._tables.types)
        labels: dict[bytes, Label] = {}
        with _problems(self._tables.path), _opened(self._tables.path) as read:
            for name, message in stream_fields(read):
                if name != SAMPLE:
                    continue
                stack: tuple[int, ...] = ()
                values: list[int] = []
                marks: list[Label] = []
                for part, value in fields(_bytes(message)):
                    if part == 1:
                        stack += self._stack(value)
                    elif part == 2:
                        values += numbers(value)
                    elif part == 3:
                        text = _bytes(value)
                        if text not in labels:
                            labels[text] = self._label(text)
                        marks.append(labels[text])
                if len(values) != known:
                    raise WireError(f"a sample has {len(values)} values, and there are {known} types of them")
                yield Sample(stack, tuple(map(signed, values)), tuple(marks))

    def _stack(self, value: int | bytes) -> tuple[int, ...]:
        """Looked up as they are encoded, which takes a quarter of the time of decoding them first."""
        if isinstance(value, bytes):
            try:
                return tuple(map(self._encoded.__getitem__, split_packed(value)))
            except KeyError:
                pass  # an encoding that is longer than it has to be, or damage
        place = self._tables.location_numbers
        return tuple([place[each] for each in numbers(value)])

    def _label(self, content: bytes) -> Label:
        value, strings = _scalars(content), self._tables.strings
        return Label(
            strings[value.get(1, 0)], strings[value.get(2, 0)], signed(value.get(3, 0)), strings[value.get(4, 0)]
        )


def read_pprof(path: StrPath) -> StackProfile:
    """A profile, whose samples are read from the file when they are iterated over: it has to stay as it is until then.

    Raises ProfileFormatError, then or now; OSError.
    """
    tables = _Tables(os.fspath(path))
    scalars, strings = tables.scalars, tables.strings
    with _problems(tables.path):
        return StackProfile(
            types=tables.types,
            samples=Samples(tables),
            mappings=tables.mappings,
            locations=tables.locations,
            period_type=tables._type(_scalars(scalars[PERIOD_TYPE])) if PERIOD_TYPE in scalars else None,
            period=signed(scalars.get(PERIOD, 0)),
            time_ns=signed(scalars.get(TIME, 0)),
            duration_ns=signed(scalars.get(DURATION, 0)),
            comments=tables.comments,
            default_type=strings[scalars.get(DEFAULT_TYPE, 0)],
            drop_frames=strings[scalars.get(DROP_FRAMES, 0)],
            keep_frames=strings[scalars.get(KEEP_FRAMES, 0)],
        )


# ------------------------------------------------------------------------------------------------ writing


@dataclass
class _Encoder:
    """Numbers strings and functions as they come, as the format wants them."""

    strings: dict[str, int] = field(default_factory=lambda: {"": 0})
    functions: dict[tuple[str, str, str, int], int] = field(default_factory=dict)

    def text(self, name: int, text: str) -> bytes:
        return number(name, self.strings.setdefault(text, len(self.strings)))

    def type(self, value: ValueType) -> bytes:
        return self.text(1, value.kind) + self.text(2, value.unit)

    def sample(self, sample: Sample) -> bytes:
        content = packed(1, sample.stack) + packed(2, sample.values)
        for label in sample.labels:
            content += message(
                3,
                self.text(1, label.key) + self.text(2, label.text) + number(3, label.number) + self.text(4, label.unit),
            )
        return message(SAMPLE, content)

    def mapping(self, place: int, mapping: Mapping) -> bytes:
        start, limit, offset, path, build_id, *flags = mapping
        content = number(1, place) + number(2, start) + number(3, limit) + number(4, offset)
        content += self.text(5, path) + self.text(6, build_id)
        return message(MAPPING, content + b"".join(number(7 + i, flag) for i, flag in enumerate(flags)))

    def location(self, place: int, location: Location) -> bytes:
        content = number(1, place) + number(2, location.mapping) + number(3, location.address)
        for line in location.lines:
            function = (line.name, line.system_name or line.name, line.file, line.start_line)
            its = self.functions.setdefault(function, len(self.functions) + 1)
            content += message(4, number(1, its) + number(2, line.line))
        return message(LOCATION, content + number(5, location.folded))

    def function(self, place: int, name: str, system_name: str, file: str, start_line: int) -> bytes:
        content = number(1, place) + self.text(2, name) + self.text(3, system_name) + self.text(4, file)
        return message(FUNCTION, content + number(5, start_line))

    def parts(self, profile: StackProfile) -> Iterator[bytes]:
        for kind in profile.types:
            yield message(SAMPLE_TYPE, self.type(kind))
        for sample in profile.samples:
            yield self.sample(sample)
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


@contextmanager
def replacing(path: StrPath) -> Iterator[IO[bytes]]:
    """A file that takes the place of the one at path when it is complete, with the latter's mode."""
    target = os.path.realpath(path)
    special = os.path.exists(target) and not os.path.isfile(target)  # such as /dev/stdout: nothing is to be replaced
    if special or not os.access(os.path.dirname(target), os.W_OK | os.X_OK):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with open(target, "wb") as there:
                shutil.copyfileobj(file, there)
        return
    handle, name = tempfile.mkstemp(prefix=".pybuildid-", dir=os.path.dirname(target))
    try:
        with open(handle, "wb") as file:
            yield file
        os.chmod(name, stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    with open("/proc/self/status") as status:
        return next((int(line.split()[1], 8) for line in status if line.startswith("Umask:")), 0o022)
