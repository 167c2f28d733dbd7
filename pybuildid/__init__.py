# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A build-ID table that may be read from NMI context, and what belongs to it.

Table: the table. InodeCache: build IDs of inodes. read_build_id(), read_note(), scan(): build IDs of ELF files.
core_modules(): those of the modules of a core dump.
census(), censuses(): counts of this system's files and build IDs, once or again and again.
mappings(), normalize(): what a process has mapped, and its addresses as (build ID, file offset). Resolver: those of
this process, many at once.
Profile, profile_command(): a sampling profiler whose signal handler does the same.
"""

from pybuildid import errors
from pybuildid._columns import Columns
from pybuildid._core import lib as _lib
from pybuildid._statistics import Resizes, TableStats
from pybuildid.census import Census, census, censuses
from pybuildid.elf import BuildIdNote, ElfError, LongBuildIdError, NotElfError, read_build_id, read_note, scan
from pybuildid.elf.core import CoreModule, core_modules
from pybuildid.errors import BuildIdTableError, ClosedError, EvictedError, StaleError
from pybuildid.inode import Inode, InodeCache
from pybuildid.process import (
    Location,
    Mapping,
    ProcessAccessError,
    ProcessError,
    ProcessGoneError,
    mappings,
    normalize,
)
from pybuildid.profile import Profile, ProfileError, ProfileResult, profile_command
from pybuildid.resolver import Resolver
from pybuildid.table import NO_BUILD_ID, STALE, Entry, Table

#: That of the C core: bid/version.h.
__version__ = ".".join(str(_lib.bid_version() // scale % 100) for scale in (10000, 100, 1))

__all__ = [
    "NO_BUILD_ID",
    "STALE",
    "BuildIdNote",
    "BuildIdTableError",
    "Census",
    "ClosedError",
    "Columns",
    "CoreModule",
    "ElfError",
    "Entry",
    "EvictedError",
    "Inode",
    "InodeCache",
    "Location",
    "LongBuildIdError",
    "Mapping",
    "NotElfError",
    "ProcessAccessError",
    "ProcessError",
    "ProcessGoneError",
    "Profile",
    "ProfileError",
    "ProfileResult",
    "Resizes",
    "Resolver",
    "StaleError",
    "Table",
    "TableStats",
    "__version__",
    "census",
    "censuses",
    "core_modules",
    "errors",
    "mappings",
    "normalize",
    "profile_command",
    "read_build_id",
    "read_note",
    "scan",
]
