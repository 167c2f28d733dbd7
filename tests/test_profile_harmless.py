# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What is profiled behaves as it does alone (G12), and what could not be profiled is said, with its reason."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from pybuildid._observer import CLEARED, TRACED, USER
from pybuildid._program import GO, OTHER, RIGHTS, STATIC, find_program, why_not_profiled
from pybuildid.profile import Profile, ProfileError, ProfileResult, profile_command

LIMIT = 60  #: seconds for a command that takes a few
LOOP = (
    "#include <time.h>\nint main(void){static volatile unsigned n;"
    "while(clock()<CLOCKS_PER_SEC/%d)for(int i=0;i<100000;i++)n++;return 0;}"
)
Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    def compile_source(source: str, *flags: str, name: str = "program", cc: str = "cc") -> Path:
        command = [cc, "-O1", "-w", "-D_GNU_SOURCE", "-xc", "-", "-o", str(tmp_path / name), *flags]
        subprocess.run(command, input=source, text=True, check=True)
        return tmp_path / name

    return compile_source


def profiled(*command: object, cwd: Path, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "pybuildid", "profile", *options, "--", *map(str, command)]
    return subprocess.run(run, capture_output=True, text=True, cwd=cwd, timeout=LIMIT)


def same_as_alone(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Output and exit status; what the profiler says is on standard error."""
    alone = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, timeout=LIMIT)
    under = profiled(*command, cwd=cwd)
    status = alone.returncode if alone.returncode >= 0 else 128 - alone.returncode
    assert (under.stdout, under.returncode) == (alone.stdout, status), under.stderr
    assert alone.stderr in under.stderr
    return under


def need(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}: apt-get install {package}")


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may do that")


def reasons(result: ProfileResult) -> set[str]:
    return {each.reason for each in result.unwatched}


# -------------------------------------------------------------------------------------- descriptors, output


def test_the_scripts_own_descriptor_3(tmp_path: Path) -> None:
    script = r"""
    printf 'alpha\nbravo\ncharlie\n' >list
    exec 3<list; sleep 0.3
    while read -r line <&3; do echo "got: $line"; done
    exec 3>log; echo one >&3; ( echo two >&3 ) || echo "a subshell could not"
    cat log
    """
    assert "got: alpha" in same_as_alone("sh", "-c", script, cwd=tmp_path).stdout


def test_a_here_document_on_descriptor_3(tmp_path: Path) -> None:
    need("bash", "bash")
    same_as_alone("bash", "-c", "exec 3<<<abc 4>o; cat <&3 >&4; exec 4>&-; cat o", cwd=tmp_path)


def test_standard_output_is_the_commands(tmp_path: Path) -> None:
    run = same_as_alone("seq", "3", cwd=tmp_path)
    assert run.stdout == "1\n2\n3\n"
    assert "samples" in run.stderr


def test_the_report_in_a_file(tmp_path: Path) -> None:
    run = profiled("sh", "-c", "echo err >&2", cwd=tmp_path, options=["--report", "report"])
    assert run.stderr == "err\n"
    assert "samples" in (tmp_path / "report").read_text()


CLOSE_ALL = r"""
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    int p[2];
    char bytes[32] = {0};
    for (int i = 3; i < 256; i++)
        close(i);
    pipe(p);
    write(p[1], "0123456789ABCDEF", 16);
    usleep(300000);
    printf("%d %d: %zd %s\n", p[0], p[1], read(p[0], bytes, 16), bytes);
    fflush(stdout);
    if (fork() == 0)
        _exit(write(p[1], "x", 1) != 1);
    int status;
    wait(&status);
    return status != 0;
}
"""


def test_a_program_that_closes_everything(compiled: Compile, tmp_path: Path) -> None:
    same_as_alone(compiled(CLOSE_ALL), cwd=tmp_path)


def test_a_daemon_that_closes_everything_is_sampled_on(compiled: Compile) -> None:
    source = LOOP.replace("{static", "{for(int i=3;i<1024;i++)close(i);static") % 2
    result, code = profile_command([compiled(source)])
    assert code == 0
    assert result.samples > 100


COUNTS = r"""
#include <dirent.h>
#include <stdio.h>
#include <string.h>
static int count(const char *path)
{
    int n = 0;
    DIR *folder = opendir(path);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}
