# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The C library that others build on: what it exports, what is installed, and that it needs no Python."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import installed
import pytest
from installed import ROOT, make, need, run

from csrc.cdefs import public_headers
from pybuildid._core import lib as core
from stress.common import object_file

HEADERS = [ROOT / "csrc/include/bid.h", *public_headers()]
VERSION = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wcast-qual", "-pedantic", "-Werror")

PROGRAM = """
#include <bid.h>
#include <stdio.h>
int main(void)
{
    struct bid_table *table;
    struct bid_build_id id = {0};
    int status = bid_create(&table, NULL);
    if (status == BID_OK)
        status = bid_insert(table, 5, 0, "12345678901234567890", 20);
    if (status == BID_OK)
        status = bid_lookup(table, 5, &id);
    printf("%s %u %.20s\\n", bid_status_name(status), bid_version() - BID_VERSION, (const char *)id.bytes);
    bid_destroy(table);
    return status;
}
"""
PRINTED = "BID_OK 0 12345678901234567890\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    return source


def variables() -> set[str]:
    """Of the public headers."""
    return set(
        re.findall(r"^BID_PUBLIC extern [\w ]*\b(bid_\w+);", "".join(map(Path.read_text, HEADERS)), re.MULTILINE)
    )


def declared() -> set[str]:
    """The functions of the public headers."""
    text = re.sub(r"/\*.*?\*/", "", "".join(header.read_text() for header in HEADERS), flags=re.DOTALL)
    functions = re.findall(r"^[\w *]*?\b(bid_\w+)\([^;{]*\);", text, re.MULTILINE)
    marked = re.findall(r"^BID_PUBLIC [\w *]*?\b(bid_\w+)\(", text, re.MULTILINE)
    assert functions == marked, "every function is marked BID_PUBLIC"
    return set(functions)


def symbols(*arguments: str | Path) -> set[str]:
    need("nm")
    lines = run(["nm", "--defined-only", *arguments]).splitlines()
    return {line.split()[-1] for line in lines if re.fullmatch(r"[0-9a-f]+ [A-TV-Zu] .*", line)}


# --------------------------------------------------------------------------------------------- what it exports


def test_the_shared_library_exports_what_the_headers_declare() -> None:
    """And gives each function a version, so that a program asks for the interface that it was linked with."""
    node = "BID_" + re.sub(r"\.\d+$", "", VERSION)
    exported = symbols("-D", "--with-symbol-versions", installed.prefix() / "lib/libbid.so")
    assert exported == {f"{name}@@{node}" for name in declared() | variables()} | {node}


def test_the_static_library_keeps_to_its_prefix() -> None:
    """Its other functions are seen by the linker as well, so none may have the name of one of a program."""
    names = symbols("-g", installed.prefix() / "lib/libbid.a")
    assert declared() <= names
    assert {name for name in names if not name.startswith("bid_")} == set()


def test_calls_within_the_shared_library_are_direct() -> None:
    """A lookup may not meet the dynamic linker."""
    need("readelf")
    relocations = run(["readelf", "--relocs", "--wide", installed.prefix() / "lib/libbid.so"])
    assert " R_" in relocations
    assert not re.findall(r"^.*JU?MP_SLOT.* bid_.*$", relocations, re.MULTILINE)


