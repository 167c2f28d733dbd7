# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""census(): how many files, inodes, ELF files and build IDs a system has, and what each design would cost there.

censuses() takes one after another.
"""

from pybuildid.census.host import Census, Limit, Method, Slab, UnsupportedCensusError, census, censuses

__all__ = ["Census", "Limit", "Method", "Slab", "UnsupportedCensusError", "census", "censuses"]
