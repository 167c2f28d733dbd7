# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Types of options."""

from __future__ import annotations

import math
from typing import Any

import click


class Range(click.FloatRange):
    """click's lets "nan" through, which is neither too small nor too large."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number
