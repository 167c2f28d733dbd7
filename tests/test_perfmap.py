# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Code that a program made at run time: its names in profiles, from the file that the program writes for perf."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import time
from pathlib import Path

import pytest
from profiled import Compile, remove_maps, run_cli
from pythons import find

from pybuildid.profile import Profile
from pybuildid.stacks.folded import folded_lines
from pybuildid.stacks.model import Line, StackProfile
from pybuildid.stacks.pprof import read_pprof
from pybuildid.symbols.perfmap import PerfMap, is_perf_map

MAP = b"""7f0000001000 20 py::Class.method:/home/me/a:b.py
7f0000001040 10 LazyCompile:*loop /srv/app.js:12
0x7f0000001000 8 later
not a line
7f0000002000 10 py::caf\xe9:<string>
"""


def test_names_at_addresses() -> None:
    names = PerfMap(MAP)
    assert names.find(0x7F0000000FFF) is None
    assert names.find(0x7F0000001000) == Line("later", "later")  # at the same address: what was written last
    assert names.find(0x7F0000001008) is None
    name = "LazyCompile:*loop /srv/app.js:12"
    assert names.find(0x7F000000104F) == Line(name, name)
    assert names.find(0x7F0000001050) is None
    assert PerfMap(MAP[:16]).find(0x7F0000001000) is None  # cut off before the name
    found = PerfMap(MAP.splitlines()[0]).find(0x7F000000101F)
    assert found == Line("Class.method", "py::Class.method:/home/me/a:b.py", "/home/me/a:b.py")
    assert PerfMap(MAP).find(0x7F0000002001) == Line("caf\ufffd", "py::caf\ufffd:<string>", "<string>")
    assert PerfMap().find(0) is None


def test_which_file_is_believed(tmp_path: Path) -> None:
    path, link = tmp_path / "perf-1.map", tmp_path / "perf-2.map"
    path.write_bytes(MAP)
    link.symlink_to(path)
    now = time.time()
    assert PerfMap.read(str(path), now - 60).find(0x7F0000001000)
    assert not PerfMap.read(str(path), now + 60).find(0x7F0000001000)  # of a process before
    assert not PerfMap.read(str(link), 0).find(0x7F0000001000)
    assert not PerfMap.read(str(tmp_path), 0).find(0)
    assert not PerfMap.read(str(tmp_path / "none"), 0).find(0)
    os.mkfifo(tmp_path / "perf-3.map")
    assert not PerfMap.read(str(tmp_path / "perf-3.map"), 0).find(0)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        assert not PerfMap.read(str(path), 0).find(0x7F0000001000)
    assert is_perf_map("/tmp/perf-123.map")
    assert not is_perf_map("/tmp/x/perf-123.map")
    assert not is_perf_map("/tmp/perf-123.map.so")


# ----------------------------------------------------------------------------------------- a program that makes code

#: Counts down from its argument: mov eax, edi; dec eax; jnz; ret. The file that names it is written, is written with
#: an old date, or is not.
MAKES_CODE = r"""
#include <sys/mman.h>
#include <sys/stat.h>
static const unsigned char code[] = {0x89, 0xf8, 0xff, 0xc8, 0x75, 0xfc, 0xc3};
int main(int n, char **arguments)
{
    char name[64];
    struct timespec now, old[2] = {{1, 0}, {1, 0}};
    void *made = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(made, code, sizeof code);
    snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
    if (strcmp(arguments[1], "none") != 0) {
        FILE *file = fopen(name, "w");
        fprintf(file, "%lx %zx countdown\n", (unsigned long)made, sizeof code);
        fclose(file);
    }
    if (strcmp(arguments[1], "old") == 0)
        utimensat(AT_FDCWD, name, old, 0);
    do {
        ((void (*)(unsigned))made)(300000);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < 400);
    return 0;
}
"""


