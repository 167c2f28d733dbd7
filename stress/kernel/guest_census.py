# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Runs in the guest of census.py: counts the files of all processes there by each method, nothing changing meanwhile.

python -m stress.kernel.guest_census [VMLINUX]      the kernel's debugging information, for drgn
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable

from pybuildid._iterators import Iterators
from pybuildid._recorder import lib
from pybuildid.census import _bpf, _drgn, _proc
from pybuildid.census._counts import Limit

#: Files opened, duplicated, inherited, mapped while open and after that, by several processes and threads.
SCENE = """
import ctypes, mmap, os, socket, sys, threading
name = sys.executable
opened = [open(name, "rb") for _ in range(3)]
copies = [os.dup(file.fileno()) for file in opened]
kept = [mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) for file in opened]
memory = os.memfd_create("scene")
os.ftruncate(memory, 1 << 16)
shared = mmap.mmap(-1, 1 << 16), mmap.mmap(memory, 1 << 16), socket.socketpair(), os.pipe()
for _ in range(2):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
threading.Thread(target=lambda: (ctypes.CDLL(None).unshare(0x400), threading.Event().wait()), daemon=True).start()
if os.fork() == 0:
    own = open(name, "rb"), mmap.mmap(opened[0].fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    print("ready", flush=True)
sys.stdin.read()
"""


def with_drgn(vmlinux: str) -> Callable[[], _drgn.KernelCounts]:
    """Loaded once: its own files are there in every pass then."""
    drgn, helpers = (importlib.import_module(name) for name in ("drgn", "drgn.helpers.linux"))
    program = drgn.Program()
    program.set_kernel()
    program.load_debug_info([vmlinux])
    return lambda: _drgn._count(program, drgn, helpers)


def main(vmlinux: str | None) -> None:
    limits: list[Limit] = []
    by_drgn = with_drgn(vmlinux) if vmlinux else None
    scene = [sys.executable, "-S", "-c", SCENE]
    with subprocess.Popen(scene, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process, Iterators() as iterators:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        for _ in range(2):  # what this process loads late, it has loaded after the first
            bpf = _bpf.count(iterators, limits)
            idle = lib.bid_iterators_open(iterators._iterators, lib.BID_ITERATE_TASKS)  # as the pass above had one
            found: dict[str, object] = {"bpf": dataclasses.asdict(bpf)}
            found["proc"] = dataclasses.asdict(_proc.count(lambda done, of: None, limits))
            if by_drgn:
                found["drgn"] = dataclasses.asdict(by_drgn())
            os.close(idle)
        process.stdin.close()
    print("@census", json.dumps({**found, "limits": [limit.what for limit in limits]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
