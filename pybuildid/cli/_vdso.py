# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The vDSO: the shared library that the kernel maps into every process, and that no file holds."""

from __future__ import annotations

import os


def read_vdso(pid: int | None = None) -> bytes:
    """The vDSO's image from the memory of a process (of this one by default), for read_build_id(image=True).

    Raises FileNotFoundError where there is no such process or it has no vDSO, PermissionError where it may not be read.
    """
    process = f"/proc/{'self' if pid is None else pid}"
    with open(f"{process}/maps", "rb") as maps:
        ranges = [line.split()[0] for line in maps if line.rstrip().endswith(b"[vdso]")]
    if not ranges:
        raise FileNotFoundError(
            f"process {pid or os.getpid()} has no vDSO: is it a kernel thread, or booted with vdso=0?"
        )
    start, end = (int(part, 16) for part in ranges[0].split(b"-"))
    with open(f"{process}/mem", "rb", buffering=0) as memory:
        return os.pread(memory.fileno(), end - start, start)
