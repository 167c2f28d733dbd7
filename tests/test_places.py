# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where samples are: files without a build ID or with a long one, the main program, names; in pprof and as text."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pybuildid import read_build_id
from pybuildid.cli import main
from pybuildid.places import Place, Places, escaped, undeleted
from pybuildid.profile import REASONS, Module, ProfileResult, Sample, _Recording, profile_command

RESOLVED, NO_MAPPING, NO_FILE, UNKNOWN, STALE, NO_ID, LONG_ID = REASONS
ID, LONG = bytes(range(20)), bytes(range(32))


def module(
    start: int, path: str = "/bin/a", build_id: bytes | None = None, *, process: int = 1, main: bool = False
) -> Module:
    """A mapping of two pages that begins with the file's second page."""
    return Module(process, start, start + 0x2000, 0x1000, start - 0x1000, 0x200, build_id, path, main)


def lost(address: int, reason: str = NO_ID, process: int = 0) -> Sample:
    return Sample(None, address, reason, 1, process)


# -------------------------------------------------------------------------------------------- samples to modules


def test_by_build_id_and_offset() -> None:
    a, b = module(0x10000, build_id=ID), module(0x20000, "/b", LONG)
    places = Places([a, b])
    assert places.of(Sample(ID, 0x1010, RESOLVED, 1)) == Place(a, 0x1010)
    assert places.of(Sample(LONG, 0x2FFF, RESOLVED, 1)) == Place(b, 0x2FFF)
    assert places.of(Sample(LONG, 0x3000, RESOLVED, 1)) is None
    assert places.of(Sample(bytes(20), 0x1010, RESOLVED, 1)) is None
    found = places.of(Sample(ID, 0x1010, RESOLVED, 1))
    assert found
    assert found.address == 0x10010


@pytest.mark.parametrize(("build_id", "reason"), [(None, NO_ID), (LONG, LONG_ID), (None, UNKNOWN), (ID, STALE)])
def test_by_address(build_id: bytes | None, reason: str) -> None:
    here, far = module(0x10000, build_id=build_id), module(0x900000, "/far", build_id and build_id[::-1])
    places = Places([far, here])
    assert places.of(lost(0x10000, reason)) == Place(here, 0x1000)
    assert places.of(lost(0x11FFF, reason, process=1)) == Place(here, 0x2FFF)
    for outside in (0xFFFF, 0x12000, 0):
        assert places.of(lost(outside, reason)) is None
    assert places.of(lost(0x10000, reason, process=2)) is None


def test_what_would_have_been_counted_otherwise_is_not_it() -> None:
    """At an address there was first a file with a build ID, and later one without."""
    with_id, without, with_long = module(0x10000, build_id=ID), module(0x10000, "/b"), module(0x10000, "/c", LONG)
    places = Places([with_id, without, with_long])
    assert places.of(lost(0x10010, NO_ID)) == Place(without, 0x1010)
    assert places.of(lost(0x10010, LONG_ID)) == Place(with_long, 0x1010)
    assert places.of(lost(0x10010, NO_MAPPING)) is None
    assert places.of(lost(0x10010, NO_FILE)) is None


def test_doubt_is_no_answer() -> None:
    """Two processes with two files at one address, which tells nothing unless the process is known."""
    one, two = module(0x10000, "/one"), module(0x10000, "/two", process=2)
    places = Places([one, two])
    assert places.of(lost(0x10010)) is None
    assert places.of(lost(0x10010, process=2)) == Place(two, 0x1010)
    again = module(0x10000, "/one", process=3)  # the same file: the first process that had it
    assert Places([one, again]).of(lost(0x10010)) == Place(one, 0x1010)
    assert Places([one, again]).of(lost(0x10010, process=3)) == Place(one, 0x1010)
    moved = module(0x50000, "/one", process=4)
    assert Places([one, moved]).of(lost(0x50010)) == Place(one, 0x1010)


