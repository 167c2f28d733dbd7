# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A disk of small programs, each with a build ID of its own."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

from stress.kernel.build import KernelError, find_kernel, find_tool

BASE = 0x400000
SPINS = 400000
#: mov $SPINS, %ecx; 1: dec %ecx; jnz 1b; mov $60, %eax; xor %edi, %edi; syscall (exit)
CODE = b"\xb9" + struct.pack("<I", SPINS) + bytes.fromhex("ffc975fc b83c000000 31ff 0f05")
#: What Debian has as modules, in the order in which they need each other.
DRIVERS = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk"),
    *("crc16", "mbcache", "jbd2", "crc32c_generic", "ext4"),
)


def program(build_id: bytes) -> bytes:
    """A static ELF program for x86-64 that spins for a moment. Its build ID, of 20 bytes, stands at offset 192."""
    note = struct.pack("<III4s", 4, len(build_id), 3, b"GNU\0") + build_id
    start = 64 + 2 * 56
    entry, size = BASE + start + len(note), start + len(note) + len(CODE)
    ident = b"\x7fELF\x02\x01\x01"
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 62, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 4096)
    notes = struct.pack("<IIQQQQQQ", 4, 4, start, BASE + start, BASE + start, len(note), len(note), 4)
    return header + load + notes + note + CODE


def make(folder: Path, programs: int) -> Path:
    """An ext4 image with the programs p0000, p0001 and so on, each inode with a generation of its own."""
    image, files = folder / "disk.img", folder / "disk"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    for number in range(programs):
        path = files / f"p{number:04d}"
        path.write_bytes(program(b"bid-%016d" % number))
        path.chmod(0o755)
    with image.open("wb") as disk:
        disk.truncate(64 << 20)
    mke2fs, debugfs = find_tool("mke2fs"), find_tool("debugfs")
    if not mke2fs or not debugfs:
        raise KernelError("no mke2fs or debugfs: apt-get install e2fsprogs")
    subprocess.run([mke2fs, "-q", "-t", "ext4", "-N", "4096", "-d", str(files), str(image)], check=True)
    fields = "".join(f"sif /p{number:04d} generation {1000 + number}\n" for number in range(programs))
    subprocess.run([debugfs, "-w", "-f", "-", str(image)], input=fields, text=True, check=True, capture_output=True)
    shutil.rmtree(files)
    return image


def drivers() -> dict[str, Path]:
    """The modules that the disk needs, of the kernel to be run; those that are built in have none."""
    modules = find_kernel().modules / "kernel"
    found = {path.stem: path for path in modules.rglob("*.ko")}
    return {f"{name}.ko": found[name] for name in DRIVERS if name in found}
