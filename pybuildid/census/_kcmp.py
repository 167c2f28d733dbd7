# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""kcmp(2): whether two descriptors are one file to the kernel (one struct file), and an order among those that are not.

Two descriptors of one path are two files if each was opened, and one if it was inherited, duplicated or passed on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Sequence
from functools import cmp_to_key

KCMP_FILE, KCMP_FILES = 0, 2  # include/uapi/linux/kcmp.h

# The number of the system call: arch/*/kernel/syscalls/*.tbl, include/uapi/asm-generic/unistd.h; 64-bit processes.
NUMBERS = {"x86_64": 312, "ppc64": 354, "ppc64le": 354, "s390x": 343, "mips64": 5306, "sparc64": 341}
NUMBERS |= dict.fromkeys(("aarch64", "riscv64", "loongarch64"), 272)

Descriptor = tuple[int, int]  #: thread ID, number of the descriptor

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 6


def kcmp(kind: int, a: Descriptor, b: Descriptor) -> int:
    """0: the same; negative or positive: the kernel's order. With KCMP_FILES the descriptors' numbers do not matter.

    Raises OSError: ESRCH and EBADF where the thread or descriptor is gone, EPERM where they may not be looked at,
    ENOSYS where the kernel has no kcmp, or its number is not known here.
    """
    number = NUMBERS.get(platform.machine()) if ctypes.sizeof(ctypes.c_long) == 8 else None
    result = -1
    ctypes.set_errno(errno.ENOSYS)
    if number is not None:
        result = _syscall(number, a[0], b[0], kind, a[1], b[1])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return (0, -1, 1, 1)[result]


def available() -> OSError | None:
    """None if kcmp works, else why not."""
    own = (os.getpid(), 0)
    try:
        kcmp(KCMP_FILES, own, own)
    except OSError as error:
        return error
    return None


def _is_gone(descriptor: Descriptor) -> bool:
    try:
        kcmp(KCMP_FILE, descriptor, descriptor)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EBADF, errno.EPERM):
            raise
        return True
    return False


def distinct_files(descriptors: Sequence[Descriptor]) -> int:
    """How many files these descriptors are, by sorting: n log n calls. Those that are gone meanwhile do not count."""
    gone: set[Descriptor] = set()

    def compare(a: Descriptor, b: Descriptor) -> int:
        if a in gone or b in gone:
            return 0
        try:
            return kcmp(KCMP_FILE, a, b)
        except OSError as error:
            if error.errno not in (errno.ESRCH, errno.EBADF, errno.EPERM):
                raise
            gone.update(descriptor for descriptor in (a, b) if _is_gone(descriptor))
            return 0

    alive = list(descriptors)
    while True:  # what is left is nearly sorted: n calls a time
        alive.sort(key=cmp_to_key(compare))
        distinct = bool(alive) + sum(compare(a, b) != 0 for a, b in zip(alive, alive[1:]))
        if not gone:
            return distinct
        alive = [descriptor for descriptor in alive if descriptor not in gone]
        gone.clear()
