# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What could not be profiled, or not any more, is said, with its reason; and what a profiler leaves behind."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from profiled import BURNS, LIMIT, Compile, need, need_root, profiled, reasons

from pybuildid.profile import ProfileError, profile_command
from pybuildid.profile._observer import CLEARED, TRACED, USER
from pybuildid.profile._program import GO, OTHER, RIGHTS, STATIC, find_program, why_not_profiled

# ----------------------------------------------------------------------------------------- other programs


def test_a_static_program_in_a_shell(compiled: Compile) -> None:
    program = compiled(BURNS % 500, "-static")
    result, code = profile_command(["sh", "-c", f"{program}; exit 3"])
    assert code == 3
    assert result.processes == 1
    static = [each for each in result.unwatched if each.reason == STATIC]
    assert [each.example for each in static] == [str(program)]
    assert 0.2 < static[0].seconds < 5


def test_a_program_with_another_environment(compiled: Compile) -> None:
    for change in ("-i", "LD_PRELOAD=/no/library"):
        result, _ = profile_command(["env", change, compiled(BURNS % 500)])
        assert reasons(result) == {CLEARED}


def test_a_program_that_is_traced(compiled: Compile, tmp_path: Path) -> None:
    """The samples' signals would be the tracer's."""
    need("strace", "strace")
    program = compiled(BURNS % 200)
    result, code = profile_command(["strace", "-f", "-o", str(tmp_path / "trace"), program])
    if "ptrace" in (tmp_path / "trace").read_text():
        pytest.skip("strace may not trace here: ptrace() is not allowed")
    assert code == 0
    assert TRACED in reasons(result)
    assert "si_signo=SIGTRAP" not in (tmp_path / "trace").read_text()


def test_a_block_under_a_tracer(tmp_path: Path) -> None:
    need("strace", "strace")
    command = [sys.executable, "-c", "from pybuildid import Profile\nwith Profile(): pass"]
    run = subprocess.run(["strace", "-f", "-o", tmp_path / "trace", *command], capture_output=True, text=True)
    assert "traced by another program" in run.stderr


def test_another_user(compiled: Compile) -> None:
    """The recording is not his: that is what the report says."""
    need_root()
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        program = shutil.copy(compiled(BURNS % 500), name)
        result, code = profile_command(["setpriv", "--reuid=65534", "--clear-groups", program])
    assert code == 0
    assert [each for each in result.unwatched if each.reason == USER and each.seconds > 0.2]


def test_an_emulator(compiled: Compile, tmp_path: Path) -> None:
    need("valgrind", "valgrind")
    program = compiled(BURNS % 100)
    result, code = profile_command(["valgrind", "-q", program])
    assert code == 0
    assert any("emulator" in reason for reason in reasons(result))


