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

from pybuildid._iterators import IteratorError, Iterators
from pybuildid.collisions.inodes import KernelInode, kernel_inodes

GETVERSION = 0x80087601


def real(of: tuple[str, ...]) -> dict[tuple[int, int], list[KernelInode]]:
    try:
        found: dict[tuple[int, int], list[KernelInode]] = {}
        for inode in kernel_inodes(of):
            found.setdefault((inode.device, inode.number), []).append(inode)
        return found
    except IteratorError as error:
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


def test_without_its_programs(tmp_path: Path) -> None:
    """As of a package that was built where there is no clang; and what is no program."""
    with pytest.raises(IteratorError, match="without BPF programs: install clang and libbpf-dev"):
        Iterators(tmp_path / "none")
    (tmp_path / "damaged").write_bytes(b"no program")
    with pytest.raises(IteratorError, match=r"install pybuildid again|libbpf 1 is not installed|no type information"):
        Iterators(tmp_path / "damaged")


def test_without_rights() -> None:
    program = "import os, pybuildid.cli.inodes as _; from pybuildid.cli import main; os.setuid(65534); main(['inodes'])"
    if os.geteuid():
        pytest.skip("takes root")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert "Error: the kernel does not let this user load BPF programs: run as root" in run.stderr
