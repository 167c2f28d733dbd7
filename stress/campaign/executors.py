# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where a campaign's units run: processes of this machine, or the workers of a Dask cluster.

Workers elsewhere need this project at the same path of Python's imports, set up (`make setup`), and unchanged: their
sources are compared with ours before anything runs.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from pybuildid.stacks._client import ClusterError, connected
from stress.programs import ROOT

SOURCES = ("csrc", "pybuildid", "study", "stress", "tests/c")
SUFFIXES = {".c", ".h", ".py"}
#: How to start a worker: in a checkout that is set up. A worker's units are commands of their own, so one at a time.
START_A_WORKER = ".venv/bin/dask worker ADDRESS --nthreads 1"


def revision() -> str:
    """A digest of the sources that a unit is made of."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def describe() -> dict[str, str]:
    """What a worker says of itself."""
    return {"revision": revision(), "machine": platform.node(), "kernel": platform.release()}


@contextmanager
def processes(workers: int | None) -> Iterator[tuple[Executor, int]]:
    """The executor, and how many units it runs at a time: one, unless asked for more."""
    with ProcessPoolExecutor(workers or 1) as executor:
        yield executor, workers or 1


@contextmanager
def dask(address: str, workers: int | None) -> Iterator[tuple[Executor, int]]:
    """All workers of the cluster, unless asked for fewer."""
    with connected(address, describe, f"this project, set up: {START_A_WORKER}") as (client, found):
        _check_workers(found)
        executor = client.get_executor(retries=0, pure=False)
        yield executor, workers or sum(client.nthreads().values())


def _check_workers(found: dict[str, dict[str, str]]) -> None:
    ours = revision()
    for worker, said in found.items():
        if said["revision"] != ours:
            raise ClusterError(
                f"the worker {worker} on {said['machine']} has other sources (revision {said['revision']}, here "
                f"{ours}): bring its checkout to the same state, `make setup` there, and start it again"
            )


def named(name: str, workers: int | None) -> Any:
    """processes, or dask:ADDRESS; a context manager."""
    kind, _, address = name.partition(":")
    if kind == "dask" and address:
        return dask(address, workers)
    if name != "processes":
        raise ClusterError(f"{name} is no executor: it is processes, or dask:ADDRESS such as dask:tcp://10.0.0.1:8786")
    return processes(workers)
