# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress``: the signal storm, and the other campaigns of the harness as subcommands."""

from __future__ import annotations

import click

from pybuildid.cli._lazy import LazyGroup

COMMANDS = {
    "storm": "stress.storm.command:storm",
    "step": "stress.step.command:step",
    "freeze": "stress.freeze.command:freeze",
    "histories": "stress.histories.command:histories",
    "mutants": "stress.mutants.command:mutants",
    "faults": "stress.faults.command:faults",
    "sanitize": "stress.sanitize.command:sanitize",
    "kernel": "stress.kernel.command:kernel",
    "record": "stress.record.command:record",
    "campaign": "stress.campaign.command:campaign",
    "prove": "stress.prove.command:prove",
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
