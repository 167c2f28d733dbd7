# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid maps``: what a process has mapped, with build IDs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from pybuildid.cli._errors import printable
from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._output import console
from pybuildid.cli._types import Pid
from pybuildid.process import Location, Mapping, ProcessError, mappings, normalize


def address(text: str) -> int:
    try:
        number = int(text, 16)
    except ValueError:
        number = -1
    if not 0 <= number < 2**64:
        raise click.BadParameter(f"{text!r} is not a hexadecimal address such as 7f3a5c021e40")
    return number


@click.command()
@click.argument("pid", type=Pid())
@click.option("--all", "everything", is_flag=True, help="Also show memory without a file, such as heap and stacks.")
@click.option(
    "--address", "addresses", type=address, multiple=True, help="Resolve this address instead; may be given again."
)
@json_option
def maps(pid: int, everything: bool, addresses: tuple[int, ...], json_file: Path | None) -> None:
    """Show what the process PID has mapped: addresses, file offset, inode, generation, build ID, path.

    The command asks the kernel (the PROCMAP_QUERY request, Linux 6.11). Where that is not possible, it reads
    /proc/PID/maps and the files. With --address it turns addresses into (build ID, file offset), which means the same
    on every machine.

    \b
    Examples:
      pybuildid maps $$
      pybuildid maps 1234 --json -
      pybuildid maps 1234 --address 7f3a5c021e40

    Exit status: 0, or 1 if the process is gone or out of reach.
    """
    try:
        if addresses:
            located = normalize(pid, addresses)
            if write_json(json_file, lambda: [location_json(location) for location in located]):
                _print_locations(located)
        else:
            found = mappings(pid)
            shown = [mapping for mapping in found if everything or mapping.is_file or mapping.build_id]
            if write_json(json_file, lambda: [mapping_json(mapping) for mapping in shown]):
                _print_mappings(shown)
    except ProcessError as error:
        raise click.ClickException(str(error)) from None


def mapping_json(mapping: Mapping) -> dict[str, Any]:
    major_minor = f"{os.major(mapping.device)}:{os.minor(mapping.device)}"
    return {**asdict(mapping), "device": major_minor, "build_id": mapping.build_id and mapping.build_id.hex()}


def location_json(location: Location) -> dict[str, Any]:
    return {
        "address": location.address,
        "build_id": location.build_id and location.build_id.hex(),
        "offset": location.offset,
        "mapping": location.mapping and mapping_json(location.mapping),
    }


def shown_path(mapping: Mapping) -> str:
    return printable(mapping.path) + (" (deleted)" if mapping.deleted else "")


def shown_id(mapping: Mapping) -> str:
    if mapping.problem:
        return f"({printable(mapping.problem)})"
    return mapping.build_id.hex() if mapping.build_id else "-"


def _print_mappings(found: Sequence[Mapping]) -> None:
    table = Table("addresses", "perm", "offset", "device", "inode", "generation", "build ID", "path", box=None)
    for mapping in found:
        table.add_row(
            f"{mapping.start:x}-{mapping.end:x}",
            mapping.permissions,
            f"{mapping.offset:x}",
            f"{os.major(mapping.device)}:{os.minor(mapping.device)}" if mapping.is_file else "",
            str(mapping.inode or ""),
            "" if mapping.generation is None else str(mapping.generation),
            Text(shown_id(mapping)),
            Text(shown_path(mapping)),
        )
    console(wide=True).print(table)


def _print_locations(found: Sequence[Location]) -> None:
    table = Table("address", "build ID", "offset", "path", box=None)
    for location in found:
        path = shown_path(location.mapping) if location.mapping else "(nothing is mapped there)"
        build_id = location.build_id.hex() if location.build_id else "-"
        table.add_row(
            f"{location.address:x}", build_id, "-" if location.offset is None else f"{location.offset:x}", Text(path)
        )
    console(wide=True).print(table)
