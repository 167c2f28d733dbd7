# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What all commands of the harness take."""

from __future__ import annotations

import click

from pybuildid.cli._types import OutputFile

json_option = click.option("--json", "json_file", type=OutputFile(), help="Also write all figures as JSON.")
