# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What several tests need: made-up entries, work in a child process, threads on processors of their own."""

from __future__ import annotations

import ctypes
import fcntl
import os
import random
import re
import threading
import traceback
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from procmap import MapQuery

pytest_plugins = ["browsed", "clustered", "counted", "limits", "profiled"]

hypothesis.settings.register_profile("default", deadline=None)  # the machine may be busy: no times are asserted
hypothesis.settings.load_profile("default")

Work = Callable[[], object]

#: Files of which several processes may run each some: their tests share nothing that takes long to make.
SPREAD = {"test_c", "test_models", "test_other_processors", "test_profile_differential", "test_sanitize", "test_storm"}
#: What takes longest in one piece goes first, and the small pieces of SPREAD last: so all processes end together.
FIRST = ("test_kernel", "test_mutants", "test_storm", "test_record_guest", "test_step", "test_census_guest")


def _rank(item: pytest.Item) -> tuple[int, bool]:
    name = item.path.stem
    return FIRST.index(name) if name in FIRST else len(FIRST), name in SPREAD


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of the processes of pytest -n
        items.sort(key=_rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """-n auto: one more than there are processors, for each process waits now and then. None: as xdist's variable
    says."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """With pytest -n (make test), the tests of any other file run in one process: they share what they build."""
    from xdist.scheduler import LoadScopeScheduling  # where pytest runs without -n, it need not be there

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if Path(file).stem in SPREAD else file

    config.option.loadscopereorder = False  # _rank() has ordered them
    return ByFile(config, log)


def _lock(how: int) -> Iterator[None]:
    """Among all processes of a run of the tests. Each holds it for one test, so nobody waits long."""
    path = Path(__file__).resolve().parent.parent / "build" / "recording.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, how)
        yield


@pytest.fixture
def records() -> Iterator[None]:
    """A test that records: it reads the first page of every file that is mapped anywhere meanwhile."""
    yield from _lock(fcntl.LOCK_SH)


@pytest.fixture
def nobody_records() -> Iterator[None]:
    """A test that needs first pages of files to be out of memory."""
    yield from _lock(fcntl.LOCK_EX)


def make_entries(n: int, seed: int = 1, id_size: int = 20) -> dict[int, bytes]:
    """n different keys like addresses of inodes, each with an ID that names it."""
    rng = random.Random(seed)
    keys = rng.sample(range(0xFFFF888100000000, 0xFFFF888200000000, 8), n)
    return {key: rng.randbytes(id_size - 8) + key.to_bytes(8, "little") for key in keys}


def make_arrays(entries: dict[int, bytes]) -> tuple[array[int], bytes]:
    """The same for insert_many()."""
    return array("Q", entries), b"".join(entries.values())


def bpf_programs_of(pid: int) -> set[int]:
    """The BPF programs that descriptors of a process hold, by their numbers, those of links included."""
    numbers = set()
    for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
        with suppress(FileNotFoundError):  # closed meanwhile
            text = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()
            numbers |= {int(number) for number in re.findall(r"^prog_id:\s*(\d+)", text, re.MULTILINE)}
    return numbers


def mapped_bytes() -> int:
    """The address space of this process."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def in_child() -> Callable[[Work], None]:
    """Runs something in the child of a fork, and fails if it raises, dies or hangs there."""

    def run(work: Work) -> None:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    return run


@pytest.fixture(scope="session")
def map_query() -> Iterator[MapQuery]:
    """Asks the kernel for the build IDs of mappings."""
    with MapQuery() as query:
        try:
            query.build_id(ctypes.addressof(query.id))
        except OSError as error:
            pytest.skip(f"this kernel has no PROCMAP_QUERY (Linux 6.11): {error}")
        yield query


def run_threads(works: Iterable[Work]) -> None:
    """Runs each in a thread pinned to one of this process's processors in turn; raises the first exception."""
    processors = sorted(os.sched_getaffinity(0))
    errors: list[BaseException] = []

    def run(work: Work, processor: int) -> None:
        try:
            os.sched_setaffinity(0, {processor})
            work()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(work, processors[i % len(processors)])) for i, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