def test_long_mappings_hide_no_short_ones() -> None:
    long = Module(2, 0, 0x100000, 0, 0, 0, ID, "/long")
    short = [module(0x1000 * i, f"/{i}") for i in range(2, 40, 2)]
    places = Places([long, *short])
    for i, found in zip(range(2, 40, 2), short):
        assert places.of(lost(0x1000 * i + 8)) == Place(found, 0x1008)


def test_the_main_program() -> None:
    library, program, tool = module(0x10000, "/lib/a.so.6"), module(0x20000, "/bin/p"), module(0x30000, "/bin/tool")
    vdso, child = module(0x5000, "[vdso]", ID), module(0x1000, "/bin/child", process=2)
    assert Places([]).main() is None
    assert Places([library]).main() is None
    assert Places([vdso, library, program, child]).main() == Place(program, 0x1000)
    marked = [replace(library, main=True), program, replace(tool, main=True), replace(child, main=True)]
    assert Places(marked).main() == Place(marked[2], 0x1000)  # what the process became by exec()


# ---------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/a", "/a"),
        ("/a b", r"/a\040b"),
        ("/a\nb\tc", r"/a\012b\011c"),
        ("/a\\040", r"/a\134040"),
        ("/\x1b[2J", r"/\033[2J"),
        ("/caf\u00e9 \udcff", "/caf\u00e9\\040\udcff"),
        ("/\u3000", r"/\343\200\200"),
    ],
)
def test_paths_as_one_word(path: str, word: str) -> None:
    assert escaped(path) == word
    assert len(escaped(path).split()) == 1
    command = ["bash", "-c", 'printf %b "$1"', "bash", escaped(path)]
    back = subprocess.run(command, capture_output=True, check=True).stdout
    assert back == os.fsencode(path)


def test_removed_files(tmp_path: Path) -> None:
    assert undeleted("/no such/file (deleted)") == "/no such/file"
    assert undeleted("/no such/file") == "/no such/file"
    named = tmp_path / "file (deleted)"
    named.touch()
    assert undeleted(str(named)) == str(named)


def result_of(*modules: Module, counts: list[Sample]) -> ProfileResult:
    result = _Recording(997, 0.1, False, False, False).result()
    return replace(result, samples=len(counts), processes=1, counts=counts, modules=list(modules))


def test_lines_of_eu_unstrip() -> None:
    result = result_of(
        module(0x10000, "/bin/with space", ID),
        module(0x20000, "/bin/none"),
        module(0x30000, "/bin/long", LONG),
        counts=[Sample(ID, 0x1010, RESOLVED, 3), lost(0x20010), lost(0x20020), lost(0x30010, LONG_ID)],
    )
    assert list(result.unstrip_lines()) == [
        rf"0xf000+0x3000 {ID.hex()}@0xf200 /bin/with\040space - with\040space",
        "0x1f000+0x3000 - /bin/none - none",
        f"0x2f000+0x3000 {LONG.hex()}@0x2f200 /bin/long - long",
    ]


def test_the_report_names_files_without_a_build_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = result_of(module(0x20000, "/bin/none"), counts=[lost(0x20010), lost(0x20020), lost(1)])
    monkeypatch.setattr("pybuildid.cli.profile.profile_command", lambda *_, **__: (result, 0))
    monkeypatch.chdir(tmp_path)
    assert re.search(
        r"^ 2 +66\.7% +- +/bin/none *$", CliRunner().invoke(main, ["profile", "true"]).output, re.MULTILINE
    )


# ---------------------------------------------------------------------------------------------------- real programs

LOOP = """
#include <time.h>
int main(void)
{
    static volatile unsigned n;
    while (clock() < CLOCKS_PER_SEC / 2)
        for (int i = 0; i < 1000000; i++)
            n++;
    return 0;
}
"""
LIBRARY = "void work(void) { static volatile unsigned n; for (int i = 0; i < 3000000; i++) n++; }"
PROGRAM = """
#include <time.h>
void work(void);
__attribute__((noinline)) void own(void) { static volatile unsigned n; for (int i = 0; i < 1000000; i++) n++; }
int main(void) { while (clock() < CLOCKS_PER_SEC / 2) { own(); work(); } return 0; }
"""


