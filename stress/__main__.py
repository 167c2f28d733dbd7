# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress``: the signal storm, and the other campaigns of the harness as subcommands."""

from __future__ import annotations

import click

from pybuildid.cli._lazy import LazyGroup

COMMANDS = {
    "storm": "stress.commands.storm:storm",
    "step": "stress.commands.step:step",
    "freeze": "stress.commands.freeze:freeze",
    "histories": "stress.commands.histories:histories",
    "twins": "stress.commands.twins:twins",
    "faults": "stress.commands.faults:faults",
    "sanitize": "stress.commands.sanitize:sanitize",
    "kernel": "stress.commands.kernel:kernel",
    "campaign": "stress.commands.campaign:campaign",
    "prove": "stress.commands.prove:prove",
}


class DefaultGroup(LazyGroup):
    """``python -m stress --seconds 5`` means ``python -m stress storm --seconds 5``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help", "--version")):
            args = ["storm", *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pybuildid")
def main() -> None:
    """Stress tests of the build-ID table under signal storms.

    Without a command: the storm. See `python -m stress storm --help` for its options.
    """


if __name__ == "__main__":
    main(prog_name="python -m stress")
