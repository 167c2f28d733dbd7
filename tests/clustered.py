# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A Dask cluster of processes on this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pybuildid.stacks import _client
from stress import programs


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A scheduler and two workers on loopback, each a process as `dask scheduler` and `dask worker` start them."""
    pytest.importorskip("distributed", reason="no Dask: pip install 'pybuildid[dask]'")
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    scheduler = subprocess.Popen([*dask, "--no-dashboard"], stderr=subprocess.PIPE, text=True)
    started = [scheduler]
    try:
        assert scheduler.stderr
        address = next(filter(None, (re.search(r"tcp://127\.0\.0\.1:\d+", line) for line in scheduler.stderr)))[0]
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
        for _ in range(2):
            started.append(subprocess.Popen(worker, cwd=programs.ROOT, stderr=subprocess.DEVNULL, text=True))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_client, "TIMEOUT", "60s")  # the machine may be busy
            yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
        if scheduler.stderr:
            scheduler.stderr.close()


def wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        client.wait_for_workers(count, timeout=60)
