# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Dask clusters: a connection, or one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

TIMEOUT = "5s"


class ClusterError(Exception):
    """There is no such cluster, or its workers cannot do this."""


@contextmanager
def connected(address: str, describe: Callable[[], Any], program: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A client of the scheduler at this address, and what each worker says of itself by describe().

    program: what the workers have to be able to import, and how they are started.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import resolve_address
    except ImportError:
        raise ClusterError("a Dask cluster needs distributed: pip install 'pybuildid[dask]'") from None
    try:
        resolve_address(address)  # before a client begins, which a wrong one keeps
        client: Any = Client(address, timeout=TIMEOUT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(f"no Dask scheduler at {address}: {error}. Start one: dask scheduler") from None
    with client:
        try:
            found = client.run(describe)
        except Exception as error:
            raise ClusterError(f"the workers at {address} cannot run this ({error}): they need {program}") from None
        if not found:
            raise ClusterError(f"the cluster at {address} has no workers: start some, with {program}")
        yield client, found
