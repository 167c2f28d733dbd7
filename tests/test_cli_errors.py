# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a person sees when something goes wrong: one line that says what to do, and an exit code; never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from pybuildid.cli import main
from pybuildid.cli._errors import EXIT_CODES, INCOMPLETE, INTERRUPTED, complain, explain, finish
from pybuildid.cli._lazy import LazyGroup
from pybuildid.elf import ElfError, NotElfError
from pybuildid.errors import NoMemoryError


def run(body: Callable[[], object]) -> Result:
    """A group with one command that does this."""
    group = LazyGroup(places={"command": f"{__name__}:_command"})
    globals()["_command"] = click.Command("command", callback=body)
    return CliRunner().invoke(group, ["command"])


def ended_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


class PhrasedError(OSError):
    def __str__(self) -> str:
        return f"process 7: {self.strerror}"


def os_error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


CASES = [
    (os_error(errno.ENOENT, "/absent"), "/absent: No such file or directory: check the path"),
    (os_error(errno.EACCES, "/secret"), "/secret: Permission denied: run as a user who may read it, such as root"),
    (os_error(errno.EACCES, "/proc/1/exe"), "/proc/1/exe: process 1 may not be read: run as its user or as root "),
    (os_error(errno.ENOENT, f"/proc/{os.getpid()}/exe"), "it is a kernel thread, or has just ended"),
    (os_error(errno.EBADMSG, "/odd"), "/odd: Bad message"),
    (OSError(errno.EIO, "Input/output error"), "Input/output error: the disk"),
    (OSError("told by Python"), "told by Python"),
    (PhrasedError(errno.ENOENT, "gone, it is"), "process 7: gone, it is"),
    (NotElfError("not an ELF file", 0, "x"), "x: not an ELF file"),
    (ElfError("a note is too long", 64, "x"), "x: a note is too long, at offset 0x40: the file is damaged"),
    (NoMemoryError(), "memory"),
    (MemoryError(), "out of memory: free some"),
    (ImportError("needs pyarrow:\n pip install it"), "needs pyarrow: pip install it"),
]


@pytest.mark.parametrize(("error", "expected"), CASES, ids=[type(case[0]).__name__ for case in CASES])
def test_one_line(error: Exception, expected: str) -> None:
    def body() -> None:
        raise error

    assert expected in explain(error)
    result = run(body)
    assert result.exit_code == INCOMPLETE
    assert result.output == f"Error: {explain(error)}\n"


def test_an_ended_process() -> None:
    pid = ended_process()
    for path in (f"/proc/{pid}", f"/proc/{pid}/exe"):
        with pytest.raises(FileNotFoundError) as caught:
            os.stat(path)
        assert f"there is no process {pid}" in explain(caught.value)


def test_interrupted() -> None:
    def body() -> None:
        raise KeyboardInterrupt

    assert run(body).exit_code == INTERRUPTED


def test_going_on_after_failures() -> None:
    def body() -> None:
        complain("first")
        complain("second")
        finish(2)

    result = run(body)
    assert (result.exit_code, result.stderr) == (INCOMPLETE, "Error: first\nError: second\n")
    assert run(lambda: finish(0)).exit_code == 0


def test_faults_of_the_program_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault() -> None:
        raise KeyError("a fault of the program")

    def body() -> None:
        raise os_error(errno.ENOENT, "/absent")

    assert isinstance(run(fault).exception, KeyError)
    monkeypatch.setenv("PYBUILDID_TRACEBACK", "1")
    assert isinstance(run(body).exception, FileNotFoundError)


def test_exit_codes_are_told() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for code in EXIT_CODES:
        assert f"\n  {code} " in result.output
