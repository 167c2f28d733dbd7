# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Names for addresses: of files however they were linked, stripped and split, by build ID alone, as other tools say."""

from __future__ import annotations

import lzma
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from profiled import need
from symbolized import Names, addr2line, code, names, profile_of, third

from pybuildid import read_build_id, scan
from pybuildid.elf.vdso import read_vdso
from pybuildid.stacks.model import Location, Mapping, Sample, StackProfile, ValueType
from pybuildid.symbols import FileNames, Search, Symbolizer
from pybuildid.symbols.demangle import demangled

SOURCE = """\
static inline __attribute__((always_inline)) int leaf(volatile int *x) { return *x * 3; }
static inline __attribute__((always_inline)) int middle(volatile int *x) { return leaf(x) + 1; }
__attribute__((noinline)) int outer(volatile int *x) { return middle(x) * middle(x); }
static __attribute__((noinline)) int hidden(volatile int *x) { return *x - 5; }
int main(int argc, char **argv) { volatile int x = argc; (void)argv; return outer(&x) + hidden(&x) == 7; }
"""
CHAIN = [("leaf", 1), ("middle", 2), ("outer", 3)]
Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def build(*flags: str, name: str = "program", cc: str = "cc", source: str = SOURCE) -> Path:
        (tmp_path / "source.c").write_text(source)
        command = [cc, "-O1", "-Wl,--build-id", "source.c", "-o", name, *flags]
        subprocess.run(command, cwd=tmp_path, check=True)
        return tmp_path / name

    return build


def run(*command: object) -> str:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def addresses(path: Path, function: str = "outer") -> range:
    """Of the function's code."""
    for line in run("nm", "-S", path).splitlines():
        words = line.split()
        if words[-1] == function:
            return range(int(words[0], 16), int(words[0], 16) + int(words[1], 16))
    raise AssertionError(f"no {function} in {path}")


def symbolized(profile: StackProfile, *folders: Path) -> tuple[list[list[tuple[str, int]]], FileNames]:
    """The functions of each address with their lines, and the report."""
    with Symbolizer(profile, Search(folders, roots=())) as symbolizer:
        symbolizer.name()
        (report,) = symbolizer.files
    return [[(line.name, line.line) for line in location.lines] for location in profile.locations], report


def check_whole(profile: StackProfile, *folders: Path) -> FileNames:
    """That all there is to know is found: inlined functions and lines."""
    found, report = symbolized(profile, *folders)
    assert CHAIN in found, (found, report)
    assert {chain[-1] for chain in found} == {("outer", 3)}
    assert not report.problem
    assert report.named == report.addresses == len(found)
    return report


# ------------------------------------------------------------------------------------- compilers and linkers


@pytest.mark.parametrize("linker", ["bfd", "gold", "lld", "mold"])
def test_linkers(build: Build, linker: str) -> None:
    need({"bfd": "ld.bfd", "gold": "ld.gold", "lld": "ld.lld", "mold": "mold"}[linker], f"{linker} or binutils")
    program = build("-g", f"-fuse-ld={linker}")
    assert check_whole(profile_of({program: addresses(program)})).source == f"DWARF of {program}"


