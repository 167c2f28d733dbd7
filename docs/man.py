# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Writes the manual page of the command line, docs/pybuildid.md and .1, from the commands' help: `make man`.

The help texts are the one place to edit.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from pybuildid.cli import main
from pybuildid.cli._errors import EXIT_CODES

PAGE = Path(__file__).parent / "pybuildid.md"

HEAD = "<!-- Made by `make man` from the help texts in pybuildid/cli/: edit those. -->\n\n# pybuildid\n"

COMPLETION = """## Shell completion

Commands, options and paths complete after one of these lines in the file that your shell reads at its start:

    eval "$(_PYBUILDID_COMPLETE=bash_source pybuildid)"                   # ~/.bashrc; bash 4.4 or later
    eval "$(_PYBUILDID_COMPLETE=zsh_source pybuildid)"                    # ~/.zshrc
    _PYBUILDID_COMPLETE=fish_source pybuildid | source                    # ~/.config/fish/config.fish
"""

ENVIRONMENT = """## Environment

- `NO_COLOR`: any value: no colours. Without a terminal there are none anyway, and no progress displays.
- `DEBUGINFOD_URLS`: servers that `symbolize` and `profile` ask for DWARF; unset, none. Other variables of
  debuginfod-find(1), such as `DEBUGINFOD_CACHE_PATH`, count as well.
- `COLUMNS`: the width of tables on a terminal.
- `PYBUILDID_TRACEBACK`: `1`: a failure shows its Python traceback instead of the one line, for reports of faults.
"""


def commands(command: click.Command, ctx: click.Context) -> Iterator[click.Context]:
    """The contexts of all commands below a group, in the order of its help."""
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            sub = command.get_command(ctx, name)
            assert sub is not None
            if not sub.hidden:
                below = click.Context(sub, ctx, info_name=name, **sub.context_settings)
                yield below
                yield from commands(sub, below)


def prose(text: str | None) -> Iterator[str]:
    """Paragraphs of a help text; those that click would not wrap (after \\b) as they stand."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        if paragraph.startswith("\b\n"):
            title, _, rest = paragraph[2:].partition("\n")
            indented = "\n".join(f"    {line[2:] if line.startswith('  ') else line}" for line in rest.splitlines())
            yield f"{title}\n\n{indented}\n"
        elif paragraph:
            yield paragraph.replace("\f", "") + "\n"


def options(ctx: click.Context) -> Iterator[str]:
    for parameter in ctx.command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record:
            yield f"- `{record[0]}`: " + " ".join(record[1].split())


def section(ctx: click.Context) -> str:
    usage = " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])
    return "\n".join([f"## {ctx.command_path}", "", f"    {usage}", "", *prose(ctx.command.help), *options(ctx), ""])


def page() -> str:
    root = click.Context(main, info_name="pybuildid", **main.context_settings)
    codes = "\n".join(["## Exit codes", "", *(f"- {code}: {meaning}." for code, meaning in EXIT_CODES.items()), ""])
    intro = "\n".join(["", "    pybuildid [OPTIONS] COMMAND [ARGS]...", "", *prose(main.help), *options(root), ""])
    return "\n".join([HEAD + intro, *map(section, commands(main, root)), codes, ENVIRONMENT, COMPLETION])


def roff_line(text: str) -> str:
    """Text with `code` in bold, and nothing in it that troff would take for a request."""
    parts = text.replace("\\", "\\e").replace("-", "\\-").split("`")
    line = "".join(rf"\fB{part}\fR" if i % 2 else part for i, part in enumerate(parts))
    return rf"\&{line}" if line.startswith((".", "'")) else line


def roff(markdown: str) -> str:
    """The page for man(1). The Markdown above has headings, lists of one level, indented blocks and paragraphs."""
    out = ['.TH PYBUILDID 1 "" "pybuildid" "User commands"', ".SH NAME", "pybuildid \\- build IDs of this system"]
    verbatim = False
    for line in markdown.splitlines()[2:]:
        indented = line.startswith("    ")
        if indented != verbatim and line:
            out += [".RS 4", ".nf"] if indented else [".fi", ".RE", ".PP"]
            verbatim = indented
        if not line:
            out += [] if out[-1] == ".PP" or verbatim else [".PP"]
        elif line.startswith("#"):
            out.append(f".SH {'SYNOPSIS' if line == '# pybuildid' else roff_line(line.lstrip('# '))}")
        elif line.startswith("- "):
            term, _, text = line[2:].partition(": ")
            out += [".TP", roff_line(term), roff_line(text)]
        else:
            out.append(roff_line(line.strip() if not indented else line[4:]))
    return "\n".join([*out, ""])


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(page())
    PAGE.with_suffix(".1").write_text(roff(page()))
