# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Who takes part in ``python -m study bench``, peers from outside above all, and the keys that they are asked for."""

from __future__ import annotations

import re
import shutil
import subprocess
from array import array
from pathlib import Path

import pytest

from study import bench
from study.bench import contenders as contending
from study.bench import keys as keying
from study.bench.contenders import PEERS, Missing, UnknownDesignError, choose
from study.bench.subject import BenchError, Subject

ROOT = Path(__file__).resolve().parent.parent
ADDRESSES = ROOT / "tests" / "data" / "inode-addresses.txt"


def addresses(n: int) -> array[int]:
    return keying.mix(keying.find("slabs", n, 1), n, 1)


# ------------------------------------------------------------------------------------------- contenders


def test_names_say_how_many_buckets() -> None:
    found, missing = choose(["fixed:4096", "spinlock:/16", "fixed:x4", "rwlock"])
    assert not missing
    assert [one.name for one in found] == ["ours", "fixed:4096", "spinlock:/16", "fixed:x4", "rwlock"]
    assert [one.expected(1600) for one in found] == [0, 4096, 100, 6400, 0]
    assert "one bucket for 16 entries" in found[2].summary


@pytest.mark.parametrize("name", ["nonsense", "fixed:", "fixed:0", "fixed:y4", "rwlock:4", "", "cds_lfht:2"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownDesignError, match="only ours, spinlock"):
        choose([name])


def test_a_missing_peer_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contending, "_loaded", {})
    monkeypatch.setattr(contending, "_compile", lambda *_: subprocess.CompletedProcess([], 1, "", "x\nld: error: -lck"))
    found, missing = choose([peer.name for peer in PEERS])
    assert [one.name for one in found] == ["ours"]
    assert {(one.name, one.package) for one in missing} == {(peer.name, peer.package) for peer in PEERS}
    assert all(one.reason == "ld: error: -lck" for one in missing)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert choose(["tbb"])[1] == (Missing("tbb", "g++", "no compiler: c++ is not on PATH"),)


def test_a_peer_that_was_missing_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contending, "_loaded", {})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda _: None)
        assert len(choose(["tbb"])[0]) == 1
    failed = subprocess.CompletedProcess([], 1, "", "error: asked again")
    monkeypatch.setattr(contending, "_compile", lambda *_: failed)
    assert choose(["tbb"])[1][0].reason == "error: asked again"


@pytest.mark.parametrize("name", [peer.name for peer in PEERS])
def test_a_peer_is_loaded_once(name: str) -> None:
    """A second copy of it would begin with its library again: liburcu ends a process that registers a thread twice."""
    contenders = [one for _ in range(2) for one in choose([name])[0][1:]]
    if not contenders:
        pytest.skip(f"{name}: apt-get install {choose([name])[1][0].package}")
    assert contenders[0].functions == contenders[1].functions
    mixed = addresses(100)
    for one in contenders:
        Subject(one, mixed, keying.make(mixed, 1), 1).close()


@pytest.mark.parametrize("name", [peer.name for peer in PEERS])
def test_peers_are_right(name: str) -> None:
    (_, *found), missing = choose([name])
    if missing:
        pytest.skip(f"{missing[0].reason}: apt-get install {missing[0].package}")
    mixed = addresses(2000)
    subject = Subject(found[0], mixed, keying.make(mixed, 1), 1)  # checks every answer
    assert subject.dependent_hit(1000) > 0
    assert subject.churn() > 0
    assert subject.remove() > 0
    with pytest.raises(BenchError, match=f"{name}: a wrong answer"):
        subject.hit(1000)  # all are gone
    subject.settle()
    subject.close()


#: What a hit of liburcu's table may call: its lookup is in the library; the rest is the end of a read-side section that
#: somebody waits for.
UNAVOIDABLE = {"cds_lfht_lookup", "syscall", "__errno_location", "compat_futex_async"}


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump: apt-get install binutils")
def test_a_hit_of_liburcu_calls_nothing_but_its_lookup(tmp_path: Path) -> None:
    """As in a program that is linked with it: the read-side lock is inlined, and TLS is reached without a call."""
    peer = next(peer for peer in PEERS if peer.name == "cds_lfht")
    done = contending._compile("cc", peer, str(tmp_path), contending.INITIAL_TLS)
    if done.returncode != 0:
        pytest.skip(f"apt-get install {peer.package}")
    command = ["objdump", "--no-show-raw-insn", "--disassemble=lfht_hits", str(tmp_path / "peer.so")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    called = set(re.findall(r"\s(?:call|bl)\s.*<([^@>+]+)", text))
    assert "cds_lfht_lookup" in called
    assert called <= UNAVOIDABLE


def test_a_peer_in_the_measuring_process_has_no_handicap() -> None:
    if choose(["cds_lfht"])[1]:
        pytest.skip("apt-get install liburcu-dev")
    result = bench.run(bench.Options(["cds_lfht"], [64], seconds=0.1, rounds=1))
    assert result.find("hit", "cds_lfht", 64)
    assert not [note for note in result.notes if "TLS" in note]


# ------------------------------------------------------------------------------------------------- keys


def test_keys_of_each_kind(tmp_path: Path) -> None:
    for kind in ("slabs", "machine", "files"):
        found = keying.find(kind, 50, 1)
        assert len(set(found.keys)) == len(found.keys) >= 100
    real = keying.find(str(ADDRESSES), 10_000, 1)
    assert real.real
    assert len(keying.mix(real, 10_000, 1)) == len(real.keys) // 2 * 2
    with pytest.raises(keying.KeysError, match="No such file"):
        keying.find("nonsense", 10, 1)
    (tmp_path / "bad").write_text("xyz\n")
    with pytest.raises(keying.KeysError, match="no hexadecimal address"):
        keying.find(str(tmp_path / "bad"), 10, 1)


def test_adversarial_keys_collide_but_not_for_ours() -> None:
    found, _ = choose(["fixed:x4", "rwlock"])
    mixed = keying.mix(keying.find("adversarial", 500, 1), 500, 1)
    keys = keying.make(mixed, 1)
    costs = [Subject(one, mixed, keys, 1).cost() for one in found]
    assert [one.most_records for one in costs] == [pytest.approx(1, abs=2), 500, 1]
    assert costs[2].most_slots == 500
    assert costs[0].most_slots <= 152


# ---------------------------------------------------------------------------------------------- caught
