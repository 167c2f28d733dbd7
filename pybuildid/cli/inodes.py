# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid inodes``: addresses and generations of real inodes, for `collisions`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pybuildid.cli._json import json_option, write_json
from pybuildid.collisions.inodes import kernel_inodes


@click.command()
@click.option("--open", "with_open", is_flag=True, help="Also list inodes of files that are open and not mapped.")
@json_option
def inodes(with_open: bool, json_file: Path | None) -> None:
    """List the kernel's inodes of the regular files that processes have mapped: addresses and generations.

    One line each: the address of struct inode, its inode number and generation, and the device. BPF iterators find
    them, as for `pybuildid census`. That takes root (CAP_BPF and CAP_PERFMON), libbpf 1, type information (BTF), and
    Linux 6.2 or an older one whose iterator was repaired. It changes nothing.

    Addresses of kernel objects help an attacker of the kernel: be careful who gets the list.

    \b
    Examples:
      sudo pybuildid inodes > addresses
      pybuildid collisions --addresses addresses
      sudo pybuildid inodes --open | pybuildid collisions --addresses /dev/stdin
    """
    found = kernel_inodes(["mapped", "open"] if with_open else ["mapped"])
    if write_json(json_file, lambda: found):
        click.echo("# address of struct inode (hex), inode number, generation, device")
        for inode in found:
            device = f"{os.major(inode.device)}:{os.minor(inode.device)}"
            click.echo(f"{inode.address:016x} {inode.number} {inode.generation} {device}")
