# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Censuses as JSON and Parquet, summed up over hosts; what is said of files that are none; `pybuildid census`."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from terminal import on_terminal

from pybuildid import Census, census
from pybuildid.census import Limit, Slab, fleet
from pybuildid.census.fleet import CensusFormatError
from pybuildid.cli import main
from pybuildid.cli.census import show_host

pytestmark = pytest.mark.usefixtures("records")  # it reads the first page of every file, as a recording does

HOST = Census(
    host="a",
    kernel="6.18",
    machine="x86_64",
    time=1_700_000_000,
    seconds=0.5,
    method="proc",
    processes=10,
    tasks=20,
    struct_files=500,
    descriptors=60,
    open_files=50,
    open_inodes=40,
    mapped_files=None,
    only_mapped_files=None,
    other_files=None,
    mapped_per_process=90,
    mapped_inodes=30,
    mapped_elf=25,
    mapped_build_ids=24,
    cached_inodes=1000,
    unused_inodes=7,
    slabs=(Slab("filp", 719, 192, 21, 147456),),
    limits=(Limit("something", "do that", ("1 init",)),),
)
OTHER = dataclasses.replace(HOST, host="b", tasks=40, open_files=None, slabs=None, limits=())
ROW = fleet.to_json(HOST)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["census", *map(str, arguments)])


def written(tmp_path: Path, *hosts: Census) -> list[Path]:
    paths = [tmp_path / f"{host.host}.json" for host in hosts]
    for path, host in zip(paths, hosts):
        path.write_text(json.dumps(fleet.to_json(host)))
    return paths


# ------------------------------------------------------------------------------------------------------- JSON


def test_json_and_back() -> None:
    found = census(method="proc")
    for host in (HOST, OTHER, found):
        assert fleet.from_row(json.loads(json.dumps(fleet.to_json(host)))) == host


DEEP: Any = functools.reduce(lambda inner, _: [inner], range(5000), ROW["tasks"])
BROKEN: list[tuple[str, Any, str]] = [
    ("no object", [], "no census"),
    ("other schema", {**ROW, "schema": "x"}, "pybuildid census --json FILE"),
    ("newer", {**ROW, "version": 2}, "a newer pybuildid wrote it .version 2, this one reads 1.: upgrade"),
    ("odd version", {**ROW, "version": "1"}, "the version is '1'"),
    ("missing", {key: value for key, value in ROW.items() if key != "tasks"}, '"tasks" is missing'),
    ("text", {**ROW, "tasks": "many"}, "\"tasks\" must be a whole number, not 'many'"),
    ("fraction", {**ROW, "tasks": 1.5}, "whole number"),
    ("negative", {**ROW, "tasks": -1}, "whole number"),
    ("truth", {**ROW, "tasks": True}, "whole number"),
    ("null", {**ROW, "tasks": None}, "whole number"),
    ("huge", {**ROW, "tasks": 1e300}, "whole number"),
    ("host", {**ROW, "host": 7}, '"host" must be a text'),
    ("slabs", {**ROW, "slabs": [1]}, "a list of slabs"),
    ("slab", {**ROW, "slabs": [{"name": "filp"}]}, "a list of slabs"),
    ("limits", {**ROW, "limits": 3}, "a list of limits"),
    ("deep", {**ROW, "tasks": DEEP}, "whole number"),
]


