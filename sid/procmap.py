# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The kernel's own answer: the build ID of a mapping (PROCMAP_QUERY on /proc/PID/maps, Linux 6.11)."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from pathlib import Path
from types import TracebackType

ID_MAX = 20


class MapQuery:
    """Of one process; by default, this one."""

    REQUEST = 0xC0686611  # _IOWR('f', 17, struct procmap_query)
    FIELDS = struct.Struct("=9Q4I2Q")  # struct procmap_query, include/uapi/linux/fs.h

    def __init__(self, pid: int | None = None) -> None:
        self.maps = open(f"/proc/{pid or os.getpid()}/maps", "rb")  # noqa: SIM115 (closed below)
        self.id = ctypes.create_string_buffer(ID_MAX)

    def __enter__(self) -> MapQuery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.maps.close()

    def build_id(self, address: int) -> bytes | None:
        """Raises OSError: ENOTTY where the kernel does not have this request, ENOENT where nothing is mapped."""
        fields = [self.FIELDS.size, 0, address, 0, 0, 0, 0, 0, 0]
        query = bytearray(self.FIELDS.pack(*fields, 0, 0, 0, ID_MAX, 0, ctypes.addressof(self.id)))
        fcntl.ioctl(self.maps, self.REQUEST, query)
        size = self.FIELDS.unpack(query)[12]
        return self.id.raw[:size] or None

    def of_file(self, path: Path) -> bytes | None:
        """Maps a file into this process, and asks."""
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
            view = ctypes.c_char.from_buffer(mapped)
            address = ctypes.addressof(view)
            try:
                return self.build_id(address)
            finally:
                del view
