# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The one place that compiles C programs with the table's sources.

A check runs its programs in processes of their own, so that a table that crashes or hangs takes nothing else with it,
and may give them another compiler, other flags (a sanitizer) or an edited copy of csrc (a mutant). Objects, libraries
and programs are kept under build/programs by the hash of all that goes into them, so what has not changed is not
compiled again.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "programs"
MODULES = ("table", "process", "inode")  #: of csrc
CORE = (*MODULES, "region", "note", "resolve", "mappings", "profile")  #: what the C tests need
RIVALS = ROOT / "study" / "rivals"  #: the other designs, for the storm
INCLUDED = re.compile(r'#include "[./\w]*?(\w+\.c)"')
STRICT = ("-Wall", "-Wextra", "-Werror")


class CompilerError(Exception):
    """There is no compiler, or it did not compile something."""


@dataclass(frozen=True)
class Toolchain:
    """How to compile, and which sources of the core."""

    cc: str = os.environ.get("CC", "cc")
    flags: tuple[str, ...] = ("-O2", "-g", "-DBID_DEBUG")
    csrc: Path = ROOT / "csrc"
    strict: tuple[str, ...] = STRICT

    def sources(self, modules: Iterable[str] = MODULES) -> list[Path]:
        return c_files(*(self.csrc / module for module in modules))


def c_files(*folders: Path) -> list[Path]:
    return [source for folder in folders for source in sorted(folder.glob("*.c"))]


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


@cache
def _version(cc: str) -> str:
    if shutil.which(cc) is None:
        raise CompilerError(f"no C compiler: {cc} is not on PATH (Debian: apt-get install gcc)")
    return subprocess.run([cc, "--version"], capture_output=True, text=True, check=True).stdout


def _headers(places: Iterable[Path]) -> str:
    """All that a source may include, as text."""
    return "".join(path.read_text() for place in places for path in sorted(place.rglob("*.h")))


def _text(source: Path, csrc: Path) -> str:
    """Of a source, and of the files of the core that it compiles with changes of its own: tests do that."""
    text = source.read_text()
    others = [found for name in INCLUDED.findall(text) for found in sorted(csrc.rglob(name))]
    return "".join([text, *(other.read_text() for other in others)])


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise CompilerError(f"{shlex.join(command)}\n{result.stderr}")


def _make(made: Path, command: Callable[[str], Sequence[str]]) -> Path:
    """Runs a command that makes this file, unless it is there. In a folder of its own at first: others, also threads of
    this process, may be making the same. What else it leaves there (by -fstack-usage) is kept beside the file."""
    if not made.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=BUILD) as folder:
            _run(command(str(Path(folder, made.name))))
            for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == made.name):  # this one last
                with suppress(FileExistsError):  # somebody may be reading what is there already
                    (BUILD / file.name).hardlink_to(file)
    return made


def objects(sources: Sequence[Path], toolchain: Toolchain) -> list[Path]:
    """Compiled unless they are there. Named by what they are made of, not by where that lies: of a copy of csrc with
    one edit little is compiled anew. Raises CompilerError."""
    own = _headers([toolchain.csrc])  # nothing in csrc includes what is outside of it
    all_of_them = own + _headers([RIVALS, ROOT / "stress", ROOT / "tests" / "c"])
    includes = [f"-I{toolchain.csrc / folder}" for folder in ("include", ".", "table", "note")]
    flags = ["-std=gnu11", *toolchain.strict, *toolchain.flags]

    def one(source: Path) -> Path:
        headers = own if source.is_relative_to(toolchain.csrc) else all_of_them
        name = _digest(_version(toolchain.cc), flags, headers, source.name, _text(source, toolchain.csrc)) + ".o"
        return _make(BUILD / name, lambda to: [toolchain.cc, *flags, *includes, "-c", str(source), "-o", to])

    shuffled = random.sample(sources, len(sources))  # others make the same at once, and seldom begin with the same one
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = dict(zip(shuffled, pool.map(one, shuffled)))
    return [made[source] for source in sources]


def archive(sources: Sequence[Path], toolchain: Toolchain) -> Path:
    """A static library: a program takes what it needs of it and does not bring itself. Raises CompilerError."""
    made = objects(sources, toolchain)
    name = f"lib{_digest(*(one.name for one in made))}.a"
    return _make(BUILD / name, lambda to: ["ar", "rcs", to, *map(str, made)])


def link(name: str, parts: Sequence[Path], toolchain: Toolchain, *flags: str) -> Path:
    """A program, or with -shared a library, unless it is there. Raises CompilerError."""
    command = [toolchain.cc, *toolchain.flags, *flags, *map(str, parts), "-pthread", "-ldl", "-lrt", "-o"]
    made = BUILD / f"{name}-{_digest(_version(toolchain.cc), *command[1:])}"
    return _make(made, lambda to: [*command, to])


def build(
    name: str, sources: Sequence[Path], toolchain: Toolchain | None = None, library: Sequence[Path] | None = None
) -> Path:
    """The program of these sources, with what it needs of a library: of the table, unless told otherwise. Raises
    CompilerError."""
    toolchain = toolchain or Toolchain()
    library = toolchain.sources() if library is None else library
    parts = [*objects(sources, toolchain), *([archive(library, toolchain)] if library else [])]
    return link(name, parts, toolchain)
