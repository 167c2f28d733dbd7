# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The main job, through its command line: it succeeds over our table, and is shown to catch designs that do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
KEYS = {
    "verdict",
    "seed",
    "seconds",
    "interruptions",
    "landed_in_update",
    "landed_in_resize",
    "landed_in_lookup",
    "lookups",
    "wrong",
    "blocked",
    "resizes",
    "entries",
    "max_slots_read",
}


def storm(tmp_path: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was printed, and the JSON report."""
    file = tmp_path / "storm.json"
    command = [sys.executable, "-m", "stress", "--json", str(file), "--dir", "/usr/bin", "--seed", "7", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    report = json.loads(file.read_text()) if file.exists() else {}
    return result.returncode, result.stdout + result.stderr, report


def test_ours_succeeds_and_the_rival_is_caught(tmp_path: Path) -> None:
    status, text, report = storm(tmp_path, "--seconds", "3")
    assert status == 0, text
    assert text.splitlines()[-1].startswith("SUCCESS: seed 7")
    assert report.keys() >= KEYS
    assert report["verdict"] == "SUCCESS"
    assert report["seed"] == 7
    assert report["wrong"] == report["wrong_at_end"] == report["blocked"] == report["errno_changed"] == 0
    assert report["landed_in_update"] > 0
    assert report["landed_in_lookup"] > 0
    assert report["resizes"] > 0
    assert 0 < report["max_slots_read"] <= report["bound_slots"]
    assert report["max_records_read"] <= report["bound_records"]
    (rival,) = report["others"]
    assert rival["design"] == "spinlock"
    assert rival["verdict"] == "FAILURE"
    assert rival["blocked"] > 0


@pytest.mark.parametrize("source", ["timer", "directed"])
def test_one_source_of_interruptions_is_enough(tmp_path: Path, source: str) -> None:
    status, text, report = storm(tmp_path, "--seconds", "2", "--design", "ours", "--source", source)
    assert status == 0, text
    assert report["sources"] == [source]
    assert report["landed_in_update"] > 0


def test_the_rival_alone_fails(tmp_path: Path) -> None:
    status, text, report = storm(tmp_path, "--seconds", "5", "--design", "spinlock")
    assert status == 1
    assert text.splitlines()[-1].startswith("FAILURE: ")
    assert report["blocked"] > 0
    assert "blocked lookups" in report["failures"][0]


@pytest.mark.parametrize("lie", ["lying-absent", "lying-torn", "lying-back", "lying-lost"])
def test_a_lie_is_caught(tmp_path: Path, lie: str) -> None:
    status, text, report = storm(tmp_path, "--seconds", "1", "--design", lie)
    assert status == 1, text
    assert report["verdict"] == "FAILURE"
    assert report["wrong"] > 0
    assert any("legal were the versions" in complaint for complaint in report["complaints"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seconds", "0"), "--seconds"),
        (("--threads", "1"), "--threads"),
        (("--dir", "/nonexistent"), "/nonexistent"),
        (("--design", "none"), "--design"),
        (("--source", "thunder"), "--source"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    status, text, report = storm(tmp_path, *options)
    assert status == 2
    assert message in text
    assert not report
