# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Counts of kernel objects by their addresses, through drgn, where it is installed and can read this kernel.

It needs root (/proc/kcore) and the kernel's debugging information.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pybuildid._rights import as_root


class DrgnError(Exception):
    """drgn is not installed or cannot read this kernel: the message says which, and what to do."""


@dataclass(frozen=True)
class KernelCounts:
    tasks: int
    open_files: int  # struct file in some descriptor table
    mapped_files: int  # struct file behind some mapping
    only_mapped_files: int  # of these, those in no descriptor table
    mapped_inodes: int


def kernel_counts() -> KernelCounts:
    """Counts every task of the running system. Raises DrgnError."""
    try:
        drgn = importlib.import_module("drgn")
        helpers = importlib.import_module("drgn.helpers.linux")
    except ImportError:
        raise DrgnError("drgn is not installed: pip install drgn") from None
    try:
        program = drgn.Program()
        program.set_kernel()
        program.load_default_debug_info()
        return _count(program, drgn, helpers)
    except Exception as error:  # drgn's errors have no common base, and any of them means the same here
        reason = " ".join(str(error).split())
        raise DrgnError(f"drgn cannot read this kernel ({reason}): {_remedy(error)}") from error


def _remedy(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "a kernel with CONFIG_PROC_KCORE can be read"
    return as_root() if isinstance(error, PermissionError) else "install the kernel's debug symbols"


def _count(program: Any, drgn: Any, helpers: Any) -> KernelCounts:
    """Descriptor tables and address spaces that tasks share are read once. The system goes on meanwhile."""
    tasks = 0
    seen: set[int] = set()
    open_files: set[int] = set()
    mapped_files: set[int] = set()
    inodes: set[int] = set()
    for task in helpers.for_each_task(program):
        tasks += 1
        with suppress(drgn.FaultError):  # the task has ended
            table, space = task.files.value_(), task.mm.value_()
            if table and table not in seen:
                open_files.update(file.value_() for _, file in helpers.for_each_file(task))
            if space and space not in seen:
                files = [area.vm_file for area in helpers.for_each_vma(task.mm) if area.vm_file.value_()]
                mapped_files.update(file.value_() for file in files)
                inodes.update(file.f_inode.value_() for file in files)
            seen |= {table, space}
    only_mapped = mapped_files - open_files
    return KernelCounts(tasks, len(open_files), len(mapped_files), len(only_mapped), len(inodes))
