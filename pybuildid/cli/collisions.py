# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid collisions``: how evenly hashes spread the inodes of a machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from pybuildid.cli import _machine
from pybuildid.cli._command import command_line
from pybuildid.cli._errors import printable
from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._output import console, print_table
from pybuildid.cli._plots import plot_option, write_plot
from pybuildid.collisions import HASHES, Chains, chains, middle_bits, plots, slab
from pybuildid.collisions.middle_bits import Case, Judgement
from pybuildid.collisions.slab import Addresses

NEAR = 3  # shifts to each side of the best that the table shows


@click.command()
@click.option(
    "--addresses",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Inode addresses, one a line in hexadecimal. Default: a stand-in for this machine's inodes.",
)
@click.option("--object-size", type=click.IntRange(8), help="Make slabs with objects of this size, in bytes.")
@click.option(
    "--slab-size", type=click.IntRange(8), help="Make slabs of this size, in bytes, a power of two. Default: 16384."
)
@click.option(
    "--count",
    type=click.IntRange(1, 1 << 26),
    help="Make slabs with this many inodes. Default: as many as are cached here.",
)
@click.option(
    "--buckets",
    type=click.IntRange(1, 1 << 30),
    help="Number of buckets. Default: the power of two for a load of 0.5 to 1.",
)
@click.option("--hash", type=click.Choice(list(HASHES)), help="Show the chains of this one too. Default: mix.")
@click.option("--shift", type=click.IntRange(0, 63), help="Try this shift of the middle bits. Default: the best one.")
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True, help="Seed for made slabs, and for mix."
)
@json_option
@plot_option("--plot", help="Write probes by shift here, as SVG.")
@plot_option("--plot-chains", help="Write chains by length here, as SVG.")
def collisions(
    file: Path | None,
    object_size: int | None,
    slab_size: int | None,
    count: int | None,
    buckets: int | None,
    hash: str | None,
    shift: int | None,
    seed: int,
    json_file: Path | None,
    plot: Path | None,
    plot_chains: Path | None,
) -> None:
    """How evenly hashes spread inodes over buckets, beside an ideal hash; and a verdict on Al Viro's "middle bits".

    The keys are addresses of inodes. They come from --addresses, or from made-up slabs of --object-size. Without these
    options the slabs are made up like those of this machine's /proc/slabinfo, which only root can read, else like slabs
    that were recorded with ext4.

    A hit reads the records of its chain up to its own; each is a "probe". Middle bits with shift k are address >> k. A
    hash holds if it takes at most 1.1 times the probes of an ideal hash, whose chains have the Poisson distribution.

    \b
    Examples:
      pybuildid collisions
      pybuildid collisions --addresses tests/data/inode-addresses.txt --buckets 4096
      pybuildid collisions --object-size 1024 --slab-size 32768 --count 1000000 --plot probes.svg
    """
    addresses = choose(file, object_size, slab_size, count, seed)
    judgement = middle_bits.judge(addresses.keys, buckets, seed)
    tried_shift = judgement.shift if shift is None else shift
    tried = middle_bits.cases(addresses, tried_shift, seed, buckets)
    chosen = chains(addresses.keys, buckets, "middle-bits", tried_shift)
    second = judgement.other(hash) if hash and hash != "middle-bits" else judgement.other("mix")
    if write_json(json_file, lambda: document(addresses, judgement, tried)):
        show(addresses, judgement, tried)
        show_lengths((chosen, second))
        click.echo(middle_bits.verdict(judgement, tried))
    write_plot(plot, lambda: plots.by_shift(judgement))
    write_plot(plot_chains, lambda: plots.lengths((chosen, second)))


def choose(
    file: Path | None, object_size: int | None, slab_size: int | None, count: int | None, seed: int
) -> Addresses:
    """The keys that the options ask for."""
    try:
        if file is not None:
            if object_size or slab_size or count:
                raise click.UsageError(
                    "--addresses gives real addresses: leave out --object-size, --slab-size, --count"
                )
            return slab.from_file(file)
        if object_size is None:
            if slab_size is not None:
                raise click.UsageError("--slab-size needs --object-size")
            return slab.machine(count, seed)
        cache = slab.SlabCache("made", object_size, slab_size or slab.RECORDED.slab_bytes)
        return slab.made_slabs(cache, count or slab.SOME, seed)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def show(addresses: Addresses, judgement: Judgement, tried: tuple[Case, ...]) -> None:
    best, out = judgement.best, console()
    click.echo(f"{'' if addresses.real else 'A stand-in, not real addresses: '}{printable(addresses.source)}.")
    click.echo(f"{best.buckets:,} buckets, {best.load:.2f} keys for each.")
    near = [chains for chains in judgement.by_shift if abs((chains.shift or 0) - judgement.shift) <= NEAR]
    table = Table("hash", title="probes a hit", title_justify="left")
    for name in ("mean", "p99", "longest chain", "mean / ideal", "holds"):
        table.add_column(name, justify="right")
    for row in (*near, *judgement.others):
        table.add_row(row.label, *cells(row))
    ideal = best.ideal
    table.add_row("ideal (Poisson)", f"{ideal.mean:.2f}", f"{ideal.p99}", f"{ideal.longest}", "1.00", "")
    print_table(out, table)
    table = Table("case", title=f"shift {tried[0].middle_bits.shift} elsewhere", title_justify="left")
    for name in ("keys", "load", "mean", "ideal", "mix", "longest", "holds"):
        table.add_column(name, justify="right")
    for case in tried:
        bits = case.middle_bits
        means = (f"{value:.2f}" for value in (bits.probes.mean, bits.ideal.mean, case.mix.probes.mean))
        table.add_row(
            case.name, f"{bits.keys:,}", f"{bits.load:.2f}", *means, f"{bits.probes.longest}", yes(bits.holds)
        )
    print_table(out, table)


def show_lengths(shown: tuple[Chains, ...]) -> None:
    table = Table("keys in a chain", title="chains", title_justify="left")
    for one in shown:
        table.add_column(one.label, justify="right")
    table.add_column("ideal", justify="right")
    for name, counts in plots.rows_of(shown):
        table.add_row(name, *(f"{count:,.0f}" for count in counts))
    print_table(console(), table)


def cells(chains: Chains) -> tuple[str, ...]:
    probes = chains.probes
    return f"{probes.mean:.2f}", f"{probes.p99}", f"{probes.longest}", f"{chains.excess:.2f}", yes(chains.holds)


def yes(holds: bool) -> str:
    return "yes" if holds else "no"


def document(addresses: Addresses, judgement: Judgement, tried: tuple[Case, ...]) -> dict[str, Any]:
    """The result as JSON, for programs."""
    return {
        "command": command_line(),
        "machine": _machine.this(),
        "source": addresses.source,
        "real": addresses.real,
        "caches": addresses.caches,
        "best_shift": judgement.shift,
        "holding_shifts": list(judgement.holding),
        "by_shift": [_row(chains) for chains in judgement.by_shift],
        "others": [_row(chains) for chains in judgement.others],
        "cases": [{"name": case.name, "middle_bits": _row(case.middle_bits), "mix": _row(case.mix)} for case in tried],
        "verdict": middle_bits.verdict(judgement, tried),
    }


def _row(chains: Chains) -> dict[str, Any]:
    return {**asdict(chains), "load": chains.load, "excess": chains.excess, "holds": chains.holds}
