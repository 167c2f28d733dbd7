# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Files that a user names."""

from __future__ import annotations

import errno
import os
import stat
from os import PathLike

MOST = 64 << 20  #: bytes of what is no regular file: a pipe may go on without end, and a device does


def read_input(path: str | PathLike[str]) -> bytes:
    """Reads a whole file, or a pipe to its end; at most MOST bytes. Raises OSError."""
    with open(path, "rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read()
        data = file.read(MOST + 1)
    if len(data) > MOST:
        text = f"more than {MOST >> 20} MiB of what is no regular file: save it as one, and give that"
        raise OSError(errno.EFBIG, text, os.fspath(path))
    return data
