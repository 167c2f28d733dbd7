# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The process in which ``python -m study bench`` measures: what hangs or dies in it is named, and loses nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from platform import libc_ver
from typing import Any

import pytest

from study import bench
from study.bench import apart

ROOT = Path(__file__).resolve().parent.parent


def hangs(when: str) -> str:
    """The process that measures, with a rwlock that loses what it waits for, as a peer may; and writes who waits."""
    return f"""
import dataclasses, os, pathlib, time
from study._measure import ffi
from study.bench import apart, contenders
from study.bench.watch import watch

@ffi.callback("void(void *)")
def hang(table):
    if {when}:
        if "WAITS" in os.environ:
            pathlib.Path(os.environ["WAITS"]).write_text(f"{{os.getpid()}}\\n")
        time.sleep(1000)

measuring, sound, kept = os.getpid(), contenders._rivals, []

def rivals():
    found = sound()
    kept.append(ffi.new("struct bid_design *", found["rwlock"].functions[0]))
    kept[-1].settle = hang
    found["rwlock"] = dataclasses.replace(found["rwlock"], functions=kept[-1])
    return found

contenders._rivals = rivals
"""


RUN = "apart.child()"
IN_MEASURING = "os.getpid() == measuring"  # and not in the child that measures memory


def until_it_hangs(where: str, patience: float, **options: Any) -> bench.Result:
    """The rwlock hangs, in this step. With more patience where the machine was so busy that another seemed to hang."""
    for times in (1, 5, 25):
        result = bench.run(bench.Options(["rwlock"], [100], seconds=1, patience=times * patience, **options))
        if re.fullmatch(f"100 entries: {where}: rwlock did not come back within \\d+ seconds", result.ended_early):
            return result
    pytest.fail(result.ended_early)


