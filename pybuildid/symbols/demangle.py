# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Names of C++ and Rust as people write them.

C++: by __cxa_demangle() of libstdc++ or libc++abi, whose names are the compilers' own. Rust: by the command c++filt of
binutils 2.36 or later, or rustfilt, which know both forms of Rust's names. Where they are missing, names stay as they
are.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from typing import Any

from pybuildid.symbols._elfutils import ffi, libc, text

LIBRARIES = ("libstdc++.so.6", "libc++abi.so.1")
RUST = re.compile(r"_R[A-Z0-9]|_ZN.*17h[0-9a-f]{16}E")
HASH = re.compile(r"::h[0-9a-f]{16}\b|(?<=\w)\[[0-9a-f]+\]")  #: of a function's crate, or of that crate's version
SECONDS = 30  #: for the command, which takes milliseconds


def demangled(names: Iterable[str]) -> dict[str, str]:
    """For people, by name. Suffixes of compilers, such as .cold, and versions, such as @@VERS_1, stay."""
    found = {}
    rust = []
    for name in set(names):
        if RUST.match(name):
            rust.append(name)
        elif name.startswith("_Z"):
            found[name] = _cxx(name)
        else:
            found[name] = name
    return {**found, **_rust(rust)}


@cache
def _cxx_library() -> Any:
    for name in LIBRARIES:
        try:
            return ffi.dlopen(name)
        except OSError:
            continue
    return None


def _cxx(name: str) -> str:
    library = _cxx_library()
    if library is None:
        return name
    bare, mark, rest = _split(name)
    status = ffi.new("int *")
    result = library.__cxa_demangle(bare.encode("utf-8", "surrogateescape"), ffi.NULL, ffi.NULL, status)
    if not result:
        return name
    try:
        return text(result) + mark + rest
    finally:
        libc().free(result)


def _split(name: str) -> tuple[str, str, str]:
    found = re.search(r"[.@]", name)
    return (name[: found.start()], found[0], name[found.end() :]) if found else (name, "", "")


def _rust(names: list[str]) -> dict[str, str]:
    command = shutil.which("c++filt") or shutil.which("rustfilt")
    if not names or command is None or any("\n" in name for name in names):
        return {name: name for name in names}
    try:
        run = subprocess.run(
            [command], input="\n".join(names), capture_output=True, text=True, errors="surrogateescape", timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return {name: name for name in names}
    lines = run.stdout.splitlines()
    if len(lines) != len(names):
        return {name: name for name in names}
    return {name: HASH.sub("", line) for name, line in zip(names, lines)}
