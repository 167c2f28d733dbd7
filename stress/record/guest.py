# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The recorder in another kernel, in QEMU: ``python -m stress.record.guest``. By default Debian's, Linux 6.1."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pybuildid.record._recorder import PROGRAMS
from stress import programs
from stress.kernel import build, disk
from stress.kernel.vm import Machine, boot
from stress.record.build import HERE, MODULES, build_work

BUILD = Path("build/record/guest")
LIBRARIES = 4
SECONDS = 10
RECORDER = (*MODULES, "record", "note")  #: of csrc


LIBBPF = Path("/usr/lib/x86_64-linux-gnu/libbpf.so.1")  #: which is loaded at run time
SCRIPT = """\
for driver in {drivers}; do busybox insmod /$driver; done
busybox mount -t ext4 /dev/vda /mnt || busybox poweroff -f
busybox cp /programs/* /mnt; busybox sync
guest /record.bpf.o {seconds} /mnt/work /mnt {libraries}
"""


def missing() -> str:
    """What this machine lacks, beside what `stress.kernel` needs."""
    if not LIBBPF.exists():
        return f"{LIBBPF} is not there (Debian: apt-get install libbpf1)"
    return "" if shutil.which("mke2fs") else "mke2fs is not on PATH (Debian: apt-get install e2fsprogs)"


def _needed(*files: Path) -> set[Path]:
    """The shared libraries of programs, and the loader."""
    output = "".join(subprocess.run(["ldd", str(file)], capture_output=True, text=True).stdout for file in files)
    return {Path(name) for name in re.findall(r"(/\S+) \(0x", output)}


def record_in_guest(seconds: int = SECONDS, loaded: Path = PROGRAMS) -> dict[str, int]:
    """What was counted. loaded: the BPF programs. Raises KernelError if there is no QEMU or no kernel, and RuntimeError
    if nothing was recorded."""
    csrc = programs.ROOT / "csrc"
    toolchain = programs.Toolchain(flags=("-O2", "-g", f"-I{csrc / 'bpf'}", f"-I{csrc / 'record'}"))
    sources = [path for path in toolchain.sources(RECORDER) if not path.name.endswith(".bpf.c")]
    program = programs.build("guest", [HERE / "guest.c"], toolchain, sources)
    work = build_work(BUILD)
    libraries = {str(path)[1:]: path.resolve() for path in {LIBBPF, *_needed(program, work, LIBBPF)}}
    own = {f"programs/{path.name}": path for path in (work, *BUILD.glob("l0*.so"))}
    image = BUILD / "disk.ext4"
    image.unlink(missing_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", str(image), "32M"], check=True, capture_output=True)
    script = SCRIPT.format(seconds=seconds, libraries=LIBRARIES, drivers=" ".join(disk.drivers()))
    drive = ("-drive", f"file={image},format=raw,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk")
    files = {"bin/guest": program, "record.bpf.o": loaded, **disk.drivers(), **libraries, **own}
    run = boot(Machine("record", script, files, cpus=2, limit=240, arguments=drive))
    found = {name: int(number) for name, number in re.findall(r"^(\w+) (\d+)\r?$", run.text, re.MULTILINE)}
    if "frames" not in found:
        raise RuntimeError(next(iter(re.findall(r"FAILED: .*", run.text)), run.text[-2000:]))
    return found


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    if lacking := build.missing() or missing():
        print(f"Error: {lacking}", file=sys.stderr)
        return 2
    try:
        found = record_in_guest()
    except build.KernelError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_status
    for name, number in found.items():
        print(name, number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