int main(void)
{
    char line[256];
    printf("%d descriptors, %d threads\n", count("/proc/self/fd"), count("/proc/self/task"));
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "SigBlk", 6) || !strncmp(line, "SigIgn", 6) || !strncmp(line, "Cap", 3))
            fputs(line, stdout);
    return 0;
}
"""


def test_nothing_is_open_and_no_thread_is_there(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(COUNTS)
    same_as_alone(program, cwd=tmp_path)
    same_as_alone("sh", "-c", f"({program}); {program}", cwd=tmp_path)


def test_descriptors_and_ignored_signals_are_inherited(tmp_path: Path) -> None:
    """Also SIGCHLD, with which a profiler that inherits it as well could not learn how the command ended."""
    (tmp_path / "file").write_text("from 5\n")
    script = f"trap '' CHLD USR1; exec 5<file; {{}} {sys.executable} -c '{{}}'; echo $?"
    show = "import os, signal; print(os.read(5, 99), signal.getsignal(signal.SIGCHLD)); raise SystemExit(3)"
    for shown in ("", f"{sys.executable} -m pybuildid profile --"):
        command = ["bash", "-c", script.format(shown, show.replace("'", '"'))]
        need("bash", "bash")
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=LIMIT)
        assert run.stdout == "b'from 5\\n' 1\n3\n", run.stderr


# --------------------------------------------------------------------------------- users, namespaces, roots

KEEP = r"""
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    data[0].effective = data[0].permitted = 1u << CAP_SETGID;
    prctl(PR_SET_KEEPCAPS, 1);
    if (setresuid(65534, 65534, 65534) || syscall(SYS_capset, &head, data) || setgroups(0, NULL))
        return perror("failed"), 1;
    return printf("user %d\n", (int)getuid()) < 0;
}
"""


def test_a_change_of_user_that_keeps_a_capability(compiled: Compile, tmp_path: Path) -> None:
    need_root()
    same_as_alone(compiled(KEEP), cwd=tmp_path)
    same_as_alone("setpriv", "--reuid=65534", "--clear-groups", "id", "-u", cwd=tmp_path)


def test_a_user_namespace(tmp_path: Path) -> None:
    alone = subprocess.run(["unshare", "-U", "true"], capture_output=True)
    if alone.returncode:
        pytest.skip("no user namespaces here: sysctl user.max_user_namespaces")
    same_as_alone("unshare", "-U", "id", "-u", cwd=tmp_path)


def test_a_pid_namespace(compiled: Compile, tmp_path: Path) -> None:
    need_root()
    loop = compiled(LOOP % 2)
    result, code = profile_command(["unshare", "-pf", "--mount-proc", loop])
    assert code == 0
    assert result.samples > 100, result.unwatched


def test_another_root(tmp_path: Path) -> None:
    """The library is not to be found there, and the loader does not say so on the program's standard error."""
    need_root()
    need("ldd", "libc-bin")
    for name in ("bin", "lib", "lib64"):
        (tmp_path / "root" / name).mkdir(parents=True)
    found = subprocess.run(["ldd", shutil.which("ls") or "ls"], capture_output=True, text=True).stdout
    for word in found.split():
        if word.startswith("/"):
            target = tmp_path / "root" / word[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, target)
    shutil.copy(shutil.which("ls") or "ls", tmp_path / "root" / "bin" / "ls")
    run = same_as_alone("chroot", tmp_path / "root", "/bin/ls", "/", cwd=tmp_path)
    assert run.stdout.split() == sorted(os.listdir(tmp_path / "root"))
    assert "ld.so" not in run.stderr


def test_another_user(compiled: Compile, tmp_path: Path) -> None:
    """The recording is not his: that is what the report says."""
    need_root()
    loop = compiled(LOOP % 2)
    shared = Path(shutil.copy(loop, "/tmp/pybuildid-test-loop"))
    try:
        result, code = profile_command(["setpriv", "--reuid=65534", "--clear-groups", shared])
    finally:
        shared.unlink()
    assert code == 0
    assert [each for each in result.unwatched if each.reason == USER and each.seconds > 0.2]


# ----------------------------------------------------------------------------------------- other programs


def test_a_program_of_musl(compiled: Compile, tmp_path: Path) -> None:
    need("musl-gcc", "musl-tools")
    program = compiled(LOOP % 2, cc="musl-gcc")
    same_as_alone("sh", "-c", str(program), cwd=tmp_path)
    result, code = profile_command([program])
    assert code == 0
    assert result.samples > 100
    assert {result.modules[sample.module].path for sample in result.counts if sample.module is not None} >= {
        str(program)
    }


