# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid symbolize``: functions, files and lines for the addresses of a profile."""

from __future__ import annotations

from pathlib import Path

import click

from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._names import SECONDS, add_names, check_folders, functions_table, report_files
from pybuildid.cli._output import console, say_written
from pybuildid.cli._standard_output import STANDARD_OUTPUT, output_path
from pybuildid.cli._types import OutputFile, Range
from pybuildid.stacks.memory import bounded
from pybuildid.stacks.model import StackProfile
from pybuildid.symbols import Search


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("-o", "--output", type=OutputFile(binary=True), help="Write here instead of to FILE.")
@click.option(
    "--dir",
    "folders",
    multiple=True,
    callback=check_folders,
    type=click.Path(),
    help="Look in this folder, or file, as well: for programs, and for files of DWARF alone. May be given again.",
)
@click.option(
    "--time-limit",
    default=SECONDS,
    show_default=True,
    type=Range(0, 86_400),
    metavar="SECONDS",
    help="Time for debuginfod servers, all files together; 0: do not ask them.",
)
@json_option
@bounded()
def symbolize(
    file: str, output: Path | None, folders: tuple[str, ...], time_limit: float, json_file: Path | None
) -> None:
    """Give the addresses in a profile their functions, files and lines.

    FILE is a profile in the format of pprof, as `pybuildid profile` writes it. The command adds names to it, and leaves
    the rest as it is.

    Names come from .symtab, .dynsym and .gnu_debugdata of the files that ran, and from DWARF: of these files, of
    /usr/lib/debug/.build-id, and of debuginfod servers, if DEBUGINFOD_URLS is set. Inlined functions are shown as
    functions. A file counts only if its build ID is the recorded one. If it was replaced since, the report says so, and
    its names are not used. So this may run on another machine than the recording; there the files come from --dir and
    debuginfod.

    It reads symbols by elfutils' libdw, demangles names of C++ by libstdc++, and those of Rust by c++filt or rustfilt.

    \b
    Examples:
      pybuildid symbolize profile.pb.gz
      pybuildid symbolize profile.pb.gz --dir ./build -o named.pb.gz
      DEBUGINFOD_URLS=https://debuginfod.debian.net pybuildid symbolize profile.pb.gz
      go tool pprof -http=: profile.pb.gz
    """
    out = console(wide=True)

    def shown(profile: StackProfile) -> None:
        if json_file != STANDARD_OUTPUT:
            out.print(functions_table(profile))

    target = output or Path(file)
    with output_path(target) as path:
        files, late = add_names(file, path, Search(folders), time_limit, shown)
    if write_json(json_file, lambda: {"output": target, "files": files, "late": late}):
        report_files(files, late, console())
    say_written(target)