def compiled(target: Path, source: str, *flags: str) -> Path:
    code = target.with_suffix(".c")
    code.write_text(source)
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-o", target, code, *flags], check=True)
    return target


def pprof(result: ProfileResult, tmp_path: Path, *options: str) -> str:
    """What `go tool pprof` says of it."""
    if not shutil.which("go"):
        pytest.skip("no go tool pprof: apt-get install golang-go")
    path = tmp_path / "profile.pb.gz"
    result.write_pprof(path)
    environment = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "PPROF_BINARY_PATH": str(tmp_path)}
    command = ["go", "tool", "pprof", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120).stdout


def share_of(result: ProfileResult, path: Path) -> float:
    """Of the samples that are in this file."""
    inside = 0
    for sample in result.counts:
        place = result.place_of(sample)
        inside += sample.count if place and place.module.path == str(path) else 0
    return inside / result.samples


@pytest.mark.parametrize("build_id", ["none", "0x" + LONG.hex(), "0x" + bytes(range(64)).hex()])
def test_files_without_a_build_id_or_with_a_long_one(tmp_path: Path, build_id: str) -> None:
    """Path and offset are there all the same, and the whole ID."""
    program = compiled(tmp_path / "loop", LOOP, f"-Wl,--build-id={build_id}")
    result, code = profile_command([program])
    assert code == 0
    assert share_of(result, program) > 0.9
    hexadecimal = build_id[2:] if build_id != "none" else ""
    assert read_build_id(program) == (bytes.fromhex(hexadecimal) or None)
    line = next(line.split() for line in result.unstrip_lines() if line.endswith(" loop"))
    assert line[1].partition("@")[0] == (hexadecimal or "-")
    assert line[2:] == [str(program), "-", "loop"]
    raw = pprof(result, tmp_path, "-raw", "-symbolize=none")
    assert re.search(rf"^1: \S+ {program} *{hexadecimal} *(\[|$)", raw, re.MULTILINE)


def test_the_main_program_is_the_first_mapping(tmp_path: Path) -> None:
    compiled(tmp_path / "libwork.so", LIBRARY, "-shared", "-fPIC")
    program = compiled(tmp_path / "program", PROGRAM, f"-L{tmp_path}", "-lwork", f"-Wl,-rpath,{tmp_path}")
    result, _ = profile_command([program])
    assert share_of(result, tmp_path / "libwork.so") > share_of(result, program) > 0
    assert "File: program\n" in pprof(result, tmp_path, "-top", "-symbolize=none")
    quiet = replace(result, counts=[sample for sample in result.counts if not in_file(result, sample, program)])
    assert "File: program\n" in pprof(quiet, tmp_path, "-top", "-symbolize=none")  # also without a sample


def in_file(result: ProfileResult, sample: Sample, path: Path) -> bool:
    place = result.place_of(sample)
    return bool(place and place.module.path == str(path))


def test_a_removed_program(tmp_path: Path) -> None:
    """What runs a program that it has removed before: the path is as it was."""
    program = compiled(tmp_path / "gone", LOOP)
    started = "import os, sys; fd = os.open(sys.argv[1], os.O_RDONLY); os.unlink(sys.argv[1]); "
    started += "os.set_inheritable(fd, False); os.execve(fd, [sys.argv[1]], os.environ)"
    result, code = profile_command(["python3", "-c", started, program])
    assert code == 0
    assert share_of(result, program) > 0.5
    assert not any("deleted" in line for line in result.unstrip_lines())
    result.write_pprof(tmp_path / "p.pb.gz")
    message = gzip.decompress((tmp_path / "p.pb.gz").read_bytes())
    assert str(program).encode() in message
    assert b"deleted" not in message
