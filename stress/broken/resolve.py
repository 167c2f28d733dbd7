# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Twins of csrc/resolve: snapshots of the mappings, and their lookups."""

from __future__ import annotations

from stress.broken.checks import Twin

RESOLVE: list[Twin] = []
