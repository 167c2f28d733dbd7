# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The command line: ``pybuildid`` or ``python -m pybuildid``. One module a command; needs the extra "cli"."""

from __future__ import annotations

import sys

try:
    import click

    from pybuildid.cli._lazy import LazyGroup
except ImportError as error:
    sys.exit(f"pybuildid: the command line needs {error.name}: pip install 'pybuildid[cli]'")

COMMANDS: dict[str, str] = {
    "maps": "pybuildid.cli.maps:maps",
}


@click.group(cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pybuildid")
def main() -> None:
    """Build IDs of this system, and the table that keeps them for profilers in NMI context."""
