# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A profiled program is the same as alone: its output, its status, and the files that it writes, byte for byte.

The programs in C, and the scripts, are in tests/programs. PYBUILDID_DIFFERENTIAL=control compares each with itself.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from _pytest.mark import ParameterSet
from differential import (
    CONTROL,
    PROGRAMS,
    both_ways,
    build,
    differences,
    place_for_runs,
    profiler,
    redirected,
    require,
    supervised,
)


@dataclass(frozen=True)
class Case:
    """A program and what is right about it alone.

    command: as in sh, with {programs} and {python}. uses: programs of tests/programs that no word of it names.
    status: alone, as a shell has it. may_fail: what it needs of the system, without which it may fail alone.
    tools: that must be installed. root: for root only. options: of the profiler. sampled: there have to be samples.
    before: for bash, what the program inherits also by way of the profiler.
    """

    name: str
    command: str
    status: int = 0
    tools: tuple[str, ...] = ()
    sampled: bool = False
    root: bool = False
    may_fail: str = ""
    options: tuple[str, ...] = ()
    before: str = ":"
    uses: tuple[str, ...] = ()


def script(shell: str, name: str, *tools: str, sampled: bool = True) -> Case:
    return Case(f"{shell} {name}", f"{shell} {{programs}}/{name}", tools=(shell, *tools), sampled=sampled)


SHELLS_AND_TOOLS = [
    script("sh", "redirections.sh"),
    script("bash", "redirections.sh"),
    script("bash", "redirections.bash"),
    script("sh", "make.sh", "make"),
    script("sh", "git.sh", "git", sampled=False),
    script("sh", "archive.sh", "tar", "gzip", "xz"),
    Case("sort", "sh -c 'seq 200000 | sort -rn | tail -2; seq 100000 | sort -R --random-source=/dev/zero | cksum'"),
    Case("timeout", "sh -c 'timeout 0.2 sleep 20; echo $?; timeout -s TRAP 0.2 sleep 20; echo $?'"),
    Case("stdbuf", "sh -c 'stdbuf -o0 seq 3 | cat; env LD_PRELOAD= seq 3; env -i /bin/sh -c set | grep -c .'"),
    Case("python processes", "{python} -IS {programs}/work.py", sampled=True),
    Case("python signals", "{python} -ISu {programs}/signals.py", status=133, sampled=True),
    Case("perl", "perl {programs}/work.pl", status=133, tools=("perl",), sampled=True),
    Case("node", "node {programs}/work.js", status=5, tools=("node",), sampled=True),
]

HOW_IT_WAS_BUILT = [
    Case("go", "sh -c 'work-go; echo $?'", tools=("go",)),
    Case("static", "sh -c 'plain-static; echo $?'"),
    Case("musl", "plain-musl", status=13, sampled=True),
    Case("32 bits", "sh -c 'plain-32; echo $?'"),
    Case("32 bits by all ways", "children foreign plain-32"),
    Case("AddressSanitizer", "plain-asan", status=13, sampled=True),
    Case("ThreadSanitizer", "sh -c 'setarch -R plain-tsan; echo $?'", tools=("setarch",)),
    Case(
        "set-user-ID", "sh -c 'cp $(command -v plain) p && chown 65534 p && chmod 4755 p && ./p'", status=13, root=True
    ),
]

USERS_AND_ROOTS = [
    Case("setpriv", "setpriv --reuid=65534 --clear-groups id", tools=("setpriv",), root=True),
    Case("setpriv runs", "setpriv --reuid=65534 --regid=65534 --clear-groups plain", 13, tools=("setpriv",), root=True),
    Case("keeps a capability", "privileges keep", root=True, sampled=True),
    Case("drops privileges", "privileges drop", root=True, sampled=True),
    Case(
        "unshare -U",
        "unshare -U sh -c 'id -u; grep Cap /proc/self/status; plain'",
        status=13,
        tools=("unshare",),
        may_fail="user namespaces: sysctl kernel.unprivileged_userns_clone=1",
    ),
    Case(
        "unshare -pf",
        "unshare -pf --mount-proc sh -c 'echo $$; plain; ls /proc | grep -c ^[0-9]'",
        tools=("unshare",),
        root=True,
        sampled=True,
        may_fail="PID namespaces",
    ),
    Case("chroot", "sh {programs}/chroot.sh", tools=("chroot", "ldd"), root=True, uses=("plain",)),
    Case("daemon", "daemon", sampled=True),
]

DESCRIPTORS = [
    *[Case(f"descriptors {part}", f"descriptors {part}", sampled=True) for part in ("close", "range", "dup", "loop")],
    Case("descriptors few", "sh -c 'ulimit -n 8; exec descriptors few'"),
    Case("record locks", "locks", sampled=True),
]

