# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The command line: ``pybuildid`` or ``python -m pybuildid``. One module a command."""

from __future__ import annotations

import sys

try:
    import click

    from pybuildid.cli._errors import EXIT_CODES
    from pybuildid.cli._lazy import LazyGroup
except ImportError as error:
    sys.exit(f"pybuildid: the command line needs {error.name}: pip install {error.name}")

COMMANDS: dict[str, str] = {
    "id": "pybuildid.cli.id:command",
    "scan": "pybuildid.cli.scan:command",
    "maps": "pybuildid.cli.maps:maps",
    "census": "pybuildid.cli.census:command",
    "profile": "pybuildid.cli.profile:profile",
    "record": "pybuildid.cli.record:command",
    "symbolize": "pybuildid.cli.symbolize:symbolize",
    "flamegraph": "pybuildid.cli.flamegraph:flamegraph",
    "diff": "pybuildid.cli.diff:diff",
    "merge": "pybuildid.cli.merge:merge",
    "collisions": "pybuildid.cli.collisions:collisions",
    "inodes": "pybuildid.cli.inodes:inodes",
}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"{code:<4} {meaning}" for code, meaning in EXIT_CODES.items())


@click.group(cls=LazyGroup, places=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pybuildid")
def main() -> None:
    """Build IDs of this system, and the table that keeps them for profilers in NMI context.

    A build ID names one build of a program or library. Profilers store it with each sample, and debuggers find the
    right symbols by it.

    Where an option names a file to write, - is standard output, and nothing else is written there.
    """