@pytest.mark.parametrize(("row", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_is_no_census(row: Any, message: str) -> None:
    with pytest.raises(CensusFormatError, match=message) as caught:
        fleet.from_row(row, "the file")
    assert str(caught.value).startswith("the file: ")


def test_rows_of_engines() -> None:
    """Gaps as NaN, whole numbers as floats, columns that this version does not know, and those that an older one did
    not have."""
    row = {**ROW, "tasks": 20.0, "mapped_files": float("nan"), "site": "Helsinki"}
    del row["only_mapped_files"]
    assert fleet.from_row(row) == HOST


def test_what_comes_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(path.write_text, json.dumps(ROW))
        assert list(fleet.read(path)) == [HOST]


def test_forms_of_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    rows = [fleet.to_json(HOST), fleet.to_json(OTHER)]
    texts = [
        json.dumps(rows),
        json.dumps(fleet.merge([HOST, OTHER]).to_json()),
        "\n".join(map(json.dumps, rows)) + "\n",
    ]
    for text in texts:
        path.write_text(text)
        assert list(fleet.read(path)) == [HOST, OTHER]
    path.write_text(json.dumps([rows[0], {**rows[1], "tasks": "x"}]))
    with pytest.raises(CensusFormatError, match=r"file, host 2: \"tasks\""):
        list(fleet.read(path))
    for nothing in ("", "text", "[]", "[" * 200_000, '{"a": 1}\n' + "[" * 200_000):
        path.write_text(nothing)
        with pytest.raises(CensusFormatError):
            list(fleet.read(path))


# ---------------------------------------------------------------------------------------------------- Parquet


def test_parquet(tmp_path: Path) -> None:
    """Written from the JSON by an engine of the user, as the manual says; read by duckdb."""
    duckdb = pytest.importorskip("duckdb", reason="no duckdb here: pip install 'pybuildid[parquet]'")
    written(tmp_path, HOST, OTHER)
    path = tmp_path / "fleet.parquet"
    duckdb.sql(f"COPY (FROM read_json('{tmp_path}/*.json') ORDER BY host) TO '{path}'")
    assert list(fleet.read(path)) == [HOST, OTHER]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CensusFormatError, match="not readable as Parquet"):
        list(fleet.read(path))


def test_parquet_without_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    path = tmp_path / "fleet.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"pip install 'pybuildid\[parquet\]'"):
        list(fleet.read(path))


# ------------------------------------------------------------------------------------------------------ merge


def test_merge() -> None:
    found = fleet.merge([OTHER, HOST])
    assert found.hosts == (HOST, OTHER)
    totals = {total.name: total for total in found.totals}
    assert totals["tasks"] == fleet.Total("tasks", 2, 60, 30, 40)
    assert totals["open_files"] == fleet.Total("open_files", 1, 50, 50, 50)
    assert "mapped_files" not in totals
    assert "time" not in totals
    with pytest.raises(CensusFormatError, match="a: two censuses"):
        fleet.merge([HOST, HOST])
    assert fleet.merge([]).totals == ()


def test_merge_on_the_command_line(tmp_path: Path) -> None:
    paths = written(tmp_path, HOST, OTHER)
    result = run("--merge", *paths)
    assert result.exit_code == 0, result.output
    for text in ("2 hosts", "60", "a pointer in each struct file", "8,000", "not known", 'see "limits" of 1 host'):
        assert text in result.output
    merged = json.loads(run("--merge", "--json", "-", *paths).output)
    assert (merged["schema"], merged["version"]) == ("pybuildid-fleet", 1)
    assert [host["host"] for host in merged["hosts"]] == ["a", "b"]


ODD, SHOWN = "[/a] :+1: \x1b[2J", "[/a] :+1: \\x1b[2J"  # no markup, no emoji, and no escape sequence


def test_names_of_others_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = (Limit(ODD, "none", (ODD,)),)
    host = dataclasses.replace(HOST, host=ODD, kernel=ODD, slabs=(Slab(ODD, 1, 2, 3, 4),), limits=limits)
    file = tmp_path / "file"
    file.write_text(json.dumps(fleet.to_json(host)))
    merged = run("--merge", file)
    assert merged.exit_code == 0, merged.output
    assert merged.output.count(SHOWN) == 2  # in the table, and as one that did not see everything
    show_host(host)
    shown = capsys.readouterr().out
    assert shown.count(SHOWN) == 5  # host and kernel, a slab, a limit and its process
    assert "\x1b" not in merged.output + shown


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_cuts_no_number(tmp_path: Path, columns: int) -> None:
    great = dataclasses.replace(HOST, tasks=1_234_567, cached_inodes=123_456_789, unused_inodes=98_765_432)
    shown = on_terminal("census", "--merge", *written(tmp_path, great, OTHER), env={"COLUMNS": str(columns)}).decode()
    for whole in ("1,234,567", "617,303.5", "123,456,789", "123,457,789", "987,662,312", "61,728,894.5"):
        assert whole in shown
    assert "\u2026" not in shown


def test_wrong_use(tmp_path: Path) -> None:
    (path,) = written(tmp_path, HOST)
    assert run("--merge").exit_code == 2
    assert run(path).exit_code == 2
    again = tmp_path / "again.json"
    again.write_text(path.read_text())
    text = tmp_path / "text"
    text.write_text("text")
    deep = tmp_path / "deep"
    deep.write_text("[" * 200_000)
    cases = [
        ((path, path), f"Error: {path}: two censuses of host a: give one of them"),
        ((path, again), f"Error: {path} and {again}: two censuses of host a: give one of them"),
        ((tmp_path / "absent",), "check the path"),
        ((tmp_path,), "a directory: name the files in it"),
        ((text,), "make one with `pybuildid census --json FILE`"),
        ((deep,), "neither JSON nor Parquet"),
        (("/dev/zero",), "/dev/zero: more than 64 MiB of what is no regular file: save it as one, and give that"),
    ]
    for files, told in cases:
        result = run("--merge", *files)
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert told in result.output
        assert result.output.count("\n") == 1


def test_census_on_the_command_line() -> None:
    result = run("--method", "proc")
    assert result.exit_code == 0, result.output
    for text in ("struct files, by the kernel's own counter", "a table on the side", "Not seen: "):
        assert text in result.output
    found = fleet.from_row(json.loads(run("--json", "-").stdout))
    assert found.tasks
