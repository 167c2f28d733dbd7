# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Twins of csrc/profile: the profiler and what it leaves alone."""

from __future__ import annotations

from stress.broken.checks import Twin

PROFILE: list[Twin] = []
