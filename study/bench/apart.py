# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A measurement in a process of its own: there a peer that hangs can be ended, and none is loaded twice.

The child reads the options from its standard input and writes pairs, pickled, to its standard output: ("step", text) as
it goes on, and at the end ("result", Result) or ("error", exception).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, Any

from study.bench import contenders
from study.bench.contenders import ROOT, UnknownDesignError
from study.bench.keys import KeysError
from study.bench.result import Result
from study.bench.run import Measurement, Options, Report
from study.bench.subject import BenchError
from study.bench.watch import watch

CHECKOUT = str(ROOT)
#: What the child does first, for `python -c` would import from the current directory, whosever files are there. Python
#: has -P for that, from 3.11 on.
START = f"import sys; sys.path[:] = [*filter(None, sys.path), {CHECKOUT!r}]\n"
CHILD = "from study.bench import apart; apart.child()"
LOOK_SECONDS = 0.2  # between two looks at the watch
DEFAULTS = Options()


def run(options: Options = DEFAULTS, report: Report = lambda text: None) -> Result:
    """Measures. report is called with a line at each step.

    A contender that gives a wrong answer, or does not come back within options.patience seconds, ends the measurement:
    Result.ended_early says which one it was, and where, and the result has what was measured before. Raises KeysError,
    UnknownDesignError, and BenchError if the process dies.
    """
    with tempfile.TemporaryDirectory(prefix="pybuildid-") as folder:
        return _run(options, report, folder)


def _run(options: Options, report: Report, folder: str) -> Result:
    """The child's own files go with the folder, however it ends."""
    command = [sys.executable, "-c", START + CHILD]
    environment = {**os.environ, "TMPDIR": folder, **_loader(options)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdin
        assert child.stdout
        try:
            with child.stdin as stdin:
                pickle.dump(options, stdin)
            return _listen(child.stdout, report)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):  # at any byte
            raise BenchError(f"the process that measures ended with status {child.wait()}") from None
        finally:
            child.kill()


HUGE_PAGES = "glibc.malloc.hugetlb=1"  # of glibc 2.35 and later: malloc() asks for them, as our table does by itself


def _loader(options: Options) -> dict[str, str]:
    """What the process that measures is to start with, beside what the user has in these variables."""
    preloads = [*contenders.preloads(options.names), *filter(None, [os.environ.get("LD_PRELOAD")])]
    tunables = [HUGE_PAGES, *filter(None, [os.environ.get("GLIBC_TUNABLES")])]
    return {"GLIBC_TUNABLES": ":".join(tunables), **({"LD_PRELOAD": " ".join(preloads)} if preloads else {})}


def _listen(pipe: IO[bytes], report: Report) -> Result:
    while True:
        kind, what = pickle.load(pipe)
        if kind == "error":
            raise what
        if kind == "result":
            assert isinstance(what, Result)
            return what
        report(what)


# ------------------------------------------------------------------------------------------------- the child


class _Answers:
    """Sends answers to the parent, from both threads of the child."""

    def __init__(self) -> None:
        self._pipe = os.fdopen(os.dup(1), "wb")
        self._lock = threading.Lock()
        os.dup2(2, 1)  # what others print must not come between the answers

    def send(self, kind: str, what: Any, *, last: bool = False) -> None:
        """last: the process ends, and leaves behind what hangs in it."""
        with self._lock:
            try:
                pickle.dump((kind, what), self._pipe)
                self._pipe.flush()
            finally:
                if last:
                    os._exit(0)


def _wait_for(measurement: Measurement, answers: _Answers) -> None:
    """Ends the process when something hangs, or the parent is gone. What hangs has let go of the GIL, or this would not
    run."""
    parent = os.getppid()
    while watch.waited() < measurement.options.patience:
        if os.getppid() != parent:
            os._exit(1)
        time.sleep(LOOK_SECONDS)
    _end_early(measurement, watch.complaint(), answers)


def _end_early(measurement: Measurement, why: str, answers: _Answers) -> None:
    kind: str
    what: Any
    try:
        kind, what = "result", measurement.result(why)
    except Exception as error:  # nobody else is left to say why
        kind, what = "error", BenchError(f"{why}; what was measured before is lost: {error!r}")
    answers.send(kind, what, last=True)


def child() -> None:
    answers = _Answers()
    try:
        options: Options = pickle.load(sys.stdin.buffer)
        measurement = Measurement(options, lambda text: answers.send("step", text))
        threading.Thread(target=_wait_for, args=(measurement, answers), daemon=True).start()
        try:
            measurement.measure()
        except BenchError as error:
            _end_early(measurement, f"{watch.step}: {error}", answers)
        answers.send("result", measurement.result(), last=True)
    except (BenchError, KeysError, UnknownDesignError) as error:
        answers.send("error", error, last=True)
