# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A bound on the work that a file asks for: what its size can honestly need. gzip packs a thousand bytes into one, and
a few bytes can say that a hundred inlined functions are at an address, so a small file could ask for hours."""

from __future__ import annotations

FREE = 1 << 20  #: for a file of any size
PER_BYTE = 128  #: of the file, packed. The most that profiles of deep recursion, or with many labels, need is about 85


class WorkError(ValueError):
    """A file asks for more than its size can need."""


def check_work(found: int, what: str, size: int | None) -> None:
    """Raises WorkError. size: bytes of the file; None: there is no file, and no limit."""
    most = None if size is None else FREE + PER_BYTE * size
    if most is not None and found > most:
        raise WorkError(f"a file of {size:,} bytes may have {most:,} {what}, and it has more")
