# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Names from a debuginfod server, which runs here on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from profiled import need
from symbolized import profile_of
from terminal import on_terminal
from test_symbols import CHAIN, SOURCE, addresses, run, split

from pybuildid import read_build_id
from pybuildid.cli import main
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.model import StackProfile
from pybuildid.stacks.pprof import write_pprof
from pybuildid.symbols import Search, Symbolizer
from pybuildid.symbols.debuginfod import Client, is_wanted

SECONDS = 60  #: for the server to find one file


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, StackProfile]]:
    """Its URL, and a program whose DWARF it alone has, with a profile of it."""
    need("debuginfod", "debuginfod")
    folder = tmp_path_factory.mktemp("server")
    (folder / "source.c").write_text(SOURCE)
    run("cc", "-g", "-O1", "-Wl,--build-id", folder / "source.c", "-o", folder / "program")
    places = addresses(folder / "program")
    split(folder / "program", "objcopy")
    profile = profile_of({folder / "program": places})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DEBUGINFOD")}
    need("setpriv", "util-linux")
    command = [
        "setpriv",
        "--pdeathsig",
        "TERM",
        "debuginfod",
        "-p",
        str(port),
        "-d",
        str(folder / "index.sqlite"),
        "-F",
        str(folder),
    ]
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/buildid/{profile.mappings[0].build_id}/debuginfo", folder / "log")
            yield url, folder / "program", profile
        finally:
            process.terminate()


def wait_for(url: str, log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"debuginfod does not have the file after {SECONDS} s: {log.read_text()[-2000:]}")


@pytest.fixture
def profile(
    server: tuple[str, Path, StackProfile], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[StackProfile]:
    """With the server in the environment, and an empty cache."""
    url, _, profile = server
    monkeypatch.setenv("DEBUGINFOD_URLS", url)
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    before = list(profile.locations)
    yield profile
    profile.locations[:] = before


def chains(profile: StackProfile) -> list[list[tuple[str, int]]]:
    return [[(line.name, line.line) for line in location.lines] for location in profile.locations]


def test_dwarf_comes_from_the_server(profile: StackProfile, tmp_path: Path) -> None:
    steps: list[str] = []
    bytes_seen: list[int] = []
    with Symbolizer(profile, Search(roots=())) as symbolizer:
        symbolizer.name()
        assert not any(chains(profile))
        with Client(60, lambda done, total: bytes_seen.append(done)) as client:
            symbolizer.ask(client, lambda file: steps.append(file.path))
        assert CHAIN in chains(profile)
        assert "DWARF of debuginfod" in symbolizer.files[0].source
        assert not symbolizer.files[0].problem
    assert steps == [profile.mappings[0].path]
    assert bytes_seen
    assert any(path.is_file() for path in (tmp_path / "cache").rglob("*debuginfo*"))


def test_on_another_machine(
    profile: StackProfile, server: tuple[str, Path, StackProfile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the program is here: both its parts come from the server."""
    _, program, _ = server
    away = program.rename(program.with_name("moved"))
    try:
        with Symbolizer(profile, Search(roots=())) as symbolizer, Client(60) as client:
            symbolizer.name()
            assert "no longer there" in symbolizer.files[0].problem
            symbolizer.ask(client)
            assert CHAIN in chains(profile)
            assert not symbolizer.files[0].problem
    finally:
        away.rename(program)


def test_it_is_off_unless_it_is_set(profile: StackProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "profile.pb.gz"
    write_pprof(profile, file)
    monkeypatch.delenv("DEBUGINFOD_URLS")
    assert not is_wanted()
    result = CliRunner().invoke(main, ["symbolize", str(file)])
    assert result.exit_code == 0, result.output
    assert not any(chains(read_profile(file)))
    monkeypatch.setenv("DEBUGINFOD_URLS", "http://127.0.0.1:9")
    assert CliRunner().invoke(main, ["symbolize", str(file), "--time-limit", "0"]).exit_code == 0
    assert not (tmp_path / "cache").exists()


def test_the_command_asks(profile: StackProfile, tmp_path: Path) -> None:
    file = tmp_path / "profile.pb.gz"
    write_pprof(profile, file)
    result = CliRunner().invoke(main, ["symbolize", str(file)])
    assert result.exit_code == 0, result.output
    assert "leaf" in result.output
    assert f"{len(profile.locations)} of {len(profile.locations)} addresses in files have names." in result.output
    assert CHAIN in chains(read_profile(file))


def test_a_bar_shows_what_is_asked_for(profile: StackProfile, tmp_path: Path) -> None:
    file = tmp_path / "profile.pb.gz"
    write_pprof(profile, file)
    assert b"Asking debuginfod for program" in on_terminal("symbolize", file)


def test_the_time_is_limited(profile: StackProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that accepts and never answers."""
    file = tmp_path / "profile.pb.gz"
    write_pprof(profile, file)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("DEBUGINFOD_URLS", f"http://127.0.0.1:{silent.getsockname()[1]}")
        result = CliRunner().invoke(main, ["symbolize", str(file), "--time-limit", "1"])
    assert result.exit_code == 0, result.output
    assert "The time for debuginfod was over before all was there" in result.output


def test_that_there_is_no_server_is_said(
    profile: StackProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "profile.pb.gz"
    write_pprof(profile, file)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("DEBUGINFOD_URLS", f"http://127.0.0.1:{bound.getsockname()[1]}")
        result = CliRunner().invoke(main, ["symbolize", str(file)])
    assert result.exit_code == 0, result.output
    assert "debuginfod could not be asked: Connection refused." in result.stderr


def test_what_a_server_sends_is_checked(
    profile: StackProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It has another file under that build ID. (The client library reads file: URLs as well.)"""
    build_id = profile.mappings[0].build_id
    place = tmp_path / "buildid" / build_id / "debuginfo"
    place.parent.mkdir(parents=True)
    monkeypatch.setenv("DEBUGINFOD_URLS", f"file://{tmp_path}")
    for content in (Path("/bin/sh").read_bytes(), b"no ELF file"):
        place.write_bytes(content)
        monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path_factory.mktemp("cache")))
        with Symbolizer(profile, Search(roots=())) as symbolizer, Client(60) as client:
            symbolizer.name()
            descriptor = client.debuginfo(bytes.fromhex(build_id))
            assert descriptor is not None  # it is sent
            os.close(descriptor)
            symbolizer.ask(client)
            assert not any(chains(profile))
            assert symbolizer.files[0].source == ""


def test_an_interrupt_keeps_what_there_is(profile: StackProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes in the callback of a C library, through which no exception can go."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    build_id = read_build_id(profile.mappings[0].path) or bytes.fromhex(profile.mappings[0].build_id)
    with Client(60, interrupt) as client, pytest.raises(KeyboardInterrupt):
        client.debuginfo(build_id)
    with Client(60) as client:
        assert client.debuginfo(bytes(20)) is None
        descriptor = client.debuginfo(build_id)
        assert descriptor is not None
        os.close(descriptor)
