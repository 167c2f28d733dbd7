# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles of many machines as one: what is the same, what is kept, and what does not get in."""

from __future__ import annotations

import gzip
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from clustered import wait_for_workers
from madeup import large_profile, named_profile

from pybuildid.cli import main
from pybuildid.stacks import _client
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


PEAK = """
import sys
from pybuildid.stacks.merge import Merger
from pybuildid.stacks.pprof import write_pprof

def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

before, merger = kilobytes("VmRSS:"), Merger()
assert not any(error for _, error in merger.add_files(sys.argv[2:] * int(sys.argv[1])))
write_pprof(merger.result(), "/dev/null")
print(kilobytes("VmHWM:") - before)
"""


def test_memory_is_that_of_what_is_distinct(tmp_path: Path) -> None:
    """Sixty-four profiles of the same stacks take less than three times as much as four, not sixteen times: what
    is read ahead, and when Python frees it, makes up to twice as much."""
    for at in range(2):
        write_pprof(moved(large_profile(10_000, 20), at << 40), tmp_path / f"{at}.pb.gz")

    def peak(times: int) -> int:
        command = [sys.executable, "-c", PEAK, str(times), *map(str, tmp_path.glob("*.gz"))]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert peak(32) < 3 * peak(2)


# ------------------------------------------------------------------------------------------- on a Dask cluster


def merge_here_and_there(cluster: str, files: list[str], folder: Path, *options: str) -> tuple[bytes, bytes, str]:
    """Both results, and what was said of the second."""
    wait_for_workers(cluster, 2)
    here, there = folder / "here.pb.gz", folder / "there.pb.gz"
    CliRunner().invoke(main, ["merge", *files, "-o", str(here), *options])
    run = CliRunner().invoke(main, ["merge", *files, "-o", str(there), *options, "--cluster", cluster])
    assert there.exists(), run.output
    return gzip.decompress(here.read_bytes()), gzip.decompress(there.read_bytes()), run.output


def test_a_cluster_makes_the_same(cluster: str, tmp_path: Path) -> None:
    """Byte for byte, over two levels of the tree, though each file has code of its own and was mapped elsewhere."""
    files = [str(tmp_path / f"{at}.pb.gz") for at in range(20)]
    for at, file in enumerate(files):
        write_pprof(moved(large_profile(200, 10, seed=at % 7, functions=300 + 50 * at), at << 40), file)
    here, there, output = merge_here_and_there(cluster, files, tmp_path)
    assert "of 20 profiles" in output
    assert here == there


def test_a_cluster_leaves_out_what_is_damaged(cluster: str, tmp_path: Path) -> None:
    """Also where the first files are: the first whole one says what is counted."""
    files = [str(tmp_path / f"{name}.pb.gz") for name in ("absent", "damaged", "a", "memory", "b")]
    Path(files[1]).write_bytes(gzip.compress(b"nothing"))
    write_pprof(named_profile(("app!f", 3)), files[2])
    other = named_profile(("app!f", 1))
    other.types = [ValueType("space", "bytes"), ValueType("objects", "count")]
    write_pprof(other, files[3])
    write_pprof(named_profile(("app!f", 4), labels=(Label("tid", number=4),)), files[4])
    here, there, output = merge_here_and_there(cluster, files, tmp_path, "--without", "tid")
    assert here == there
    assert "of 2 profiles" in output
    assert f"{files[0]}: No such file" in output
    assert f"{files[1]}: no profile in the format of pprof" in output
    assert f"{files[3]}: it counts space in bytes" in output
    assert output.count(f"(on {platform.node()})") == 3


def test_a_cluster_with_nothing_to_read(cluster: str, tmp_path: Path) -> None:
    wait_for_workers(cluster, 2)
    output = tmp_path / "merged.pb.gz"
    run = CliRunner().invoke(main, ["merge", str(tmp_path / "absent"), "-o", str(output), "--cluster", cluster])
    assert (run.exit_code, output.exists()) == (1, False)