def wait_for(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def ended(pid: int) -> bool:
    """Nobody need have waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_design_that_hangs_is_named_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "CHILD", hangs(IN_MEASURING) + RUN)
    result = until_it_hangs(".*", 1)
    for who in ("ours", "rwlock"):
        assert result.find("bytes an entry, resident", who, 100), "measured before it hung"
    assert result.find("hit", "rwlock", 100) is None


def test_a_hang_after_somebody_was_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is ahead has a price, which is measured last."""
    slower = """
measure = apart.Measurement._sample
def sample(self, what, who, size, value):
    measure(self, what, who, size, value * 1000 if what == "hit" and who == "ours" else value)
apart.Measurement._sample = sample
"""
    monkeypatch.setattr(apart, "CHILD", hangs(f"{IN_MEASURING} and 'updates' in watch.step") + slower + RUN)
    result = until_it_hangs("updates, round 1", 3, rounds=1)
    (found,) = [one for one in result.ahead if one.who == "rwlock"]
    assert found.price == "What its lookups do under interruption was not measured."


def test_a_hang_is_named_even_if_nothing_can_be_made_of_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = """
def result(self, ended_early=""):
    raise ZeroDivisionError("half of the figures")
apart.Measurement.result = result
"""
    monkeypatch.setattr(apart, "CHILD", hangs(IN_MEASURING) + fails + RUN)
    with pytest.raises(bench.BenchError, match=r"rwlock did not come back .* is lost: ZeroDivisionError"):
        until_it_hangs(".*", 2)


def test_no_file_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # so that the variable is looked at again
    make = "import os, tempfile; tempfile.mkdtemp(); os.abort()"
    monkeypatch.setattr(apart, "CHILD", make)
    with pytest.raises(bench.BenchError):
        bench.run(bench.Options(["fixed"], [100]))
    assert not list(tmp_path.iterdir())


def test_a_child_that_hangs_is_not_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one that measures memory."""
    monkeypatch.setenv("WAITS", str(tmp_path / "pid"))
    monkeypatch.setattr(apart, "CHILD", hangs("os.getpid() != measuring") + RUN)
    until_it_hangs("memory", 1)
    child = int((tmp_path / "pid").read_text())
    wait_for(lambda: ended(child), "it still runs")


def test_what_hangs_ends_with_the_one_who_asked(tmp_path: Path) -> None:
    """Killed, so that it cannot end anything itself."""
    code = f"""
from study import bench
from study.bench import apart
apart.CHILD = {hangs(IN_MEASURING) + RUN!r}
bench.run(bench.Options(["rwlock"], [100], seconds=1))
"""
    waits = tmp_path / "pid"
    asking = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "WAITS": str(waits)})
    wait_for(lambda: waits.exists() and waits.read_text().endswith("\n"), "nothing hangs")
    asking.kill()
    asking.wait()
    child = int(waits.read_text())
    wait_for(lambda: ended(child), "it still runs")


def test_compiling_is_nobody_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = """
choose = contenders.choose
def slowly(names):
    time.sleep(4)
    return choose(names)
import sys
sys.modules["study.bench.run"].choose = slowly
"""
    monkeypatch.setattr(apart, "CHILD", hangs("False") + slow + RUN)
    assert bench.run(bench.Options(["fixed"], [100], seconds=0.1, patience=3)).ended_early == ""


#: The process that measures, in which inserts take too long as soon as they are timed.
SLOW = """
from study._measure import lib
from study.bench import apart

def report(self, step):
    lib.timing_slow_ns = 1 if "updates" in step or "grows" in step else 10**12

apart.Measurement.report = report
apart.child()
"""


def test_inserts_that_do_not_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "CHILD", SLOW)
    result = bench.run(bench.Options(["fixed"], [3000], seconds=1, rounds=1))
    assert "at 3,000 entries a measurement was given up, fixed: inserts that do not end" in "; ".join(result.notes)
    assert result.find("hit", "fixed", 3000)
    assert result.find("insert", "fixed", 3000) is None


def test_a_wrong_answer_is_named_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rwlock that forgets a key as soon as dependent hits are asked for."""
    forgets = """
report = apart.Measurement.report
tables = []

def forget(self, step):
    report(self, step)
    if "dependent hit" in step:
        for table, key in tables:
            table.functions.remove(table.table, key)

create = subject.Subject.__init__

def remember(self, contender, mixed, keys, seed, **rest):
    create(self, contender, mixed, keys, seed, **rest)
    if contender.name == "rwlock":
        tables.append((self, keys.present[0]))

subject.Subject.__init__ = remember
apart.Measurement.report = forget
"""
    start = "from study.bench import apart, subject"
    monkeypatch.setattr(apart, "CHILD", start + forgets + RUN)
    result = bench.run(bench.Options(["rwlock"], [100], seconds=1))
    assert result.ended_early == "100 entries: dependent hit, round 1: rwlock: a wrong answer"
    assert f"it ended early: {result.ended_early}" in result.notes
    assert result.find("hit", "rwlock", 100), "measured before"
    assert result.find("dependent hit", "rwlock", 100) is None


def test_the_current_directory_is_not_imported_from(tmp_path: Path) -> None:
    """The package is found where the one who asked has it, installed or not, after everything else."""
    for name in ("statistics.py", "pickle.py", "pybuildid.py"):
        (tmp_path / name).write_text("open('executed', 'w')")
    child = f"import os, sys; from study.bench import apart; os._exit(7 if sys.path[-1] == {str(ROOT)!r} else 8)"
    code = f"""
import sys
sys.path.remove("")
from study import bench
from study.bench import apart
apart.CHILD = {child!r}
bench.run()
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert not (tmp_path / "executed").exists()
    assert "ended with status 7" in run.stderr


def test_everyone_has_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours asks for them by itself; those who have their memory from malloc() get them by the environment."""
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.perturb=0")
    told = """
from study.bench import apart, run
import os
huge = []

def settled(self, what, who, size, value):
    if what == "miss" and who == "rwlock":
        lines = open("/proc/self/smaps_rollup").read().splitlines()
        huge.extend(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))
    sample(self, what, who, size, value)

sample, result = apart.Measurement._sample, apart.Measurement.result

def noted(self, ended_early=""):
    self._note(True, f"{os.environ['GLIBC_TUNABLES']} {max(huge)}")
    return result(self, ended_early)

apart.Measurement._sample, apart.Measurement.result = settled, noted
"""
    monkeypatch.setattr(apart, "CHILD", told + RUN)
    result = bench.run(bench.Options(["rwlock"], [200_000], seconds=1, rounds=1))
    (note,) = (note for note in result.notes if note.startswith("glibc"))
    tunables, kibibytes = note.split()
    assert tunables == "glibc.malloc.hugetlb=1:glibc.malloc.perturb=0"
    if result.machine.huge_pages in ("always", "madvise") and libc_ver()[1] >= "2.35":
        assert int(kibibytes) * 1024 > 200_000 * (32 + 80), "those of ours, and of rwlock"


def test_a_process_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "CHILD", "import os; os.abort()")
    with pytest.raises(bench.BenchError, match="ended with status -6"):
        bench.run(bench.Options(["fixed"], [100]))
