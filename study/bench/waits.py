# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The cache lines that a cold hit of ours waits for one after the other, when its key is in its home bucket."""

from __future__ import annotations


def waits() -> int | None:
    """As counted from the object code of a lookup; None: nothing here counts them."""
    return None
