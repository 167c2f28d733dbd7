# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles of many machines as one: what is the same, what is kept, and what does not get in."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from click.testing import CliRunner
from madeup import large_profile, named_profile

from pybuildid.cli import main
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.folded import folded_lines
from pybuildid.stacks.merge import Merger
from pybuildid.stacks.model import Label, StackProfile, ValueType
from pybuildid.stacks.pprof import write_pprof


def moved(profile: StackProfile, by: int) -> StackProfile:
    """As another process has it: its files are mapped elsewhere."""
    profile.mappings = [each._replace(start=each.start + by, limit=each.limit + by) for each in profile.mappings]
    profile.locations = [
        each._replace(address=each.address + by) if each.mapping else each for each in profile.locations
    ]
    return profile


def merged(*profiles: StackProfile, without: tuple[str, ...] = ()) -> StackProfile:
    merger = Merger(without)
    for at, profile in enumerate(profiles):
        merger.add(profile, f"profile {at}")
    return merger.result()


def test_the_same_code_is_one_wherever_it_was_mapped() -> None:
    stacks = (("app!main;libx.so!f", 3), ("app!main", 1))
    result = merged(named_profile(*stacks), moved(named_profile(*stacks), 0x5000_0000))
    assert [sample.values[0] for sample in result.samples] == [6, 2]
    assert len(result.mappings) == len(result.locations) == 2
    assert result.comments == ["merged from 2 profiles"]


def test_addresses_stay_at_their_offsets() -> None:
    """Also those that only the second profile has, whose mapping is elsewhere."""
    second = moved(named_profile(("app!main;app!g", 1)), 0x5000_0000)
    result = merged(named_profile(("app!main", 1)), second)
    assert [result.file_offset(each) for each in result.locations] == [second.file_offset(e) for e in second.locations]
    assert all(result.mappings[0].start <= each.address < result.mappings[0].limit for each in result.locations)


def test_another_build_at_the_same_address_is_another() -> None:
    one, other = named_profile(("app!f", 3)), named_profile(("app!f", 5))
    other.mappings = [each._replace(build_id="ee" * 20) for each in other.mappings]
    result = merged(one, other)
    assert [(each.build_id, each.path) for each in result.mappings] == [
        (one.mappings[0].build_id, "/usr/lib/app"),
        ("ee" * 20, "/usr/lib/app"),
    ]
    assert [sample.values[0] for sample in result.samples] == [3, 5]


def test_the_same_part_that_was_mapped_from_another_offset() -> None:
    """Code is the same by its offset in the file, not by its mapping."""
    one, other = named_profile(("app!f", 3)), named_profile(("app!f", 5))
    other.mappings = [each._replace(start=each.start - 0x1000, offset=0) for each in other.mappings]
    one.mappings = [each._replace(offset=0x1000) for each in one.mappings]
    assert [sample.values[0] for sample in merged(one, other).samples] == [8]


def test_names_come_from_the_profile_that_has_them() -> None:
    bare = named_profile(("app!f", 1))
    bare.locations = [each._replace(lines=()) for each in bare.locations]
    named = named_profile(("app!f", 1))
    named.mappings = [each._replace(functions=True) for each in named.mappings]
    result = merged(bare, named)
    assert list(folded_lines(result, 0)) == ["f 2"]
    assert result.mappings[0].functions


def test_labels_tell_samples_apart_unless_they_are_dropped() -> None:
    def of(tid: int) -> StackProfile:
        return named_profile(("app!f", 1), labels=(Label("comm", "x"), Label("tid", number=tid)))

    assert len(list(merged(of(1), of(2)).samples)) == 2
    (sample,) = merged(of(1), of(2), without=("tid",)).samples
    assert (sample.values[0], sample.labels) == (2, (Label("comm", "x"),))


