# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The errors of tables: a class for each error status of bid/status.h that Python code can meet, and those of wrong
arguments.

All derive from BuildIdTableError, and also from the built-in error of which they are a case.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pybuildid._core import ffi, lib


class BuildIdTableError(Exception):
    """Base of all errors of tables.

    code: the status of bid/status.h, or None if the arguments were refused before C was called.
    name: its name there, such as "BID_E_ID_LENGTH", or None.
    inserted: of bulk calls that insert: how many entries were new before the error.
    """

    code: ClassVar[int | None] = None
    name: ClassVar[str | None] = None
    inserted: int | None = None

    def __init_subclass__(cls) -> None:
        if cls.code is not None and "name" not in cls.__dict__:
            cls.name = ffi.string(lib.bid_status_name(cls.code)).decode()

    def __init__(self, message: str | None = None) -> None:
        if message is None and self.code is not None:
            message = ffi.string(lib.bid_status_text(self.code)).decode().replace("options.", "")
        super().__init__(*[] if message is None else [message])

    def __reduce__(self) -> tuple[Any, ...]:
        """Made again from its message, also by libraries (such as tblib, under Dask) that have ways of their own."""
        return (type(self), self.args, *([self.__dict__] if self.__dict__ else []))


# ------------------------------------------------------------------- arguments that have no form in C


class ArgumentTypeError(BuildIdTableError, TypeError):
    """A key that is no integer, an ID that is no bytes-like object, a buffer of other items or without write access."""


class ArgumentRangeError(BuildIdTableError, OverflowError):
    """A number that does not fit: keys are 0 to 2**64 - 1, generations 0 to 2**32 - 1."""


class BufferSizeError(BuildIdTableError, ValueError):
    """A buffer of the wrong length, or one that is not aligned to its items."""


# ------------------------------------------------------------------------------- rejected arguments and options


class IdLengthError(BuildIdTableError, ValueError):
    """The build ID is longer than the table's id_size."""

    code = lib.BID_E_ID_LENGTH


class OptionsError(BuildIdTableError, ValueError):
    """id_size is not 1 to 64, or expected is over max_entries."""

    code = lib.BID_E_OPTIONS


class TooManyEntriesError(BuildIdTableError, ValueError):
    """More entries expected or reserved than a table can hold, 2**32."""

    code = lib.BID_E_TOO_MANY


class SavedTableError(BuildIdTableError, ValueError):
    """A file that is no saved table, is cut off or damaged, or is of a later version of the format."""


class EvictedError(BuildIdTableError, ValueError):
    """The inode has been evicted, or is being evicted: nothing may be associated with it."""

    code = lib.BID_E_EVICTED


class ClosedError(BuildIdTableError, ValueError):
    """The table has been closed."""

    def __init__(self, message: str = "the table has been closed") -> None:
        super().__init__(message)


# --------------------------------------------- updates that could not be done: the table is unchanged, try later


class NoMemoryError(BuildIdTableError, MemoryError):
    """The system has no memory for a new bucket array or for records."""

    code = lib.BID_E_NO_MEMORY


class MaxEntriesError(BuildIdTableError):
    """The table has as many entries as its max_entries allows, or would have to reserve more."""

    code = lib.BID_E_MAX_ENTRIES


class RetiredLimitError(BuildIdTableError, MemoryError):
    """Too much retired memory waits for a reader or an update of another thread that was stopped or preempted: try
    again, or see retired_limit.
    """

    code = lib.BID_E_RETIRED


class CollisionsError(BuildIdTableError):
    """The key's probe sequence is full: practically only with keys that were made for this table's seeds."""

    code = lib.BID_E_COLLISIONS


class MemoryLockError(BuildIdTableError, MemoryError):
    """Memory could not be locked: see RLIMIT_MEMLOCK, `ulimit -l`."""

    code = lib.BID_E_MLOCK


class BusyError(BuildIdTableError):
    """reserve(): other threads put smaller arrays in place each time, as by shrink(): try again."""

    code = lib.BID_E_BUSY


class UnsupportedError(BuildIdTableError):
    """The system lacks what is needed: for a table, anonymous memory that a fork wipes (Linux 4.14); for a Resolver,
    /proc; for its follow(), a table of descriptors for each thread.
    """

    code = lib.BID_E_UNSUPPORTED


# -------------------------------------------------------------------------------------------------- answers


class StaleError(BuildIdTableError, LookupError):
    """The entry of this key is for another generation of the inode than the one asked for."""

    code = lib.BID_STALE


_BY_CODE = {error.code: error for error in BuildIdTableError.__subclasses__() if error.code is not None}


def check(status: int, details: str = "") -> int:
    """Returns a status that is no error, and raises an error for the others: what happened, then the details.

    A status that only callers of C can get has no class of its own.
    """
    if status < 0:
        raise error_of(status, details)
    return status


def error_of(status: int, details: str = "") -> BuildIdTableError:
    """The error of a status."""
    text = ffi.string(lib.bid_status_text(status)).decode().replace("options.", "")
    return _BY_CODE.get(status, BuildIdTableError)(f"{text}: {details}" if details else text)
