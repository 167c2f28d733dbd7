# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Files that are written whole, or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


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
