# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Whether a program can be profiled, judged by its file: what the kernel and the loader will do with it."""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Mapping

_HEADER = struct.Struct("<HHIQQQIHHHHHH")  # of a 64-bit ELF file, after its identification of 16 bytes
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_INTERP, _PT_NOTE = 3, 4
_LOADER = re.compile(r"ld(-|64|\.so)")  #: a loader, as a command: it loads what LD_PRELOAD says as well
_SCRIPTS = 5  #: how many interpreters the kernel follows, one being the script of the next

STATIC = "linked statically: no loader puts the profiler's library into it"
GO = "written in Go, whose run time keeps all signals to itself: its own package runtime/pprof can profile it"
RIGHTS = "set-user-ID, set-group-ID, or has capabilities: the loader puts no library of others into it"
OTHER = "for another processor, or for 32 bits: the profiler's library is not"


def find_program(name: str | os.PathLike[str], environment: Mapping[str, str]) -> str | None:
    """The file that is run for this name, as execvp() finds it; None: none may be run."""
    name = os.fspath(name)
    if os.path.dirname(name):
        return name if _may_run(name) else None
    for folder in os.get_exec_path(dict(environment)):
        path = os.path.join(folder or ".", name)
        if _may_run(path):
            return path
    return None


def _may_run(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def why_not_profiled(path: str) -> str | None:
    """Why no library can profile a program of this kind; None: it can be profiled. For a script the interpreter counts.
    A file that cannot be read is assumed to be all right."""
    for _ in range(_SCRIPTS):
        try:
            with open(path, "rb") as file:
                if _gives_rights(path):
                    return RIGHTS
                start = file.read(4096)
                interpreter = _interpreter(start)
                if interpreter is None:
                    return _why_not_elf(os.path.realpath(path), start, file.fileno())
        except OSError:
            return None
        path = interpreter
    return None


def _interpreter(start: bytes) -> str | None:
    """Of a script: what its first line names."""
    if not start.startswith(b"#!"):
        return None
    words = start[2:].split(b"\n", 1)[0].split()
    return os.fsdecode(words[0]) if words else None


def _gives_rights(path: str) -> bool:
    """Whether the program runs with more rights than its caller, so that the loader preloads nothing (AT_SECURE)."""
    status = os.stat(path)
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        return False
    user = status.st_mode & stat.S_ISUID and status.st_uid != os.geteuid()
    group = status.st_mode & stat.S_ISGID and status.st_mode & stat.S_IXGRP and status.st_gid != os.getegid()
    return bool(user or group or (os.geteuid() != 0 and _has_capabilities(path)))


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _machine() -> bytes:
    """Class, byte order and machine of ELF files that this process could load."""
    with open("/proc/self/exe", "rb") as file:
        start = file.read(20)
    return start[4:6] + start[18:20]


def _why_not_elf(path: str, start: bytes, fd: int) -> str | None:
    if not start.startswith(b"\x7fELF") or len(start) < 64:
        return None  # the kernel will say so
    if start[4:6] + start[18:20] != _machine():
        return OTHER
    order = "<" if start[5] == 1 else ">"
    header = struct.unpack_from(order + _HEADER.format[1:], start, 16)
    place, size, count = header[4], header[8], header[9]
    segments = os.pread(fd, size * count, place)
    kinds = set()
    for i in range(len(segments) // _SEGMENT.size if size == _SEGMENT.size else 0):
        kind, _, offset, _, _, length, _, align = struct.unpack_from(order + _SEGMENT.format[1:], segments, i * size)
        kinds.add(kind)
        if kind == _PT_NOTE and _has_go_note(os.pread(fd, min(length, 1 << 16), offset), order, 8 if align == 8 else 4):
            return GO
    return None if _PT_INTERP in kinds or _LOADER.match(os.path.basename(path)) else STATIC


def _has_go_note(notes: bytes, order: str, align: int) -> bool:
    """The note of Go's linker: name "Go", type 4 (cmd/internal/buildid)."""
    position = 0
    while position + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from(order + "III", notes, position)
        if kind == 4 and notes[position + 12 : position + 16] == b"Go\0\0":
            return True
        position += 12 + -(-name_size // align) * align + -(-size // align) * align
    return False