def innermost(profile: StackProfile) -> dict[tuple[str, str], int]:
    """How many samples are in each function of each mapping."""
    found: dict[tuple[str, str], int] = {}
    for sample in profile.samples:
        location = profile.location(sample.stack[0])
        mapping = profile.mapping(location)
        name = location.lines[0].name if location.lines else ""
        key = (re.sub(r"\d+", "N", mapping.path) if mapping else "", name)
        found[key] = found.get(key, 0) + sample.values[0]
    return found


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the code that the program makes is for x86-64")
@pytest.mark.parametrize(
    ("names", "expected"),
    [("new", ("/tmp/perf-N.map", "countdown")), ("old", ("/tmp/perf-N.map", "")), ("none", ("", ""))],
)
def test_a_program_that_names_its_code(
    compiled: Compile, tmp_path: Path, names: str, expected: tuple[str, str]
) -> None:
    program = compiled(MAKES_CODE, "-include", "sys/types.h", "-include", "fcntl.h")
    run = run_cli("--follow", "5", "--", program, names, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    found = innermost(read_pprof(tmp_path / "profile.pb.gz"))
    assert found.get(expected, 0) > 0.8 * sum(found.values()) > 100, (found, run.stderr)
    assert re.search(r"\d\d\.\d% +not resolved: no file", run.stderr)
    assert ("the process named 0 of its" in run.stderr) == (names == "old")
    assert "without a build ID" not in run.stderr
    lines = run_cli("--follow", "5", "--text", "--", program, names, cwd=tmp_path).stderr
    assert "perf-" not in lines  # no file, so none of `eu-unstrip -n`
    remove_maps(rb" countdown\n")


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the code that the program makes is for x86-64")
def test_this_process_names_its_code(tmp_path: Path) -> None:
    """A file that is older than the profile is this process's all the same."""
    code = b"\x89\xf8\xff\xc8\x75\xfc\xc3"  # as in MAKES_CODE
    flags, rights = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    memory = mmap.mmap(-1, mmap.PAGESIZE, flags, rights)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    count_down = ctypes.CFUNCTYPE(None, ctypes.c_uint)(address)
    names = Path(f"/tmp/perf-{os.getpid()}.map")
    names.write_text(f"{address:x} {len(code):x} countdown\n")
    os.utime(names, (1, 1))
    try:
        with Profile() as profile:
            count_down(500_000_000)
        profile.result.write_pprof(tmp_path / "profile.pb.gz")
    finally:
        names.unlink()
    found = innermost(read_pprof(tmp_path / "profile.pb.gz"))
    assert found["/tmp/perf-N.map", "countdown"] > 0.8 * sum(found.values()) > 50


# -------------------------------------------------------------------------------------------------------- CPython

CALLS = """
import time
def innermost():
    total = 0
    for i in range(20_000):
        total += i * i
def middle():
    return [innermost() for _ in range(20)]
def outermost():
    while time.process_time() < 1:
        middle()
outermost()
"""


def test_functions_of_python(tmp_path: Path) -> None:
    """In another Python, since most are compiled without frame pointers, which lead to the callers."""
    condition = "sys.version_info >= (3, 12) and 'no-omit-frame-pointer' in sysconfig.get_config_var('CFLAGS')"
    what = "CPython 3.12 or later that was compiled with frame pointers (Debian's is from 3.15 on)"
    python = find("PYBUILDID_FRAME_POINTERS", condition, what)
    (tmp_path / "calls.py").write_text(CALLS)
    run = run_cli("--", python, "-X", "perf", "calls.py", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    profile = read_pprof(tmp_path / "profile.pb.gz")
    whole = right = 0
    for line in folded_lines(profile, 0):
        stack, _, count = line.rpartition(" ")
        whole += int(count)
        names = [name for name in stack.split(";") if name in ("<module>", "outermost", "middle", "innermost")]
        right += int(count) * (names == ["<module>", "outermost", "middle", "innermost"])
    assert right > 0.7 * whole > 100, run.stderr
    assert "calls.py" in {Path(line.file).name for location in profile.locations for line in location.lines}
