# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Options of all commands of the package, the harness and the study: --json FILE has one form, numbers have bounds, and
- is standard output wherever an option names a file to write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from madeup import named_profile
from terminal import Terminal

from pybuildid.cli import main
from pybuildid.cli._json import json_option
from pybuildid.cli._lazy import LazyGroup
from pybuildid.cli._types import OutputFile, Range
from pybuildid.stacks.pprof import write_pprof
from stress.__main__ import main as stress
from study.__main__ import main as study

WITHOUT = {"report", "record", "flamegraph", "merge"}  # of which the product is a file of its own
SHORT = [
    "pybuildid id /bin/sh",
    "pybuildid maps self",
    "pybuildid collisions --object-size 1024 --slab-size 32768 --count 1000",
    "stress histories --histories 5 --seed 1",
]


def commands() -> Iterator[tuple[str, click.Command]]:
    for group in (main, study, stress):
        assert isinstance(group, LazyGroup)
        for name in group.places:
            command = group.get_command(click.Context(group), name)
            assert command
            yield name, command


def test_every_command_has_it_in_one_form() -> None:
    expected = click.Command("any", params=json_option(lambda: None).__click_params__).params[0].to_info_dict()  # type: ignore[attr-defined]
    found = set()
    for name, command in commands():
        for option in command.params:
            if "--json" in option.opts:
                assert option.to_info_dict() == expected, name
                found.add(name)
        assert name in found | WITHOUT, name
    assert len(found) >= 15


def test_every_number_has_bounds() -> None:
    """So that -1 or nan is refused as an option, and not met by what is done with it."""
    found = 0
    for name, command in commands():
        for option in command.params:
            if isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType)):
                assert isinstance(option.type, (click.IntRange, Range)), f"{name} {option.opts[0]}"
                found += 1
    assert found >= 30


@pytest.mark.parametrize("command", SHORT)
def test_a_file_besides_and_standard_output_alone(command: str, tmp_path: Path) -> None:
    if "maps" in command:
        command = f"pybuildid maps {os.getpid()}"
    run = [sys.executable, "-m", *command.split(), "--json"]
    text, alone = (subprocess.run([*run, to], capture_output=True, text=True) for to in (str(tmp_path / "x"), "-"))
    assert text.returncode == alone.returncode == 0, text.stderr + alone.stderr
    assert type(json.loads((tmp_path / "x").read_text())) is type(json.loads(alone.stdout))
    assert text.stdout
    with pytest.raises(ValueError, match=r"Expecting|Extra"):
        json.loads(text.stdout)


def test_what_is_in_the_way_of_the_file_is_said_first(tmp_path: Path) -> None:
    for name, message in (
        (str(tmp_path / "none" / "x"), "there is no directory"),
        ("", "the name of a file is needed"),
    ):
        run = [sys.executable, "-m", "pybuildid", "id", "--json", name, "/bin/sh"]
        said = subprocess.run(run, capture_output=True, text=True)
        assert (said.returncode, said.stdout) == (2, "")
        assert message in said.stderr


# ------------------------------------------------------------------------------------------ - as a file to write

READ = {"--dir"}  # options with the names of files that are read, and need not be there
UPDATED = {"--state"}  # with those of files that are read as well


def test_every_option_that_names_a_file_to_write_takes_standard_output() -> None:
    found = set()
    for name, command in commands():
        for option in command.params:
            kind, its = option.type, f"{name} {option.opts[-1]}"
            if not isinstance(option, click.Option) or not isinstance(kind, click.Path) or option.opts[-1] in READ:
                continue
            if not kind.exists:
                assert isinstance(kind, OutputFile), its
                assert kind.allow_dash is (option.opts[-1] not in UPDATED), its
                found.add(its)
    assert found >= {
        *(f"{name} --output" for name in ("profile", "record", "symbolize", "flamegraph", "diff", "merge", "report")),
        *("profile --report", "record --report", "record --folded", "collisions --plot", "collisions --plot-chains"),
        *("memory --plot", "bench --chart", "prove --page", "campaign --state", "storm --json", "census --json"),
    }


BURN = f"-- {sys.executable} -c sum(range(10**7))"


@pytest.mark.parametrize(
    ("arguments", "begin"),
    [
        ("pybuildid flamegraph p.pb.gz --format folded -o -", b"main;f 1\n"),
        ("pybuildid flamegraph p.pb.gz -o -", b"<!doctype html>"),
        ("pybuildid flamegraph p.pb.gz -o /dev/stdout", b"<!doctype html>"),
        ("pybuildid diff p.pb.gz p.pb.gz -o -", b"<!doctype html>"),
        ("pybuildid merge p.pb.gz -o -", b"\x1f\x8b"),
        ("pybuildid symbolize p.pb.gz -o -", b"\x1f\x8b"),
        (f"pybuildid profile -o - {BURN}", b"\x1f\x8b"),
        (f"pybuildid profile -o p --report - {BURN}", b" samples"),
        ("pybuildid collisions --object-size 1024 --count 999 --plot -", b"<?xml"),
        ("pybuildid collisions --object-size 1024 --count 999 --plot-chains -", b"<?xml"),
        ("study memory --files 9 --inodes 9 --elf 9 --plot -", b"<?xml"),
        ("study report --output -", b"<!DOCTYPE html>"),
    ],
)
def test_standard_output_has_the_file_alone(arguments: str, begin: bytes, tmp_path: Path) -> None:
    """All of it, after what was there before, and nothing is in a file of that name."""
    write_pprof(named_profile(("main;f", 1)), tmp_path / "p.pb.gz")
    command = [sys.executable, "-m", *arguments.split()]
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[1])}
    (tmp_path / "out").write_bytes(b"before\n")
    with open(tmp_path / "out", "ab") as out:
        run = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    first, found = (tmp_path / "out").read_bytes().split(b"\n", 1)
    assert first == b"before"
    assert found.startswith(begin)
    assert b"Written" not in found or "--report" in arguments
    assert {path.name for path in tmp_path.iterdir()} <= {"p.pb.gz", "out", "p"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("pybuildid diff p p -o - --json -", "standard output can have one of them: --output or --json"),
        ("pybuildid profile --report - --json - true", "standard output can have one of them"),
        ("pybuildid profile --report - -o - true", "standard output can have one of them"),
        ("stress campaign --hours 1e-6 --state -", "it is read as well"),
    ],
)
def test_standard_output_for_one(arguments: str, message: str, tmp_path: Path) -> None:
    write_pprof(named_profile(("main;f", 1)), tmp_path / "p")
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[1])}
    command = [sys.executable, "-m", *arguments.split()]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr


def test_a_file_may_have_that_name(tmp_path: Path) -> None:
    write_pprof(named_profile(("main;f", 1)), tmp_path / "p")
    command = [sys.executable, "-m", "pybuildid", "flamegraph", "p", "--format", "folded", "-o", "./-"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "-").read_text() == "main;f 1\n"


def test_no_profile_goes_to_a_terminal(tmp_path: Path) -> None:
    write_pprof(named_profile(("main;f", 1)), tmp_path / "p")
    with Terminal("merge", tmp_path / "p", "-o", "-") as terminal:
        assert b"not for a terminal" in terminal.read_to_end()
    assert terminal.status == 2