def test_a_limited_address_space(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(BURNS % 200)
    result, code = profile_command(["sh", "-c", f"ulimit -v 20000; exec {program}"])
    assert code == 0
    assert any("ulimit -v" in reason for reason in reasons(result))


@pytest.mark.parametrize("kind", ["static", "32 bits", "set-user-ID", "script"])
def test_refused_before_it_starts(compiled: Compile, tmp_path: Path, kind: str) -> None:
    ran, flags, reason = tmp_path / "ran", ["-static"], STATIC
    if kind == "32 bits":
        flags, reason = ["-m32", "-isystem/usr/include/x86_64-linux-gnu"], OTHER
        if subprocess.run(["cc", "-m32", "-xc", "-", "-o", "/dev/null"], input=b"int main(){}", stderr=-3).returncode:
            pytest.skip("no gcc -m32: apt-get install libc6-dev-i386 lib32gcc-12-dev")
    if kind == "set-user-ID":
        need_root()
        flags, reason = [], RIGHTS
    program = compiled(f'#include <fcntl.h>\nint main(void){{return creat("{ran}", 0600) < 0;}}', *flags)
    if kind == "set-user-ID":
        os.chown(program, 65534, -1)
        program.chmod(0o4755)
    if kind == "script":
        script = tmp_path / "script"
        script.write_text(f"#! {program} -x\n")
        script.chmod(0o755)
        program = script
    run = profiled(program, cwd=tmp_path)
    assert run.returncode == 1
    assert reason in run.stderr.replace("\n", " ")
    assert not ran.exists()
    with pytest.raises(ProfileError, match="was not started"):
        profile_command([program])


def test_go_is_refused_before_it_starts(tmp_path: Path) -> None:
    need("go", "golang-go")
    program = find_program("go", os.environ)
    assert program
    assert why_not_profiled(program) == GO
    run = profiled("go", "version", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert "written in Go" in run.stderr


def test_a_command_is_a_list_of_arguments(compiled: Compile) -> None:
    """A string would be taken for the name of a program, of which nothing says whether it can be profiled."""
    program = str(compiled("int main(void) { return 3; }", "-static"))
    for command in (program, os.fsencode(program), None, 5):
        with pytest.raises(TypeError, match="a command is a list of arguments"):
            profile_command(command)  # type: ignore[arg-type]
    for name in (program, os.fsencode(program), Path(program)):
        with pytest.raises(ProfileError, match=re.escape(f"it is {STATIC}")):
            profile_command([name])  # type: ignore[list-item]


def test_a_script_without_a_first_line(tmp_path: Path) -> None:
    """The kernel does not know what it is; execvp() and every shell give it to sh."""
    script = tmp_path / "script"
    script.write_text('echo "$0 $1 $#"\nexit 4\n')
    script.chmod(0o755)
    alone = subprocess.run(["env", script, "a b", "c"], capture_output=True, text=True)
    under = profiled(script, "a b", "c", cwd=tmp_path)
    assert (under.returncode, under.stdout) == (alone.returncode, alone.stdout) == (4, f"{script} a b 2\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_ends_the_profiler_ends_the_command(tmp_path: Path, number: signal.Signals) -> None:
    """Which gets the signal, and has the time that it takes; the profile is written."""
    name = number.name[3:]
    script = f"trap 'echo got {name}; exit 7' {name}; echo $PYBUILDID_PROFILE; while :; do :; done"
    command = [sys.executable, "-m", "pybuildid", "profile", "--", "sh", "-c", script]
    before = signal.signal(number, signal.SIG_DFL)  # nohup ignores it, and a shell cannot trap what it found ignored
    try:
        pipe = subprocess.PIPE
        run = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, start_new_session=True)
    finally:
        signal.signal(number, before)
    with run:
        try:
            assert run.stdout
            recording = Path(run.stdout.readline().strip())
            assert recording.exists()
            time.sleep(0.3)
            run.send_signal(number)
            output, report = run.communicate(timeout=LIMIT)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)  # the command as well: it would go on for ever
    assert (run.returncode, output) == (7, f"got {name}\n"), report
    assert (tmp_path / "profile.pb.gz").exists()
    assert not recording.exists()


def test_what_a_killed_profiler_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """Not what a profiler that is running has, however old."""
    command = [sys.executable, "-m", "pybuildid", "profile", "--", "sh", "-c", "echo $PYBUILDID_PROFILE; exec cat"]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        runs = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=-3, text=True, cwd=tmp_path))
            for _ in range(2)
        ]
        files = [Path(run.stdout.readline().strip()) for run in runs if run.stdout]
        runs[0].kill()
        runs[0].wait(LIMIT)
        for file in files:
            os.utime(file, (time.time() - 3600,) * 2)
        profiled("true", cwd=tmp_path)
        assert [file.exists() for file in files] == [False, True]
        for run in runs:
            run.communicate(timeout=LIMIT)  # cat ends with its input
    assert not files[1].exists()


LEAVES = {
    "ignores": ("", "signal(SIGTRAP, SIG_IGN); signal(SIGPROF, SIG_IGN);", "ignoring"),
    "signalfd": (
        "",
        "sigset_t s; sigemptyset(&s); sigaddset(&s, SIGTRAP); sigaddset(&s, SIGPROF); signalfd(-1, &s, 0);",
        "(signalfd)",
    ),
    "traced": ("if (fork()) { wait(0); return 0; }", "ptrace(PTRACE_TRACEME, 0, 0, 0);", TRACED),
    "filter": (
        "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);",
        "struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);"
        "struct sock_fprog program = {1, &all}; prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);",
        "(a seccomp filter)",
    ),
}


@pytest.mark.parametrize("what", LEAVES)
@pytest.mark.parametrize("timer", [False, True])
def test_no_samples_where_they_would_spoil_something(compiled: Compile, what: str, timer: bool) -> None:
    """And the report says so. What was sampled until then is kept."""
    first, then, reason = LEAVES[what]
    includes = ("signal", "sys/signalfd", "sys/ptrace", "sys/prctl", "sys/wait", "unistd", "time")
    source = "".join(f"#include <{name}.h>\n" for name in (*includes, "linux/filter", "linux/seccomp"))
    work = "for (clock_t end = clock() + CLOCKS_PER_SEC / 5; clock() < end;) %s();"
    functions = "".join(
        f"__attribute__((noinline)) void {name}(void) {{ for (volatile int i = 0; i < 100000; i++); }}\n"
        for name in ("before", "after")
    )
    body = f"int main(void) {{ {first} {work % 'before'} {then} {work % 'after'} return 0; }}"
    program = compiled(source + functions + body)
    result, code = profile_command([program], timer=timer)
    assert code == 0
    assert any(reason in each for each in reasons(result))
    at = {
        name: int(address, 16)
        for address, name in re.findall(
            r"(\w+) T (before|after)\n", subprocess.check_output(["nm", program], text=True)
        )
    }
    sampled = [sample.address for sample in result.counts if sample.build_id]
    size = abs(at["after"] - at["before"])
    assert any(at["before"] <= address < at["before"] + size for address in sampled)
    assert not any(at["after"] <= address < at["after"] + size for address in sampled)


