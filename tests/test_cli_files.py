# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid id`` and ``pybuildid scan``: what they print, and what they say of files that they cannot read."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from elfbuild import PT_LOAD, Elf, Part, gnu
from rich.console import Console
from rich.table import Table
from terminal import on_terminal

from pybuildid import read_build_id
from pybuildid._rights import as_root
from pybuildid.cli import _output, main
from pybuildid.cli._output import print_table
from pybuildid.cli.scan import Scan
from pybuildid.elf.vdso import read_vdso
from pybuildid.elf.walk import walk

ID = bytes(range(1, 21))
GOOD = Elf([Part([gnu(ID)])]).build()
COLOUR = b"\x1b["


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A good file, one without a build ID, a text, a broken one, and links that lead out and in circles."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "good").write_bytes(GOOD)
    (tmp_path / "lib" / "none").write_bytes(Elf([Part(b"code", PT_LOAD)]).build())
    (tmp_path / "lib" / "text").write_text("text")
    (tmp_path / "lib" / "bad").write_bytes(GOOD[:100])
    (tmp_path / "lib" / "up").symlink_to(tmp_path)
    (tmp_path / "lib" / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def test_id(tree: Path) -> None:
    result = run("id", tree / "good")
    assert (result.exit_code, result.output) == (0, f"{ID.hex()} {tree}/good\n")
    assert run("id", "--bare", tree / "good").output == f"{ID.hex()}\n"
    assert run("id").exit_code == 2


def test_id_goes_on_after_failures(tree: Path) -> None:
    names = ["absent", "lib/none", "lib/text", "lib/bad", "pipe", ".", "good"]
    result = run("id", *[tree / name for name in names])
    assert result.exit_code == 1
    assert result.stdout == f"{ID.hex()} {tree}/good\n"
    lines = result.stderr.splitlines()
    told = ["check the path", "--build-id", "not an ELF file: give", "damaged", "regular file", "pybuildid scan"]
    assert len(lines) == len(told)
    for line, name, text in zip(lines, names, told):
        assert line.startswith(f"Error: {tree / name}")
        assert text in line


def test_what_the_kernel_would_not_find(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(Elf([Part([gnu(bytes(32))])]).build())
    result = run("id", "--kernel-compatible", tmp_path / "long")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no build ID that the kernel would find: leave out --kernel-compatible" in result.stderr


@pytest.mark.parametrize("command", ["id", "scan", "census --merge"])
def test_files_that_may_not_be_read(command: str, in_child: Callable[..., None]) -> None:
    """Each is told in a line, and the others are read."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        good, secret = Path(directory, "good"), Path(directory, "secret")
        for file in (good, secret):
            file.write_bytes(GOOD)
        secret.chmod(0)

        def as_nobody() -> None:
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            result = run(*command.split(), secret, good)
            assert result.exit_code == 1
            assert result.stderr == f"Error: {secret}: Permission denied: run as a user who may read it, such as root\n"
            assert result.stdout == ("" if "merge" in command else f"{ID.hex()} {good}\n")

        run(*command.split(), secret, good)  # its modules are imported before the rights to read them go
        in_child(as_nobody)


def test_id_of_this_process() -> None:
    result = run("id", "--pid", os.getpid())
    assert result.stdout.split()[0] == (read_build_id(sys.executable) or b"").hex()
    assert run("id", "--bare", "--vdso").stdout.strip() == (read_build_id(read_vdso(), image=True) or b"").hex()


def test_id_of_the_kernel() -> None:
    if not os.path.exists("/sys/kernel/notes"):
        pytest.skip("no /sys/kernel/notes here (mount sysfs)")
    assert re.fullmatch(r"[0-9a-f]{2,40} \[kernel\]\n", run("id", "--kernel").stdout)


def test_id_of_a_deleted_program(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "60"]) as process:
        program.unlink()
        assert run("id", "--bare", "--pid", process.pid).stdout.strip() == (read_build_id("/bin/sleep") or b"").hex()
        process.kill()
    gone = run("id", "--pid", process.pid)
    assert f"there is no process {process.pid}" in gone.stderr


def test_scan(tree: Path) -> None:
    result = run("scan", tree)
    assert (result.exit_code, result.stdout) == (1, f"{ID.hex()} {tree}/good\n")
    assert result.stderr.startswith(f"Error: {tree}/lib/bad")
    assert result.stderr.count("\n") == 1
    found = run("scan", "--all", tree).stdout.splitlines()
    assert sorted(found) == sorted([f"{ID.hex()} {tree}/good", f"- {tree}/lib/none"])
    assert run("scan", tree / "good").exit_code == 0


def test_scan_follows_no_links(tree: Path) -> None:
    (tree / "link").symlink_to("good")
    assert run("scan", tree).stdout == f"{ID.hex()} {tree}/good\n"


def test_scan_table_has_no_failures(tree: Path) -> None:
    """Failures are on standard error, not in the table."""
    result = run("scan", "--table", tree)
    assert str(tree / "good") in result.stdout
    assert str(tree / "lib/bad") not in result.stdout
    assert str(tree / "lib/bad") in result.stderr


def test_scan_of_what_has_vanished(tree: Path) -> None:
    """A file that is found below a directory, and gone when it is to be read, is no failure: nobody asked for it."""
    scan = Scan(named=(), everything=True)
    answers = scan.answers(iter([str(tree / "absent"), str(tree / "good")]), False, None)
    assert [(answer.path, answer.error) for answer in answers] == [(str(tree / "good"), None)]


def test_scan_counts(tree: Path) -> None:
    scan = Scan(named=(), everything=False)
    paths = [tree / name for name in ("good", "lib/none", "lib/none", "lib/text")]
    assert [answer.path for answer in scan.answers(map(str, paths), False, None)] == [str(tree / "good")]
    assert str(scan) == "1 build IDs in 4 files; 2 ELF files without one; 0 that could not be read"


def test_scan_of_what_is_named(tree: Path) -> None:
    """A file that is given by name and is not ELF, or not there, is a failure: the user asked for it."""
    result = run("scan", tree / "lib/text", tree / "absent", tree / "lib/up/good")
    assert result.stdout == f"{ID.hex()} {tree}/lib/up/good\n"
    text, absent = result.stderr.splitlines()
    assert text.endswith(": not an ELF file: give a program, library, object, module or core dump")
    assert absent.endswith(": check the path")


def test_scan_json(tree: Path) -> None:
    result = run("scan", "--json", "-", "--all", tree)
    found = {entry["path"]: entry for entry in json.loads(result.stdout)}
    assert found[f"{tree}/good"] == {"path": f"{tree}/good", "build_id": ID.hex(), "error": None}
    assert found[f"{tree}/lib/none"]["build_id"] is None
    assert "damaged" in found[f"{tree}/lib/bad"]["error"]
    assert json.loads(run("scan", "--json", "-", tree / "lib").stdout)[0]["error"]
    (tree / "empty").mkdir()
    assert json.loads(run("scan", "--json", "-", tree / "empty").stdout) == []


def test_directories_that_cannot_be_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read anything, so the refusal is made here."""
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("/lib"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = run("scan", tree)
    assert (result.exit_code, result.stdout) == (1, f"{ID.hex()} {tree}/good\n")
    told = f"Error: {tree}/lib: Permission denied: {as_root('run as a user who may read it, such as root')}\n"
    assert result.stderr == told
    result = run("scan", tree / "lib")  # with no file after it
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", told)


def test_one_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.path.ismount("/proc"):
        pytest.skip("/proc is not mounted")
    scandir = os.scandir

    def only_the_top(path: str) -> object:
        if path == "/":
            return scandir(path)
        raise PermissionError(13, "refused", path)

    monkeypatch.setattr(os, "scandir", only_the_top)
    for one_file_system in (False, True):
        entered: list[OSError] = []
        list(walk(["/"], entered.append, one_file_system=one_file_system))
        assert ("/proc" in [error.filename for error in entered]) == (not one_file_system)


def test_paths_of_any_bytes(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 \xff"
    with open(name, "wb") as file:
        file.write(GOOD)

    def out(*options: str) -> bytes:
        command = [sys.executable, "-m", "pybuildid", "scan", str(tmp_path), *options]
        return subprocess.run(command, capture_output=True, check=True).stdout

    assert out() == ID.hex().encode() + b" " + name + b"\n"
    assert os.fsencode(json.loads(out("--json", "-"))[0]["path"]) == name
    assert ID.hex().encode() in out("--table")


def test_colours_and_progress_on_a_terminal_only(tree: Path) -> None:
    shown = on_terminal("scan", "--table", tree / "good")
    assert b"\x1b[32m" + ID.hex().encode() in shown  # green, and not cut
    assert b"files read" in shown
    assert b"1 build IDs in 1 files" in shown
    plain = subprocess.run(
        [sys.executable, "-m", "pybuildid", "scan", "--table", tree / "good"], capture_output=True, check=True
    )
    assert COLOUR not in plain.stdout + plain.stderr
    assert plain.stderr == b""
    lines = on_terminal("scan", tree / "good")
    assert COLOUR not in lines
    assert f"{ID.hex()} {tree}/good\r\n".encode() in lines
    no_colour = on_terminal("scan", "--table", tree / "good", env={"NO_COLOR": "1"})
    assert b"\x1b[32m" not in no_colour


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_narrow_terminal_cuts_no_id_off(tree: Path, columns: int) -> None:
    shown = on_terminal("id", "--table", tree / "good", env={"COLUMNS": str(columns), "NO_COLOR": "1"}).decode()
    assert ID.hex() in shown
    rows = (line.split("\u2502")[1:3] for line in shown.splitlines() if line.startswith("\u2502"))
    assert "".join(path.strip() for _, path in rows) == f"{tree}/good"


@pytest.mark.parametrize("columns", range(10, 130, 8))
def test_tables_are_folded_but_not_cut(columns: int) -> None:
    table = Table("what it is", "a number", "another number", "file")
    table.columns[3].overflow = "fold"
    table.add_row("the number of all entries", "123,456,789", "not known", "/usr/lib/x86_64-linux-gnu/libc.so.6")
    out = Console(width=columns, file=io.StringIO())
    print_table(out, table)
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().splitlines()
    cells = [line.split("\u2502")[1:5] for line in lines if line.startswith("\u2502")]
    first, second, third, path = (" ".join(cell.strip() for cell in column).strip() for column in zip(*cells))
    assert (first, second, third) == ("the number of all entries", "123,456,789", "not known")
    assert path.replace(" ", "") == "/usr/lib/x86_64-linux-gnu/libc.so.6"
    assert out.width == columns
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= max(columns, 67)  # the least: their words, and 20 columns of the path


def test_completion() -> None:
    """The commands and the options, as a shell asks for them."""
    program = Path(sys.executable).parent / "pybuildid"
    if not program.exists():
        pytest.skip("the command is not installed beside this Python: pip install -e .")

    def complete(words: str) -> list[str]:
        number = str(len(words.split(" ")) - 1)
        env = {**os.environ, "_PYBUILDID_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": number}
        out = subprocess.run([program], capture_output=True, text=True, env=env).stdout
        return [line.partition(",")[2] for line in out.splitlines()]

    assert "scan" in complete("pybuildid sc")
    assert "--kernel-compatible" in complete("pybuildid id --ker")


def test_work_says_what_it_does_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_output, "LINE_SECONDS", 0.01)
    read, write = os.pipe()
    with os.fdopen(read) as said, os.fdopen(write, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with _output.console(stderr=True).status("starting") as status:
            assert said.readline() == "starting\n"
            status.update("[going] on")
            while (line := said.readline()) == "starting\n":
                pass
            assert line == "[going] on\n"
