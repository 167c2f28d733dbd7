# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`pybuildid inodes`: real inodes beside what stat(2) and the FS_IOC_GETVERSION request say; and kernels without."""

from __future__ import annotations

import array
import fcntl
import json
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pybuildid.collisions import inodes
from pybuildid.collisions._btf import Btf
from pybuildid.collisions.inodes import KernelInode, KernelInodesError, kernel_inodes

GETVERSION = 0x80087601


def real(of: tuple[str, ...]) -> dict[tuple[int, int], list[KernelInode]]:
    try:
        found: dict[tuple[int, int], list[KernelInode]] = {}
        for inode in kernel_inodes(of):
            found.setdefault((inode.device, inode.number), []).append(inode)
        return found
    except KernelInodesError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("of", ["mapped", "open"])
def test_a_file_in_use_is_there_as_stat_has_it(of: str, tmp_path: Path) -> None:
    """On tmpfs, and on the disk, where it also has the generation; overlayfs and Btrfs show stat(2) other numbers."""
    for folder in (Path("/dev/shm"), tmp_path):
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
            with mmap.mmap(file.fileno(), 4096):
                status = os.fstat(file.fileno())
                found = real((of,)).get((status.st_dev, status.st_ino), [])
                assert len(found) == 1 or folder == tmp_path
                assert all(inode.address > 1 << 63 for inode in found)
                generation = array.array("l", [0])
                if folder == tmp_path and found:
                    fcntl.ioctl(file.fileno(), GETVERSION, generation)
                    assert found[0].generation == generation[0] & 0xFFFFFFFF
        assert (status.st_dev, status.st_ino) not in real(("mapped",))


def test_the_list_is_what_collisions_takes(tmp_path: Path) -> None:
    real(("mapped",))
    command = [sys.executable, "-m", "pybuildid"]
    listed = subprocess.run([*command, "inodes", "--json", "-"], capture_output=True, check=True).stdout
    assert {"address", "device", "number", "generation"} == set(json.loads(listed)[0])
    text = subprocess.run([*command, "inodes", "--open"], capture_output=True, check=True).stdout
    (tmp_path / "addresses").write_bytes(text)
    judged = subprocess.run(
        [*command, "collisions", "--addresses", tmp_path / "addresses"], capture_output=True, text=True
    )
    assert f"{len(text.splitlines()) - 1} addresses from" in judged.stdout.replace(",", ""), judged.stderr


def test_kernels_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inodes, "PATH", str(tmp_path / "absent"))
    with pytest.raises(KernelInodesError, match="CONFIG_DEBUG_INFO_BTF"):
        kernel_inodes()
    for data in (b"", b"no BTF at all, whatever it is", bytes(24)):
        with pytest.raises(ValueError, match="no BTF"):
            Btf(data)
    empty = b"\x9f\xeb\1\0\x18\0\0\0" + bytes(4) + bytes(4) + bytes(4) + b"\1\0\0\0" + b"\0"
    (tmp_path / "empty").write_bytes(empty)
    monkeypatch.setattr(inodes, "PATH", str(tmp_path / "empty"))
    with pytest.raises(KernelInodesError, match=r"this kernel has no .*: Linux 5.12 is needed"):
        kernel_inodes()


def test_without_rights() -> None:
    program = "import os, pybuildid.cli.inodes as _; from pybuildid.cli import main; os.setuid(65534); main(['inodes'])"
    if os.geteuid():
        pytest.skip("takes root")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert "Error: a BPF program may not be loaded: run as root" in run.stderr
