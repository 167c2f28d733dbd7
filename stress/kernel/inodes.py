# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of real inodes under real NMIs: the module of inodes, a disk of programs, a control that must lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stress.kernel import disk, vm
from stress.kernel.build import BUILD, Modules, build
from stress.kernel.torture import BOOT_SECONDS, CRASH
from stress.mutants.edits import Edit

PROGRAMS = 1500
NO_HOOK = Edit("kernel/inodes.c", "status = register_kprobe(&evict_probe);", "status = 0;")
NO_BIT = Edit("kernel/inodes.c", "if (!(READ_ONCE(inode->i_flags) & BID_S_ASSOCIATED))", "if (0)")
NO_GENERATION = Edit(
    "kernel/inodes.c",
    "return bid_lookup_generation(table, key_of(inode), inode->i_generation, id);",
    "return bid_lookup(table, key_of(inode), id);",
)
#: The address of an inode and nothing else: it must be caught giving out other files' build IDs.
CONTROL = (NO_HOOK, NO_BIT, NO_GENERATION)

ROUND = """\
echo "+ /mnt {a} 6 {n}" >/proc/bid_inodes
i={b}; while [ $i -lt {n} ]; do /mnt/p$(busybox printf %04d $i); i=$((i + 31)); done
{before}{evict}
echo "- /mnt {c} 5 {n}" >/proc/bid_inodes
i={d}; while [ $i -lt {n} ]; do /mnt/p$(busybox printf %04d $i); i=$((i + 41)); done
"""
HALF_DONE = "echo '~ /mnt 0 1 0' >/proc/bid_inodes\n"
DROP = "echo 3 >/proc/sys/vm/drop_caches"
#: A process that wants all the memory there is: the kernel takes from its caches, and may kill the process in the end.
PRESSURE = (
    "mib=$(busybox awk '/MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)\n"
    "busybox dd if=/dev/zero of=/dev/null bs=${mib}M count=1 2>/dev/null"
)


def script(rounds: int) -> str:
    """The file system is filled, its programs run, it is dropped from the caches or put under pressure, read again."""
    lines = [f"busybox insmod /{name}" for name in disk.drivers()]
    lines += [
        "echo 10000 >/proc/sys/vm/vfs_cache_pressure",
        "busybox mount -t ext4 -o ro /dev/vda /mnt || busybox poweroff -f",
        "busybox insmod /bid_table.ko; busybox insmod /bid_inodes.ko; busybox insmod /bid_inode_torture.ko",
        f'echo "= /mnt 0 1 {PROGRAMS}" >/proc/bid_inodes',
    ]
    for r in range(1, rounds + 1):
        places = {"a": r % 3, "b": r * 7 % 50, "c": r * 11 % 40, "d": r * 13 % 50, "n": PROGRAMS}
        evict, before = DROP if r % 3 else PRESSURE, HALF_DONE if r % 2 else ""
        lines.append(ROUND.format(evict=evict, before=before, **places) + f"echo @round {r}")
    lines.append("busybox rmmod bid_inode_torture; busybox rmmod bid_inodes; busybox rmmod bid_table")
    return "\n".join(lines)


@dataclass(frozen=True)
class Inodes:
    figures: Mapping[str, int]
    complaint: str

    def __getitem__(self, name: str) -> int:
        return self.figures.get(name, 0)


def run(modules: Modules, name: str, rounds: int) -> Inodes:
    image = disk.make(BUILD / "runs" / name, PROGRAMS)
    names = ("bid_table", "bid_inodes", "bid_inode_torture")
    machine = vm.Machine(
        name,
        script(rounds),
        {**disk.drivers(), **{f"{module}.ko": modules[module] for module in names}},
        cpus=2,
        memory=384,
        limit=BOOT_SECONDS + 60 * rounds,
        arguments=("-drive", f"file={image},format=raw,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk"),
    )
    found = vm.boot(machine)
    image.unlink()
    lines = re.findall(r"bid_inode_torture: (.*)", found.text)
    figures = {key: int(value) for line in lines for key, value in re.findall(r"\b(\w+)=(\d+)\b", line)}
    crash = CRASH.search(found.text)
    complaint = crash[0].strip() if crash else "" if found.ended and "wrong" in figures else f"did not end: {found.log}"
    return Inodes(figures, complaint)


def control(rounds: int) -> Inodes:
    """The same with nothing but the address of an inode."""
    return run(build("control", CONTROL), "inodes-control", rounds)


def report(sound: Inodes, lying: Inodes) -> dict[str, Any]:
    return {**sound.figures, "complaint": sound.complaint, "control_wrong": lying["wrong"]}