STATE_AND_CHILDREN = [
    Case("state", "state", sampled=True),
    Case("state, by timer", "state timer", sampled=True, options=("--timer",)),
    Case("state, no signals may queue", "bash -c 'ulimit -i 0; exec state'"),
    Case("state, no signals may queue, by timer", "bash -c 'ulimit -i 0; exec state timer'", options=("--timer",)),
    Case("children by all ways", "children ways", sampled=True),
    Case("many children", "children many", sampled=True),
    Case("exec in a loop", "children exec 40", status=6, sampled=True),
    Case("many threads", "threads many", sampled=True),
    Case("first thread ended", "threads leaderless", sampled=True),
    *[
        Case(f"frame pointers, {part}", f"frames {part}", options=("--frequency", "4999", "--follow", "5"))
        for part in ("corrupt", "threads", "coroutine", "coroutine-in-thread", "short", "alternate", "compiled")
    ],
    *[
        Case(f"{mib} MiB of {kib} KiB", f"sh -c 'ulimit -v {kib}; exec memory limited {mib}'")
        for mib, kib in ((3, 8000), (3, 12000), (36, 48000))
    ],
    Case(
        "locked memory",
        "setpriv --bounding-set=-ipc_lock sh -c 'ulimit -l 7000; exec memory locked'",
        tools=("setpriv",),
        root=True,
    ),
]

SIGNALS = [
    *[
        Case(f"signals {part}", f"signals {part}", sampled=True)
        for part in ("wait", "descriptor", "handlers", "other-ways", "own-profiler", "handle-exec")
    ],
    *[Case(f"signals {part}", f"signals {part}") for part in ("ignore-exec", "block-exec", "pending-exec")],
    *[Case(f"dies of {number}", f"signals die {number}", 128 + number, sampled=True) for number in (5, 9, 11, 27)],
    Case("dies of a breakpoint", "signals breakpoint", status=133, sampled=True),
    Case("dies of its timer", "signals alarm-clock", status=155, sampled=True),
    Case("dies of SIGPROF, by timer", "signals die 27", 155, sampled=True, options=("--timer",)),
    Case("signals handlers, by timer", "signals handlers", sampled=True, options=("--timer",)),
    Case("signals wait, by timer", "signals wait", sampled=True, options=("--timer",)),
    Case("signals descriptor, by timer", "signals descriptor", sampled=True, options=("--timer",)),
    Case("signals own-profiler, by timer", "signals own-profiler", sampled=True, options=("--timer",)),
    Case("interrupted calls", "eintr", sampled=True),
    Case("interrupted calls, by timer", "eintr", sampled=True, options=("--timer",)),
]

STACKS_AND_SANDBOXES = [
    Case("stacks tiny", "stacks tiny", sampled=True),
    *[Case(f"stacks {part}", f"stacks {part}") for part in ("tight", "busy", "roomy")],
    Case("stacks overflow", "stacks overflow", status=3, sampled=True),
    *[Case(f"stacks {part}", f"stacks {part}", sampled=True) for part in ("threads", "coroutine")],
    *[
        Case(f"sandbox {part}", f"sandbox {part}", may_fail="seccomp", sampled=True)
        for part in ("strict", "filter", "no-handlers")
    ],
    Case("tracer", "tracer", sampled=True),
    Case(
        "gdb",
        'sh -c \'gdb -batch -nx -ex "break burn" -ex run -ex bt -ex delete -ex continue $(command -v plain) 2>&1 '
        "| grep -v -i -e process -e warning -e thread'",
        tools=("gdb",),
        may_fail="ptrace",
    ),
    Case("valgrind", "sh -c 'valgrind -q plain; echo $?'", tools=("valgrind",)),
    Case("strace", "sh -c 'strace -qq -o log -e trace=none -e signal=none plain; echo $?'", tools=("strace",)),
]

INHERITED = [
    Case("inherited descriptors", "sh -c 'cat <&3; cat <&9; echo five >&5'", before="exec 3<<<abc 5>five 9<<<def"),
    Case("inherited limits", "state again", before="ulimit -Sn 99; ulimit -Sc 0; ulimit -s 4096; umask 027"),
    Case("inherited priority", "state again", before="renice -n 5 $$ >/dev/null; chrt -b -p 0 $$"),
    Case("inherited signals ignored", "state again", before="trap '' INT QUIT HUP TERM USR1 TRAP PROF"),
    Case("inherited SIGCHLD ignored", "sh -c 'grep SigIgn /proc/self/status; exit 3'", 3, before="trap '' CHLD"),
    Case("inherited SIGPIPE ignored", "sh -c 'grep SigIgn /proc/self/status'", before="trap '' PIPE"),
]

