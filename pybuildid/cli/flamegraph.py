# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid flamegraph``: a profile as a picture, or in the formats that other tools draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click

from pybuildid._files import replacing
from pybuildid.cli._errors import printable
from pybuildid.cli._output import console, say_written
from pybuildid.cli._standard_output import output_path
from pybuildid.cli._types import OutputFile
from pybuildid.pictures import flame_page, speedscope, tree_of
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.folded import folded_lines
from pybuildid.stacks.memory import bounded
from pybuildid.stacks.model import StackProfile

Draw = Callable[[StackProfile, int, str], str]


def _html(profile: StackProfile, value: int, name: str) -> str:
    return flame_page(tree_of(profile, value), name, [name])


def _folded(profile: StackProfile, value: int, name: str) -> str:
    return "".join(f"{line}\n" for line in folded_lines(profile, value))


def _speedscope(profile: StackProfile, value: int, name: str) -> str:
    return json.dumps(speedscope(profile, value, name), separators=(",", ":"))


FORMATS: dict[str, Draw] = {"html": _html, "folded": _folded, "speedscope": _speedscope}
SUFFIXES = {".folded": "folded", ".txt": "folded", ".json": "speedscope"}


def value_index(profile: StackProfile, name: str, file: str) -> int:
    try:
        return profile.value_index(name)
    except LookupError as error:
        raise click.BadParameter(f"{file}: {error.args[0]}", param_hint="--value") from None


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("-o", "--output", default="flamegraph.html", show_default=True, type=OutputFile(), help="Write here.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    help="Without it, the name of the output says: .folded or .txt, .json for speedscope, else html.",
)
@click.option(
    "--value",
    default="",
    metavar="NAME",
    help="What to draw, such as cpu; without it, numbers of samples, or what the profile says.",
)
@bounded()
def flamegraph(file: str, output: Path, form: str | None, value: str) -> None:
    """Draw a profile as an interactive flame graph.

    FILE is a profile in the format of pprof, best after `pybuildid symbolize`, or folded stacks.

    The picture is one HTML file that needs no network. Callers are above what they call. Zoom by a click, search, or
    group stacks by file, by thread or by what is missing; all of that works by keyboard as well. Functions have the
    colour of their file.

    Folded stacks (OUTERMOST;...;INNERMOST COUNT) and the JSON of speedscope.app are for other tools. `go tool pprof`
    reads FILE itself.

    \b
    Examples:
      pybuildid flamegraph profile.pb.gz
      pybuildid flamegraph profile.pb.gz -o profile.folded
      pybuildid flamegraph profile.pb.gz -o profile.json --value cpu
    """
    profile = read_profile(file)
    draw = FORMATS[form or SUFFIXES.get(output.suffix, "html")]
    text = draw(profile, value_index(profile, value, file), Path(file).name)
    with output_path(output) as path, replacing(path) as out:
        out.write(text.encode("utf-8", "surrogateescape" if draw is _folded else "backslashreplace"))
    say_written(output)
    if not any(True for _ in profile.samples):
        console(stderr=True).print("There are no samples in it.")
    elif profile.mappings and not any(location.lines for location in profile.locations):
        console(stderr=True).print(f"No function in it has a name: `pybuildid symbolize {printable(file)}` first.")
