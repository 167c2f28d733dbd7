# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Call stacks of profiles: the right frames where there are frame pointers, and no harm where there are others."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from profiled import Compile, need, run_cli

from pybuildid import Profile
from pybuildid.profile import STACK_ENDS, ProfileResult, Stack, profile_command

HERE = Path(__file__).parent
FRAMES = ["-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"]
if os.uname().machine == "x86_64":
    FRAMES.append("-mno-omit-leaf-frame-pointer")
#: Where the time goes is known: in the innermost function, which adds to a number after each call, so that no call is
#: the last thing that a function does. It has a variable in memory: without one it has no frame, whatever the options.
CALLS = """
#include <pthread.h>
static volatile unsigned n;
__attribute__((noinline)) void innermost(void) { for (volatile int i = 0; i < 300000; i++) n++; }
__attribute__((noinline)) void deep(int depth) { if (depth) deep(depth - 1); else innermost(); n++; }
__attribute__((noinline)) void *work(void *depth)
{
    struct timespec now;
    do {
        deep((int)(long)depth);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < 500);
    return 0;
}
int main(int n, char **arguments)
{
    pthread_t thread;
    long depth = atoi(arguments[1]);
    if (n < 3)
        work((void *)depth);
    else if (pthread_create(&thread, 0, work, (void *)depth) == 0)
        pthread_join(thread, 0);
    return 0;
}
"""


def functions(program: Path) -> list[tuple[int, int, str]]:
    """Offset in the file, size and name: of an ELF file in which code is mapped at its address."""
    text = subprocess.run(["nm", "-S", str(program)], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^(\w+) (\w+) [Tt] (\w+)$", text, re.MULTILINE)
    return [(int(address, 16), int(size, 16), name) for address, size, name in found]


def names(result: ProfileResult, stack: Stack, program: Path) -> list[str]:
    """Of the frames, but "?" in other files, the innermost first."""
    known = functions(program)
    found = []
    for number, offset in stack.frames:
        own = number is not None and result.modules[number].path == str(program)
        found.append(next((name for at, size, name in known if own and at <= offset < at + size), "?"))
    return found


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="frame pointers are of these processors")
@pytest.mark.parametrize("depth", [0, 30, 200])
@pytest.mark.parametrize("where", [(), ("thread",)])
def test_the_frames_of_known_calls(compiled: Compile, depth: int, where: tuple[str, ...]) -> None:
    program = compiled(CALLS, *FRAMES, "-pthread")
    result, code = profile_command([program, str(depth), *where], follow=0.02)
    assert code == 0
    expected = ["innermost", *["deep"] * (depth + 1), "work", *([] if where else ["main"])][:127]
    right = sum(stack.count for stack in result.stacks if names(result, stack, program)[: len(expected)] == expected)
    assert right > 0.7 * result.samples > 100, result.by_stack_end
    if depth == 200:
        assert result.by_stack_end["127 frames"] >= right
        assert max(len(stack.frames) for stack in result.stacks) == 127


def test_each_sample_is_in_counts_and_in_stacks(compiled: Compile) -> None:
    result, _ = profile_command([compiled(CALLS, *FRAMES, "-pthread"), "5"])
    leaves: Counter[tuple[int | None, int]] = Counter()
    for stack in result.stacks:
        leaves[stack.frames[0]] += stack.count
    assert leaves == {(sample.module, sample.address): sample.count for sample in result.counts}
    assert sum(result.by_stack_end.values()) == result.samples
    assert result.stacks_lost == 0
    assert tuple(result.by_stack_end) == STACK_ENDS


def test_code_without_frame_pointers(compiled: Compile) -> None:
    """The innermost frame is right, and the end says why there are no more."""
    program = compiled(CALLS, "-fomit-frame-pointer", "-pthread")
    result, _ = profile_command([program, "10"])
    innermost = sum(stack.count for stack in result.stacks if names(result, stack, program)[0] == "innermost")
    assert innermost > 0.7 * result.samples > 100
    assert result.by_stack_end["complete"] < 0.1 * result.samples


def test_without_stacks(compiled: Compile) -> None:
    result, _ = profile_command([compiled(CALLS, *FRAMES, "-pthread"), "5"], stacks=False)
    assert result.samples > 100
    assert result.stacks == []
    assert result.stacks_lost == 0


def test_this_process() -> None:
    with Profile(frequency=5000) as profile:
        sum(i * i for i in range(10**6))
    assert sum(profile.result.by_stack_end.values()) == profile.result.samples > 20


# ------------------------------------------------------------------------------------------ what it is shown as


def test_go_reads_stacks(compiled: Compile, tmp_path: Path) -> None:
    need("go", "golang-go")
    program = compiled(CALLS, *FRAMES, "-pthread")
    assert run_cli("--", program, "3", cwd=tmp_path).returncode == 0
    command = ["go", "tool", "pprof", "-traces", "profile.pb.gz"]
    text = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(r"innermost\n *deep\n *deep\n *deep\n *deep\n *work\n *main\n", text), text
    assert "stack:  code without frame pointers" in text  # that of libc, which called main()


def test_the_report_says_how_far_stacks_go(compiled: Compile, tmp_path: Path) -> None:
    program = compiled(CALLS, *FRAMES, "-pthread")
    report = run_cli("--", program, "3", cwd=tmp_path).stderr
    assert re.search(r"100\.0% +with callers|9\d\.\d% +with callers", report), report
    assert "call stacks" not in run_cli("--no-stacks", "--", program, "3", cwd=tmp_path).stderr


# ------------------------------------------------------------------------------------------ what does no harm


@pytest.mark.parametrize(
    "part", ["corrupt", "threads", "coroutine", "coroutine-in-thread", "short", "alternate", "compiled"]
)
def test_frame_pointers_that_lead_elsewhere(compiled: Compile, part: str) -> None:
    """Many samples, and views that are read again and again, beside threads that unmap what is near."""
    program = compiled((HERE / "programs" / "frames.c").read_text(), "-pthread", f"-I{HERE / 'programs'}")
    result, code = profile_command([program, part], frequency=10_000, follow=0.002)
    assert code == 0
    assert result.samples > 100
    assert sum(result.by_stack_end.values()) + result.stacks_lost == result.samples
    ends = result.by_stack_end
    if part.startswith("coroutine"):
        assert ends["a stack that is not known to be the thread's"] > 0.3 * result.samples
    if part == "compiled" and os.uname().machine == "x86_64":
        frames = [stack for stack in result.stacks if [number for number, _ in stack.frames[:5]] == [None] * 5]
        assert sum(stack.count for stack in frames) > 0.5 * result.samples