CASES = [
    *SHELLS_AND_TOOLS,
    *HOW_IT_WAS_BUILT,
    *USERS_AND_ROOTS,
    *DESCRIPTORS,
    *STATE_AND_CHILDREN,
    *SIGNALS,
    *STACKS_AND_SANDBOXES,
    *INHERITED,
]

#: The cases that are not the same, and why. One that is the same fails, and leaves this list.
DIFFERS = {
    "inherited SIGPIPE ignored": "Python takes SIGPIPE when it starts, and does not know any more how it found it",
}


def marked(value: object, name: str) -> ParameterSet:
    known = name in DIFFERS and not CONTROL
    marks = [pytest.mark.xfail(reason=DIFFERS[name], strict=True)] if known else []
    return pytest.param(value, id=name, marks=marks)


@pytest.fixture(scope="session")
def binaries() -> Iterator[Path]:
    """A folder for compiled programs that other users can reach."""
    with TemporaryDirectory(prefix="differential-bin-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("case", [marked(case, case.name) for case in CASES])
def test_the_same_as_alone(case: Case, binaries: Path) -> None:
    if case.root and os.geteuid() != 0:
        pytest.skip("root only: run the tests as root")
    require(case.tools)
    command = [word.format(programs=PROGRAMS, python=sys.executable) for word in shlex.split(case.command)]
    build([*command, *case.uses], binaries)
    alone, profiled = both_ways(command, binaries, case.options, case.before)
    if alone.status != case.status and case.may_fail:
        pytest.skip(f"alone it fails here: {alone.files['stderr'].decode(errors='replace')}; it needs {case.may_fail}")
    assert (alone.status, alone.killed) == (case.status, []), alone
    found = differences(alone, profiled)
    if found:
        pytest.fail(found, pytrace=False)
    if case.sampled and not CONTROL:
        assert profiled.samples > 0, profiled.report


PARTS = ("closerange", "dup2", "children", "become", "signals", "another-user", "few-descriptors")


@pytest.mark.parametrize("part", [marked(part, part) for part in PARTS])
def test_a_part_of_a_python_program(part: str, binaries: Path) -> None:
    """Under Profile(), which works in the process itself."""
    if part == "another-user" and os.geteuid() != 0:
        pytest.skip("root only: run the tests as root")
    command = [sys.executable, "-I", str(PROGRAMS / "inside.py"), part]
    with place_for_runs() as place:
        alone = supervised(redirected([*command, "alone"]), place, binaries)
        profiled = supervised(redirected([*command, "alone" if CONTROL else "profiled"]), place, binaries)
    assert (alone.status, alone.killed) == (0, []), alone.files["stderr"].decode()
    found = differences(alone, profiled)
    if found:
        pytest.fail(found, pytrace=False)


def test_what_does_not_end_is_killed(binaries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that it started: also a daemon in a session of its own that ignores what it is asked."""
    monkeypatch.setattr("differential.LIMIT", 1.0)
    line = "trap '' TERM HUP; (setsid sleep 600.25 &) ; sleep 600.25; :"
    with place_for_runs() as place:
        run = supervised(redirected(["sh", "-c", line]), place, binaries)
    assert run.status is None
    assert sum("sleep 600.25" in process for process in run.killed) >= 2
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if "600.25" in _read(path)]
    assert "did not end" in differences(run, run)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # ended meanwhile
        return ""


def test_the_profiler_is_killed(binaries: Path) -> None:
    """What it profiled goes on, and so do the programs that are started afterwards."""
    build(["children", "descriptors"], binaries)
    kill = "if grep -zqx profile /proc/$PPID/cmdline; then kill -9 $PPID; fi"
    tidy = '${PYBUILDID_PROFILE:+rm -f "$PYBUILDID_PROFILE"}'  # nobody else is left who would
    work = f"sh {PROGRAMS}/make.sh; children ways; children many; descriptors close; echo $?"
    command = ["sh", "-c", f"{kill}; {work}; {tidy}"]
    with place_for_runs() as place:
        alone = supervised(redirected(command), place, binaries)
        under = [] if CONTROL else profiler(place / "profile.pb.gz")
        profiled = supervised([*under, *redirected(command)], place, binaries)
    assert (alone.status, profiled.status) == (0, 0 if CONTROL else 128 + signal.SIGKILL)
    profiled.status = alone.status
    found = differences(alone, profiled)
    if found:
        pytest.fail(found, pytrace=False)
