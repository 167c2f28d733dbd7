# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid id``: the build ID of each file named."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

import click

from pybuildid.cli._errors import explain, finish
from pybuildid.cli._files import Answer, Show, complaining, output_options, show_lines
from pybuildid.cli._types import Pid
from pybuildid.cli._vdso import read_vdso
from pybuildid.elf import ElfError, read_build_id

NONE = (
    "no build ID: programs and libraries get one by linking with --build-id (`cc -Wl,--build-id`; Go 1.24 and later do "
    "so by themselves), objects and core dumps seldom have one"
)
NONE_FOR_THE_KERNEL = "no build ID that the kernel would find: leave out --kernel-compatible to see whether it has one"


def answer(name: str, read: Callable[[], bytes | None], none: str = NONE) -> Answer:
    try:
        build_id = read()
    except (ElfError, OSError) as error:
        return Answer(name, None, explain(error))
    return Answer(name, build_id, None if build_id else f"{name}: {none}")


def answers(paths: Iterable[str], kernel: bool, vdso: bool, kernel_compatible: bool) -> Iterator[Answer]:
    if kernel:
        yield answer("[kernel]", lambda: read_build_id("/sys/kernel/notes"))
    if vdso:
        yield answer("[vdso]", lambda: read_build_id(read_vdso(), image=True))
    none = NONE_FOR_THE_KERNEL if kernel_compatible else NONE
    for path in paths:
        read = functools.partial(read_build_id, path, kernel_compatible=kernel_compatible)
        yield answer(path, read, none)


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
@click.option("--kernel-compatible", is_flag=True, help="Give what the kernel itself finds: see above.")
@output_options("bare", "null", "table", "json")
def command(
    paths: tuple[str, ...], pids: tuple[int, ...], kernel: bool, vdso: bool, kernel_compatible: bool, show: Show | None
) -> None:
    """The build ID of each PATH.

    A PATH is an ELF file of any kind (program, library, object, kernel module, core dump), or a file of ELF notes
    such as /sys/module/NAME/notes/.note.gnu.build-id. One line each: the build ID in hexadecimal, and the path.

    A file without a build ID counts as a failure here: see the exit codes in `pybuildid --help`. `pybuildid scan`
    takes directories.

    The kernel reads less than this command: only PT_NOTE segments of programs and libraries in the machine's own byte
    order, and build IDs of at most 20 bytes. With --kernel-compatible you see what a profile taken by the kernel
    would say of the PATHs.

    \b
    Examples:
      pybuildid id /bin/sh /lib/x86_64-linux-gnu/libc.so.6
      pybuildid id --bare --pid 1            of the program of process 1, even if its file was deleted
      pybuildid id --kernel --vdso --json
    """
    files = [f"/proc/{pid}/exe" for pid in pids] + list(paths)
    if not (files or kernel or vdso):
        raise click.UsageError("give a PATH, --pid, --kernel or --vdso")
    failures: list[str] = []
    (show or show_lines)(complaining(answers(files, kernel, vdso, kernel_compatible), failures))
    finish(len(failures))
