# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid diff``: what grew and what shrank between two profiles."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from pybuildid._files import replacing
from pybuildid.cli._errors import printable
from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._output import console, say_written
from pybuildid.cli._standard_output import output_path
from pybuildid.cli._types import OutputFile
from pybuildid.cli.flamegraph import value_index
from pybuildid.pictures import Tree, flame_page
from pybuildid.stacks.diff import SAME, Change, compare, nameless_share
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.memory import bounded
from pybuildid.stacks.model import StackProfile

UNLIKE = 0.1  #: of the samples: so many more of one profile may lack names
LEAST = 0.0005  #: of the whole: less is not shown


@click.command()
@click.argument("before", type=click.Path(exists=True, dir_okay=False))
@click.argument("after", type=click.Path(exists=True, dir_okay=False))
@click.option("-o", "--output", type=OutputFile(), help="Draw the difference as a flame graph, an HTML page, here.")
@click.option("--rows", default=25, show_default=True, type=click.IntRange(1), help="Functions in the table.")
@click.option(
    "--value",
    default="",
    metavar="NAME",
    help="What to compare, such as cpu; without it, numbers of samples, or what the profile says.",
)
@json_option
@bounded()
def diff(before: str, after: str, output: Path | None, rows: int, value: str, json_file: Path | None) -> None:
    """Compare two profiles, by function.

    BEFORE and AFTER are profiles in the format of pprof, best after `pybuildid symbolize`, or folded stacks. Shares of
    the whole are compared, so it does not matter how long each was recorded.

    A function is the same if its name and the build ID of its file are; else it is looked for in another build of that
    file (libx.so.1 and libx.so.2 are builds of one), then by its name alone. The table says which.

    In the flame graph each box is as wide as the larger of its two shares. Red has grown, blue has shrunk.

    \b
    Examples:
      pybuildid diff old.pb.gz new.pb.gz
      pybuildid diff old.pb.gz new.pb.gz -o difference.html
    """
    profiles = read_profile(before), read_profile(after)
    values = value_index(profiles[0], value, before), value_index(profiles[1], value, after)
    changes = compare(*profiles, *values)
    if output:
        _draw(output, profiles, values, _names(before, after))
    if not write_json(json_file, lambda: {"before": before, "after": after, "functions": changes}):
        return
    _warn(profiles, values, (before, after))
    shown = [change for change in changes if max(abs(change.alone), abs(change.total)) >= LEAST]
    if shown:
        console(wide=True).print(_table(shown[:rows]))
    if shown[rows:]:
        console().print(f"{len(shown) - rows:,} more functions changed: --rows shows more, --json all.")
    if not shown:
        console().print(f"No function changed by {LEAST:.2%} of the whole or more.")
    if output:
        say_written(output)


def _warn(profiles: tuple[StackProfile, StackProfile], values: tuple[int, int], names: tuple[str, str]) -> None:
    """Warns if one profile has names and the other has none: then no function is the same."""
    shares = [nameless_share(profile, value) for profile, value in zip(profiles, values)]
    worse = max((0, 1), key=shares.__getitem__)
    if shares[worse] - shares[1 - worse] > UNLIKE:
        without = f"{shares[worse]:.0%} of its samples have no name"
        console(stderr=True).print(f"{printable(names[worse])}: {without}: `pybuildid symbolize` it first.")


def _names(before: str, after: str) -> tuple[str, str]:
    names = Path(before).name, Path(after).name
    return names if names[0] != names[1] else (before, after)


def _draw(
    output: Path, profiles: tuple[StackProfile, StackProfile], values: tuple[int, int], names: tuple[str, str]
) -> None:
    kinds = profiles[1].types
    tree = Tree(*(kinds[values[1]] if kinds else ("samples", "count")))
    for profile, value in zip(profiles, values):
        tree.add(profile, value, builds_alike=True)
    page = flame_page(tree, f"{names[0]} to {names[1]}", names)
    with output_path(output) as path, replacing(path) as out:
        out.write(page.encode("utf-8", "backslashreplace"))


def _table(changes: list[Change]) -> Table:
    calls = any(change.alone != change.total for change in changes)
    table = Table(
        "change", "before", "after", *(["with calls"] if calls else []), "function", "file", "match", box=None
    )
    for change in changes:
        shares = [f"{change.alone:+.1%}", f"{change.alone_before:.1%}", f"{change.alone_after:.1%}"]
        shares += [f"{change.total:+.1%}"] if calls else []
        names = Text(printable(change.name)), Text(printable(change.module))
        table.add_row(*shares, *names, "" if change.match == SAME else change.match)
    return table
