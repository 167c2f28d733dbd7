# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The C library as `make install` installs it, for tests. It is built in build/; what has not changed stays there."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "lib"
HOW_TO_GET = {
    "c++": "g++",
    "clang": "clang",
    "cmake": "cmake",
    "go": "golang-go",
    "groff": "groff",
    "musl-gcc": "musl-tools",
    "nm": "binutils",
    "objdump": "binutils",
    "pkg-config": "pkg-config",
    "readelf": "binutils",
    "lld": "lld",
    "llvm-ar": "llvm",
    "rustc": "rustc",
}


def need(*tools: str) -> None:
    """Skips the test if a tool is missing, and says how to install it."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing: apt-get install {HOW_TO_GET[tool]}")


def run(command: Sequence[str | Path] | str, **options: object) -> str:
    """What a command prints; a string is for the shell. Fails the test with all that was printed."""
    shell = isinstance(command, str)
    result = subprocess.run(
        command,
        shell=shell,
        capture_output=True,
        text=True,
        timeout=300,
        **options,  # type: ignore[call-overload]
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return str(result.stdout)


@contextmanager
def building() -> Iterator[None]:
    """One at a time, also of processes that run tests side by side."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(*arguments: str, folder: Path = ROOT / "csrc") -> str:
    with building():
        return run(["make", "-C", str(folder), f"-j{os.cpu_count()}", *arguments])


@cache
def prefix() -> Path:
    """Where the library is installed, as from `make install PREFIX=...`."""
    folder = ROOT / "build" / f"installed-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    shutil.rmtree(folder, ignore_errors=True)
    make("install", f"BUILD={BUILD}", f"PREFIX={folder}")
    return folder


@cache
def variant(name: str, *settings: str) -> Path:
    """The folder of a build with other variables, such as CC=clang."""
    folder = ROOT / "build" / "lib-variants" / name
    make(f"BUILD={folder}", *settings)
    return folder


def environment() -> dict[str, str]:
    """For building with pkg-config, and for running what was built."""
    library = prefix() / "lib"
    return {**os.environ, "PKG_CONFIG_PATH": str(library / "pkgconfig"), "LD_LIBRARY_PATH": str(library)}
