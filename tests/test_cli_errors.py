# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a person sees when something goes wrong: one line that says what to do, and an exit code; never a traceback."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pybuildid.cli import main
from pybuildid.cli._errors import EXIT_CODES, INCOMPLETE, INTERRUPTED, NOBODY_READS, USAGE, complain, explain, finish
from pybuildid.cli._lazy import LazyGroup
from pybuildid.elf import ElfError, NotElfError
from pybuildid.errors import NoMemoryError
from study.__main__ import COMMANDS as STUDY
from study.__main__ import main as study


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
    (os_error(errno.EACCES, "/secret"), "/secret: Permission denied: run "),
    (os_error(errno.EACCES, "/proc/1/exe"), "/proc/1/exe: process 1 may not be read: run "),
    (os_error(errno.ENOENT, f"/proc/{os.getpid()}/exe"), "it is a kernel thread, or has just ended"),
    (os_error(errno.ENOENT, f"/proc/{os.getpid()}/typo"), "/typo: No such file or directory: check the path"),
    (os_error(errno.ESRCH, f"/proc/{'9' * 5000}/exe"), "9/exe: No such process"),
    (os_error(errno.ENOENT, ""), "'': No such file or directory: check the path"),
    (os_error(errno.EBADMSG, "/odd"), "/odd: Bad message"),
    (OSError(errno.EIO, "Input/output error"), "Input/output error: the disk"),
    (OSError("told by Python"), "told by Python"),
    (PhrasedError(errno.ENOENT, "gone, it is"), "process 7: gone, it is"),
    (NotElfError("not an ELF file", 0, "x"), "x: not an ELF file: give a program, library, "),
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


def test_root_is_not_told_to_be_root(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, told in ((0, "with all capabilities"), (1000, "as its user or as root")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert explain(os_error(errno.EACCES, "/proc/1/exe")).partition(": run ")[2].startswith(told)
        for number in (errno.EACCES, errno.EPERM):
            assert ("root" in explain(os_error(number, "/x"))) == (user != 0)


def test_what_is_no_process_number() -> None:
    for arguments in (["maps", "abc"], ["maps", "0"], ["id", "--pid", "1.5"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == USAGE
        assert f"'{arguments[-1]}' is not a process number." in result.output


def test_no_disk_is_behind_what_the_kernel_shows() -> None:
    assert explain(os_error(errno.EIO, "/sys/kernel/notes")) == "/sys/kernel/notes: Input/output error"


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


# ---------------------------------------------------------------------------------------------- streams


def shell(command: str) -> tuple[int, str]:
    """The exit status, and all that was printed; $PB is the command line."""
    program = f"{sys.executable} -m pybuildid"
    command = command.replace("$PB", program)
    run = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, errors="replace"
    )
    assert "Traceback" not in run.stdout + run.stderr
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("arguments", ["--help", "id /bin/sh", "id --table /bin/sh", "maps $$", "census"])
def test_output_that_is_closed_is_an_error(arguments: str) -> None:
    assert shell(f"$PB {arguments} >&-") == (
        INCOMPLETE,
        "Error: standard output is closed: redirect it, to /dev/null if nobody is to read it\n",
    )
    assert shell(f"$PB {arguments} >&- 2>&-") == (INCOMPLETE, "")


@pytest.mark.parametrize("arguments", ["--help", "--version", "id --help", "id /bin/sh"])
def test_output_that_is_full_is_an_error(arguments: str) -> None:
    status, said = shell(f"$PB {arguments} >/dev/full")
    assert (status, said) == (INCOMPLETE, "Error: No space left on device: free some space where the output goes\n")


def test_a_reader_that_has_gone_ends_a_command_as_sigpipe_would(tmp_path: Path) -> None:
    for name in range(5000):
        (tmp_path / str(name)).symlink_to("/bin/sh")
    status, said = shell(f"$PB id {tmp_path}/* | head -1")
    assert (status, said.count("\n")) == (NOBODY_READS, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        *("--help", "--version", "id --help", "id /bin/sh", "id --bare /bin/sh", "id --table /bin/sh"),
        *("id --json - /bin/sh", "scan --table /bin/sh", "maps $$", "maps --json - $$", "census", "census --json -"),
        *(
            "collisions --object-size 1024 --count 999",
            "profile -o /dev/null --report /dev/stdout true",
            "-m stress step --list",
        ),
    ],
)
def test_nobody_reads_any_of_it(arguments: str, tmp_path: Path) -> None:
    """The same for all printers: click, rich and the command itself. The reader has gone before anything is written."""
    command = arguments if arguments.startswith("-m ") else f"-m pybuildid {arguments}"
    wait = f"cat {tmp_path}/gone"
    os.mkfifo(tmp_path / "gone")
    status, said = shell(f"{{ {wait}; {sys.executable} {command}; }} | {{ exec <&-; echo > {tmp_path}/gone; }}")
    assert (status, said) == (NOBODY_READS, "")


def test_names_that_do_not_show(tmp_path: Path) -> None:
    for name in ("a\nb", "\x1b[31m", "\u65e5\u672c"):
        shutil.copy("/bin/sh", tmp_path / name)
    (tmp_path / "\x1b[32m").write_bytes(b"")
    status, said = shell(f"PYTHONIOENCODING=latin1 $PB id --table {tmp_path}/*")
    assert status == INCOMPLETE
    for shown in ("a\\nb", "\\x1b[31m", "\\u65e5\\u672c", "\\x1b[32m: not an ELF file"):
        assert shown in said
    assert "\x1b" not in said
    assert shell(f"$PB scan --null {tmp_path} | tr -cd '\\0' | wc -c") == (0, "3\n")
    assert "\x1b[31m\n" in shell(f"$PB scan {tmp_path}")[1], "for programs as it is"


@pytest.mark.parametrize(
    "arguments",
    ["census --merge F", "collisions --addresses F", "report --storm F", "bench --keys F", "scan --threads F /"],
)
def test_names_in_errors_do_not_move_the_cursor(tmp_path: Path, arguments: str) -> None:
    path = tmp_path / "\x1b[2J"
    path.write_text("nonsense")
    words = [str(path) if word == "F" else word for word in arguments.split()]
    result = CliRunner().invoke(study if words[0] in STUDY else main, words, color=True)
    assert result.exit_code in (INCOMPLETE, USAGE)
    assert "\\x1b[2J" in result.output
    assert "\x1b" not in result.output


def test_keys_from_a_file_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2J"
    path.write_text("ffff888100000000\nffff888100000400\n")
    result = CliRunner().invoke(main, ["collisions", "--addresses", str(path)], color=True)
    assert f"2 addresses from {tmp_path}/\\x1b[2J." in result.output


@pytest.mark.parametrize("arguments", ["id --bare --json - x", "scan --table --json - x", "id --null --table x"])
def test_one_form_of_output(arguments: str) -> None:
    status, said = shell(f"$PB {arguments}")
    assert status == USAGE
    assert "Error: give one of --" in said


@pytest.mark.parametrize("address", ["-1", "10000000000000000", "nope"])
def test_an_address_has_64_bits(address: str) -> None:
    status, said = shell(f"$PB maps $$ --address {address}")
    assert status == USAGE
    assert f"'{address}' is not a hexadecimal address" in said


def test_what_is_not_a_number() -> None:
    assert shell("$PB profile --follow nan -- true")[0] == USAGE
