# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""docs/pybuildid.md says what the commands' help says, and teaches what it should."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pybuildid.cli import COMMANDS, main
from pybuildid.cli._lazy import LazyGroup
from study.__main__ import main as study

ROOT = Path(__file__).parents[1]


def test_the_manual_page_is_up_to_date() -> None:
    """Made in a process of its own: a command that was used before without its group keeps other help options."""
    pages = "import json, sys; sys.path.insert(0, 'docs'); import man; page = man.page()"
    program = f"{pages}; print(json.dumps([page, man.roff(page)]))"
    made = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text, manual = ((ROOT / "docs" / f"pybuildid.{suffix}").read_text() for suffix in ("md", "1"))
    assert [text, manual] == json.loads(made), "docs/pybuildid.* are not what the commands say: `make man`, commit them"
    for name in COMMANDS:
        assert f"\n## pybuildid {name}\n" in text


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_manual_page_says_what_help_prints(name: str) -> None:
    """Word by word, for the real command; "" is `pybuildid --help` itself, of which commands and exit codes follow."""
    program = "from pybuildid.cli import main; main(prog_name='pybuildid', terminal_width=10_000)"
    command = [sys.executable, "-c", program, *name.split(), "--help"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    heading = f"## pybuildid {name}\n" if name else "# pybuildid\n"
    section = (ROOT / "docs" / "pybuildid.md").read_text().partition(f"\n{heading}")[2].partition("\n## ")[0]
    prose, _, options = section.partition("\n- `")
    options = re.sub(r"^(- `)?(.*?)`: ", r"\2 ", options, flags=re.MULTILINE)
    assert printed.partition("Commands:")[0].split() == ["Usage:", *prose.split(), "Options:", *options.split()]


@pytest.mark.parametrize(("group", "program"), [(main, "pybuildid"), (study, "python -m study")])
def test_every_command_teaches(group: LazyGroup, program: str) -> None:
    """Help of each command: what it does, an example, and a text for each option."""
    for name in group.places:
        result = CliRunner().invoke(group, [name, "--help"], prog_name=program)
        assert result.exit_code == 0, result.output
        assert f"{program} {name}" in result.output.partition("Options:")[0].partition("\n")[2], f"{name}: no example"
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), f"{name} {parameter}"
