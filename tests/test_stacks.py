# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles of stacks: what is written is read again, `go tool pprof` reads the same, and damage is said."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import os
import random
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from madeup import large_profile, named_profile
from profiled import need

from pybuildid._core import lib
from pybuildid.profile.pprof import PprofWriter
from pybuildid.stacks import columns, work
from pybuildid.stacks.columns import Message
from pybuildid.stacks.errors import ProfileFormatError
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.folded import folded_lines
from pybuildid.stacks.memory import available, bounded
from pybuildid.stacks.model import Label, Line, Location, Mapping, Sample, StackProfile, ValueType
from pybuildid.stacks.pprof import FileProfile, encode, read_pprof, write_pprof
from pybuildid.stacks.wire import WireError, message, number, packed


def written(profile: StackProfile, path: Path) -> StackProfile:
    write_pprof(profile, path)
    return read_profile(path)


def whole(profile: StackProfile) -> dict[str, Any]:
    """Everything of it. Samples of the same stack and labels are one, whose values wrap around as the format's do."""
    rows: dict[Any, list[int]] = {}
    for sample in profile.samples:
        sums = rows.setdefault((sample.stack, sample.labels), [0] * len(sample.values))
        sums[:] = [(one + other + 2**63) % 2**64 - 2**63 for one, other in zip(sums, sample.values)]
    every = {each.name: getattr(profile, each.name) for each in dataclasses.fields(profile)}
    return {**every, "samples": list(rows.items())}


NUMBER = some.integers(0, 2**64 - 1)
SIGNED = some.integers(-(2**63), 2**63 - 1)
TEXT = some.text(max_size=8)
LINE = some.builds(Line, TEXT.filter(bool), TEXT.filter(bool), TEXT, SIGNED, SIGNED)


