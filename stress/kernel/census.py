# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The census by BPF iterators beside those by /proc and drgn, on another kernel than this machine's, in QEMU.

    python -m stress.kernel.census [VMLINUX]

VMLINUX: that kernel's debugging information; drgn has to be installed then, for the Python that runs this. (Debian:
linux-image-VERSION-dbg has it; nothing else of that package is needed.) The guest sees this machine's files, read-only,
and runs this checkout and this Python.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from stress.kernel import vm
from stress.kernel.build import ROOT, KernelError, MissingError, find_kernel, missing

#: What Debian has as modules, in the order in which they need each other.
DRIVERS = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("netfs", "fscache", "9pnet", "9pnet_virtio", "9p"),
)
#: What a method counts that the iterators count as well.
COUNTED = {
    "proc": (
        *("processes", "tasks", "descriptors", "open_files", "open_inodes"),
        *("mapped_per_process", "mapped_inodes", "mapped_elf", "mapped_build_ids"),
    ),
    "drgn": ("tasks", "open_files", "mapped_files", "only_mapped_files", "mapped_inodes"),
}
SCRIPT = """\
busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 root /mnt || busybox poweroff -f
for folder in proc sys dev; do busybox mount -o bind /$folder /mnt/$folder; done
export PYTHONPATH={root}
busybox chroot /mnt {python} -m stress.kernel.guest_census {vmlinux} 2>&1
"""


def run(vmlinux: str) -> dict[str, Any]:
    """What each method counted. Raises KernelError."""
    lacking = missing()
    if lacking:
        raise MissingError(lacking)
    found = {path.stem: path for path in (find_kernel().modules / "kernel").rglob("*.ko")}
    drivers = {f"{name}.ko": found[name] for name in DRIVERS if name in found}
    script = "".join(f"busybox insmod /{name}\n" for name in drivers)
    script += SCRIPT.format(root=ROOT, python=sys.executable, vmlinux=vmlinux)
    share = "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap"
    machine = vm.Machine("census", script, drivers, cpus=2, memory=4096, limit=900, arguments=("-virtfs", share))
    ran = vm.boot(machine)
    line = re.search(r"^@census (.*)$", ran.text, re.MULTILINE)
    if not line:
        raise KernelError(f"the census did not come to its end: see {ran.log}")
    counts: dict[str, Any] = json.loads(line[1])
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vmlinux", metavar="VMLINUX", nargs="?", default="", help="debugging information, for drgn")
    vmlinux = parser.parse_args().vmlinux
    if vmlinux and not Path(vmlinux).is_file():
        parser.error(f"{vmlinux}: there is no such file")
    try:
        counts = run(vmlinux and str(Path(vmlinux).resolve()))
    except KernelError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_status
    differ = 0
    print(f"Linux {find_kernel().release}; not seen: {', '.join(counts['limits']) or 'nothing'}")
    for method in filter(counts.get, COUNTED):
        for name in COUNTED[method]:
            bpf, other = counts["bpf"][name], counts[method][name]
            differ += bpf != other
            print(f"{name}: {bpf:,} by BPF iterators, {other:,} by {method}{'' if bpf == other else ': NOT THE SAME'}")
    print("FAILURE" if differ else "SUCCESS")
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