def test_a_static_program_in_a_shell(compiled: Compile) -> None:
    program = compiled(LOOP % 2, "-static")
    result, code = profile_command(["sh", "-c", f"{program}; exit 3"])
    assert code == 3
    assert result.processes == 1
    static = [each for each in result.unwatched if each.reason == STATIC]
    assert [each.example for each in static] == [str(program)]
    assert 0.2 < static[0].seconds < 5


def test_a_program_with_another_environment(compiled: Compile) -> None:
    result, _ = profile_command(["env", "-i", compiled(LOOP % 2)])
    assert CLEARED in reasons(result)


def test_a_program_that_is_traced(compiled: Compile, tmp_path: Path) -> None:
    """The samples' signals would be the tracer's."""
    need("strace", "strace")
    program = compiled(LOOP % 5)
    result, code = profile_command(["strace", "-f", "-o", str(tmp_path / "trace"), program])
    if "ptrace" in (tmp_path / "trace").read_text():
        pytest.skip("strace may not trace here: ptrace() is not allowed")
    assert code == 0
    assert TRACED in reasons(result)
    assert "si_signo=SIGTRAP" not in (tmp_path / "trace").read_text()


def test_an_emulator(compiled: Compile, tmp_path: Path) -> None:
    need("valgrind", "valgrind")
    program = compiled(LOOP % 10)
    result, code = profile_command(["valgrind", "-q", program])
    assert code == 0
    assert any("emulator" in reason for reason in reasons(result))