def test_the_lookup_of_the_library_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is compiled for the library: position-independent."""
    need("objdump")
    installed.prefix()
    command = shlex.split((installed.BUILD / "flags").read_text())
    assert {"-fPIC", "-O2"} <= set(command)
    monkeypatch.setattr(object_file, "FLAGS", tuple(command[1:]))
    lookup = object_file.compile_lookup(ROOT / "csrc")
    assert {"bid_lookup", "bid_lookup_many"} <= lookup.functions.keys()
    for name, reading in object_file.READINGS.items():
        assert not reading(lookup), name


def test_the_name_and_version_of_the_shared_library() -> None:
    need("readelf")
    library = installed.prefix() / "lib"
    major, minor, _ = VERSION.split(".")
    name = f"libbid.so.{major}.{minor}" if major == "0" else f"libbid.so.{major}"
    assert f"[{name}]" in run(["readelf", "-d", library / "libbid.so"]).partition("SONAME")[2]
    assert os.readlink(library / "libbid.so") == name
    assert os.readlink(library / name) == f"libbid.so.{VERSION}"


def test_one_version_everywhere() -> None:
    major, minor, patch = map(int, VERSION.split("."))
    assert core.BID_VERSION == core.bid_version() == major * 10000 + minor * 100 + patch
    assert f"{core.BID_VERSION_MAJOR}.{core.BID_VERSION_MINOR}.{core.BID_VERSION_PATCH}" == VERSION


@pytest.mark.parametrize("standard", ["c11", "c++17", "c++20"])
@pytest.mark.parametrize("cc", ["cc", "clang"])
def test_the_headers_are_clean(cc: str, standard: str) -> None:
    """Each by itself, without an option that says where it is."""
    need("clang" if cc == "clang" else "c++")
    language = "c++" if "++" in standard else "c"
    for header in HEADERS:
        run([cc, f"-std={standard}", *STRICT, "-fsyntax-only", "-x", language, header])


# ---------------------------------------------------------------------------------------------- what is installed


def test_pkg_config(program: Path, tmp_path: Path) -> None:
    need("pkg-config")
    command = f"cc {program} $(pkg-config --cflags --libs bid) -o {tmp_path}/program && {tmp_path}/program"
    assert run(command, env=installed.environment()) == PRINTED
    assert run("pkg-config --modversion bid", env=installed.environment()).strip() == VERSION
    static = (
        f"cc -static {program} $(pkg-config --static --cflags --libs bid) -o {tmp_path}/static && {tmp_path}/static"
    )
    assert run(static, env={**installed.environment(), "LD_LIBRARY_PATH": ""}) == PRINTED


CMAKE = """
cmake_minimum_required(VERSION 3.13)
project(probe C)
find_package(bid {version} REQUIRED)
add_executable(shared program.c)
target_link_libraries(shared bid::bid)
add_executable(static program.c)
target_link_libraries(static bid::static)
"""


def cmake(folder: Path, version: str) -> None:
    (folder / "CMakeLists.txt").write_text(CMAKE.format(version=version))
    run(["cmake", "-S", folder, "-B", folder / "made", f"-DCMAKE_PREFIX_PATH={installed.prefix()}"])
    run(["cmake", "--build", folder / "made"])


def test_cmake(program: Path) -> None:
    need("cmake")
    cmake(program.parent, VERSION)
    for name in ("shared", "static"):
        assert run([program.parent / "made" / name]) == PRINTED


@pytest.mark.parametrize("version", ["0.0.1", "0.2", "1.0"])
def test_cmake_refuses_an_incompatible_version(program: Path, version: str) -> None:
    need("cmake")
    with pytest.raises(AssertionError, match=r"compatible\s+with requested version"):
        cmake(program.parent, version)


def test_every_function_has_a_manual_page() -> None:
    pages = installed.prefix() / "share/man/man3"
    assert {page.stem for page in pages.iterdir()} == declared() | {"bid"}
    for name in declared():
        text = (pages / f"{name}.3").read_text()
        for word in ("Context", "Progress", "Memory"):
            assert re.search(rf"^\.B {word}\n\w", text, re.MULTILINE), f"{name} does not state its {word}"
        returns = re.search(r"^\.SH RETURN VALUE\n\w", text, re.MULTILINE)
        assert returns or re.search(rf"^\.B void {name}\(", text, re.MULTILINE), f"{name} does not say what it returns"


def test_manual_pages_are_well_formed() -> None:
    need("groff")
    for page in (*(installed.prefix() / "share/man/man3").iterdir(), ROOT / "docs/pybuildid.1"):
        result = subprocess.run(["groff", "-man", "-Tascii", "-ww", page], capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, "")


def test_uninstall_leaves_nothing(tmp_path: Path) -> None:
    """By the Makefile of the project, into a folder for a packager (DESTDIR)."""
    folders = [f"BUILD={installed.BUILD}", "PREFIX=/usr", f"DESTDIR={tmp_path}/stage"]
    make("install", *folders, folder=ROOT)
    files = [path for path in (tmp_path / "stage").rglob("*") if not path.is_dir()]
    assert {path.relative_to(tmp_path / "stage").parts[0] for path in files} == {"usr"}
    assert tmp_path / "stage/usr/share/man/man1/pybuildid.1" in files
    assert "/usr/lib" in (tmp_path / "stage/usr/lib/pkgconfig/bid.pc").read_text()
    make("uninstall", *folders, folder=ROOT)
    assert [path for path in (tmp_path / "stage").rglob("*") if not path.is_dir()] == []


# ------------------------------------------------------------------------------------------------- how it is built

TOOLS = (
    "make",
    "cc",
    "ar",
    "awk",
    "sed",
    "sh",
    "as",
    "ld",
    "mkdir",
    "rm",
    "mv",
    "ln",
    "cmp",
    "cat",
    "timeout",
    "touch",
)


def test_no_python_and_no_write_to_the_sources(tmp_path: Path) -> None:
    """Built in another folder, with nothing on PATH but these tools; then two of its tests."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool) or f"/missing/{tool}")
    sources = tmp_path / "copy" / "csrc"
    shutil.copytree(ROOT / "csrc", sources)
    shutil.copytree(ROOT / "tests" / "c", tmp_path / "copy" / "tests" / "c")
    before = sorted((path, path.stat().st_mtime_ns) for path in sources.rglob("*"))
    made = tmp_path / "made"
    made.mkdir()
    command = ["make", "-f", str(sources / "Makefile"), f"-j{os.cpu_count()}", "CFLAGS=-O1"]
    command.append("TESTS=test_hash test_many")
    environment = {"PATH": str(tools), "LC_ALL": "C"}
    run([*command, "lib"], cwd=made, env=environment)
    assert "2 tests passed" in run([*command, "check"], cwd=made, env=environment)
    assert (made / "libbid.a").is_file()
    assert sorted((path, path.stat().st_mtime_ns) for path in sources.rglob("*")) == before