@pytest.mark.parametrize(
    "flags",
    [
        ("-gdwarf-4",),
        ("-gdwarf-5", "-gz=zlib"),
        ("-g", "-gsplit-dwarf"),
        ("-g", "-no-pie"),
        ("-g", "-shared", "-fPIC"),
        ("-g", "-ffunction-sections", "-Wl,-z,separate-code"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_forms_of_dwarf(build: Build, cc: str, flags: tuple[str, ...]) -> None:
    need(cc, cc)
    program = build(*flags, cc=cc)
    check_whole(profile_of({program: addresses(program)}))


def test_32_bit_and_big_endian(build: Build) -> None:
    """Profiles may be of another machine."""
    for cc, package in (("aarch64-linux-gnu-gcc", ""), ("s390x-linux-gnu-gcc", "")):
        need(cc, package or f"gcc-{cc.removesuffix('-gcc')}")
        program = build("-g", "-static", cc=cc)
        check_whole(profile_of({program: addresses(program)}))


# ------------------------------------------------------------------------------------- stripped and split files


def test_symbols_without_dwarf(build: Build) -> None:
    program = build()
    found, report = symbolized(profile_of({program: [*addresses(program), *addresses(program, "hidden")]}))
    assert {tuple(chain) for chain in found} == {(("outer", 0),), (("hidden", 0),)}
    assert (report.source, report.problem) == (".symtab", "")


def test_stripped(build: Build) -> None:
    library = build("-shared", "-fPIC")
    places = [*addresses(library), *(hidden := addresses(library, "hidden"))]
    run("strip", library)
    found, report = symbolized(profile_of({library: places}))
    assert {tuple(chain) for chain in found} == {(("outer", 0),), ()}
    assert report.source == ".dynsym"
    assert report.problem == f"{len(hidden)} of its addresses are in no symbol"


def test_mini_debuginfo(build: Build, tmp_path: Path) -> None:
    """.gnu_debugdata, as Fedora has it."""
    library = build("-shared", "-fPIC")
    places = [*addresses(library), *addresses(library, "hidden")]
    mini = tmp_path / "mini"
    run("objcopy", "--strip-debug", "--only-keep-debug", library, mini)
    (tmp_path / "mini.xz").write_bytes(lzma.compress(mini.read_bytes()))
    run("strip", library)
    run("objcopy", "--add-section", f".gnu_debugdata={mini}.xz", library)
    found, report = symbolized(profile_of({library: places}))
    assert {tuple(chain) for chain in found} == {(("outer", 0),), (("hidden", 0),)}
    assert report.source == ".gnu_debugdata"


def split(program: Path, tool: str) -> Path:
    debug = program.parent / "apart" / "some name"
    debug.parent.mkdir()
    if tool == "eu-strip":
        run("eu-strip", "-f", debug, program)
    else:
        run(tool, "--only-keep-debug", program, debug)
        run(tool, "--strip-all", program)
    return debug


@pytest.mark.parametrize("tool", ["objcopy", "llvm-objcopy", "eu-strip"])
def test_dwarf_of_another_file(build: Build, tool: str) -> None:
    need(tool, {"objcopy": "binutils", "eu-strip": "elfutils"}.get(tool, "llvm"))
    program = build("-g", "-no-pie")  # whose addresses are not its offsets
    places = addresses(program)
    debug = split(program, tool)
    profile = profile_of({program: places})
    assert check_whole(profile, debug.parent).source == f"DWARF of {debug}"
    program.unlink()  # as on another machine, which has the DWARF alone
    assert check_whole(profile_again(profile), debug.parent)


def profile_again(profile: StackProfile) -> StackProfile:
    """Without the names."""
    profile.locations[:] = [location._replace(lines=()) for location in profile.locations]
    return profile


def test_below_build_id(build: Build, tmp_path: Path) -> None:
    """As in /usr/lib/debug/.build-id."""
    program = build("-g")
    profile = profile_of({program: addresses(program)})
    name = (read_build_id(program) or b"").hex()
    place = tmp_path / "debug" / name[:2] / f"{name[2:]}.debug"
    place.parent.mkdir(parents=True)
    split(program, "objcopy").rename(place)
    with Symbolizer(profile, Search(roots=(str(tmp_path / "debug"),))) as symbolizer:
        symbolizer.name()
        assert symbolizer.files[0].source == f"DWARF of {place}"


def test_moved_after_it_was_split(build: Build) -> None:
    """As prelink does with libraries: the addresses of the DWARF are others."""
    library = build("-g", "-shared", "-fPIC")
    places = addresses(library)
    debug = split(library, "objcopy")
    run("objcopy", "--change-addresses", "0x40000000", library)
    segment = code(library)[0]
    if segment.address < 0x40000000:
        pytest.skip("this objcopy does not move segments")
    profile = profile_of({library: [place + 0x40000000 for place in places]})
    check_whole(profile, debug.parent)


def test_dwz(build: Build, tmp_path: Path) -> None:
    need("dwz", "dwz")
    programs = [build("-g", name=name, source=SOURCE.replace("int main", f"int v_{name}; int main")) for name in "ab"]
    places = [addresses(program) for program in programs]
    run("dwz", "-m", tmp_path / "common", "-r", *programs)
    profile = profile_of({programs[0]: places[0]})
    check_whole(profile)
    common = tmp_path / "common"
    kept = common.rename(tmp_path / "kept")
    found, report = symbolized(profile_again(profile))
    assert {tuple(chain) for chain in found} == {(("outer", 0),)}  # from .symtab
    assert "its DWARF needs that of dwz with the build ID" in report.problem
    shutil.copy(programs[1], common)  # another file at its path is not taken
    assert "its DWARF needs that of dwz" in symbolized(profile_again(profile))[1].problem
    check_whole(profile_again(profile), kept)


# ------------------------------------------------------------------------------------- which file it was


def test_a_file_that_was_replaced_is_another(build: Build) -> None:
    program = build("-g")
    profile = profile_of({program: addresses(program)})
    old = read_build_id(program)
    kept = program.rename(program.with_name("kept"))
    build("-g", source=SOURCE.replace("* 3", "* 17"))
    new = read_build_id(program)
    assert new
    assert new != old
    found, report = symbolized(profile)
    assert not any(found)
    assert report.problem == f"it is another file now: its build ID is {new.hex()}"
    program.unlink()
    assert symbolized(profile)[1].problem == "it is no longer there"
    program.write_text("no ELF file")
    assert "not an ELF file" in symbolized(profile)[1].problem
    assert check_whole(profile, kept).source == f"DWARF of {kept}"


def test_without_a_build_id_no_file_counts(build: Build) -> None:
    program = build("-g", "-Wl,--build-id=none")
    found, report = symbolized(profile_of({program: addresses(program)}))
    assert not any(found)
    assert report.problem == "without a build ID nothing says whether a file is the one that ran"


def test_names_stay_where_nothing_better_is_found(build: Build) -> None:
    program = build("-g")
    profile = profile_of({program: addresses(program)})
    check_whole(profile)
    before = list(profile.locations)
    program.unlink()
    symbolized(profile)
    assert profile.locations == before


def test_other_tools_are_told_which_names_there_are(build: Build) -> None:
    program = build("-g")
    profile = profile_of({program: addresses(program)})
    check_whole(profile)
    (mapping,) = profile.mappings
    assert mapping[-4:] == (True, True, True, True)


def test_the_vdso() -> None:
    image = read_vdso()
    build_id = read_build_id(image, image=True)
    assert build_id
    mapping = Mapping(0x7000_0000, 0x7000_2000, 0, "[vdso]", build_id.hex())
    locations = [Location(1, 0x7000_0000 + offset) for offset in range(0, 0x2000, 4)]
    profile = StackProfile([ValueType("samples", "count")], [Sample((1,), (1,))], [mapping], locations)
    found, _ = symbolized(profile)
    assert any("clock_gettime" in name for chain in found for name, _ in chain)


# ------------------------------------------------------------------------------------- which symbol, which path

SYMBOLS = """
.text
.globl second, first, big
.weak weak
.type first, @function
.type second, @function
.type weak, @function
.type local, @function
weak: local: second: first: nop; nop
.size first, 2
.size second, 2
.size weak, 2
.size local, 2
.type big, @function
.type inner, @function
big: nop
inner: nop
.size inner, 1
nop
.size big, 3
label: nop; nop
.globl seen_label
seen_label: nop
"""


def test_of_several_symbols_the_one_that_elfutils_chooses(build: Build, tmp_path: Path) -> None:
    need("eu-addr2line", "elfutils")
    (tmp_path / "source.s").write_text(SYMBOLS)
    library = build("source.s", "-shared", "-nostdlib")
    start = addresses(library, "first").start
    places = range(start, start + 8)
    profile = profile_of({library: places})
    symbolized(profile)
    assert names(profile) == addr2line(library, places)
    told = [chain[0][0] for chain in names(profile)]
    assert told == [told[0], told[0], "big", "big", "big", "label", "label", "seen_label"]
    assert told[0] in ("first", "second")  # a global one: the first in the table


def test_a_relative_folder_is_there_once(build: Build, tmp_path: Path) -> None:
    """Distributions compile so: the same package has the same DWARF wherever it was built."""
    for form in ("-gdwarf-4", "-gdwarf-5"):
        program = build(form, f"-ffile-prefix-map={tmp_path}=./place")
        profile = profile_of({program: addresses(program)})
        symbolized(profile)
        assert {line.file for location in profile.locations for line in location.lines} == {"./place/source.c"}


# ------------------------------------------------------------------------------------- demangling


def test_cxx_names(build: Build, tmp_path: Path) -> None:
    need("c++", "g++")
    template = "template<class T> struct Box { T get(T k); };"
    source = f"namespace deep {{ {template} template<> int Box<int>::get(int k) {{ return k; }} }}"
    library = build("-xc++", "-shared", "-fPIC", cc="c++", source=source)
    found, _ = symbolized(profile_of({library: addresses(library, "_ZN4deep3BoxIiE3getEi")}))
    assert {chain[0][0] for chain in found} == {"deep::Box<int>::get(int)"}
    assert demangled(["_Z3fooi.cold", "_Z3fooi@@V_1", "_Znope", "main"]) == {
        "_Z3fooi.cold": "foo(int).cold",
        "_Z3fooi@@V_1": "foo(int)@@V_1",
        "_Znope": "_Znope",
        "main": "main",
    }


def test_rust_names(monkeypatch: pytest.MonkeyPatch) -> None:
    need("c++filt", "binutils")
    old, new = "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "_RNvNtCs1234_7mycrate3foo3bar"
    assert demangled([old, new]) == {old: "core::fmt::Formatter::write_str", new: "mycrate::foo::bar"}
    monkeypatch.setenv("PATH", "")
    assert demangled([old, new]) == {old: old, new: new}


# ------------------------------------------------------------------------------------- as other tools say


ALL = os.environ.get("PYBUILDID_ALL_FILES") == "1"  #: 10,000 addresses of all files, in minutes; else of some


def test_elfutils_agrees(build: Build) -> None:
    """eu-addr2line, or where it is wrong (calls of inlined functions, functions in parts) LLVM's reader."""
    need("eu-addr2line", "elfutils")
    need("llvm-symbolizer", "llvm")
    rng = random.Random(11)
    picked = pick(rng, 10_000 if ALL else 300)
    program = build("-g", "-O2")
    picked[program] = [address for name in ("outer", "main") for address in addresses(program, name)]
    profile = profile_of(picked)
    with Symbolizer(profile) as symbolizer:
        symbolizer.name()
    ours = iter(names(profile))
    differ: list[tuple[Path, int, Names, Names]] = []
    compared = explained = 0
    for path, places in picked.items():
        for address, mine, theirs in zip(places, ours, addr2line(path, places)):
            compared += 1
            if mine != theirs and mine == third(path, address):
                explained += 1
            elif mine != theirs:
                differ.append((path, address, mine, theirs))
    print(f"{compared:,} addresses of {len(picked):,} files, {explained} where only LLVM agrees")
    assert differ == []
    assert compared >= (10_000 if ALL else 300)
    assert explained < compared / 50
    assert sum(bool(location.lines) for location in profile.locations) > compared / 5


def pick(rng: random.Random, count: int) -> dict[Path, list[int]]:
    """Addresses of code in files of /usr, in the order of profile_of()."""
    folders = [Path(folder) for folder in ("/usr/bin", "/usr/lib")]
    files = [
        path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()
    ]
    if not ALL:
        files = rng.sample(files, min(len(files), 800))
    usable = [path for path, found in scan(files) if isinstance(found, bytes) and code(path)]
    picked: dict[Path, set[int]] = {}
    while sum(map(len, picked.values())) < count:
        path = rng.choice(usable[:25] if not ALL else usable)
        segment = rng.choice(code(path))
        picked.setdefault(path, set()).add(rng.randrange(segment.address, segment.address + segment.file_size))
    return {path: in_order(path, places) for path, places in picked.items()}


def in_order(path: Path, places: Sequence[int] | set[int]) -> list[int]:
    segments = code(path)
    return [
        place
        for segment in segments
        for place in sorted(places)
        if segment.address <= place < segment.address + segment.file_size
    ]