def test_a_limited_address_space(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(LOOP % 5)
    result, code = profile_command(["sh", "-c", f"ulimit -v 20000; exec {program}"])
    assert code == 0
    assert any("ulimit -v" in reason for reason in reasons(result))


def test_address_sanitizer(compiled: Compile, tmp_path: Path) -> None:
    check = subprocess.run(["cc", "-fsanitize=address", "-xc", "-", "-o", tmp_path / "no"], input=b"int main(){}")
    if check.returncode:
        pytest.skip("no AddressSanitizer: apt-get install gcc")
    program = compiled(LOOP % 5, "-fsanitize=address")
    result, code = profile_command([program])
    assert code == 0
    assert result.samples > 50


SYSTEM_V = r"""
#include <signal.h>
#include <stdio.h>
#include <time.h>
static int got;
static void on_signal(int signal) { got++; }
static void show(const char *what)
{
    struct sigaction now;
    sigaction(SIGTRAP, 0, &now);
    const char *name = now.sa_handler == SIG_DFL ? "default" : now.sa_handler == SIG_IGN ? "ignored" : "own";
    printf("%s: %s %x, %d\n", what, name, now.sa_flags, got);
}
int main(void)
{
    static volatile unsigned n;
    sigset(SIGTRAP, on_signal);
    for (int i = 0; i < 100000000; i++)
        n++;
    raise(SIGTRAP);
    show("sigset");
    siginterrupt(SIGTRAP, 1);
    show("siginterrupt");
    printf("hold: %d", sigset(SIGTRAP, SIG_HOLD) == on_signal);
    printf(" %d\n", sigset(SIGTRAP, on_signal) == SIG_HOLD);
    sysv_signal(SIGTRAP, on_signal);
    raise(SIGTRAP);
    show("once");
    sigignore(SIGTRAP);
    raise(SIGTRAP);
    show("sigignore");
    return 0;
}
"""


def test_other_ways_to_set_an_action(compiled: Compile, tmp_path: Path) -> None:
    same_as_alone(compiled(SYSTEM_V), cwd=tmp_path)


@pytest.mark.parametrize("kind", ["static", "32 bits", "set-user-ID", "script"])
def test_refused_before_it_starts(compiled: Compile, tmp_path: Path, kind: str) -> None:
    ran, flags, reason = tmp_path / "ran", ["-static"], STATIC
    if kind == "32 bits":
        flags, reason = ["-m32"], OTHER
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
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as run:
        try:
            assert run.stdout
            recording = Path(run.stdout.readline().strip())
            assert recording.exists()
            time.sleep(0.3)
            run.send_signal(number)
            output, report = run.communicate(timeout=LIMIT)
        finally:
            run.kill()
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


# -------------------------------------------------------------------------------------------------- signals

SMALL = r"""
#include <signal.h>
#include <stdlib.h>
#include <time.h>
int main(void)
{
    char *memory = malloc(1 << 16);
    stack_t stack = {.ss_sp = memory + (1 << 16) - 2048, .ss_size = 2048};
    if (sigaltstack(&stack, 0))
        return 1;
    static volatile unsigned n;
    while (clock() < CLOCKS_PER_SEC / 4)
        for (int i = 0; i < 100000; i++)
            n++;
    return 0;
}
"""


def test_a_small_alternate_stack(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(SMALL)
    assert subprocess.run([program]).returncode == 0
    result, code = profile_command([program])
    assert code == 0
    assert result.samples > 20


IGNORED = r"""
#include <signal.h>
#include <unistd.h>
int main(void)
{
    signal(SIGTRAP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    return execl("/bin/sh", "sh", "-c", "grep SigIgn /proc/self/status; exec grep SigIgn /proc/self/status", (char *)0);
}
"""


def test_ignored_signals_are_inherited(compiled: Compile, tmp_path: Path) -> None:
    run = same_as_alone(compiled(IGNORED), cwd=tmp_path)
    assert "SigIgn" in run.stdout


WAITS = r"""
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
static void burn(void)
{
    static volatile unsigned n;
    for (clock_t end = clock() + CLOCKS_PER_SEC / 20; clock() < end;)
        n++;
}
int main(void)
{
    sigset_t all, pending;
    siginfo_t info;
    struct timespec soon = {0, 20000000};
    int got, fd;
    sigfillset(&all);
    fd = signalfd(-1, &all, 0);
    sigprocmask(SIG_BLOCK, &all, 0);
    burn();
    sigpending(&pending);
    printf("pending: %d\n", sigismember(&pending, SIGTRAP));
    burn();
    got = sigtimedwait(&all, &info, &soon);
    printf("timed out: %d %d\n", got, errno == EAGAIN);
    burn();
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    printf("readable: %d\n", poll(&ready, 1, 0));
    kill(getpid(), SIGUSR1);
    burn();
    printf("sigwait: %d", sigwait(&all, &got));
    printf(" %d\n", got == SIGUSR1);
    raise(SIGTRAP);
    got = sigwaitinfo(&all, &info) == SIGTRAP;
    printf("own: %d %d %d\n", got, info.si_code, info.si_pid == getpid());
    return 0;
}
"""


def test_who_waits_for_any_signal_gets_none_of_ours(compiled: Compile, tmp_path: Path) -> None:
    run = same_as_alone(compiled(WAITS), cwd=tmp_path)
    assert "own: 1" in run.stdout


INTERRUPTED = r"""
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static void *burn(void *argument)
{
    static volatile unsigned n;
    while (clock() < CLOCKS_PER_SEC / 2)
        n++;
    return 0;
}
int main(void)
{
    pthread_t thread;
    int ended = 0, p[2];
    char byte;
    pipe(p);
    pthread_create(&thread, 0, burn, 0);
    for (int i = 0; i < 30; i++)
        ended += poll(0, 0, 10) < 0;
    pthread_join(thread, 0);
    printf("ended by a signal: %d\n", ended);
    return 0;
}
"""


def test_no_system_call_ends_with_eintr(compiled: Compile, tmp_path: Path) -> None:
    same_as_alone(compiled(INTERRUPTED, "-pthread"), cwd=tmp_path)


# ---------------------------------------------------------------------------------------- what is lost is said


def test_no_queued_signal_is_allowed(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(LOOP % 5)

    def limited(*options: str) -> subprocess.CompletedProcess[str]:
        run = [sys.executable, "-m", "pybuildid", "profile", *options, "--", str(program)]
        limit = lambda: resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, 0))  # noqa: E731
        return subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, timeout=LIMIT, preexec_fn=limit)

    run = limited("--timer")
    assert run.returncode == 0
    assert "EAGAIN" in run.stderr
    assert "ulimit -i" in run.stderr
    assert "too little" not in run.stderr


def test_a_run_without_samples_leaves_the_last_profile(tmp_path: Path) -> None:
    (tmp_path / "profile.pb.gz").write_bytes(b"the last one")
    run = profiled("true", cwd=tmp_path)
    assert run.returncode == 0
    assert "too little" in run.stderr
    assert (tmp_path / "profile.pb.gz").read_bytes() == b"the last one"


def test_each_file_is_written_down_once(compiled: Compile) -> None:
    loop = compiled(LOOP % 5)
    script = f"i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done; {loop}"
    result, _ = profile_command(["sh", "-c", script])
    assert result.processes >= 102
    paths = [(module.path, module.offset) for module in result.modules]
    assert len(set(paths)) == len(paths)
    assert result.modules_lost == result.views_lost == 0
    named = sum(sample.count for sample in result.counts if (module := result.module_of(sample)) and module.path)
    assert named == result.samples - result.by_reason["no mapping"] - result.by_reason["no file"]


