# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What is profiled behaves as it does alone (G12)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from profiled import LIMIT, LOOP, Compile, need, need_root, profiled, same_as_alone

from pybuildid.profile import profile_command
from pybuildid.profile._observer import USER

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
