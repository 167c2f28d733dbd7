# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The commands that give names: `pybuildid symbolize`, and `pybuildid profile` at its end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from profiled import need, run_cli
from symbolized import profile_of
from test_symbols import CHAIN, SOURCE, addresses, run

from pybuildid.cli import main
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.model import Location, Mapping
from pybuildid.stacks.pprof import write_pprof

BURN = """\
#include <time.h>
static volatile unsigned n;
__attribute__((noinline)) void burn(void) { for (int i = 0; i < 1000000; i++) n++; }
int main(void) { while (clock() < CLOCKS_PER_SEC / 5) burn(); return 7; }
"""


@pytest.fixture
def burning(tmp_path: Path) -> Path:
    (tmp_path / "burn.c").write_text(BURN)
    run("cc", "-g", "-O1", "-Wl,--build-id", tmp_path / "burn.c", "-o", tmp_path / "burning")
    return tmp_path / "burning"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A profile of a program."""
    (tmp_path / "source.c").write_text(SOURCE)
    run("cc", "-g", "-O1", "-Wl,--build-id", tmp_path / "source.c", "-o", tmp_path / "program")
    write_pprof(profile_of({tmp_path / "program": addresses(tmp_path / "program")}), tmp_path / "profile.pb.gz")
    return tmp_path / "profile.pb.gz"


def chains(file: Path) -> list[list[tuple[str, int]]]:
    return [[(line.name, line.line) for line in location.lines] for location in read_profile(file).locations]


# ------------------------------------------------------------------------------------------------ profile


def test_a_profile_has_names(burning: Path, tmp_path: Path) -> None:
    done = run_cli("--", burning, cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    assert re.search(r"^ [\d,]+ +\d+\.\d% .*\bburn +burning *$", done.stderr, re.MULTILINE), done.stderr
    assert "addresses in files have names." in done.stderr
    assert done.stdout == ""
    assert ("burn", 3) in {line for chain in chains(tmp_path / "profile.pb.gz") for line in chain}


def test_and_none_if_that_is_asked_for(burning: Path, tmp_path: Path) -> None:
    done = run_cli("--no-symbols", "--", burning, cwd=tmp_path)
    assert done.returncode == 7
    assert "burn " not in done.stderr
    assert not any(chains(tmp_path / "profile.pb.gz"))


def test_json_stays_json(burning: Path, tmp_path: Path) -> None:
    done = run_cli("--json", "-", "--", burning, cwd=tmp_path)
    assert json.loads(done.stdout)["exit_code"] == 7
    assert any(chains(tmp_path / "profile.pb.gz"))


def test_go_shows_names_and_lines_of_the_profile(burning: Path, tmp_path: Path) -> None:
    """Of the profile's own: the program is gone."""
    need("go", "golang-go")
    run_cli("--", burning, cwd=tmp_path)
    burning.unlink()
    command = ["go", "tool", "pprof", "-top", "-lines", str(tmp_path / "profile.pb.gz")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r" burn .*burn\.c:3\b", text), text


WITHOUT = """
import sys
from pybuildid.symbols import _elfutils
def missing(name, package, use):
    raise _elfutils.MissingLibraryError(f"{use} needs {name}: install {package}", name=name)
_elfutils._library = missing
from pybuildid.cli import main
main()
"""


def test_without_the_library_the_profile_is_as_good_as_before(burning: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT]
    options = {"capture_output": True, "text": True, "cwd": tmp_path}
    done = subprocess.run([*command, "profile", "--", str(burning)], **options)  # type: ignore[call-overload]
    assert done.returncode == 7
    assert "No names of functions: reading symbols needs libelf.so.1: install libelf, such as" in done.stderr
    assert list(read_profile(tmp_path / "profile.pb.gz").samples)
    done = subprocess.run([*command, "symbolize", "profile.pb.gz"], **options)  # type: ignore[call-overload]
    assert done.returncode == 1
    assert done.stderr.startswith("Error: reading symbols needs libelf.so.1: install libelf")


