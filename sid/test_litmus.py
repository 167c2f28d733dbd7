# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The ordering edges under the Linux kernel memory model: what must not happen does, once an edge is weakened."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

LITMUS = sorted((Path(__file__).parent / "litmus").glob("*.litmus"))
PLACES = [os.environ.get("LKMM", ""), *map(str, sorted(Path("/usr/src").glob("linux-*/tools/memory-model")))]
MODEL = next((place for place in PLACES if place and (Path(place) / "linux-kernel.cfg").is_file()), "")
WEAKER = {
    "cmpxchg_release": (r"cmpxchg_release\(", "cmpxchg_relaxed("),
    "cmpxchg_acquire": (r"cmpxchg_acquire\(", "cmpxchg_relaxed("),
    "smp_load_acquire": (r"smp_load_acquire\((\w+)\)", r"READ_ONCE(*\1)"),
    "smp_store_release": (r"smp_store_release\((\w+), (\w+)\)", r"WRITE_ONCE(*\1, \2)"),
    "atomic_fetch_add_release": (r"atomic_fetch_add_release\(", "atomic_fetch_add_relaxed("),
    "atomic_fetch_add_acquire": (r"atomic_fetch_add_acquire\(", "atomic_fetch_add_relaxed("),
    "synchronize_rcu": (r"synchronize_rcu\(\);", ""),
    "synchronize_srcu": (r"synchronize_srcu\(\w+\);", ""),
    "rcu_read_lock": (r"\brcu_read_(un)?lock\(\);", ""),
    "srcu_read_lock": (r"(r2 = srcu_read_lock\(\w+\);|srcu_read_unlock\(\w+, r2\);)", ""),
}
PAIRS = ("rcu_read_lock", "srcu_read_lock")  #: both ends go

if not shutil.which("herd7") or not MODEL:
    pytest.skip(
        "no herd7 (herd/herdtools7, not in Debian 12), or no tools/memory-model of Linux in /usr/src or $LKMM "
        "(Debian: apt-get install linux-source-6.1, and unpack it there)",
        allow_module_level=True,
    )


def observation(text: str, folder: Path) -> str:
    """Never, Sometimes or Always."""
    (folder / "test.litmus").write_text(text)
    command = ["herd7", "-conf", "linux-kernel.cfg", str(folder / "test.litmus")]
    run = subprocess.run(command, cwd=MODEL, capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r"^Observation \S+ (\w+)", run.stdout, re.MULTILINE)
    assert found, run.stdout + run.stderr
    return found[1]


def weakenings(path: Path) -> list[tuple[str, int]]:
    """What the file says has to be noticed: a name weakens its first use, name@n the n-th."""
    named = re.search(r"Weakened: (.*?) \*\)", path.read_text())
    assert named, path
    return [(word.split("@")[0], int((word + "@1").split("@")[1])) for word in named[1].split()]


def weakened(text: str, name: str, nth: int) -> str:
    pattern, weaker = WEAKER[name]
    if name in PAIRS:
        return re.sub(pattern, weaker, text)
    use = list(re.finditer(pattern, text))[nth - 1]
    return text[: use.start()] + use.expand(weaker) + text[use.end() :]


@pytest.mark.parametrize("path", LITMUS, ids=lambda path: path.stem)
def test_an_edge(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    assert observation(text, tmp_path) == "Never"
    for name, nth in weakenings(path):
        assert observation(weakened(text, name, nth), tmp_path) == "Sometimes", f"{name}, use {nth}, is not needed"
