# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`pybuildid record -- COMMAND`: the command finds all as it would without it; and what goes wrong is said, and loses
no more than it must."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from recording import RECORD, let_run, need_record, run_record, samples_are_taken, wait_for

from pybuildid.record import Recording, ThreadError
from pybuildid.stacks.files import read_profile

pytestmark = pytest.mark.usefixtures("records")

SPIN = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"  #: of a shell: long enough for some samples


@pytest.fixture(autouse=True)
def _needed() -> None:
    need_record()


def in_shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A script in which $RECORD is the command up to its options."""
    environment = {**os.environ, "RECORD": shlex.join([*RECORD, "--no-symbols", "-F", "997"])}
    command = ["bash", "-c", script]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def test_its_descriptors(tmp_path: Path) -> None:
    result = in_shell("exec 3<<<alpha 7>out; $RECORD -- sh -c 'cat <&3; echo beta >&7'", tmp_path)
    assert result.stdout == "alpha\n", result.stderr
    assert (tmp_path / "out").read_text() == "beta\n"


def test_a_script_without_a_first_line(tmp_path: Path) -> None:
    (tmp_path / "script").write_text('echo "$0 $1"; exit 3\n')
    (tmp_path / "script").chmod(0o755)
    result = in_shell("$RECORD -- ./script alpha", tmp_path)
    assert (result.stdout, result.returncode) == ("./script alpha\n", 3), result.stderr


@pytest.mark.parametrize("ignored", ["", "HUP INT TERM", "CHLD"])
def test_signals_that_were_ignored(ignored: str, tmp_path: Path) -> None:
    """As nohup does it; dash takes SIGCHLD for itself, so Python looks."""
    look = """
import re, sys
print(re.search("SigIgn:.*", open("/proc/self/status").read())[0])
sys.exit(3)
"""
    (tmp_path / "look.py").write_text(look)
    command = f"{shlex.quote(sys.executable)} look.py"
    trap = f"trap '' {ignored}; " if ignored else ""
    # bash has a way of its own with SIGCHLD: env is asked to ignore it.
    if ignored == "CHLD":
        trap = 'env() { command env --ignore-signal=CHLD "$@"; }; '
    plain = in_shell(f"{trap}env {command}", tmp_path)
    recorded = in_shell(f"{trap}env $RECORD -- {command}", tmp_path)
    assert plain.stdout.startswith("SigIgn:")
    assert (recorded.stdout, recorded.returncode) == (plain.stdout, plain.returncode) == (plain.stdout, 3)


def test_under_nohup_a_recording_goes_on(tmp_path: Path) -> None:
    script = "trap '' HUP; $RECORD --seconds 2 & sleep 1.2; kill -HUP $!; wait $!"
    begin = time.monotonic()
    assert in_shell(script, tmp_path).returncode == 0
    assert time.monotonic() - begin > 2


@pytest.mark.parametrize(("option", "code", "status"), [("--output", 3, 3), ("--folded", 0, 1)])
def test_a_full_disk(option: str, code: int, status: int, tmp_path: Path) -> None:
    """What was recorded is reported all the same, and the status is the command's if that failed."""
    options = ["-F", "997", "-o", str(tmp_path / "p.pb.gz"), option, "/dev/full"]
    result = run_record(*options, "--", "sh", "-c", f"{SPIN}; exit {code}", cwd=tmp_path)
    assert result.returncode == status
    assert "Error: not written: /dev/full: No space left on device" in result.stderr
    assert "samples in" in result.stderr
    assert (tmp_path / "p.pb.gz").exists() == (option == "--folded")


def test_a_folder_that_goes_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    result = run_record("-F", "997", "-o", "gone/p", "--", "sh", "-c", f"{SPIN}; rmdir gone", cwd=tmp_path)
    assert result.returncode == 1
    assert "Error: not written: gone/p: No such file or directory" in result.stderr
    assert "samples in" in result.stderr


def test_into_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    command = [*RECORD, "-F", "997", "-o", "fifo", "--", "sh", "-c", SPIN]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        with open(tmp_path / "fifo", "rb") as fifo:
            (tmp_path / "copy").write_bytes(fifo.read())
        assert process.wait(60) == 0
    assert read_profile(tmp_path / "copy").samples


def test_the_command_goes_on_when_the_recorder_is_killed(tmp_path: Path) -> None:
    command = [*RECORD, "--", "sh", "-c", "echo begun >begun; sleep 1; echo done >done"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    while not (tmp_path / "done").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (tmp_path / "done").read_text() == "done\n"


def test_few_descriptors(tmp_path: Path) -> None:
    """And as many as it says that it needs."""
    result = in_shell("ulimit -n 20; $RECORD -- touch started", tmp_path)
    assert result.returncode == 77
    assert "descriptors are needed" in result.stderr
    assert "`ulimit -n`" in result.stderr
    assert not (tmp_path / "started").exists()
    needed = int(result.stderr.split()[1])
    result = in_shell(f"ulimit -n {needed + 10}; $RECORD -- sh -c '{SPIN}'", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "may not be read" not in result.stderr


def test_a_thread_is_no_process(tmp_path: Path) -> None:
    stay = threading.Event()
    thread = threading.Thread(target=stay.wait, daemon=True)
    thread.start()
    try:
        result = run_record("-p", thread.native_id or 0, "--seconds", "1", cwd=tmp_path)
        assert result.returncode == 1
        text = f"{thread.native_id} is a thread of process {os.getpid()}: give the process"
        assert result.stderr == f"Error: {text}\n"
        with Recording(only=True) as recording, pytest.raises(ThreadError, match=text):
            recording.target(thread.native_id or 0)
    finally:
        stay.set()
        thread.join()


def test_somebody_sets_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    with Recording() as recording:
        recording.start()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 3600)
        assert 0 < recording.stop().seconds < 60


def test_files_that_may_not_be_read(tmp_path: Path) -> None:
    """Through /proc/PID/map_files, which takes a capability."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not on PATH (Debian: apt-get install util-linux)")
    bounds = "-sys_admin,-checkpoint_restore"
    without = f"setpriv --bounding-set={bounds} --inh-caps={bounds}"
    result = in_shell(f"{without} $RECORD -- sh -c '{SPIN}'", tmp_path)
    if result.returncode == 77:
        pytest.skip(f"it takes more capabilities here: {result.stderr}")
    assert "files may not be read: run with all capabilities" in result.stderr


def test_it_ends_with_the_processes_that_were_named(tmp_path: Path) -> None:
    """With all of them, and with what was recorded of them."""
    spins = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        named = [option for spin in spins for option in ("-p", str(spin.pid))]
        command = [*RECORD, "--no-symbols", "-F", "997", *named]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as recorder:
            try:
                wait_for(lambda: samples_are_taken(recorder.pid))
                for spin in spins:
                    let_run(spins[-1].pid, 0.3)
                    assert recorder.poll() is None
                    spin.kill()  # which makes it a zombie
                _, stderr = recorder.communicate(timeout=20)
            finally:
                recorder.kill()
    finally:
        for spin in spins:
            spin.kill()
            spin.wait()
    assert recorder.returncode == 0
    assert "Written: record.pb.gz" in stderr
    assert len(list(read_profile(tmp_path / "record.pb.gz").samples)) > 10
