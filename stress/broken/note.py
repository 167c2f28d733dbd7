# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Twins of csrc/note: the reader of build-ID notes."""

from __future__ import annotations

from stress.broken.checks import Twin

NOTE: list[Twin] = []
