# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Runs a program alone and under the profiler, in equal fresh folders, and tells what differs."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

PROGRAMS = Path(__file__).parent / "programs"
LIMIT = 50.0  #: seconds for a program that needs two at most: more is a hang, also on a busy machine
#: Compares each program with itself, without the profiler: a program that differs then is no use here.
CONTROL = os.environ.get("PYBUILDID_DIFFERENTIAL") == "control"

#: How the programs that a case names are built, if not by cc from their source: source, compiler, package with that.
BUILDS: dict[str, tuple[str, list[str], str]] = {
    "plain-static": ("plain.c", ["cc", "-static"], "libc6-dev"),
    "plain-32": ("plain.c", ["cc", "-m32", "-isystem/usr/include/x86_64-linux-gnu"], "libc6-dev-i386 lib32gcc-12-dev"),
    "plain-asan": ("plain.c", ["gcc", "-fsanitize=address"], "gcc"),
    "plain-tsan": ("plain.c", ["gcc", "-fsanitize=thread"], "gcc"),
    "plain-musl": ("plain.c", ["musl-gcc"], "musl-tools"),
    "work-go": ("work.go", ["go", "build"], "golang-go"),
}
TOOLS = {"node": "nodejs", "setpriv": "util-linux", "unshare": "util-linux", "chroot": "coreutils", "xz": "xz-utils"}


@dataclass
class Run:
    """What a run leaves: its status as a shell gives it (None: it had to be killed), and all files by name."""

    status: int | None
    killed: list[str]
    files: dict[str, bytes] = field(repr=False)
    report: str = ""
    samples: int = 0


# ------------------------------------------------------------------------------------------- what it needs


def compile_program(name: str, folder: Path) -> None:
    source, compiler, package = BUILDS.get(name, (f"{name}.c", [os.environ.get("CC", "cc")], ""))
    target = folder / name
    flags = ["-std=gnu11", "-O1", "-pthread"] if source.endswith(".c") else []
    libraries = ["-lm"] if source.endswith(".c") else []
    command = [*compiler, *flags, "-o", str(target), str(PROGRAMS / source), *libraries]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "GO111MODULE": "off"})
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        if package:
            pytest.skip(f"{' '.join(compiler)} cannot build {source}: apt-get install {package}")
        raise AssertionError(getattr(error, "stderr", error)) from error


def build(command: Sequence[str], folder: Path) -> None:
    """Builds those programs that are words of the command, once."""
    names = {path.stem for path in PROGRAMS.glob("*.c")} | set(BUILDS)
    for word in sorted(set(re.findall(r"[\w-]+", " ".join(command))) & names):
        if not (folder / word).exists():
            compile_program(word, folder)


def require(tools: Sequence[str]) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}: apt-get install {TOOLS.get(tool, tool)}")


# -------------------------------------------------------------------------------------------------- running


def environment(folder: Path, binaries: Path) -> dict[str, str]:
    tools = os.pathsep.join([str(binaries), *filter(None, [os.environ.get("PATH"), "/usr/sbin:/sbin"])])
    return {"PATH": tools, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every entry below a folder: its kind and mode, and its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        head = f"{stat.filemode(status.st_mode)} {status.st_uid} {status.st_gid}\n".encode()
        inside = b""
        if path.is_symlink():
            inside = os.fsencode(os.readlink(path))
        elif path.is_file():
            inside = path.read_bytes()
        found[str(path.relative_to(folder))] = head + inside
    return found


def supervised(command: Sequence[str], place: Path, binaries: Path) -> Run:
    """Runs a command in place/here, a folder that exists for this run only."""
    folder, report = place / "here", place / "report"
    folder.mkdir()
    folder.chmod(0o777)  # programs that become another user write there
    report.write_bytes(b"")
    supervisor = [sys.executable, "-IS", str(PROGRAMS / "supervise.py"), str(LIMIT), str(report), *command]
    try:
        run = subprocess.run(
            supervisor,
            cwd=folder,
            env=environment(folder, binaries),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            timeout=LIMIT + 30,
        )
        answer: dict[str, Any] = json.loads(run.stdout)
        status = answer["status"]
        shell_status = status if status is None or status >= 0 else 128 - status
        return Run(shell_status, answer["killed"], contents(folder), report.read_text(errors="replace"))
    finally:
        shutil.rmtree(folder)


def inside(shell: str, command: Sequence[str]) -> list[str]:
    """The command after a line for bash, both in the same process."""
    return ["bash", "-c", f'{shell}; exec "$@"', "bash", *command]


def redirected(command: Sequence[str]) -> list[str]:
    """The command with its streams in files of the folder, apart from the profiler's report."""
    return ["sh", "-c", 'exec "$@" >stdout 2>stderr', "sh", *command]


def profiler(output: Path, options: Sequence[str] = ()) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pybuildid",
        "profile",
        "--no-symbols",
        "--follow",
        "10",
        *options,
        "-o",
        str(output),
        "--",
    ]


def count_samples(output: Path) -> int:
    """The number of samples in a profile."""
    if not output.exists():
        return 0
    found = re.search(rb"\d+ of (\d+) samples", gzip.decompress(output.read_bytes()))
    assert found, "the profile does not say how many samples it has"
    return int(found[1])


@contextmanager
def place_for_runs() -> Iterator[Path]:
    """A folder that other users can reach; what runs there runs in a folder of the same name."""
    with TemporaryDirectory(prefix="differential-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def both_ways(
    command: Sequence[str], binaries: Path, options: Sequence[str] = (), before: str = ":"
) -> tuple[Run, Run]:
    """Runs a command alone, and under the profiler. `before` is a line for bash that comes first in both cases."""
    with place_for_runs() as place:
        output = place / "profile.pb.gz"
        under = [] if CONTROL else profiler(output, options)
        alone = supervised(inside(before, redirected(command)), place, binaries)
        profiled = supervised(inside(before, [*under, *redirected(command)]), place, binaries)
        profiled.samples = count_samples(output)
        return alone, profiled


def differences(alone: Run, profiled: Run) -> str:
    """What differs between two runs, as text; "" if nothing does."""
    lines = []
    if profiled.killed:
        lines.append(f"did not end; killed: {'; '.join(profiled.killed)}")
    if alone.status != profiled.status:
        lines.append(f"status {alone.status} alone, {profiled.status} profiled")
    for name in sorted(alone.files.keys() | profiled.files.keys()):
        before, after = alone.files.get(name), profiled.files.get(name)
        if before != after:
            lines += _difference(name, before, after)
    if lines:
        lines.append(f"the profiler's report:\n{profiled.report}")
    return "\n".join(lines)


def _difference(name: str, before: bytes | None, after: bytes | None) -> list[str]:
    if before is None or after is None:
        return [f"{name}: is there only {'profiled' if before is None else 'alone'}"]
    changes = unified_diff(_lines(before), _lines(after), "alone", "profiled", lineterm="", n=1)
    return [f"{name} differs:", *list(changes)[:60]]


def _lines(data: bytes) -> list[str]:
    """The lines at the beginning of an output; a program that has gone wild may write much."""
    return [line[:200] for line in data[:50000].decode(errors="backslashreplace").splitlines()]