def test_a_failing_test_fails_the_check(tmp_path: Path) -> None:
    for name, status in (("test_bad", 3), ("test_lacking", 77)):
        (tmp_path / f"{name}.c").write_text(f"int main(void)\n{{\n    return {status};\n}}\n")
    settings = [f"BUILD={installed.BUILD}", f"TESTS_C={tmp_path}", "CHECK=" + str(tmp_path / "check")]
    assert "1 tests passed" in make("check", *settings, "TESTS=test_lacking")
    with pytest.raises(AssertionError, match="test_bad"):
        make("check", *settings, "TESTS=test_bad")


@pytest.mark.parametrize("cc", ["cc", "clang"])
def test_the_amalgamation(cc: str, program: Path, tmp_path: Path) -> None:
    """Two files, which need no others."""
    need("clang" if cc == "clang" else "c++")
    make("amalgamation", f"BUILD={tmp_path}")
    folder = tmp_path / "amalgamation"
    assert sorted(path.name for path in folder.iterdir()) == ["bid.c", "bid.h"]
    flags = ("-std=gnu11", "-O1", *STRICT, "-pthread")
    run([cc, *flags, f"-I{folder}", program, folder / "bid.c", "-o", tmp_path / "program"])
    assert run([tmp_path / "program"]) == PRINTED
    for standard in ("c11", "c17"):
        run([cc, f"-std={standard}", "-D_GNU_SOURCE", *STRICT, "-fsyntax-only", folder / "bid.c"])
