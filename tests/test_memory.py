# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Memory: what is measured is there, what is computed adds up, and the verdict follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from study import memory
from study.__main__ import main
from study.memory import Balance, Curve, Design, MeasureError, Point
from study.memory.counts import Counts, machine, mapped_files

SLOT = 256 // 8  # bytes of ours: see csrc/table/slot.h


def test_ours_and_a_rival_are_there() -> None:
    names = [design.name for design in memory.designs()]
    assert names[0] == memory.OURS
    assert "spinlock" in names
    assert len(set(names)) == len(names)
    grows = {design.name: design.grows for design in memory.designs()}
    assert grows[memory.OURS]
    assert not grows["spinlock"]


def test_what_is_measured_is_what_the_entries_need() -> None:
    fixed = memory.measure("ours", 1)
    more = memory.measure("ours", 100_000) - fixed
    assert 100_000 * SLOT / 0.7 < more < 100_000 * SLOT / 0.4
    spinlock = memory.measure("spinlock", 20_000)
    assert 20_000 * (16 + 72) < spinlock < 20_000 * (16 + 72 + 16) * 1.5
    assert memory.measure("spinlock", 20_000, 1_000_000) > 2 * spinlock


def test_what_the_parent_has_freed_counts_all_the_same() -> None:
    """A child would take it over for nothing, were it not taken away first."""
    clean = memory.measure("spinlock", 3000)
    waste = [bytes(600 + i % 300) for i in range(100_000)]  # beyond the sizes that Python keeps for itself
    kept = waste[::2]
    del waste
    assert memory.measure("spinlock", 3000) == pytest.approx(clean, rel=0.1)
    assert len(kept) == 50_000


def test_errors() -> None:
    with pytest.raises(ValueError, match="no design 'none': only ours"):
        memory.measure("none", 1)
    with pytest.raises(MeasureError, match=r"spinlock with 1 entries: .*no memory"):
        memory.measure("spinlock", 1, 1 << 56)


def straight(name: str, per_entry: int, once: int = 0) -> Curve:
    sizes = (0, *range(1000, 100_000, 1000), 1_000_000)
    return Curve(Design(name, "", True), tuple(Point(size, once + per_entry * size) for size in sizes))


def test_break_even() -> None:
    """8 bytes for each of 60,000 files pay for 20,000 entries that cost 24 bytes more than an ID alone."""
    assert memory.break_even(straight("ours", 32 + 24), 60_000) == (20_000, 21_000)
    assert memory.break_even(straight("ours", 32 + 24, once=48_000), 60_000) == (18_000, 19_000)
    assert memory.break_even(straight("ours", 30), 60_000) is None
    assert memory.break_even(straight("ours", 50, once=10**9), 60_000) is None


def test_break_even_of_what_goes_up_and_down() -> None:
    """Just before a grow it takes less again, and is not larger for good before that."""
    saw = tuple(Point(n, n * (64 if n < 16_000 else 48 if n < 24_000 else 96)) for n in range(1000, 100_000, 1000))
    assert memory.break_even(Curve(Design("ours", "", True), saw), 48_000) == (12_000, 24_000)


def test_ours_is_measured_finely() -> None:
    sizes = memory.fine_sizes()
    assert sizes[0] == 1000
    assert sizes[-1] > 900_000
    assert max(after / before for before, after in zip(sizes, sizes[1:])) < 1.1


def balance(per_entry: int, counts: Counts) -> Balance:
    return memory.balance(counts, (straight("ours", per_entry),))


def test_balance_and_verdict() -> None:
    counts = Counts("a machine", files=60_000, inodes=600_000, elf_files=10_000, source="")
    good = balance(56, counts)
    assert good.cost(memory.FILE_POINTER) == 8 * 60_000 + 32 * 10_000
    assert good.cost(memory.INODE_POINTER) == 8 * 600_000 + 32 * 10_000
    assert good.cost(memory.OURS) == 560_000
    assert good.cost(memory.TODAY) == 0
    turn = "always less up to 20,000 mapped ELF files, never from 21,000 on"
    assert f"0.7 times the memory of a pointer in struct file ({turn})" in memory.verdict(good)
    assert "0.11 times the memory of a pointer in the inode" in memory.verdict(good)
    assert "2 times the memory of a pointer in struct file" in memory.verdict(balance(160, counts))
    assert "20 times the memory of a pointer in struct file" in memory.verdict(balance(1600, counts))


