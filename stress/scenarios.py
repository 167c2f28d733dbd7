# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What commands with scenarios share: the options that choose and list them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import click
from rich.console import Console


class Scenario(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...


def scenario_options(scenarios: Sequence[Scenario]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--scenario, as `names`, and --list, as `list_them`."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        choice = click.Choice([scenario.name for scenario in scenarios])
        chosen = "Only this one; may be given again. Default: all."
        listed = "Say which scenarios there are, and run none."
        command = click.option("--list", "list_them", is_flag=True, help=listed)(command)
        return click.option("--scenario", "names", type=choice, multiple=True, help=chosen)(command)

    return add


def print_list(console: Console, scenarios: Sequence[Scenario]) -> None:
    width = max(len(scenario.name) for scenario in scenarios)
    for scenario in scenarios:
        console.print(f"{scenario.name:{width}} {scenario.summary}", highlight=False, soft_wrap=True)
