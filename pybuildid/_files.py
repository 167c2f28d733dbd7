# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Files that a user names: read whole, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

MOST = 64 << 20  #: bytes of what is no regular file: a pipe may go on without end, and a device does


def read_input(path: str | os.PathLike[str]) -> bytes:
    """Reads a whole file, or a pipe to its end; at most MOST bytes. Raises OSError."""
    with open(path, "rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read()
        data = file.read(MOST + 1)
    if len(data) > MOST:
        text = f"more than {MOST >> 20} MiB of what is no regular file: save it as one, and give that"
        raise OSError(errno.EFBIG, text, os.fspath(path))
    return data


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file that takes the place of the one at path when it is complete, with the latter's mode."""
    target = os.path.realpath(path)
    special = os.path.exists(path) and not os.path.isfile(path)  # such as /dev/stdout: nothing is to be replaced
    if special or not os.access(os.path.dirname(target), os.W_OK | os.X_OK):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            with open(path, "wb") as there:
                shutil.copyfileobj(file, there)
        return
    handle, name = tempfile.mkstemp(prefix=".pybuildid-", dir=os.path.dirname(target))
    try:
        with open(handle, "wb") as file:
            yield file
        os.chmod(name, stat.S_IMODE(os.stat(target).st_mode) if os.path.exists(target) else 0o666 & ~_umask())
        try:
            os.replace(name, target)
        except OSError as error:  # another's file in a sticky folder, such as /tmp
            raise OSError(error.errno, error.strerror, target) from None
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    with open("/proc/self/status") as status:
        return next((int(line.split()[1], 8) for line in status if line.startswith("Umask:")), 0o022)