@pytest.mark.parametrize("error", ["KeyboardInterrupt()", "RecursionError('deep')"])
def test_whatever_goes_wrong_the_status_is_that_of_the_command(burning: Path, tmp_path: Path, error: str) -> None:
    program = f"""
from pybuildid.symbols import Symbolizer
def fail(self): raise {error}
Symbolizer.name = fail
from pybuildid.cli import main
main()
"""
    command = [sys.executable, "-c", program, "profile", "--", str(burning)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    assert f"No names of functions: {'deep' if 'deep' in error else 'interrupted by Ctrl-C'}" in done.stderr
    assert list(read_profile(tmp_path / "profile.pb.gz").samples)


# ------------------------------------------------------------------------------------------------ symbolize


def test_it_writes_names_into_the_file(file: Path) -> None:
    samples = list(read_profile(file).samples)
    result = CliRunner().invoke(main, ["symbolize", str(file)])
    assert result.exit_code == 0, result.output
    assert CHAIN in chains(file)
    assert list(read_profile(file).samples) == samples
    assert re.search(r"^ \d+ +\d+\.\d% +\d+\.\d% +leaf +program", result.output, re.MULTILINE)
    assert f"Written: {file}" in result.output


def test_or_into_another(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    result = CliRunner().invoke(main, ["symbolize", str(file), "-o", str(tmp_path / "named.pb.gz"), "--json", "-"])
    document = json.loads(result.stdout)
    assert file.read_bytes() == before
    assert CHAIN in chains(tmp_path / "named.pb.gz")
    (report,) = document["files"]
    assert report["named"] == report["addresses"]
    assert report["source"] == f"DWARF of {tmp_path / 'program'}"


def test_files_of_another_machine_are_found_in_a_folder(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "program").rename(tmp_path / "elsewhere" / "deep" / "another name")
    result = CliRunner().invoke(main, ["symbolize", str(file)])
    assert f"{tmp_path / 'program'}: it is no longer there." in result.output
    result = CliRunner().invoke(main, ["symbolize", str(file), "--dir", str(tmp_path / "elsewhere")])
    assert "is no longer there" not in result.output
    assert CHAIN in chains(file)
    result = CliRunner().invoke(main, ["symbolize", str(file), "--dir", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "there is no such file or folder" in result.output


def test_paths_that_are_not_of_the_locale(file: Path, tmp_path: Path) -> None:
    """In a profile they are UTF-8, or whatever bytes they were."""
    named = os.fsencode(tmp_path) + "/größe ".encode() + b"\xff"
    os.rename(tmp_path / "program", named)
    profile = read_profile(file)
    profile.mappings = [each._replace(path=named.decode("utf-8", "surrogateescape")) for each in profile.mappings]
    write_pprof(profile, file)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "pybuildid", "symbolize", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert CHAIN in chains(file)


def test_many_files_without_names_are_not_all_told_of(tmp_path: Path) -> None:
    profile = profile_of({})
    for number in range(30):
        profile.mappings.append(Mapping(number << 20, (number + 1) << 20, 0, f"/gone/{number}", f"{number + 1:040x}"))
        profile.locations.append(Location(number + 1, (number << 20) + 5))
    write_pprof(profile, tmp_path / "p")
    result = CliRunner().invoke(main, ["symbolize", str(tmp_path / "p")])
    assert result.output.count("is no longer there") == 8
    assert "22 more files lack names: `pybuildid symbolize --json -` tells why." in result.output


def test_what_is_no_profile_stays(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no profile\n")
    result = CliRunner().invoke(main, ["symbolize", str(path)])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {path}: no profile in the format of pprof")
    assert path.read_text() == "no profile\n"  # nor are folded stacks, which have no addresses
    assert os.listdir(tmp_path) == ["text"]
