# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Errors as a person at a terminal sees them: one line that says what went wrong and what to do, and an exit code; no
traceback.

All commands get this from their group (_lazy.py) without doing anything: an OSError, ElfError, BuildIdTableError,
ProfileFormatError, MemoryError or ImportError that leaves a command becomes one line. A command that goes on after a
failure, such as one of many files, prints its line by complain(explain(error)) and ends with finish(failures).

PYBUILDID_TRACEBACK=1 in the environment shows the traceback instead.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from pybuildid._rights import as_root
from pybuildid.elf import ElfError, LongBuildIdError, NotElfError, PackedElfError
from pybuildid.errors import BuildIdTableError
from pybuildid.stacks.errors import ProfileFormatError

OK = 0  #: all that was asked for is there
INCOMPLETE = 1  #: something could not be read or done: a line on standard error for each says what
USAGE = 2  #: wrong options or arguments; click's own code
INTERRUPTED = 130  #: by Ctrl-C
NOBODY_READS = 141  #: as of a program that SIGPIPE ended

EXIT_CODES = {
    OK: "all that was asked for was done",
    INCOMPLETE: "something could not be read or done; a line on standard error for each says what, and what to do",
    USAGE: "wrong options or arguments",
    INTERRUPTED: "interrupted by Ctrl-C",
    NOBODY_READS: "the reader of the output has gone, as `head` does",
}

_EXPECTED = (OSError, ElfError, BuildIdTableError, ProfileFormatError, MemoryError, ImportError)

_WHAT_TO_DO = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EACCES: "run as a user who may read it, such as root",
    errno.EPERM: "run as root",
    errno.EISDIR: "`pybuildid scan` reads the files in a directory",
    errno.ENOTSUP: "give a regular file: devices, pipes and sockets are not opened",
    errno.ELOOP: "check the symbolic links on its path",
    errno.EMFILE: "raise the limit of open files, `ulimit -n`",
    errno.ENFILE: "raise the system's limit of open files, `sysctl fs.file-max`",
    errno.ENOSPC: "free some space where the output goes",
    errno.EIO: "the disk or the file system fails: see `dmesg`",
    errno.ESTALE: "the file was removed on its server: try again",
    errno.ENOTTY: "this kernel does not have the request: a newer kernel is needed",
    errno.ENOSYS: "this kernel does not have the system call: a newer kernel, or a looser seccomp filter, is needed",
    errno.ENOMEM: "free some memory",
}


def explain(error: BaseException) -> str:
    """One line: what went wrong, and what to do about it."""
    if isinstance(error, OSError) and error.errno is not None:
        return _explain_os_error(error, error.errno)
    if isinstance(error, NotElfError):
        return f"{error.source}: not an ELF file: {_instead(error.source)}"
    if isinstance(error, PackedElfError):
        return str(error)
    if isinstance(error, LongBuildIdError):
        return f"{error.source}: {error.reason}"
    if isinstance(error, ElfError):
        return f"{error}: the file is damaged or not complete; get or build it again"
    if isinstance(error, MemoryError) and not str(error):
        return "out of memory: free some memory"
    return " ".join(str(error).split()) or type(error).__name__


def _instead(path: str) -> str:
    if path.lower().endswith((".apk", ".aab", ".aar", ".jar", ".zip")) and "!/" not in path:
        return f"name the library in it, as {path}!/lib/NAME.so"
    return "give a program, library, object, module or core dump"


def _explain_os_error(error: OSError, number: int) -> str:
    if type(error).__str__ is not OSError.__str__:
        return " ".join(str(error).split())  # it is phrased already, such as ProcessError
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else None
    process = re.match(r"/proc/(\d{1,20})(/exe)?(?:/|$)", path or "")
    told = _explain_process(number, process[1], bool(process[2])) if process else None
    advice = "" if number == errno.EIO and re.match("/(proc|sys)/", path or "") else _WHAT_TO_DO.get(number, "")
    advice = as_root(advice) if number in (errno.EACCES, errno.EPERM) else advice
    text = told or f"{error.strerror or os.strerror(number)}: {advice}".rstrip(": ")
    return text if path is None else f"{path or repr(path)}: {text}"


def _explain_process(number: int, pid: str, is_program: bool) -> str | None:
    if number in (errno.EACCES, errno.EPERM):
        return f"process {pid} may not be read: {as_root('run as its user or as root (CAP_SYS_PTRACE)')}"
    if number == errno.ESRCH or not os.path.exists(f"/proc/{pid}"):
        return f"there is no process {pid}: it has ended, or the number is wrong"
    if number == errno.ENOENT and is_program:
        return f"process {pid} has none: it is a kernel thread, or has just ended"
    return None


def printable(text: str) -> str:
    """Text for a terminal: characters that do not show, or move the cursor, become \\n, \\x1b or, where it is no valid
    text, \\udcff."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def complain(message: str) -> None:
    """A line on standard error about something that failed while the command goes on."""
    click.echo(f"Error: {printable(message)}", err=True)


def finish(failures: int) -> None:
    """Ends a command with the exit code for that many failures."""
    if failures:
        raise click.exceptions.Exit(INCOMPLETE)


@contextmanager
def guarded() -> Iterator[None]:
    """Turns expected exceptions into one line on standard error and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nInterrupted.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is flushed when Python ends
        raise click.exceptions.Exit(NOBODY_READS) from None
    except click.ClickException as error:
        error.message = "\n".join(map(printable, error.message.splitlines()))  # type: ignore[misc]  # final for others
        raise
    except _EXPECTED as error:
        if os.environ.get("PYBUILDID_TRACEBACK") == "1":
            raise
        raise click.ClickException(printable(explain(error))) from error


def prepare_streams() -> None:
    """Called once, before anything is printed. Characters that the terminal's encoding cannot show become escapes."""
    if sys.stderr is None:  # closed by the program that started this
        sys.stderr = io.StringIO()
    if sys.stdout is None:
        click.echo("Error: standard output is closed: redirect it, to /dev/null if nobody is to read it", err=True)
        raise SystemExit(INCOMPLETE)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
