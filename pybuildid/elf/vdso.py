# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The vDSO: the shared library that the kernel maps into every process, and that no file holds."""

from __future__ import annotations

import os

from pybuildid._procfs import read_areas


def read_vdso(pid: int | None = None) -> bytes:
    """The vDSO's image from the memory of a process (of this one by default), for read_build_id(image=True).

    Raises FileNotFoundError where there is no such process or it has no vDSO, PermissionError where it may not be read.
    """
    process = f"/proc/{'self' if pid is None else pid}"
    vdso = next((area for area in read_areas(f"{process}/maps") if area.name == "[vdso]"), None)
    if vdso is None:
        raise FileNotFoundError(
            f"process {pid or os.getpid()} has no vDSO: is it a kernel thread, or booted with vdso=0?"
        )
    with open(f"{process}/mem", "rb", buffering=0) as memory:
        return os.pread(memory.fileno(), vdso.end - vdso.start, vdso.start)