def test_another_version_is_refused(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_workers(cluster, 2)
    monkeypatch.setattr("pybuildid.__version__", "9")
    run = CliRunner().invoke(main, ["merge", "x", "-o", str(tmp_path / "y"), "--cluster", cluster])
    assert run.exit_code == 1
    assert re.search(r"^Error: the worker \S+ on \S+ has pybuildid \S+, and this is 9$", run.output, re.MULTILINE)


def test_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="no Dask: pip install 'pybuildid[dask]'")
    monkeypatch.setattr(_client, "TIMEOUT", "0.5s")
    run = CliRunner().invoke(main, ["merge", "x", "-o", str(tmp_path / "y"), "--cluster", "tcp://127.0.0.1:1"])
    assert run.exit_code == 1
    assert run.output.startswith("Error: no Dask scheduler at tcp://127.0.0.1:1: ")


@pytest.mark.parametrize("address", ["nonsense", "udp://127.0.0.1:1", "tcp://127.0.0.1:none"])
def test_what_is_no_address_of_a_cluster(address: str, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="no Dask: pip install 'pybuildid[dask]'")
    command = [sys.executable, "-m", "pybuildid", "merge", "x", "-o", str(tmp_path / "y"), "--cluster", address]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert re.fullmatch(f"Error: no Dask scheduler at {address}: .*\n", run.stderr)


def without(module: str, *arguments: str) -> str:
    """What a command says where this module is not installed."""
    program = f"import sys; sys.modules[{module!r}] = None; from pybuildid.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert run.returncode == 1
    return run.stderr


def test_without_dask_it_says_what_to_install(tmp_path: Path) -> None:
    said = without("distributed", "merge", "x", "-o", str(tmp_path / "y"), "--cluster", "tcp://127.0.0.1:1")
    assert said == "Error: a Dask cluster needs distributed: pip install 'pybuildid[dask]'\n"


# ------------------------------------------------------------------------------------------- as a table


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


def test_parquet_of_anything(tmp_path: Path) -> None:
    """Names that are no text, values that are named as columns are, a place before its file: all has a row."""
    duckdb = pytest.importorskip("duckdb", reason="no DuckDB: pip install 'pybuildid[parquet]'")
    profile = named_profile(("app!\udcff;app!\0", 3))
    profile.types = [ValueType(kind, "count") for kind in ("Thread", "", "a\udc80", "b\0")]
    profile.locations[1] = profile.locations[1]._replace(address=1)
    profile.samples = [each._replace(values=(1, 2, 3, 4)) for each in profile.samples]
    write_pprof(profile, tmp_path / "a.pb.gz")
    output = tmp_path / "a.parquet"
    result = CliRunner().invoke(main, ["merge", str(tmp_path / "a.pb.gz"), "-o", str(output)])
    assert result.exit_code == 0, result.output
    with duckdb.connect() as engine:
        (row,) = engine.execute(
            'SELECT value_0, value_1, "a?", value_3, thread, functions, offsets[2] FROM read_parquet(?)', [str(output)]
        ).fetchall()
    assert row == (1, 2, 3, 4, None, ["?", "\0"], 2**64 + 1 - profile.mappings[0].start)


def test_what_duckdb_cannot_write_is_said(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="no DuckDB: pip install 'pybuildid[parquet]'")
    write_pprof(named_profile(("app!f", 1)), tmp_path / "a.pb.gz")
    with pytest.MonkeyPatch.context() as patch:

        def fail() -> None:
            raise duckdb.OutOfMemoryException("all is used")

        patch.setattr(duckdb, "connect", fail)
        result = CliRunner().invoke(main, ["merge", str(tmp_path / "a.pb.gz"), "-o", str(tmp_path / "a.parquet")])
    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path / 'a.parquet'}: DuckDB could not write it: all is used\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a.pb.gz"]


def test_without_duckdb_it_says_what_to_install(tmp_path: Path) -> None:
    write_pprof(named_profile(("app!f", 1)), tmp_path / "a.pb.gz")
    said = without("duckdb", "merge", str(tmp_path / "a.pb.gz"), "-o", str(tmp_path / "a.parquet"))
    assert said == "Error: Parquet needs DuckDB: pip install 'pybuildid[parquet]'\n"
