# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""docs/pybuildid.md says what the commands' help says, and teaches what it should."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from click.testing import CliRunner

from pybuildid.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]


def test_the_manual_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("man", ROOT / "docs/man.py")
    assert spec
    assert spec.loader
    man = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(man)
    text = man.PAGE.read_text()
    assert text == man.page(), "docs/pybuildid.md is not what the commands say: run `make man` and commit it"
    for name in COMMANDS:
        assert f"\n## pybuildid {name}\n" in text


def test_every_command_teaches() -> None:
    """Help of each command: what it does, an example, and a text for each option."""
    for name in COMMANDS:
        result = CliRunner().invoke(main, [name, "--help"], prog_name="pybuildid")
        assert result.exit_code == 0, result.output
        assert f"pybuildid {name}" in result.output.partition("Options:")[0].partition("\n")[2], f"{name}: no example"
        command = main.get_command(None, name)  # type: ignore[arg-type]
        assert command
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), f"{name} {parameter}"
