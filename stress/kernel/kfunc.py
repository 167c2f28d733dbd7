# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table as a kfunc: a BPF program attached by fentry to a function that NMI handlers call."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stress.kernel import vm
from stress.kernel.build import BUILD, ROOT, KernelError, Modules, find_kernel, find_tool
from stress.kernel.image import unpacked
from stress.kernel.torture import BOOT_SECONDS, CRASH

NMIS = 1000
PACKAGES = "clang libbpf-dev libelf-dev zlib1g-dev bpftool pahole"


def missing() -> str:
    lacking = [tool for tool in ("clang", "bpftool", "pahole", "objcopy") if not find_tool(tool)]
    if not Path("/usr/include/bpf/libbpf.h").is_file():
        lacking.append("libbpf")
    return f"missing: {', '.join(lacking)} (Debian: apt-get install {PACKAGES})" if lacking else ""


def _run(*command: object) -> str:
    run = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode:
        raise KernelError(f"{' '.join(map(str, command))}:\n{run.stdout}")
    return run.stdout


def kernel_btf(folder: Path) -> Path:
    """The BTF of the kernel to be run, out of its image: Debian's headers come without."""
    image, btf = unpacked(), folder / "vmlinux.btf"
    if not image:
        raise KernelError(f"{find_kernel().image} is not packed with xz, so its BTF is out of reach")
    _run(find_tool("objcopy"), "--dump-section", f".BTF={btf}", image, folder / "nothing")
    (folder / "nothing").unlink(missing_ok=True)
    return btf


def resolve_ids(module: Path, base: Path, kfuncs: str, function: str) -> None:
    """Fills in the set of kfuncs, as a kernel's own build does: the number of the one function in it, in BTF."""
    dump = _run(find_tool("bpftool"), "-B", base, "btf", "dump", "file", module)
    found = re.search(rf"\[(\d+)\] FUNC '{function}'", dump)
    symbols = _run("nm", module)
    set_at = re.search(rf"([0-9a-f]+) \w __BTF_ID__set8__{kfuncs}\b", symbols)
    id_at = re.search(rf"([0-9a-f]+) \w __BTF_ID__func__{function}__\d+", symbols)
    section = re.search(r"\.BTF_ids +[0-9a-f]+ +[0-9a-f]+ +[0-9a-f]+ +([0-9a-f]+)", _run("objdump", "-h", "-w", module))
    if not found or not set_at or not id_at or not section:
        raise KernelError(f"{module} has no set of kfuncs named {kfuncs} with {function} in it")
    content, start = bytearray(module.read_bytes()), int(section[1], 16)
    struct.pack_into("<I", content, start + int(set_at[1], 16), 1)
    struct.pack_into("<I", content, start + int(id_at[1], 16), int(found[1]))
    module.write_bytes(content)


def with_btf(modules: Modules, folder: Path, base: Path, name: str, path: str) -> Path:
    """A module with BTF, and without its other debugging information."""
    full, module = folder / f"{name}.full.ko", folder / f"{name}.ko"
    full.write_bytes((modules.tree / path / f"{name}.ko").read_bytes())
    _run(find_tool("pahole"), "-J", "--btf_base", base, full)
    if name == "bid_kfunc":
        resolve_ids(full, base, "bid_kfuncs", "bpf_bid_lookup")
    _run("strip", "--strip-debug", "-o", module, full)
    return module


def programs(folder: Path) -> dict[str, Path]:
    """The BPF programs and their loader."""
    source = ROOT / "stress" / "kernel" / "bpf"
    clang = ("clang", "-O2", "-g", "-target", "bpf", "-c", source / "program.bpf.c", "-I", source, "-o")
    _run(*clang, folder / "program.bpf.o")
    _run(*clang, folder / "perf.bpf.o", "-DPERF_EVENT")
    libraries = ("-lbpf", "-lelf", "-lz")
    _run("gcc", "-O2", "-static", "-Wl,--build-id=sha1", "-o", folder / "load", source / "load.c", *libraries)
    return {name: folder / name for name in ("program.bpf.o", "perf.bpf.o", "load")}


@dataclass(frozen=True)
class Kfunc:
    figures: Mapping[str, int]
    last: str  #: the build ID that the program found last
    want: str
    complaint: str

    @property
    def works(self) -> bool:
        calls = self.figures.get("calls", 0)
        return (
            not self.complaint and calls > NMIS // 2 and self.figures.get("found") == calls and self.last == self.want
        )


def build_id(path: Path) -> str:
    found = re.search(r"Build ID: (\w+)", _run("readelf", "-n", path))
    return found[1] if found else ""


def run(modules: Modules) -> Kfunc:
    folder = BUILD / "kfunc"
    folder.mkdir(parents=True, exist_ok=True)
    base = kernel_btf(folder)
    files = {
        **programs(folder),
        "bid_kfunc.ko": with_btf(modules, folder, base, "bid_kfunc", "csrc/kernel"),
        "bid_kfunc_torture.ko": with_btf(modules, folder, base, "bid_kfunc_torture", "stress/kernel/module"),
        **{f"{name}.ko": modules[name] for name in ("bid_table", "bid_inodes")},
    }
    order = ("bid_table", "bid_inodes", "bid_kfunc", "bid_kfunc_torture")
    script = "".join(f"busybox insmod /{name}.ko || exit\n" for name in order) + "/load\n"
    script += "".join(f"busybox rmmod {name}\n" for name in reversed(order))
    found = vm.boot(vm.Machine("kfunc", script, files, limit=BOOT_SECONDS))
    lines = re.findall(r"bid_kfunc\w*: (.*)", found.text)
    figures = {name: int(value) for line in lines for name, value in re.findall(r"\b(\w+)=(\d+)\b", line)}
    crash, last = CRASH.search(found.text), re.search(r"bid_kfunc: last (\w+)", found.text)
    complaint = crash[0].strip() if crash else "" if last else f"the program was not loaded: see {found.log}"
    return Kfunc(figures, last[1] if last else "", build_id(folder / "load"), complaint)
