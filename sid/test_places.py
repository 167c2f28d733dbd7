# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where samples are: files without a build ID or with a long one, the main program, names; in pprof and as text."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from profiled import BURNS, Compile, need, result_of

from pybuildid import read_build_id
from pybuildid.cli import main
from pybuildid.profile import REASONS, Module, ProfileResult, Sample, profile_command
from pybuildid.profile.places import escaped, main_module, undeleted

RESOLVED, NO_ID = REASONS[0], REASONS[4]
ID, LONG = bytes(range(20)), bytes(range(32))


def module(
    start: int, path: str = "/bin/a", build_id: bytes | None = None, *, process: int = 1, main: bool = False
) -> Module:
    """A mapping of two pages that begins with the file's second page."""
    return Module(process, start, start + 0x2000, 0x1000, start - 0x1000, 0x200, build_id, path, main)


def lost(address: int, module: int | None = None) -> Sample:
    return Sample(None, address, NO_ID, 1, module)


def test_the_main_program() -> None:
    library, program, tool = module(0x10000, "/lib/a.so.6"), module(0x20000, "/bin/p"), module(0x30000, "/bin/tool")
    vdso, child = module(0x5000, "[vdso]", ID), module(0x1000, "/bin/child", process=2)
    assert main_module([]) is None
    assert main_module([library]) is None
    assert main_module([vdso, library, program, child]) == program
    marked = [replace(library, main=True), program, replace(tool, main=True), replace(child, main=True)]
    assert main_module(marked) == marked[2]  # what the process became by exec()


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


def test_lines_of_eu_unstrip() -> None:
    result = result_of(
        module(0x10000, "/bin/with space", ID),
        module(0x20000, "/bin/none"),
        module(0x30000, "/bin/long", LONG),
        counts=[
            Sample(ID, 0x1010, RESOLVED, 3, 0),
            lost(0x1010, 1),
            lost(0x1020, 1),
            Sample(LONG, 0x1010, RESOLVED, 1, 2),
        ],
    )
    assert list(result.unstrip_lines()) == [
        rf"0xf000+0x3000 {ID.hex()}@0xf200 /bin/with\040space - with\040space",
        "0x1f000+0x3000 - /bin/none - none",
        f"0x2f000+0x3000 {LONG.hex()}@0x2f200 /bin/long - long",
    ]


def test_the_report_names_files_without_a_build_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = result_of(module(0x20000, "/bin/none"), counts=[lost(0x1010, 0), lost(0x1020, 0), lost(1)])
    monkeypatch.setattr("pybuildid.cli.profile.profile_command", lambda *_, **__: (result, 0))
    monkeypatch.chdir(tmp_path)
    assert re.search(
        r"^ 2 +66\.7% +- +/bin/none *$", CliRunner().invoke(main, ["profile", "true"]).output, re.MULTILINE
    )


# ---------------------------------------------------------------------------------------------------- real programs

LIBRARY = "void work(void) { static volatile unsigned n; for (int i = 0; i < 3000000; i++) n++; }"
PROGRAM = """
void work(void);
__attribute__((noinline)) void own(void) { static volatile unsigned n; for (int i = 0; i < 1000000; i++) n++; }
int main(void) { while (clock() < CLOCKS_PER_SEC / 2) { own(); work(); } return 0; }
"""


def pprof(result: ProfileResult, tmp_path: Path, *options: str) -> str:
    """What `go tool pprof` says of it."""
    need("go", "golang-go")
    path = tmp_path / "profile.pb.gz"
    result.write_pprof(path)
    environment = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "PPROF_BINARY_PATH": str(tmp_path)}
    command = ["go", "tool", "pprof", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=120).stdout


def share_of(result: ProfileResult, path: Path) -> float:
    """Of the samples that are in this file."""
    inside = 0
    for sample in result.counts:
        inside += sample.count if in_file(result, sample, path) else 0
    return inside / result.samples


@pytest.mark.parametrize("build_id", ["none", "0x" + LONG.hex(), "0x" + bytes(range(64)).hex()])
def test_files_without_a_build_id_or_with_a_long_one(compiled: Compile, tmp_path: Path, build_id: str) -> None:
    """Path and offset are there all the same, and the whole ID."""
    program = compiled(BURNS % 500, f"-Wl,--build-id={build_id}")
    result, code = profile_command([program])
    assert code == 0
    assert share_of(result, program) > 0.9
    assert result.in_elf_code == result.samples
    assert result.by_reason[NO_ID if build_id == "none" else RESOLVED] > 0.8 * result.samples
    hexadecimal = build_id[2:] if build_id != "none" else ""
    assert read_build_id(program) == (bytes.fromhex(hexadecimal) or None)
    line = next(line.split() for line in result.unstrip_lines() if line.endswith(" program"))
    assert line[1].partition("@")[0] == (hexadecimal or "-")
    assert line[2:] == [str(program), "-", "program"]
    raw = pprof(result, tmp_path, "-raw", "-symbolize=none")
    assert re.search(rf"^1: \S+ {program} *{hexadecimal} *(\[|$)", raw, re.MULTILINE)


def test_the_main_program_is_the_first_mapping(compiled: Compile, tmp_path: Path) -> None:
    compiled(LIBRARY, "-shared", "-fPIC", name="libwork.so")
    program = compiled(PROGRAM, f"-L{tmp_path}", "-lwork", f"-Wl,-rpath,{tmp_path}")
    result, _ = profile_command([program])
    assert share_of(result, tmp_path / "libwork.so") > share_of(result, program) > 0
    assert "File: program\n" in pprof(result, tmp_path, "-top", "-symbolize=none")
    quiet = replace(result, counts=[sample for sample in result.counts if not in_file(result, sample, program)])
    assert "File: program\n" in pprof(quiet, tmp_path, "-top", "-symbolize=none")  # also without a sample


def test_the_main_program_is_what_the_command_became(compiled: Compile, tmp_path: Path) -> None:
    """Not env, which runs it in its place, nor the first file that has no library's name."""
    program = compiled(BURNS % 500)
    result, _ = profile_command(["env", program])
    (first, *_) = result.modules
    assert first.path != str(program)
    assert "File: program\n" in pprof(result, tmp_path, "-top", "-symbolize=none")


def in_file(result: ProfileResult, sample: Sample, path: Path) -> bool:
    module = result.module_of(sample)
    return bool(module and module.path == str(path))


def test_a_removed_program(compiled: Compile, tmp_path: Path) -> None:
    """What runs a program that it has removed before: the path is as it was."""
    program = compiled(BURNS % 500)
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
