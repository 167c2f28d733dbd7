# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid merge``: profiles of many processes or machines as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybuildid.cli._errors import complain, explain, finish, printable
from pybuildid.cli._output import progress, say_written
from pybuildid.cli._standard_output import output_path
from pybuildid.cli._types import OutputFile
from pybuildid.stacks.memory import bounded
from pybuildid.stacks.merge import Merger
from pybuildid.stacks.parquet import write_parquet
from pybuildid.stacks.pprof import write_pprof

if TYPE_CHECKING:
    from pybuildid.stacks.cluster import ClusterMerge


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    default="merged.pb.gz",
    show_default=True,
    type=OutputFile(binary=True),
    help="Write here; a name that ends with .parquet gets a table of stacks.",
)
@click.option(
    "--without", "labels", multiple=True, metavar="LABEL", help="Drop this label, such as tid. May be given again."
)
@click.option(
    "--cluster",
    default="",
    metavar="ADDRESS",
    help="Merge on the workers of a Dask cluster, by the address of its scheduler, such as tcp://10.0.0.1:8786. They "
    "read FILES by the same paths.",
)
@bounded()
def merge(files: Sequence[str], output: Path, labels: tuple[str, ...], cluster: str) -> None:
    """Merge profiles into one, by build ID.

    FILES are profiles in the format of pprof. Code is the same if the build ID of its file and the offset there are,
    wherever it was mapped, and on whichever machine. Samples are added up by stack and by labels, such as that of the
    thread. --without drops a label that would keep equal stacks apart. Only what is distinct is kept in memory.

    A file that is damaged, or that counts something else than the first file, is left out as a whole, and named.

    Where one machine is not enough, --cluster gives parts of the files to the workers of a Dask cluster. The workers
    need pybuildid in the same version, and must see the files. The result is the same. This command and the workers
    need Dask: pip install 'pybuildid[dask]'.

    Parquet has a row for each stack, for DuckDB and others: the values, the thread, what is missing, and lists of
    functions, files, build IDs, offsets and lines, the outermost first. It needs DuckDB: pip install
    'pybuildid[parquet]'.

    \b
    Examples:
      pybuildid merge machines/*.pb.gz -o fleet.pb.gz
      pybuildid merge machines/*.pb.gz -o fleet.parquet --without tid
      pybuildid merge /shared/*.pb.gz -o fleet.pb.gz --cluster tcp://10.0.0.1:8786
      duckdb -c "select functions[-1], sum(samples) from 'fleet.parquet' group by 1 order by 2 desc limit 10"
    """
    merger, failures = _merge_on(cluster, files, labels) if cluster else _merge(files, labels)
    if merger.profiles:
        write = write_parquet if output.suffix == ".parquet" else write_pprof
        with output_path(output) as path:
            write(merger.result(), path)
        count = f"{merger.profiles:,} profile{'s' * (merger.profiles != 1)}"
        say_written(output, f", of {count}")
    finish(failures)


def _merge(files: Sequence[str], labels: tuple[str, ...]) -> tuple[Merger, int]:
    """The result, and how many were left out."""
    merger, failures = Merger(labels), 0
    with progress() as bar:
        for _, error in bar.track(merger.add_files(files), total=len(files), description="Merging"):
            if error:
                complain(explain(error))
                failures += 1
    return merger, failures


def _merge_on(address: str, files: Sequence[str], labels: tuple[str, ...]) -> tuple[ClusterMerge, int]:
    from pybuildid.stacks._client import ClusterError
    from pybuildid.stacks.cluster import ClusterMerge

    merger = ClusterMerge(address, files, labels)
    try:
        with progress() as bar:
            task = bar.add_task("Merging", total=len(merger))
            for count in merger:
                bar.advance(task, count)
    except ClusterError as error:
        raise click.ClickException(str(error)) from None
    for failure in merger.failures():
        complain(f"{explain(failure.error)} (on {printable(failure.machine)})")
    return merger, len(merger.failures())