def test_programs_are_found_as_exec_finds_them(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
    (tmp_path / "first" / "tool").mkdir()
    (tmp_path / "second" / "tool").write_text("no program")
    (tmp_path / "third" / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "third" / "tool").chmod(0o755)
    path = os.pathsep.join(str(tmp_path / name) for name in ("none", "first", "second", "third"))
    assert find_program("tool", {"PATH": path}) == str(tmp_path / "third" / "tool")
    assert find_program(tmp_path / "second" / "tool", {}) is None


# ---------------------------------------------------------------------------------------- what is lost is said


def test_no_queued_signal_is_allowed(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(BURNS % 200)

    def limited(*options: str) -> subprocess.CompletedProcess[str]:
        run = [sys.executable, "-m", "pybuildid", "profile", *options, "--", str(program)]
        limit = lambda: resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0))  # noqa: E731
        return subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, timeout=LIMIT, preexec_fn=limit)

    run = limited("--timer")
    assert run.returncode == 0
    assert "EAGAIN" in run.stderr
    assert "ulimit -i" in run.stderr
    assert "too little" not in run.stderr


SHORT = """
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>
static void *run(void *argument)
{
    struct timespec now;
    do {
        for (volatile int i = 0; i < 10000; i++);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while (now.tv_nsec < 1800000 && !now.tv_sec);
    return argument;
}
int main(void)
{
    pthread_t thread;
    for (int i = 0; i < 600; i++)
        if (pthread_create(&thread, NULL, run, NULL) || pthread_join(thread, NULL))
            return 1;
    return 0;
}
"""


def test_threads_too_short_for_a_sample(compiled: Compile, tmp_path: Path) -> None:
    """Each thread has perf events of its own, and ends before they count up to a period."""
    program = compiled(SHORT, "-pthread")
    said = "Threads and processes that end within their first period have none"
    run = profiled(program, cwd=tmp_path, options=("--frequency", "400"))
    if "by perf events" not in run.stderr:
        pytest.skip("no perf events here: sysctl kernel.perf_event_paranoid=2 allows them")
    assert said in " ".join(run.stderr.split())
    run = profiled(program, cwd=tmp_path, options=("--frequency", "400", "--timer"))
    assert said not in " ".join(run.stderr.split())
    assert re.search(r"^\d\d+ samples in", run.stderr, re.MULTILINE), run.stderr


def test_a_run_without_samples_leaves_the_last_profile(tmp_path: Path) -> None:
    (tmp_path / "profile.pb.gz").write_bytes(b"the last one")
    run = profiled("true", cwd=tmp_path)
    assert run.returncode == 0
    assert "too little" in run.stderr
    assert (tmp_path / "profile.pb.gz").read_bytes() == b"the last one"


def test_each_file_is_written_down_once(compiled: Compile) -> None:
    loop = compiled(BURNS % 200)
    script = f"i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done; {loop}"
    result, _ = profile_command(["sh", "-c", script])
    assert result.processes >= 102
    paths = [(module.path, module.offset) for module in result.modules]
    assert len(set(paths)) == len(paths)
    assert result.modules_lost == result.views_lost == 0
    named = sum(sample.count for sample in result.counts if (module := result.module_of(sample)) and module.path)
    assert named == result.samples - result.by_reason["no mapping"] - result.by_reason["no file"]


def test_a_profiler_that_was_killed_leaves_nothing_to_wait_for(compiled: Compile, tmp_path: Path) -> None:
    """The command goes on, and what it starts does not wait for an answer again and again."""
    need("bash", "bash")
    script = "kill -9 $PPID; for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done; echo done >out"
    run = profiled("bash", "-c", script, cwd=tmp_path)
    assert run.returncode == -9
    until = LIMIT
    while not (tmp_path / "out").exists() and until:
        subprocess.run(["sleep", "0.5"])
        until -= 1
    assert (tmp_path / "out").exists()
