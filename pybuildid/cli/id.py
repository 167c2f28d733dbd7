# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid id``: the build ID of each file named, or those of the modules of a core dump."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from pybuildid.cli._errors import explain, finish
from pybuildid.cli._files import Answer, Output, complaining, output_options
from pybuildid.cli._types import Offset, Pid
from pybuildid.elf import BuildIdNote, ElfError, read_note
from pybuildid.elf.core import CoreModule, core_modules
from pybuildid.elf.vdso import read_vdso

NONE = (
    "no build ID: programs and libraries get one by linking with --build-id (`cc -Wl,--build-id`; Go 1.24 and later do "
    "so by themselves), objects seldom have one"
)
NONE_FOR_THE_KERNEL = "no build ID that the kernel would find: leave out --kernel-compatible to see whether it has one"
GO = (
    "a Go build ID of {length} bytes, not a GNU build ID: debuggers and profilers take no notice of it, and tables "
    "hold at most 64 bytes; Go 1.24 and later write a GNU one as well, older ones with `go build -ldflags=-B=0x...`"
)
LONG = (
    "a GNU build ID of {length} bytes, of which tables hold at most 64: it was given to the linker in figures "
    "(--build-id=0x...), and `cc -Wl,--build-id` makes one of 20"
)
NO_MODULES = "a core dump in which no module can be seen: it has no note NT_FILE, or is cut off"


@dataclass(frozen=True)
class Identified(Answer):
    """owner: "GNU" or "Go"; length: of the build ID, in bytes, also where that is too long to be shown."""

    owner: str | None = None
    length: int | None = None


@dataclass(frozen=True)
class InCore(Answer):
    """A module of a core dump. address: of its first byte. id_address: of its build ID, both in memory."""

    core: str = ""
    address: int = 0
    id_address: int | None = None


def answer(name: str, read: Callable[[], BuildIdNote | None], none: str = NONE) -> Answer:
    try:
        note = read()
    except (ElfError, OSError) as error:
        return Identified(name, None, explain(error))
    if note is None:
        return Identified(name, None, f"{name}: {none}")
    text = None if note.build_id else f"{name}: {(GO if note.owner == 'Go' else LONG).format(length=note.length)}"
    return Identified(name, note.build_id, text, note.owner, note.length)


def modules_of(path: str) -> list[CoreModule] | None:
    """Of a core dump. What is wrong with other files is found where their build IDs are read."""
    try:
        return core_modules(path)
    except (ElfError, OSError):
        return None


def in_core(core: str, modules: list[CoreModule]) -> Iterator[Answer]:
    for module in modules:
        name = module.path or f"[{module.start:#x}]"
        error = f"{core}: {name}: {module.problem}" if module.problem else None
        yield InCore(name, module.build_id, error, core, module.start, module.id_address)
    if not modules:
        yield InCore(core, None, f"{core}: {NO_MODULES}", core)


@dataclass(frozen=True)
class Reader:
    kernel_compatible: bool
    offset: int

    def kernel(self) -> Answer:
        return answer("[kernel]", lambda: read_note("/sys/kernel/notes"))

    def vdso(self) -> Answer:
        return answer("[vdso]", lambda: read_note(read_vdso(), image=True))

    def file(self, path: str) -> Iterator[Answer]:
        modules = None if self.kernel_compatible or self.offset else modules_of(path)
        if modules is not None:
            yield from in_core(path, modules)
            return
        none = NONE_FOR_THE_KERNEL if self.kernel_compatible else NONE
        yield answer(path, lambda: read_note(path, kernel_compatible=self.kernel_compatible, offset=self.offset), none)


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(readable=False))
@click.option(
    "--pid",
    "pids",
    type=Pid(),
    metavar="PID",
    multiple=True,
    help="Also show the build ID of the program that process PID runs.",
)
@click.option("--kernel", is_flag=True, help="Also show that of the running kernel, from /sys/kernel/notes.")
@click.option(
    "--vdso", is_flag=True, help="Also show that of the vDSO, the library that the kernel maps into every process."
)
@click.option(
    "--offset", type=Offset(), metavar="N", default=0, help="Where in each PATH the ELF file begins, such as 0x1000."
)
@click.option("--kernel-compatible", is_flag=True, help="Give what the kernel itself finds: see above.")
@output_options("bare", "null", "table")
def command(
    paths: tuple[str, ...],
    pids: tuple[int, ...],
    kernel: bool,
    vdso: bool,
    offset: int,
    kernel_compatible: bool,
    show: Output,
) -> None:
    """The build ID of each PATH.

    A PATH is an ELF file (program, library, object, kernel module), also one that gzip, xz or zstd has compressed
    (zstd on Python 3.14 and later); a file of ELF notes such as /sys/module/NAME/notes/.note.gnu.build-id; or a file
    in a zip archive, written as Android writes it: app.apk!/lib/arm64-v8a/libx.so. One line each: the build ID in
    hexadecimal, and the path.

    Of a core dump, the modules are shown, as by `eu-unstrip -n --core`: the files that the process had mapped, one
    line each, with the build IDs that the dump itself holds. --json adds their addresses.

    A file without a build ID counts as a failure here: see the exit codes in `pybuildid --help`. `pybuildid scan`
    takes directories.

    The kernel reads less than this command: only PT_NOTE segments of programs and libraries in the machine's own byte
    order, at the beginning of a file, and build IDs of at most 20 bytes. With --kernel-compatible you see what a
    profile taken by the kernel would say of the PATHs.

    \b
    Examples:
      pybuildid id /bin/sh /lib/x86_64-linux-gnu/libc.so.6
      pybuildid id --bare --pid 1            of the program of process 1, even if its file was deleted
      pybuildid id --kernel --vdso --json -
      pybuildid id core
      pybuildid id 'base.apk!/lib/arm64-v8a/libapp.so'
    """
    files = [f"/proc/{pid}/exe" for pid in pids] + list(paths)
    if not (files or kernel or vdso):
        raise click.UsageError("give a PATH, --pid, --kernel or --vdso")
    reader = Reader(kernel_compatible, offset)

    def answers() -> Iterator[Answer]:
        if kernel:
            yield reader.kernel()
        if vdso:
            yield reader.vdso()
        for path in files:
            yield from reader.file(path)

    failures: list[str] = []
    show(complaining(answers(), failures))
    finish(len(failures))