def test_files(tmp_path: Path) -> None:
    """What is damaged, even at its very end, or counts something else is left out whole."""
    files = [str(tmp_path / f"{name}.pb.gz") for name in ("a", "b", "damaged", "memory", "absent")]
    write_pprof(named_profile(("app!f", 3)), files[0])
    write_pprof(named_profile(("app!f", 4)), files[1])
    profile = large_profile(500, 20)
    write_pprof(profile, files[2])
    Path(files[2]).write_bytes(Path(files[2]).read_bytes()[:-10])
    other = named_profile(("app!f", 1))
    other.types = [ValueType("space", "bytes"), ValueType("objects", "count")]
    write_pprof(other, files[3])
    result = CliRunner().invoke(main, ["merge", *files, "-o", str(tmp_path / "merged.pb.gz")])
    assert result.exit_code == 1
    assert f"{files[2]}: its gzip is damaged or cut off" in result.output
    kinds = "it counts space in bytes, objects in count, and the profiles before count samples in count"
    assert f"Error: {files[3]}: {kinds}" in result.output
    assert f"{files[4]}: No such file" in result.output
    assert f"Written: {tmp_path / 'merged.pb.gz'}, of 2 profiles" in result.output
    assert list(folded_lines(read_profile(tmp_path / "merged.pb.gz"), 0)) == ["f 7"]


def test_a_sample_that_is_damaged_leaves_its_file_out() -> None:
    def broken() -> StackProfile:
        profile = named_profile(("app!f", 3), ("app!g", 4))
        whole = list(profile.samples)

        class Samples(list):  # type: ignore[type-arg]
            def __iter__(self):  # type: ignore[no-untyped-def]
                yield whole[0]
                raise ValueError("damage")

        profile.samples = Samples()
        return profile

    merger = Merger()
    merger.add(named_profile(("app!f", 1)), "good")
    with pytest.raises(ValueError, match="damage"):
        merger.add(broken(), "bad")
    assert [sample.values[0] for sample in merger.result().samples] == [1]
    assert len(merger.result().locations) == 1


def test_memory_is_that_of_what_is_distinct(tmp_path: Path) -> None:
    """Eight profiles of the same stacks take little more than two of them."""
    for at in range(2):
        write_pprof(moved(large_profile(1000, 20), at << 40), tmp_path / f"{at}.pb.gz")

    def peak(times: int) -> int:
        tracemalloc.start()
        try:
            merger = Merger()
            for at in range(times):
                merger.add(read_profile(tmp_path / f"{at % 2}.pb.gz"), "")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(8) < 1.25 * peak(2)


def test_parquet(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="no DuckDB: pip install 'pybuildid[parquet]'")
    profile = named_profile(
        ("app!main;libx.so!f;libx.so!", 3), labels=(Label("comm", "it's"), Label("fallback", "no room"))
    )
    write_pprof(profile, tmp_path / "a.pb.gz")
    output = tmp_path / "it's.parquet"
    result = CliRunner().invoke(main, ["merge", str(tmp_path / "a.pb.gz"), "-o", str(output)])
    assert result.exit_code == 0, result.output
    with duckdb.connect() as engine:
        (row,) = engine.execute("SELECT * FROM read_parquet(?)", [str(output)]).fetchall()
        types = dict(engine.execute("SELECT name, type FROM parquet_schema(?)", [str(output)]).fetchall())
    samples, cpu, thread, missing, functions, files, build_ids, offsets, sources, lines = row
    assert (samples, cpu, thread, missing) == (3, 3_000_000, "it's", "no room")
    assert functions == ["main", "f", None]
    assert files == ["/usr/lib/app", "/usr/lib/libx.so", "/usr/lib/libx.so"]
    assert build_ids == [profile.mappings[0].build_id, profile.mappings[1].build_id, profile.mappings[1].build_id]
    assert offsets == [profile.file_offset(each) for each in profile.locations]
    assert (sources, lines) == (["main.c", "f.c", None], [10, 10, 0])
    assert types["samples"] == "INT64"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_without_duckdb_it_says_what_to_install(tmp_path: Path) -> None:
    write_pprof(named_profile(("app!f", 1)), tmp_path / "a.pb.gz")
    program = "import sys; sys.modules['duckdb'] = None; from pybuildid.cli import main; main()"
    command = [sys.executable, "-c", program, "merge", str(tmp_path / "a.pb.gz"), "-o", str(tmp_path / "a.parquet")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr == "Error: Parquet needs DuckDB: pip install 'pybuildid[parquet]'\n"
