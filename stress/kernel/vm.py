# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A virtual machine for one run: QEMU without KVM, a kernel, and an initramfs of busybox, modules and one script."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stress.kernel.build import BUILD, KernelError
from stress.kernel.image import bootable

#: Two instructions of a nanosecond would be as well: what counts is that time passes with instructions only.
ICOUNT = ("-icount", "shift=4,sleep=off")
APPEND = (
    "console=ttyS0 quiet nokaslr no_timer_check tsc=reliable clocksource=tsc nowatchdog mitigations=off "
    "preempt=full oops=panic panic=-1 rcupdate.rcu_cpu_stall_suppress=1"
)
PRELUDE = """\
#!/bin/busybox sh
export PATH=/bin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
echo 8 >/proc/sys/kernel/printk
"""
EPILOGUE = "\necho @end\n/bin/busybox poweroff -f\n"
POLL_SECONDS = 0.5

stopped = threading.Event()  #: set: every machine is to end, and no other may begin


@dataclass(frozen=True)
class Machine:
    """What a run needs."""

    name: str  #: of the files that it leaves in build/kernel/runs
    script: str  #: run by busybox's sh as the first process
    files: Mapping[str, Path | bytes]  #: by their path in the initramfs
    cpus: int = 1
    exact: bool = False  #: time passes with instructions, so that the same seed does the same
    memory: int = 512  #: MiB
    limit: float = 300.0  #: seconds
    silence: float | None = None  #: seconds without a new line, after which it is said to hang
    watch: Callable[[Path], None] = lambda log: None  #: called with the log from time to time
    arguments: tuple[str, ...] = ()  #: more of QEMU's


SILENT = "no line came any more"
SLOW = "its time was over"


@dataclass(frozen=True)
class Run:
    log: Path
    end: str  #: "" if the machine ended by itself, else SILENT or SLOW: why it was stopped
    seconds: float
    text: str = field(repr=False)

    @property
    def ended(self) -> bool:
        """The script came to its end."""
        return "@end" in self.text


def _cpio_entry(path: str, mode: int, data: bytes, inode: int) -> bytes:
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % number for number in fields) + name
    padded = header + b"\0" * (-len(header) % 4) + data
    return padded + b"\0" * (-len(padded) % 4)


def initramfs(files: Mapping[str, Path | bytes]) -> bytes:
    """A cpio archive with these files and the folders they are in."""
    folders = {"dev", "proc", "sys", "tmp", "mnt"}
    for path in files:
        folders.update(str(parent) for parent in Path(path).parents if str(parent) != ".")
    entries: list[tuple[str, int, bytes]] = [(folder, stat.S_IFDIR | 0o755, b"") for folder in sorted(folders)]
    for path, content in files.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        entries.append((path, stat.S_IFREG | 0o755, data))
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(_cpio_entry(*entry, inode) for inode, entry in enumerate(entries, 1))


def _dies_with_its_parent() -> Callable[[], None]:
    libc, parent = ctypes.CDLL(None), os.getpid()

    def prepare() -> None:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def command(machine: Machine, initrd: Path) -> list[str]:
    options: Iterable[str] = (
        *("-accel", "tcg,thread=single" if machine.exact else "tcg,thread=multi"),
        *("-cpu", "qemu64", "-smp", str(machine.cpus), "-m", str(machine.memory)),
        *("-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-rtc", "base=2023-03-16,clock=vm", "-global", "hpet.msi=on"),
        *(ICOUNT if machine.exact else ()),
        *("-kernel", str(bootable()), "-initrd", str(initrd), "-append", APPEND),
    )
    return ["qemu-system-x86_64", *options, *machine.arguments]


def _wait(process: subprocess.Popen[bytes], machine: Machine, log: Path) -> str:
    """Why the machine has to be stopped; "" if it ended by itself. Raises KernelError if all machines have to."""
    began = heard = time.monotonic()
    size = 0
    while True:
        try:
            process.wait(POLL_SECONDS)
            return ""
        except subprocess.TimeoutExpired:
            pass
        if stopped.is_set():
            raise KernelError(f"{machine.name}: stopped with the other machines")
        now, before, size = time.monotonic(), size, log.stat().st_size
        if size != before:
            heard = now
            machine.watch(log)
        if machine.silence and now - heard > machine.silence:
            return SILENT
        if now - began > machine.limit:
            return SLOW


def boot(machine: Machine) -> Run:
    """Runs the machine until its script has ended, it has crashed or hangs, or its time is over.

    QEMU gets a session of its own. Its threads wait for each other at each NMI. Where the kernel shares the processors
    out by session, they wait less behind the other threads of ours.
    """
    folder = BUILD / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    initrd, log = folder / f"{machine.name}.cpio", folder / f"{machine.name}.log"
    script = (PRELUDE + machine.script + EPILOGUE).encode()
    initrd.write_bytes(initramfs({"init": script, "bin/busybox": Path("/bin/busybox"), **machine.files}))
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(machine, initrd),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_dies_with_its_parent(),
        )
        try:
            end = _wait(process, machine, log)
        finally:
            process.kill()
            process.wait()
            initrd.unlink()
    return Run(log, end, time.monotonic() - began, log.read_text(errors="replace"))
