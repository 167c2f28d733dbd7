# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Who is measured: our table, its rivals (study/rivals), and peers from outside (study/peers), by name."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from ctypes import CDLL, addressof, c_char
from ctypes.util import find_library
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from study._measure import ffi, lib
from study.rivals import designs, text

ROOT = Path(__file__).resolve().parents[2]
OURS = "ours"
AGAINST = "against"  # another build of ours
REPARSE_MOST = 100_000  # entries: each is a page of a file


class UnknownDesignError(ValueError):
    """No design has this name: the message says which there are."""


@dataclass(frozen=True)
class Contender:
    """One design, with its number of buckets where that is fixed."""

    name: str
    summary: str
    ahead: str  # why its lookups may be ahead of those of a table that can be read anywhere and grows
    ahead_updates: str  # the same of its updates
    peer: bool
    grows: bool
    stores: bool  # keeps the IDs in a table of its own: neither a field of an object nor nothing
    functions: Any = field(repr=False, compare=False)  # struct bid_design
    own_allocator: bool = False  # malloc() does not see all of its memory
    handicap: str = ""  # what slows it down here and would not in a program of its own
    buckets: tuple[str, int] = ("x", 1)  # (":", so many), ("/", one for so many entries) or ("x", so many for each)

    def __getstate__(self) -> dict[str, Any]:
        """Functions are those of a process."""
        return {**self.__dict__, "functions": None}

    def expected(self, entries: int) -> int:
        """What to create it with for that many entries."""
        if self.grows:
            return 0
        kind, number = self.buckets
        return number if kind == ":" else max(entries // number, 1) if kind == "/" else entries * number

    def limit(self) -> int | None:
        """More entries than that are not measured."""
        return REPARSE_MOST if self.functions.traits & lib.RIVAL_REPARSES else None


@dataclass(frozen=True)
class Missing:
    """A peer that is not here: why, and the Debian package that brings it."""

    name: str
    package: str
    reason: str


@dataclass(frozen=True)
class Peer:
    name: str
    source: str  # of study/peers
    package: str
    modules: tuple[str, ...]  # of pkg-config
    ahead: str
    ahead_updates: str
    own_allocator: bool = False  # malloc() does not see all of its memory
    preload: str = ""  # a library that the process has to start with (preloads()), or each access to its TLS is a call


INITIAL_TLS = "-ftls-model=initial-exec"  # as in a program that is linked with the library, where TLS costs no call

_LOCK = "a lock is all that its readers need, and they wait for it"
_BUCKET_LOCK = "updaters take a bucket's lock, and the table never shrinks"
_ONE_UPDATER = "there is one updater, who needs no compare-and-swap, frees nothing, and never shrinks the table"

PEERS = (
    Peer(
        "cds_lfht",
        "lfht.c",
        "liburcu-dev",
        ("liburcu-cds", "liburcu-memb"),
        "its readers register once instead of finding their pin at each lookup",
        "another thread, on another processor, does its resizing",
        own_allocator=True,  # its buckets are a mapping
        preload="urcu-memb",
    ),
    Peer(
        "ck_ht",
        "ck_ht.c",
        "libck-dev",
        ("ck",),
        "its readers pay nothing for memory that must outlive them (here none is freed beside them), and start again "
        "while an updater moves slots",
        _ONE_UPDATER,
    ),
    Peer(
        "ck_hs",
        "ck_hs.c",
        "libck-dev",
        ("ck",),
        "its readers pay nothing for memory that must outlive them (here none is freed beside them), and start again "
        "while an updater moves entries",
        _ONE_UPDATER,
    ),
    Peer("tbb", "tbb.cpp", "libtbb-dev", ("tbb",), _LOCK, _BUCKET_LOCK),
)

_IN_PLACE = "keys and IDs lie in one place, so a lookup misses the cache once; a lock or a counter guards them"
_OBJECT = "nothing is searched: the caller holds the object already; the price is a field in every object"
_ONE_LOCK = "updaters take one lock, and the table never shrinks"
_FIXED_UPDATES = "updaters take a bucket's lock, and nothing is ever copied to another array or given back"
_OBJECT_UPDATES = "an update is one store into the object"
_AHEAD = {
    "ours": ("", ""),
    "spinlock": (_LOCK, _FIXED_UPDATES),
    "trylock": ("a lock is all that its readers need, and without it they give no answer", _FIXED_UPDATES),
    "fixed": ("with buckets enough chains are short, and there is no resize to look for", _FIXED_UPDATES),
    "rwlock": (_IN_PLACE, _ONE_LOCK),
    "seqcount": (_IN_PLACE, _ONE_LOCK),
    "file": (_OBJECT, _OBJECT_UPDATES),
    "inode": (_OBJECT, _OBJECT_UPDATES),
    "reparse": ("nothing is stored", "the file is there already: nothing is stored"),
}
DEFAULT = (
    *(
        "ours",
        "spinlock",
        "trylock",
        "fixed",
        "fixed:/16",
        "fixed:x4",
        "rwlock",
        "seqcount",
        "file",
        "inode",
        "reparse",
    ),
    *(peer.name for peer in PEERS),
)


def choose(names: Sequence[str]) -> tuple[tuple[Contender, ...], tuple[Missing, ...]]:
    """The contenders of these names, ours first and always among them, and the peers that are not here.

    A name of a design with fixed buckets may say how many: "fixed:4096", "fixed:/16" (one for 16 entries), "fixed:x4"
    (four for each entry). Raises UnknownDesignError.
    """
    rivals = _rivals()
    found, missing = [rivals[OURS]], []
    for name in dict.fromkeys(names):
        if name == OURS:
            continue
        peer = next((peer for peer in PEERS if peer.name == name), None)
        one = _sized(name, rivals) if peer is None else _load(peer)
        if isinstance(one, Missing):
            missing.append(one)
        else:
            found.append(one)
    return tuple(found), tuple(missing)


def another(functions: Any) -> Contender:
    """Another build of ours."""
    return _contender(functions, AGAINST, ("it is another build", "it is another build"), False)


def preloads(names: Sequence[str]) -> list[str]:
    """What LD_PRELOAD has to name in a process in which peers among these are to be as quick as in a program of their
    own: a library that is loaded later gets no TLS that code can reach without a call."""
    wanted = [peer.preload for peer in PEERS if peer.preload and peer.name in names]
    return [found for name in wanted if (found := find_library(name))]


def tableless() -> list[str]:
    """The designs that keep no table: IDs in objects, or nowhere."""
    return [name for name, functions in designs().items() if _has_no_table(functions)]


def _has_no_table(functions: Any) -> bool:
    return bool(functions.traits & (lib.RIVAL_POINTER | lib.RIVAL_REPARSES))


def _contender(functions: Any, name: str, ahead: tuple[str, str], peer: bool) -> Contender:
    grows = bool(functions.traits & lib.RIVAL_GROWS)
    return Contender(name, text(functions.summary), *ahead, peer, grows, not _has_no_table(functions), functions)


def _rivals() -> dict[str, Contender]:
    return {name: _contender(functions, name, _AHEAD[name], False) for name, functions in designs().items()}


def _sized(name: str, rivals: dict[str, Contender]) -> Contender:
    match = re.fullmatch(r"(\w+)(?::([/x]?)([1-9]\d{0,11}))?", name)
    rival = rivals.get(match[1]) if match else None
    if match is None or rival is None or (match[3] and rival.grows):
        known = ", ".join([*rivals, *(peer.name for peer in PEERS)])
        raise UnknownDesignError(
            f"there is no design {name!r}: only {known}; spinlock, trylock and fixed may say how many buckets, as in "
            "fixed:4096, fixed:/16 (one for 16 entries) or fixed:x4 (four for each)"
        )
    if not match[3]:
        return rival
    number = int(match[3])
    words = {"": "{} buckets", "/": "one bucket for {} entries", "x": "{} buckets for each entry"}
    summary = f"{rival.summary} ({words[match[2]].format(f'{number:,}')})"
    buckets = (match[2] or ":", number)
    return replace(rival, name=name, summary=summary, buckets=buckets)


# ----------------------------------------------------------------------------------------------- peers


_loaded: dict[str, Contender] = {}  # peers, for good: their libraries may take a second copy amiss


def _load(peer: Peer) -> Contender | Missing:
    """Compiles a peer against its library, and loads it, once in a process. One that is missing is tried each time."""
    if peer.name not in _loaded:
        found = _build(peer)
        if isinstance(found, Missing):
            return found
        _loaded[peer.name] = found
    return _loaded[peer.name]


def _build(peer: Peer) -> Contender | Missing:
    compiler = "c++" if peer.source.endswith(".cpp") else "cc"
    if shutil.which(compiler) is None:
        return Missing(peer.name, "g++" if compiler == "c++" else "gcc", f"no compiler: {compiler} is not on PATH")
    with tempfile.TemporaryDirectory(prefix="pybuildid-") as directory:
        found = _compile_and_load(compiler, peer, directory, INITIAL_TLS if peer.preload else "")
        if isinstance(found, Missing) and "static TLS" in found.reason:
            found = _compile_and_load(compiler, peer, directory, "")
    return found


def _compile_and_load(compiler: str, peer: Peer, directory: str, tls: str) -> Contender | Missing:
    done = _compile(compiler, peer, directory, *filter(None, [tls]))
    if done.returncode != 0:
        return Missing(peer.name, peer.package, last_line(done.stderr))
    try:
        functions = load(Path(directory, "peer.so"))
    except (OSError, ValueError) as error:
        return Missing(peer.name, peer.package, f"its header is not here ({str(error).split(': ')[-1]})")
    contender = _contender(functions, peer.name, (peer.ahead, peer.ahead_updates), True)
    slow = f"{peer.name} pays a call for each access to TLS: the process began without lib{peer.preload}"
    handicap = slow if peer.preload and not tls else ""
    return replace(contender, own_allocator=peer.own_allocator, handicap=handicap)


def load(library: Path) -> Any:
    """The functions of a design in a shared object of its own, for good. Raises OSError, or ValueError without any."""
    return ffi.cast("struct bid_design *", addressof(c_char.in_dll(CDLL(str(library)), "bid_design_peer")))


def _compile(compiler: str, peer: Peer, directory: str, *options: str) -> subprocess.CompletedProcess[str]:
    """As programs that link the library are compiled; inline functions of C++ are not called through the PLT."""
    libraries = []
    if shutil.which("pkg-config"):
        command = ["pkg-config", "--silence-errors", "--cflags", "--libs", *peer.modules]
        libraries = subprocess.run(command, capture_output=True, text=True).stdout.split()
    language = ["-std=c++17", "-fvisibility-inlines-hidden"] if compiler == "c++" else ["-std=gnu11"]
    includes = [f"-I{ROOT / folder}" for folder in ("csrc/include", "study/rivals")]
    output = ["-O2", "-fPIC", "-shared", *options, *includes, "-o", f"{directory}/peer.so"]
    source = str(ROOT / "study" / "peers" / peer.source)
    return subprocess.run([compiler, *language, *output, source, *libraries], capture_output=True, text=True)


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if "error" in line] or text.splitlines() or ["the compiler failed"]
    return lines[0].strip()
