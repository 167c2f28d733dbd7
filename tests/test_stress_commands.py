# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The command line of the harness: help and version, and options that say what they do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stress.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent
#: Programs of the checkout that are no command of `stress` or `study`.
PROGRAMS = (
    *("docs/fleet.py", "docs/man.py", "docs/paths.py", "docs/profile_cost.py"),
    *("tests/fuzz/fuzz.py", "tests/models/run.py", "tests/models/weaken.py"),
    *("-mstress.kernel.census", "-mstress.record.guest"),
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_of_other_programs(program: str) -> None:
    """It says how the program is called, and does nothing else."""
    command = [sys.executable, program, "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_all_commands(option: str) -> None:
    """The first is of the group, not of the storm, which is what other options without a command are for."""
    result = CliRunner().invoke(main, [option])
    assert result.exit_code == 0, result.output
    assert all(f"\n  {name} " in result.output for name in COMMANDS)
    for name in COMMANDS:
        result = CliRunner().invoke(main, [name, option], prog_name="stress")
        assert result.exit_code == 0, result.output
        assert result.output.startswith(f"Usage: stress {name} ")


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"], prog_name="python -m stress")
    assert (result.exit_code, result.output.split(" version ")[0]) == (0, "python -m stress,")


def test_every_option_has_a_text() -> None:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command
        for parameter in command.params:
            assert isinstance(parameter, click.Option)
            assert parameter.help, f"{name} {parameter}"
            assert parameter.help[0].isupper(), f"{name} {parameter}"