@given(data=some.data())
@settings(max_examples=60)
def test_what_is_written_is_read(data: some.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    draw = data.draw
    mappings = draw(some.lists(some.builds(Mapping, NUMBER, NUMBER, NUMBER, TEXT, TEXT), max_size=3))
    number = some.integers(0, len(mappings))
    lines = some.lists(LINE, max_size=3).map(tuple)
    locations = draw(some.lists(some.builds(Location, number, NUMBER, lines, some.booleans()), min_size=1, max_size=5))
    stack = some.lists(some.integers(1, len(locations)), max_size=9).map(tuple)
    label = some.builds(Label, TEXT, TEXT, SIGNED, TEXT)
    sample = some.builds(Sample, stack, some.tuples(SIGNED, SIGNED), some.lists(label, max_size=2).map(tuple))
    types = [ValueType(draw(TEXT), draw(TEXT)), ValueType("cpu", "nanoseconds")]
    made = StackProfile(
        types, draw(some.lists(sample, max_size=5)), mappings, locations, types[0], draw(SIGNED), draw(SIGNED),
        draw(SIGNED), draw(some.lists(TEXT, max_size=2)), draw(TEXT), draw(TEXT), draw(TEXT),
    )  # fmt: skip
    assert whole(written(made, tmp_path_factory.mktemp("p") / "profile.pb.gz")) == whole(made)


def test_go_reads_the_same(tmp_path: Path) -> None:
    need("go", "golang-go")
    made = named_profile(("a.so!main;a.so!work;b.so!inner", 7), ("a.so!main;a.so!other", 3))
    write_pprof(made, tmp_path / "profile.pb.gz")
    command = ["go", "tool", "pprof", "-traces", "-sample_index=samples", "-lines", str(tmp_path / "profile.pb.gz")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "7   inner inner.c:10\n             work work.c:10\n             main main.c:10" in text
    assert "3   other other.c:10\n             main main.c:10" in text


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_files_are_read_in_pieces(chunk: int) -> None:
    """Which end in the midst of fields."""
    made = large_profile(300, 20)
    with BytesIO(encode(made)) as file:
        assert whole(FileProfile(Message(file.read, chunk))) == whole(made)


def test_ids_of_locations_may_be_any_numbers() -> None:
    """Addresses, for example, in any order; and short stacks whose ids are a field each, as Go writes them."""
    strings = b"".join(message(6, text) for text in (b"", b"samples", b"count"))
    kinds = message(1, number(1, 1) + number(2, 2))
    places = {2**63 + 5: 0x30, 7: 0x10, 2**40: 0x20}
    locations = b"".join(message(4, number(1, id) + number(3, address)) for id, address in places.items())
    apart = message(2, number(1, 7) + number(1, 2**63 + 5) + number(2, 3))
    together = message(2, packed(1, [7, 2**63 + 5]) + packed(2, [4]))
    overlong = message(2, message(1, b"\x87\x80\x00" + b"\x80\x80\x80\x80\x80\x20") + packed(2, [1]))
    profile = FileProfile(Message(BytesIO(strings + kinds + apart + together + overlong + locations).read))
    stacks = [([profile.location(each).address for each in sample.stack], sample.values) for sample in profile.samples]
    assert stacks == [([0x10, 0x30], (7,)), ([0x10, 0x20], (1,))]
    with pytest.raises(WireError, match="a location that there is not"):
        FileProfile(Message(BytesIO(strings + kinds + apart).read))


def test_samples_of_one_stack_are_one() -> None:
    made = named_profile(("a!b;c", 1), ("a!b", 2))
    made.samples = [*made.samples] * 3
    read = FileProfile(Message(BytesIO(encode(made)).read))
    assert [sample.values[0] for sample in read.samples] == [3, 6]
    assert len(read.samples) == 2


def test_a_profiler_collects_stacks(tmp_path: Path) -> None:
    writer = PprofWriter(1000)
    number = writer.mapping(0x1000, 0x9000, 0x1000, "/bin/x", bytes(20))
    writer.stack([(0x1234, number), (0x2345, number)], 5, [("thread", "main")])
    writer.sample(0x1234, 2, number)
    writer.write(tmp_path / "p")
    profile = read_profile(tmp_path / "p")
    assert [profile.file_offset(each) for each in profile.locations] == [0x1234, 0x2345]
    assert [(sample.stack, sample.values) for sample in profile.samples] == [((1, 2), (5, 5000)), ((1,), (2, 2000))]


def test_damage_is_said(tmp_path: Path) -> None:
    path = tmp_path / "profile"
    good = encode(named_profile(("a!b;c", 1)))
    packed = gzip.compress(good)
    for content, what in (
        (b"", "empty"),
        (packed[: len(packed) // 2], "gzip is damaged or cut off"),
        (good[:-3], "ends in the midst of a field"),
        (b"\n\x07\xff", "ends in the midst of a field"),
        (b"\n\x00", "no table of strings"),
        (b"main;f\n", "line 1 does not end with a count"),
        (b"main;f " + b"9" * 19, "line 1 does not end with a count"),  # of 64 bits
        (b"main;f " + b"9" * 5000, "line 1 does not end with a count"),
    ):
        path.write_bytes(content)
        with pytest.raises(ProfileFormatError, match=what):
            list(read_profile(path).samples)
    os.mkfifo(tmp_path / "pipe")
    for read in (read_pprof, read_profile):
        with pytest.raises(ProfileFormatError, match="no regular file"):
            read(tmp_path / "pipe")
    tables = b"2\x00" + good
    for damage, what in (
        (b"\x0f", "an unknown wire type"),
        (b"\x12\x09\x09" + bytes(8), "an unknown wire type, or one that is wrong for this field"),
        (b"\x12\x09\x11" + bytes(8), "an unknown wire type, or one that is wrong for this field"),
        (bytes(4096), "a field has the number 0"),  # what a crash may leave at the end of a file
        (b"\x0a\x02\x00\x00", "a field has the number 0"),
        (b"\x0a\x02\x08\x63", "a text is not in the table of strings"),
        (b"\x4a\x00", "something else stands where a number should"),
        (message(3, number(1, 1)), "two mappings have the id 1"),
        (message(3, b""), "a mapping has no id"),
        (message(4, number(1, 1)), "two locations have the same id, or one has none"),
        (message(4, b""), "two locations have the same id, or one has none"),
        (message(5, number(1, 1)), "two functions have the same id"),
        (b"\x12\x01\x0a", "a message ends in the midst"),
        (b"\x12\x02\x18\x01", "a number stands where a message should"),
        (b"\x12\x02\x10\x01", "samples differ in how many values"),
        (b"\x08" + 11 * b"\x80", "more than ten bytes"),
        (b"\x12\xff\xff\xff\xff\x0f", "more than 64 MiB"),
        (b"\x20\x01", "a number stands where a message should"),
        (b"\x22\x04\x08\x63\x10\x63", "in a mapping that there is not"),
        (b"\x22\x06\x08\x63\x22\x02\x08\x63", "of a function that there is not"),
        (b"\x2a\x04\x08\x63\x10\x63", "not in the table of strings"),
        (b"\x0a\x00", "a sample has 2 values, and there are 3 types"),
        (None, "it has samples, and no types of their values"),
    ):
        path.write_bytes(tables + damage if damage is not None else b"2\x00\x12\x02\x10\x01")
        with pytest.raises(ProfileFormatError, match=what):
            read_profile(path)


MIB = 1 << 20
HEAD = b"".join(message(6, text) for text in (b"", b"samples", b"count")) + message(1, number(1, 1) + number(2, 2))


@pytest.mark.parametrize("unit", [message(4, b""), message(5, b""), message(6, b""), message(4, message(4, b"") * 99)])
def test_a_small_file_does_not_take_all_memory(unit: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty locations, functions, strings and lines: they take up to twenty times their bytes, and gzip packs a
    thousand of these in one."""
    monkeypatch.setattr(columns, "STEP", MIB)
    monkeypatch.setattr(columns, "available", lambda: 32 * MIB)
    monkeypatch.setattr(work, "PER_BYTE", MIB)
    path = tmp_path / "bomb.pb.gz"
    path.write_bytes(gzip.compress(HEAD + unit * (8 * MIB // len(unit))))
    assert path.stat().st_size < 64 << 10
    with pytest.raises(ProfileFormatError, match="too large: what is distinct in it takes more than 1/4"):
        read_profile(path)


@pytest.mark.parametrize("unit", [message(3, b""), number(9, 1), packed(13, [0] * 999)])
def test_what_is_in_no_table_is_limited(unit: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PER_BYTE", MIB)
    path = tmp_path / "bomb.pb.gz"
    path.write_bytes(gzip.compress(HEAD + unit * (65 * MIB // len(unit)), 1))
    with pytest.raises(ProfileFormatError, match="all mappings together, have more than 64 MiB"):
        read_profile(path)


def sample(stack: bytes, label: int = 1, more: bytes = b"") -> bytes:
    return message(2, message(1, stack) + number(2, 1) + message(3, number(1, 1) + number(3, label)) + more)


PLACE, LINE_OF_IT = number(1, 1) + number(3, 1), message(4, number(1, 1))
CODE = message(5, number(1, 1) + number(2, 1)) + message(4, PLACE + LINE_OF_IT)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (CODE + sample(b"\1", 1, message(3, b"") * 4 * MIB), "bytes of labels"),
        (CODE + sample(b"\1", 1, message(3, number(3, 1) * 4 * MIB)), "bytes of labels"),
        (message(5, number(1, 1)) + message(4, PLACE + LINE_OF_IT * 2 * MIB), "bytes of labels"),
        *((unit * 4 * MIB, "bytes of labels") for unit in (b"2\0", b"\x0a\0", number(13, 1), number(9, 1))),
        (message(13, b"\1" * 8 * MIB), "bytes of labels"),
        (message(3, number(1, 1) + number(2, 1) * 4 * MIB), "bytes of labels"),
        (CODE + b"".join(sample(b"\1" * 30_000, at) for at in range(500)), "functions on all its stacks"),
        (  # a product: stacks of 100 places with a hundred inlined functions each
            message(5, number(1, 1)) + message(4, PLACE + LINE_OF_IT * 100)
            + b"".join(sample(b"\1" * 100, at) for at in range(1000)),
            "functions on all its stacks",
        ),
    ],
)  # fmt: skip
def test_a_small_file_does_not_take_all_time(content: bytes, what: str, tmp_path: Path) -> None:
    """What gzip packs a thousand times, and what multiplies: in Python each part takes a microsecond."""
    path = tmp_path / "bomb.pb.gz"
    path.write_bytes(gzip.compress(HEAD + content, 9))
    size = path.stat().st_size
    most = work.FREE + work.PER_BYTE * size
    with pytest.raises(ProfileFormatError, match=f"a file of {size:,} bytes may have {most:,} {what}"):
        read_profile(path)


def test_what_honest_files_need() -> None:
    """Those of which most is packed: deep recursion, and many labels of which one differs; with room to spare."""
    leaf = [Location(0, 16 * at, (Line(f"f{at}"),)) for at in range(1, 30)]
    deep = [Sample((at, *[1] * depth), (depth % 7 + 1,)) for depth in range(2048) for at in (2, 3, 4)]
    same = tuple(Label(f"key {at}", f"text {at}") for at in range(19))
    many = [Sample((1, 2), (1,), (*same, Label("request", number=at))) for at in range(20_000)]
    for samples in (deep, many):
        content = encode(StackProfile([ValueType("samples", "count")], samples, [], leaf))
        size = len(gzip.compress(content, 9))
        found = Message(BytesIO(content).read).c
        need = max(int(found.frames), int(lib.bid_pprof_work(found)))
        assert work.FREE < need < work.FREE + work.PER_BYTE * size


#: Runs a command as if there were little memory.
SMALL = """
import resource, sys
import pybuildid.stacks.memory
import pybuildid.stacks.work
from pybuildid.cli import main
pybuildid.stacks.memory.available = lambda: 96 << 20
pybuildid.stacks.work.PER_BYTE = 1 << 20
before = resource.getrlimit(resource.RLIMIT_DATA)
try:
    main(sys.argv[1:])
finally:
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
"""


@pytest.mark.parametrize("command", ["flamegraph", "merge", "symbolize", "diff"])
def test_commands_have_a_bound_on_memory(command: str, tmp_path: Path) -> None:
    """It holds for what is made of a profile, too. In a file a stack of 16 million frames takes as many bytes."""
    path, output = tmp_path / "deep.pb.gz", tmp_path / "out"
    samples = b"".join(message(2, packed(1, [at]) + message(1, b"\x01" * 16 * MIB) + number(2, 1)) for at in (1, 2))
    places = b"".join(message(4, number(1, at) + number(3, at)) for at in (1, 2))
    path.write_bytes(gzip.compress(HEAD + samples + places, 1))
    arguments = [command, *[str(path)] * (1 + (command == "diff")), "-o", str(output)]
    run = subprocess.run([sys.executable, "-c", SMALL, *arguments], capture_output=True, text=True)
    assert run.returncode == 1
    assert re.fullmatch("Error: .*memory.*\n", run.stderr), run.stderr
    assert not output.exists()


def test_available_memory() -> None:
    text = Path("/proc/meminfo").read_text()
    total, free = (int(re.search(rf"^{name}: +(\d+)", text, re.MULTILINE)[1]) << 10 for name in ("MemTotal", "MemFree"))  # type: ignore[index]
    assert 0 < available() <= total
    assert available() > free // 4 or Path("/sys/fs/cgroup").exists()  # a cgroup may have less
    with bounded(), pytest.raises(MemoryError):
        bytearray(total)


def test_a_little_memory_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a small container less than what available() can tell may be left."""
    monkeypatch.setattr("pybuildid.stacks.memory.available", lambda: 0)
    with bounded():
        assert len(bytearray(40 * MIB)) == 40 * MIB


def test_garbage_raises_nothing_else(tmp_path: Path) -> None:
    rng = random.Random(5)
    good = bytearray(encode(large_profile(20, 5, functions=30)))
    path = tmp_path / "profile"
    failed = 0
    for _ in range(400):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(1, len(bad))] = rng.randrange(256)
        path.write_bytes(bad)
        try:
            list(read_profile(path).samples)
        except ProfileFormatError:
            failed += 1
    assert failed > 50


def test_the_file_stays_if_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "profile"
    profile = named_profile(("a!b;c", 1))
    write_pprof(profile, path)
    path.chmod(0o640)
    before = path.read_bytes()
    profile.locations.append(Location(0, 0, (Line(None),)))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        write_pprof(profile, path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["profile"]
    write_pprof(read_profile(path), path)  # onto itself
    assert list(read_profile(path).samples) == profile.samples
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError) as caught:
        write_pprof(named_profile(("a!b;c", 1)), tmp_path / "profile")
    assert caught.value.filename == str(tmp_path / "profile")
    assert os.listdir(tmp_path) == []


def test_folded(tmp_path: Path) -> None:
    stacks = (("main;a.so!f;g", 3), ("main;a.so!", 2), ("main;x;y", 1))
    made = named_profile(*stacks)
    lines = list(folded_lines(made, 0))
    assert lines == ["main;[a.so] 2", "main;f;g 3", "main;x;y 1"]
    (tmp_path / "folded").write_text("\n".join(lines) + "\n")
    assert list(folded_lines(read_profile(tmp_path / "folded"), 0)) == lines
    made.locations[-1] = made.locations[-1]._replace(lines=(Line("operator;\n"),))
    assert list(folded_lines(made, 0))[-1] == "main;x;operator,  1"
    made.locations[-1] = made.locations[-1]._replace(lines=(Line("a\0b\r\nc"),))
    (tmp_path / "folded").write_text("\n".join(folded_lines(made, 0)) + "\n")
    assert list(folded_lines(read_profile(tmp_path / "folded"), 0))[-1] == "main;x;a b  c 1"
    labelled = named_profile(*stacks, labels=(Label("comm", "sh"), Label("tid", number=7)))
    assert next(folded_lines(labelled, 1, threads=True)) == "sh 7;main;[a.so] 2000000"


def test_where_no_file_can_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device; a file in a folder that may not be written to."""
    profile = named_profile(("a!b;c", 1))
    write_pprof(profile, "/dev/null")
    path = tmp_path / "profile"
    write_pprof(profile, path)
    inode = path.stat().st_ino
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    write_pprof(read_profile(path), path)
    assert path.stat().st_ino == inode
    assert list(read_profile(path).samples) == profile.samples
