# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The inodes of files that are in use now, as the kernel has them: addresses and generations."""

from __future__ import annotations

import stat
from collections.abc import Collection
from dataclasses import dataclass

from pybuildid._iterators import Iterators


@dataclass(frozen=True)
class KernelInode:
    address: int  # of struct inode
    device: int  # as in st_dev
    number: int  # as in st_ino, but on file systems that have numbers of their own for stat(2), such as Btrfs
    generation: int  # as the file system gave it; 0 where it gives none


def kernel_inodes(of: Collection[str] = ("mapped",)) -> list[KernelInode]:
    """The inodes of regular files that any process has mapped, or has open ("open"), each once, by address.

    BPF iterators find them (CAP_BPF and CAP_PERFMON, libbpf 1, Linux 6.2, BTF); nothing is changed. The
    system goes on meanwhile, so an address may be another inode's by now. Raises IteratorError.
    """
    found: set[KernelInode] = set()
    with Iterators() as iterators:
        for holders in (iterators.areas() if files == "mapped" else iterators.descriptors() for files in of):
            found.update(
                KernelInode(holder.inode, holder.device, holder.number, holder.generation)
                for holder in holders
                if stat.S_ISREG(holder.mode)
            )
    return sorted(found, key=lambda inode: inode.address)
