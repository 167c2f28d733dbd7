# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Starting somebody's command such that it finds all as it would without us: descriptors, and signals."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress


def start_command(
    command: Sequence[str | os.PathLike[str]],
    program: str | None,
    *,
    environment: Mapping[str, str] | None = None,
    ignored: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """As execvp() does it, and so env, nice and every shell: a script without a first line is run by sh.

    program: the file of the command, if there is one. environment: None: this process's own.
    ignored: signals that the command is to ignore, as this process did when it was started.
    """

    def in_child() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    def start(command: Sequence[str | os.PathLike[str]]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, env=environment, pass_fds=_inherited(), preexec_fn=in_child if ignored else None
        )

    try:
        return start(command)
    except OSError as error:
        if error.errno != errno.ENOEXEC or not program:
            raise
    return start(["/bin/sh", program, *command[1:]])


def _inherited() -> tuple[int, ...]:
    """The descriptors that a program of this process inherits.
    Not close_fds=False: then subprocess uses posix_spawn(), after which glibc leaves two signals ignored."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of listdir() itself
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return tuple(found)


@contextmanager
def children_are_waited_for() -> Iterator[tuple[int, ...]]:
    """A process that ignores SIGCHLD does not learn how a child ended, so it does not ignore SIGCHLD meanwhile. Gives
    the signals that a child is to ignore for that: SIGCHLD, or none."""
    if signal.getsignal(signal.SIGCHLD) != signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield ()
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield (signal.SIGCHLD,)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
