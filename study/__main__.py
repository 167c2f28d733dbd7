# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m study``: the designs measured side by side, weighed, and a page of it."""

from __future__ import annotations

import click

from pybuildid.cli._lazy import LazyGroup

COMMANDS = {
    "bench": "study.bench.command:bench",
    "memory": "study.memory.command:memory",
    "report": "study.report.command:report",
}


@click.group(cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pybuildid")
def main() -> None:
    """The table beside the other designs and peers from outside: what each costs in time and in memory."""


if __name__ == "__main__":
    main(prog_name="python -m study")
