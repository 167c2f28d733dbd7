# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Options of all commands of the package, the harness and the study: --json FILE has one form, numbers have bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pybuildid.cli import main
from pybuildid.cli._json import json_option
from pybuildid.cli._lazy import LazyGroup
from pybuildid.cli._types import Range
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
