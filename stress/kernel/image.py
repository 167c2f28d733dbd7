# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The unpacked image of the kernel to be run. An emulated processor would unpack it at each boot, for three seconds."""

from __future__ import annotations

import lzma
import os
import re
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from stress.kernel.build import BUILD, find_kernel

XZ = b"\xfd7zXZ\0"
#: The ELF note by which QEMU boots such an image (XEN_ELFNOTE_PHYS32_ENTRY, of kernels with CONFIG_PVH).
ENTRY = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0")


@cache
def unpacked() -> Path | None:
    """None: it is not packed with xz. Kept for other processes, by what the packed one is."""
    packed = find_kernel().image
    status = packed.stat()
    kept = BUILD / f"vmlinux-{find_kernel().release}-{status.st_size:x}-{status.st_mtime_ns:x}"
    if kept.exists():
        return kept
    image = packed.read_bytes()
    at = image.find(XZ)
    if at < 0:
        return None
    BUILD.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=BUILD, delete=False) as file:
        file.write(lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(image[at:]))
    os.replace(file.name, kept)
    return kept


@cache
def bootable() -> Path:
    """The unpacked image, or the packed one if QEMU could not boot the other."""
    image = unpacked()
    return image if image and ENTRY.search(image.read_bytes()) else find_kernel().image
