# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What is wrong with a profile. On its own, for every command imports it."""

from __future__ import annotations


class ProfileFormatError(ValueError):
    """A file that is no profile. source: which; problem: what is wrong."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source, self.problem = source, problem

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"