def test_a_file_without_a_build_id_has_its_name_and_offset(compiled: Compile) -> None:
    program = compiled(LOOP % 5, "-Wl,--build-id=none")
    result, _ = profile_command([program])
    samples = [sample for sample in result.counts if sample.reason == "no build ID"]
    assert sum(sample.count for sample in samples) > 0.8 * result.samples > 50
    for sample in samples:
        module = result.module_of(sample)
        assert module
        assert module.path == str(program)
        assert module.offset <= sample.address < module.offset + module.end - module.start


def test_a_long_build_id_is_kept_whole(compiled: Compile) -> None:
    program = compiled(LOOP % 5, f"-Wl,--build-id=0x{bytes(range(32)).hex()}")
    result, _ = profile_command([program])
    assert sum(sample.count for sample in result.counts if sample.build_id == bytes(range(32))) > 50


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


# ------------------------------------------------------------------------------------------ in this process


def in_python(source: str, cwd: Path) -> str:
    """What a program of Python's prints that profiles itself."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, cwd=cwd, timeout=LIMIT
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_block_that_closes_descriptors(tmp_path: Path) -> None:
    source = """
    import os, threading
    from pybuildid import Profile
    with Profile() as profile:
        threads, before = threading.active_count(), os.listdir("/proc/self/fd")
        os.closerange(3, 256)
        r, w = os.pipe()
        os.write(w, b"0123456789ABCDEF")
        sum(i * i for i in range(5 * 10**6))
        print(r, w, os.read(r, 16), threads)
    print(profile.result.samples > 50, profile.result.by_reason["resolved"] == profile.result.samples)
    """
    assert in_python(source, tmp_path) == "3 4 b'0123456789ABCDEF' 1\nTrue True\n"


def test_a_block_that_forks(tmp_path: Path) -> None:
    source = """
    import os, sys
    from pybuildid import Profile
    with Profile() as profile:
        sum(i * i for i in range(10**6))
        child = os.fork()
        sum(i * i for i in range(10**6))
    if child == 0:
        with Profile() as again:
            sum(i * i for i in range(2 * 10**6))
        os._exit(0 if again.result.samples else 1)
    assert os.waitpid(child, 0)[1] == 0
    print(profile.result.samples > 20)
    """
    assert in_python(source, tmp_path) == "True\n"


def test_a_block_that_runs_another_program(tmp_path: Path) -> None:
    source = """
    import os
    from pybuildid import Profile
    with Profile() as profile:
        sum(i * i for i in range(10**6))
        os.execvp("sh", ["sh", "-c", "echo $$; ls /proc/self/fd | wc -l; grep -E 'SigIgn|SigBlk' /proc/self/status"])
    """
    shown = in_python(source, tmp_path).splitlines()
    alone = in_python(source.replace("with Profile() as profile:", "if True:"), tmp_path).splitlines()
    assert shown[1:] == alone[1:]


def test_a_block_that_changes_its_user(tmp_path: Path) -> None:
    """And keeps a capability, so that a thread without it would have libc end the program."""
    need_root()
    source = """
    import ctypes, os, struct
    from pybuildid import Profile
    libc = ctypes.CDLL(None, use_errno=True)
    with Profile() as profile:
        sum(i * i for i in range(2 * 10**6))
        libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
        os.setresuid(65534, 65534, 65534)
        setgid = 1 << 6
        head, data = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", setgid, setgid, 0, 0, 0, 0)
        assert libc.syscall(126, head, data) == 0  # capset()
        os.setgroups([])
        sum(i * i for i in range(2 * 10**6))
    print(os.getresuid(), profile.result.samples > 20)
    """
    if os.uname().machine != "x86_64":
        pytest.skip("the number of capset() is that of x86-64")
    assert in_python(source, tmp_path) == "(65534, 65534, 65534) True\n"


def test_a_block_under_a_tracer(tmp_path: Path) -> None:
    need("strace", "strace")
    command = [sys.executable, "-c", "from pybuildid import Profile\nwith Profile(): pass"]
    run = subprocess.run(["strace", "-f", "-o", tmp_path / "trace", *command], capture_output=True, text=True)
    assert "traced by another program" in run.stderr


def test_no_descriptor_is_used_in_this_process() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with Profile():
        during = sorted(os.listdir("/proc/self/fd"))
    assert during == before
    profile_command(["true"])
    assert sorted(os.listdir("/proc/self/fd")) == before
