# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The programs of examples/: built by the commands in their first comments, against the installed library, and run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import installed
import pytest
from installed import ROOT, need, run, variant

from pybuildid import mappings, normalize, read_build_id

EXAMPLES = ROOT / "examples"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-Wl,--build-id,-z,now")
#: What its compiler is, and which function burns the time.
SIGPROF = {"sigprof.c": ("cc", "burn"), "sigprof.cpp": ("c++", "burn"), "sigprof.rs": ("rustc", "burn")}
SIGPROF["sigprof.go"] = ("go", "main.burn")


def build_command(source: Path) -> str:
    """The lines after "Build:"; one that ends with a backslash goes on."""
    text = source.read_text().partition("Build: ")[2]
    lines = [text.partition("\n")[0]]
    while lines[-1].endswith("\\"):
        text = text.partition("\n")[2]
        lines.append(text.partition("\n")[0])
    return " ".join(line.lstrip(" */").rstrip("\\") for line in lines)


def build(name: str, folder: Path) -> Path:
    need("pkg-config")
    for source in filter(Path.is_file, EXAMPLES.iterdir()):
        shutil.copy(source, folder)
    command = build_command(EXAMPLES / name)
    assert run(f"{command} 2>&1", cwd=folder, env=installed.environment()) == "", "the compiler warns"
    return folder / command.split(" -o ")[1].split()[0]


def functions(program: Path) -> dict[str, range]:
    """The offsets in the file at which the code of each function is, from its symbols and program headers."""
    need("readelf")
    segments = re.findall(r"^ +LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+) ", run(["readelf", "-lW", program]), re.MULTILINE)
    found = {}
    for address, size, name in re.findall(
        r"^ +\d+: (\w+) +(\w+) FUNC .* (\S+)$", run(["readelf", "-sW", program]), re.MULTILINE
    ):
        start, length = int(address, 16), int(size, 0)
        for offset, base, bytes_ in (tuple(int(number, 16) for number in segment) for segment in segments):
            if base <= start < base + bytes_:
                found[name] = range(start - base + offset, start - base + offset + length)
    return found


def judge(program: Path, printed: str, function: str) -> None:
    """Most samples are in this function, or in a copy of it by the optimizer, and have the program's own build ID."""
    build_id = read_build_id(program)
    assert build_id
    samples: Counter[tuple[str, int]] = Counter()
    for line in printed.splitlines():
        name, offset, *times = line.split()
        samples[name, int(offset, 16)] += int(times[0]) if times else 1
    ranges = [code for name, code in functions(program).items() if name == function or name.startswith(f"{function}.")]
    expected = build_id.hex().ljust(40, "0")
    inside = sum(
        times
        for (name, offset), times in samples.items()
        if name == expected and any(offset in code for code in ranges)
    )
    total = sum(samples.values())
    assert total >= 10, printed
    assert inside > total / 4, f"{inside} of {total} in {function}, {ranges}\n{printed}"


@pytest.mark.parametrize("name", SIGPROF)
def test_sigprof(name: str, tmp_path: Path) -> None:
    compiler, function = SIGPROF[name]
    need(compiler)
    program = build(name, tmp_path)
    judge(program, run([program], env=installed.environment()), function)


def test_crash(tmp_path: Path) -> None:
    program = build("crash.c", tmp_path)
    result = subprocess.run([program], capture_output=True, text=True, env=installed.environment(), timeout=60)
    assert result.returncode == -signal.SIGSEGV  # it dies of what it would have died of
    build_id, where = read_build_id(program), functions(program)
    assert build_id
    frames = [line.split() for line in result.stderr.splitlines()]
    assert len(frames) >= 4, result.stderr
    for (name, offset), function in zip(frames, ("innermost", "middle", "outer", "main")):
        assert name == build_id.hex(), result.stderr
        assert int(offset, 16) in where[function], f"{function}: {result.stderr}"


def test_normalize(tmp_path: Path) -> None:
    """For this process, as Python does it."""
    program = build("normalize.c", tmp_path)
    code = next(mapping for mapping in mappings() if mapping.build_id and "x" in mapping.permissions)
    (expected,) = normalize(None, [code.start + 5])
    assert expected.build_id
    printed = run([program, str(os.getpid()), f"{code.start + 5:x}", "1"], env=installed.environment()).splitlines()
    assert printed == [f"{expected.build_id.hex()} {expected.offset:#x} {code.path}", "? nothing is mapped at 0x1"]
    result = subprocess.run([program, "99999999", "1"], capture_output=True, text=True, env=installed.environment())
    assert (result.returncode, "there is no such process" in result.stderr) == (1, True)


#: musl-gcc has no headers of Linux; the distribution's come after its own.
MUSL = f"CPPFLAGS=-idirafter /usr/include -idirafter /usr/include/{os.uname().machine}-linux-gnu"
#: Settings of make, and the command that compiles and links the program.
VARIANTS = {
    "clang": (("CC=clang",), ("clang",)),
    "musl": (("CC=musl-gcc", MUSL), ("musl-gcc",)),
    "musl-static": (("CC=musl-gcc", MUSL), ("musl-gcc", "-static")),
    "static": ((), ("cc", "-static")),
    "lto": (("CFLAGS=-O2 -flto",), ("cc", "-flto")),
    "lto-clang": (("CC=clang", "AR=llvm-ar", "CFLAGS=-O2 -flto"), ("clang", "-flto", "-fuse-ld=lld")),
    "address": (("CFLAGS=-O1 -g -fsanitize=address,undefined",), ("cc", "-g", "-fsanitize=address,undefined")),
}


def build_variant(name: str, folder: Path) -> Path:
    """The example, linked with the static library of another build."""
    settings, compiler = VARIANTS[name]
    need(compiler[0], *(("lld", "llvm-ar") if name == "lto-clang" else ()))
    library = variant(name.removesuffix("-static") if name != "static" else "plain", *settings)
    files = EXAMPLES / "sigprof.c", library / "libbid.a"
    run([*compiler, *FLAGS, f"-I{ROOT / 'csrc/include'}", *files, "-pthread", "-o", folder / "sigprof"])
    return folder / "sigprof"


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name: str, tmp_path: Path) -> None:
    program = build_variant(name, tmp_path)
    judge(program, run([program]), "burn")


def test_thread_sanitizer(tmp_path: Path) -> None:
    """It keeps signals back while the program computes, so there are hardly any samples; but none may be wrong."""
    VARIANTS["thread"] = ("CFLAGS=-O1 -g -fsanitize=thread",), ("cc", "-g", "-fsanitize=thread")
    program = build_variant("thread", tmp_path)
    printed = run([program], env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"})
    assert re.fullmatch(r"([0-9a-f]{40} 0x[0-9a-f]+\n)+", printed)


def test_every_example_is_tested() -> None:
    programs = {path.name for path in EXAMPLES.iterdir() if path.is_file() and "Build: " in path.read_text()}
    assert programs == {*SIGPROF, "crash.c", "normalize.c"}
