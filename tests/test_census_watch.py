# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`pybuildid census --watch`: what it shows, that it ends when it is told to, and that nothing is left of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import bpf_programs_of
from terminal import Terminal

from pybuildid._iterators import IteratorError, Iterators
from pybuildid.census import fleet
from pybuildid.cli import main

pytestmark = pytest.mark.usefixtures("records")  # it reads the first page of every file, as a recording does

COMMAND = [sys.executable, "-m", "pybuildid", "census"]
LONGEST = 60  #: seconds that a test waits for a line


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "--watch", "0.2", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_lines(process: subprocess.Popen[str], number: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline() for _ in range(number)]


def told_to_end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """The rest of what it prints."""
    assert process.stdout
    assert process.stderr
    process.send_signal(number)
    rest = process.stdout.read()
    assert process.wait(LONGEST) == 0, process.stderr.read()
    return rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_line_each_time_until_it_is_told_to_end(number: signal.Signals) -> None:
    with watching() as process:
        lines = first_lines(process, 3)
        rest = told_to_end(process, number)
    for line in [*lines, *rest.splitlines()]:
        assert re.match(r"\d\d:\d\d:\d\d [\d,]+ tasks, .*, [\d,]+ ELF, [\d,]+ with a build ID$", line)


def test_it_ends_in_the_midst_of_a_census() -> None:
    """That by /proc takes a while: it is not waited for."""
    with watching("--method", "proc") as process:
        first_lines(process, 1)
        told_to_end(process)


def test_json_comes_as_it_is_counted(tmp_path: Path) -> None:
    """To standard output, which has nothing else then, each when it is taken; and whole to a file."""
    with watching("--json", "-") as process:
        lines = first_lines(process, 3)
        rows = json.loads("".join(lines) + told_to_end(process))
    assert len(rows) >= len(lines) - 1  # the first line is that of the bracket
    assert all(fleet.from_row(row) for row in rows)
    file = tmp_path / "rows.json"
    with watching("--json", str(file)) as process:
        first_lines(process, 2)
        told_to_end(process)
    assert len(list(fleet.read(file))) >= 2


def test_whoever_reads_may_go() -> None:
    with watching() as process:
        first_lines(process, 1)
        assert process.stdout
        process.stdout.close()
        assert process.wait(timeout=LONGEST) == 141
        assert process.stderr
        assert "Traceback" not in process.stderr.read()


def test_a_terminal_has_a_table_that_is_refreshed() -> None:
    with Terminal("census", "--watch", "0.2") as terminal:
        terminal.read_until(b"change", times=3)
        terminal.press(b"\x03")  # Ctrl-C
        shown = terminal.read_to_end()
    assert terminal.status == 0
    assert b"tasks (threads of all processes)" in terminal.output
    assert shown.endswith(b"\x1b[?25h")  # the cursor is there again


def test_what_does_not_go_together(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    result = CliRunner().invoke(main, ["census", "--watch", "1", "--merge", str(file)])
    assert result.exit_code == 2
    assert "--watch counts this system" in result.output
    assert CliRunner().invoke(main, ["census", "--watch", "0"]).exit_code == 2


# --------------------------------------------------------------------------------------- nothing is left behind


def exists(program: int) -> bool:
    found = subprocess.run(["bpftool", "prog", "show", "id", str(program)], capture_output=True, text=True)
    return found.returncode == 0


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_its_programs_are_gone_however_it_ends(number: signal.Signals) -> None:
    try:
        Iterators().close()
    except IteratorError as error:
        pytest.skip(str(error))
    try:
        exists(1)
    except FileNotFoundError:
        pytest.skip("bpftool is not on PATH (Debian: apt-get install bpftool)")
    with watching() as process:
        first_lines(process, 1)
        own = bpf_programs_of(process.pid)
        assert len(own) == 3
        assert all(map(exists, own))
        process.send_signal(number)
        process.wait(LONGEST)
    wait_for(lambda: not any(map(exists, own)))


WAITS = """
import signal
from pybuildid.cli._signals import Ending
over = Ending()
signal.signal(signal.SIGPROF, lambda number, frame: over.set())
signal.setitimer(signal.ITIMER_PROF, 0.0003, 0.0003)
for _ in range(30000):
    over.wait(0.00001)
    over.__init__()
signal.setitimer(signal.ITIMER_PROF, 0)
"""


def test_a_signal_ends_a_wait_that_it_interrupts() -> None:
    """At whatever moment. threading.Event hangs now and then: its set() waits for the wait() that it interrupted."""
    subprocess.run([sys.executable, "-c", WAITS], check=True, timeout=LONGEST)
