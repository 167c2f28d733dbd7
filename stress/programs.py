# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The harness's C programs, compiled with the table's sources: ``python -m stress.programs`` makes all of them.

A campaign runs them in processes of their own, so that a table that crashes or hangs takes nothing else with it, and
may give them another compiler, other flags (a sanitizer) or an edited copy of csrc (a planted fault). Objects and
programs are kept under build/programs by the hash of all that goes into them, so what has not changed is not compiled
again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "programs"
MODULES = ("table", "process", "inode")  #: of csrc
RIVALS = ROOT / "study" / "rivals"  #: the other designs, for the storm
STRICT = ("-Wall", "-Wextra", "-Werror")


class CompilerError(Exception):
    """There is no compiler, or it did not compile something."""


@dataclass(frozen=True)
class Toolchain:
    """How to compile, and which sources of the table."""

    cc: str = os.environ.get("CC", "cc")
    flags: tuple[str, ...] = ("-O2", "-g", "-DBID_DEBUG")
    csrc: Path = ROOT / "csrc"
    strict: tuple[str, ...] = STRICT


def recorder_sources() -> list[Path]:
    return sorted((ROOT / "stress" / "histories").glob("*.c"))


def fault_sources() -> list[Path]:
    """Each is a program."""
    return sorted((ROOT / "stress" / "faults").glob("*.c"))


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


@cache
def _version(cc: str) -> str:
    if shutil.which(cc) is None:
        raise CompilerError(f"no C compiler: {cc} is not on PATH (Debian: apt-get install gcc)")
    return subprocess.run([cc, "--version"], capture_output=True, text=True, check=True).stdout


def _headers(toolchain: Toolchain) -> str:
    """All that a source may include, as text."""
    places = [toolchain.csrc, RIVALS, ROOT / "stress", ROOT / "tests" / "c"]
    return "".join(path.read_text() for place in places for path in sorted(place.rglob("*.h")))


def _partial(made: Path) -> Path:
    """Where to make it first: others, also threads of this process, may be making the same."""
    return made.with_name(f"{made.stem}.{os.getpid()}-{threading.get_ident()}{made.suffix}")


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise CompilerError(f"{' '.join(command)}\n{result.stderr}")


def _object(toolchain: Toolchain, source: Path, headers: str) -> Path:
    """Named by what it is made of, not by where that lies: of a copy of csrc with one edit little is compiled anew."""
    parts = _version(toolchain.cc), toolchain.flags, toolchain.strict, headers, source.name, source.read_text()
    made = BUILD / (_digest(*parts) + ".o")
    if not made.exists():
        partial = _partial(made)
        includes = f"-I{toolchain.csrc / 'include'}", f"-I{toolchain.csrc}"
        flags = "-std=gnu11", *toolchain.strict, *toolchain.flags, *includes
        _run([toolchain.cc, *flags, "-c", str(source), "-o", str(partial)])
        partial.replace(made)
    return made


def objects(sources: Sequence[Path], toolchain: Toolchain) -> list[Path]:
    """Compiled unless they are there already."""
    headers = _headers(toolchain)
    BUILD.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda source: _object(toolchain, source, headers), sources))


def build(name: str, sources: Sequence[Path], toolchain: Toolchain | None = None) -> Path:
    """The program made of these sources and of the table's; linked unless it is there already."""
    toolchain = toolchain or Toolchain()
    table = [source for module in MODULES for source in sorted((toolchain.csrc / module).glob("*.c"))]
    made = objects([*sources, *table], toolchain)
    program = BUILD / f"{name}-{_digest(*(one.name for one in made))}"
    if not program.exists():
        partial = _partial(program)
        _run([toolchain.cc, *toolchain.flags, *map(str, made), "-o", str(partial), "-pthread"])
        partial.replace(program)
    return program


def recorder(toolchain: Toolchain | None = None) -> Path:
    """The recorder and checker of histories."""
    return build("recorder", recorder_sources(), toolchain)


def main() -> None:
    recorder()
    for source in fault_sources():
        build(source.stem, [source])


if __name__ == "__main__":
    main()
