# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the kernel modules for an installed kernel, in build/kernel, from the sources as they are or edited."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stress.mutants.edits import Edit, edited_files

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "kernel"
MODULES = ("csrc/kernel", "stress/kernel/module")  #: in the order in which they need each other's symbols
SOURCES = ("csrc/include", "csrc/kernel", "csrc/note", "csrc/table", "stress/kernel/module")
PACKAGES = "linux-image-amd64 linux-headers-amd64 qemu-system-x86 busybox-static e2fsprogs binutils"


class KernelError(Exception):
    """Something is missing or could not be built; the message says what and what to do about it."""

    exit_status = 1


class MissingError(KernelError):
    """This machine lacks something; the message says how to install it."""

    exit_status = 2


class SlowError(KernelError):
    """The time was over before enough had happened: nothing is known to be wrong, and nothing was shown."""

    exit_status = 3


class EmulatorError(KernelError):
    """The emulated processor did what no processor does: nothing was shown. With another seed it may not."""

    exit_status = 3


@dataclass(frozen=True)
class Kernel:
    release: str
    image: Path
    headers: Path

    @property
    def modules(self) -> Path:
        return Path("/lib/modules") / self.release


def _version_key(kernel: Kernel) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", kernel.release)]


@cache
def find_kernel() -> Kernel:
    """The newest installed kernel for this processor with headers and an image that can be read. Raises KernelError."""
    found = []
    for headers in Path("/lib/modules").glob("*/build"):
        release = headers.parent.name
        image = Path("/boot") / f"vmlinuz-{release}"
        if (headers / "Makefile").is_file() and os.access(image, os.R_OK):
            found.append(Kernel(release, image, headers.resolve()))
    if not found:
        raise MissingError(f"no kernel with headers in /lib/modules and an image in /boot: apt-get install {PACKAGES}")
    return max(found, key=_version_key)


def missing() -> str:
    """What of the machine is missing, with the line that installs it; "" if nothing is."""
    if os.uname().machine != "x86_64":
        return "real NMIs are tried on x86-64 only"
    tools = ("qemu-system-x86_64", "make", "gcc", "objdump", "strip", "mke2fs")
    lacking = [tool for tool in tools if not find_tool(tool)]
    if not Path("/bin/busybox").is_file():
        lacking.append("/bin/busybox")
    try:
        find_kernel()
    except KernelError:
        lacking.append("a kernel with headers")
    return f"missing: {', '.join(lacking)} (Debian: apt-get install {PACKAGES})" if lacking else ""


def find_tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def stage(tree: Path, edits: Iterable[Edit] = ()) -> None:
    """A tree of links to the sources, so that what the compiler leaves lies in the tree; edited files are its own."""
    texts = edited_files(edits)
    for folder in SOURCES:
        for source in sorted((ROOT / folder).rglob("*")):
            target = tree / source.relative_to(ROOT)
            if not source.is_file() or (source.suffix not in (".c", ".h") and source.name != "Kbuild"):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            text = texts.get(str(source.relative_to(ROOT / "csrc"))) if folder.startswith("csrc") else None
            if text is None and target.is_symlink() and target.resolve() == source:
                continue
            if text is not None and not target.is_symlink() and target.is_file() and target.read_text() == text:
                continue
            target.unlink(missing_ok=True)
            if text is None:
                target.symlink_to(source)
            else:
                target.write_text(text)


def make_modules(tree: Path, folder: str, symbols: Iterable[Path] = ()) -> None:
    """Builds the modules of a folder of the tree. Raises KernelError on an error or a warning of any tool."""
    kernel, jobs = find_kernel(), os.cpu_count() or 1
    command = ["make", "-C", str(kernel.headers), f"M={tree / folder}", f"-j{jobs}", "W=1"]
    extra = " ".join(str(symbol) for symbol in symbols)
    run = subprocess.run(
        [*command, f"KBUILD_EXTRA_SYMBOLS={extra}", "modules"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    complaints = [line for line in run.stdout.splitlines() if re.search(r"warning|error", line, re.IGNORECASE)]
    if run.returncode or complaints:
        shutil.rmtree(tree)  # what compiled with a warning would not be compiled again, and so pass the next time
        lines = [f"building {folder} for Linux {kernel.release}:", *complaints[:20], *run.stdout.splitlines()[-10:]]
        raise KernelError("\n".join(lines))


def strip(module: Path, target: Path) -> Path:
    subprocess.run(["strip", "--strip-debug", "-o", str(target), str(module)], check=True)
    return target


@dataclass(frozen=True)
class Modules:
    """Where the modules of one build of the sources are, without their debugging information."""

    tree: Path

    def __getitem__(self, name: str) -> Path:
        return self.tree / f"{name}.ko"


def build(name: str = "sound", edits: Iterable[Edit] = (), folders: tuple[str, ...] = MODULES) -> Modules:
    """Builds the modules of the sources with these edits in build/kernel/NAME. Raises KernelError or EditError."""
    tree = BUILD / name
    stage(tree, edits)
    symbols: list[Path] = []
    for folder in folders:
        make_modules(tree, folder, symbols)
        symbols.append(tree / folder / "Module.symvers")
        for module in (tree / folder).glob("*.ko"):
            strip(module, tree / module.name)
    return Modules(tree)
