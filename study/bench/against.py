# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Two builds of the table head to head, in one run: is a figure of this one worse by more than its spread?"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from study.bench.ahead import SMALL
from study.bench.contenders import AGAINST, OURS, ROOT, last_line, load
from study.bench.result import Figure, HeadToHead, by_round, find

ENTRY = """#define bid_design_ours bid_design_peer
extern __attribute__((visibility("default"))) const struct bid_design bid_design_peer;
#include "ours.c"
"""
ROUNDS = 3  #: of a figure that is judged by its spread
LEAST = 1.02  # times; less is no difference


def build(checkout: Path, folder: Path) -> Any:
    """The functions (struct bid_design) of the table in another checkout, compiled as this one's extension module is.

    What calls the table comes from this checkout, so that nothing but the table differs. Raises ValueError if it cannot
    be compiled.
    """
    sources = sorted((checkout / "csrc/table").glob("*.c"))
    if not sources:
        raise ValueError(f"{checkout} has no csrc/table: --against takes a checkout of this project")
    sources += sorted((checkout / "csrc/process").glob("*.c"))  # before that was a folder its files were in csrc/table
    includes = [f"-I{checkout / 'csrc/include'}", f"-I{checkout / 'csrc'}", f"-I{ROOT / 'study/rivals'}"]
    (folder / "against.c").write_text(ENTRY)
    if not (checkout / "csrc/include/bid.h").exists():
        (folder / "bid.h").write_text('#include "pybuildid.h"\n')  # its name before
    library = folder / "against.so"
    command = [*_compiler(), *includes, f"-I{folder}", "-shared", "-o", library, folder / "against.c", *sources]
    done = subprocess.run([*map(str, command), "-pthread"], capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(f"{checkout} cannot be compiled: {last_line(done.stderr)}")
    return load(library)


def _compiler() -> list[str]:
    """With the options of an extension module of Python."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = shlex.split(sysconfig.get_config_var("CFLAGS") or "")
    return [*compiler, *flags, "-std=c11", "-O2", "-fvisibility=hidden", "-fPIC"]


def judge(figures: Sequence[Figure]) -> tuple[HeadToHead, ...]:
    """This build / the other one, in every figure that both have."""
    found = []
    for own in figures:
        other = find(figures, own.what, AGAINST, own.size)
        values = by_round(own, other) if own.who == OURS and other else ()
        if values:
            spread = min(values), max(values)
            worse = is_worse(values) if _tells(own, len(values)) else None
            found.append(HeadToHead(own.what, own.size, median(values), *spread, len(values), worse))
    return tuple(found)


def is_worse(ratios: Sequence[float]) -> bool:
    """Whether this build is worse in each round, and in the median by more than LEAST."""
    return min(ratios) > 1 and median(ratios) > LEAST


def _tells(figure: Figure, rounds: int) -> bool:
    """Whether the spread is known. Bytes have none; but with few entries they are those of a page more or less."""
    return figure.size >= SMALL if figure.what.startswith("bytes") else rounds >= ROUNDS
