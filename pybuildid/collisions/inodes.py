# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The inodes of files that are in use now, as the kernel has them: addresses and generations."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pybuildid._rights import as_root
from pybuildid.collisions import _iterator
from pybuildid.collisions._btf import PATH, Btf

MINOR_BITS = 20  # of the kernel's own device numbers


class KernelInodesError(OSError):
    """This kernel's inodes cannot be read: the message says why, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


@dataclass(frozen=True)
class KernelInode:
    address: int  # of struct inode
    device: int  # as in st_dev
    number: int  # as in st_ino, but on file systems that have numbers of their own for stat(2), such as Btrfs
    generation: int  # as the file system gave it; 0 where it gives none


def kernel_inodes(of: Collection[str] = ("mapped",)) -> list[KernelInode]:
    """The inodes of regular files that any process has mapped, or has open ("open"), each once, by address.

    A BPF program reads them (CAP_BPF and CAP_PERFMON, Linux 5.12, a kernel with BTF); it changes nothing. The system
    goes on meanwhile, so an address may be another inode's by now. Raises KernelInodesError.
    """
    records: set[tuple[int, ...]] = set()
    try:
        btf = Btf(Path(PATH).read_bytes())
        for files in of:
            records.update(_iterator.RECORD.iter_unpack(_iterator.read_records(btf, files)))
    except FileNotFoundError:
        raise KernelInodesError(
            errno.ENOENT, "this kernel does not describe its types: CONFIG_DEBUG_INFO_BTF"
        ) from None
    except LookupError as error:
        raise KernelInodesError(errno.ENOSYS, f"{error.args[0]}: Linux 5.12 is needed") from None
    except PermissionError:
        advice = as_root("run as root (CAP_BPF and CAP_PERFMON)")
        raise KernelInodesError(errno.EPERM, f"a BPF program may not be loaded: {advice}") from None
    except OSError as error:
        raise KernelInodesError(
            error.errno or errno.EIO, f"the kernel refuses the BPF program: {error.strerror}"
        ) from None
    return sorted(
        (
            KernelInode(address, _device(device), number, generation)
            for address, number, generation, device, mode, _ in records
            if stat.S_ISREG(mode)
        ),
        key=lambda inode: inode.address,
    )


def _device(number: int) -> int:
    return os.makedev(number >> MINOR_BITS, number & ((1 << MINOR_BITS) - 1))