def test_between_the_points() -> None:
    curve = straight("ours", 10)
    assert [curve.at(entries) for entries in (0, 500, 1000, 10_000)] == [0, 5000, 10_000, 100_000]
    with pytest.raises(ValueError, match="more than the 1000000"):
        curve.at(2_000_000)


# ------------------------------------------------------------------------------------------------------- counts


def mapped_inodes() -> set[int]:
    """A file is named by one process that maps it: if that has ended since, it is missing here."""
    found = set()
    for path in mapped_files()[0]:
        with suppress(FileNotFoundError):
            found.add(os.stat(path).st_ino)
    return found


def test_counts_of_this_machine() -> None:
    counts = machine()
    assert counts.files > 0
    assert counts.inodes > counts.elf_files
    assert any(0 < machine().elf_files <= len(mapped_files()[0]) for _ in range(20))  # processes may end in between
    assert any(os.stat("/proc/self/exe").st_ino in mapped_inodes() for _ in range(20))  # see there


def test_names_with_other_ends_of_lines(tmp_path: Path) -> None:
    """The kernel escapes newlines alone."""
    (tmp_path / "1").mkdir()
    name = "/lib/a\rb\x0cc\x1cd\u2028e\x85f"
    (tmp_path / "1" / "maps").write_bytes(f"1000-2000 r-xp 00000000 fe:00 12     {name}\n".encode())
    assert mapped_files(tmp_path) == ([f"{tmp_path}/1/root{name}"], 0)


def test_counts_of_a_made_proc(tmp_path: Path) -> None:
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "sys/fs/file-nr").write_text("700\t0\t9000\n")
    (tmp_path / "sys/fs/inode-nr").write_text("5000\t12\n")
    for process in ("1", "2"):
        (tmp_path / process / "root/lib").mkdir(parents=True)
        (tmp_path / process / "maps").write_text(
            "1000-2000 r-xp 00000000 fe:00 12     /lib/a b.so\n"
            "2000-3000 r--p 00000000 fe:00 13     /lib/text\n"
            "3000-4000 rw-p 00000000 00:00 0      [heap]\n"
            f"00400000-00401000 r-xp 00000000 fe:00 1{process}4  /lib/gone (deleted)\n"
        )
        (tmp_path / process / "root/lib/a b.so").write_bytes(Path("/proc/self/exe").read_bytes())
        (tmp_path / process / "root/lib/text").write_text("no ELF")
    paths, hidden = mapped_files(tmp_path)
    assert len(paths) == 4
    assert hidden == 0
    assert any(path.endswith("/map_files/400000-401000") for path in paths)
    counts = machine(tmp_path)
    assert (counts.files, counts.inodes, counts.elf_files) == (700, 5000, 1)
    assert "missing" not in counts.source
    for process, told in (("3", "1 process may not be read: files that only it maps"), ("4", "2 processes may not be")):
        (tmp_path / process / "maps").mkdir(parents=True)  # reading it fails
        assert f"; {told}" in machine(tmp_path).source


# ------------------------------------------------------------------------------------------------------ command


def run(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["memory", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


#: Of few sizes. A process of its own has little memory: each measurement copies what there is, or takes it away. And
#: nothing that other tests have left is used for it.
SMALL = """
from study import memory
from study.__main__ import main
memory.SIZES = (1000, 15_000)
print(memory.measure("ours", 12_345))
main()
"""


def test_the_command(tmp_path: Path) -> None:
    options = "--files", 60_000, "--inodes", 70_000, "--elf", 12_345
    files = "--plot", tmp_path / "memory.svg", "--json", tmp_path / "memory.json"
    command = [sys.executable, "-c", SMALL, "memory", *map(str, (*options, *files))]
    measured, text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n", 1)
    written: dict[str, Any] = json.loads((tmp_path / "memory.json").read_text())
    (result,) = written["balances"]
    assert {cost["design"] for cost in result["costs"]} >= {"ours", "spinlock", memory.FILE_POINTER, memory.TODAY}
    ours = next(cost["bytes"] for cost in result["costs"] if cost["design"] == "ours")
    assert f"{ours:,}" in text
    assert ours == pytest.approx(int(measured), rel=0.02)
    assert result["verdict"].startswith("these counts, 12,345 mapped ELF files: our table takes ")
    assert "12,345" in text
    assert "60,000 files" in (tmp_path / "memory.svg").read_text()


def test_the_command_says_what_is_wrong() -> None:
    assert "together" in run("--files", 1, status=2)
    assert ".svg" in run("--plot", "x.pdf", status=2)
