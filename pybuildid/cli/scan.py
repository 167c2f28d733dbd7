# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid scan``: the build IDs of all ELF files below directories."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import click
from rich.progress import Progress

from pybuildid import elf
from pybuildid.cli._errors import explain, finish
from pybuildid.cli._files import Answer, Output, complaining, output_options
from pybuildid.cli._output import console, progress
from pybuildid.elf import NoDecompressorError, NotElfError
from pybuildid.elf.walk import walk


@dataclass
class Scan:
    """Reads the files, and counts."""

    named: Collection[str]  # files that were given by name: that they are no ELF files is worth a line
    everything: bool  # also ELF files without a build ID
    files: int = 0
    build_ids: int = 0
    without: int = 0
    failures: list[str] = field(default_factory=list)
    directories: list[OSError] = field(default_factory=list)  # that could not be read, not yet told

    def answers(self, paths: Iterator[str], kernel_compatible: bool, threads: int | None) -> Iterator[Answer]:
        for path, result in elf.scan(paths, kernel_compatible=kernel_compatible, threads=threads):
            yield from self.unread()
            self.files += 1
            if path not in self.named and may_be_anything(path, result):
                continue
            if isinstance(result, Exception):
                yield Answer(path, None, explain(result))
                continue
            self.build_ids += result is not None
            self.without += result is None
            if result is not None or self.everything:
                yield Answer(path, result)
        yield from self.unread()

    def unread(self) -> Iterator[Answer]:
        while self.directories:
            error = self.directories.pop()
            yield Answer(os.fsdecode(error.filename or ""), None, explain(error))

    def __str__(self) -> str:
        return (
            f"{self.build_ids:,} build IDs in {self.files:,} files; {self.without:,} ELF files without one; "
            f"{len(self.failures):,} that could not be read"
        )


def may_be_anything(path: str, result: object) -> bool:
    """Whether a file need not be reported, because nothing says that it is an ELF file: it is none, it has vanished, or
    this Python cannot decompress it and its name is not that of a kernel module."""
    unknown = isinstance(result, NoDecompressorError) and not path.endswith(".ko.zst")
    return unknown or isinstance(result, (NotElfError, FileNotFoundError))


def shown(answers: Iterator[Answer], scan: Scan, display: Progress) -> Iterator[Answer]:
    """Keeps the display up to date."""
    task = display.add_task("reading", total=None)
    for answer in answers:
        display.update(task, completed=scan.files, description=f"{scan.build_ids:,} build IDs; files read:")
        yield answer


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(readable=False))
@click.option("-a", "--all", "everything", is_flag=True, help="Also ELF files without a build ID, shown as -.")
@click.option("-x", "--one-file-system", is_flag=True, help="Leave out what is mounted below a PATH, as /proc below /.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    metavar="N",
    show_default="one per processor",
    help="How many threads read files.",
)
@click.option("--kernel-compatible", is_flag=True, help="Give what the kernel itself finds: see `pybuildid id --help`.")
@output_options("null", "table")
def command(
    paths: tuple[str, ...],
    everything: bool,
    one_file_system: bool,
    threads: int | None,
    kernel_compatible: bool,
    show: Output,
) -> None:
    """The build IDs of all ELF files in and below each PATH.

    One line each, as from `perf buildid-list`: the build ID in hexadecimal, and the path. Many files are read at once,
    a few KiB of each; kernel modules also if they are compressed. Symbolic links below a PATH are not followed, and
    files that are not ELF are passed over.

    On a terminal the counts follow at the end, on standard error.

    \b
    Examples:
      pybuildid scan /usr/lib | sort > build-ids
      pybuildid scan --all --table ./build
      pybuildid scan -x / --json this-host.json
    """
    scan = Scan(named=frozenset(path for path in paths if not os.path.isdir(path)), everything=everything)
    found = walk(paths, scan.directories.append, one_file_system=one_file_system)
    with progress(streaming=show.streaming) as display:
        answers = shown(scan.answers(found, kernel_compatible, threads), scan, display)
        show(complaining(answers, scan.failures))
    out = console(stderr=True)
    if out.is_terminal:
        out.print(str(scan))
    finish(len(scan.failures))
