# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds and runs the fuzzers, of the note reader and of the reader of profiles, one after the other: `make fuzz
SECONDS=60`, or python tests/fuzz/fuzz.py --seconds 60.

Exit codes: 0 if nothing broke; 1 if something did, and then the input is kept as build/fuzz/crash-* (or timeout-*,
oom-*); 2 if there is no clang with libFuzzer. What each learns is kept in build/fuzz/NAME-corpus, for the next run.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from seeds import write_seeds

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stress import programs  # noqa: E402
from stress.programs import Toolchain  # noqa: E402

HERE, BUILD = Path(__file__).resolve().parent, ROOT / "build" / "fuzz"
TARGETS = ("note", "pprof")  # of csrc, and here a program for each
CLANGS = ("clang", *(f"clang-{version}" for version in range(25, 10, -1)))
FLAGS = ("-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
MAX_LEN = 4096  # bytes of an input: headers and notes, or messages, many times over


@dataclass
class Found:
    """covered: edges of the control flow, as libFuzzer counts them. broken: what; "": nothing."""

    executions: int
    covered: int
    broken: str


def build(target: str) -> Path:
    clang = next(filter(None, map(shutil.which, CLANGS)), None)
    if clang is None:
        print("the fuzzer needs clang with libFuzzer: apt-get install clang", file=sys.stderr)
        sys.exit(2)
    toolchain = Toolchain(clang, FLAGS, strict=("-Wall", "-Wextra"))
    try:
        return programs.build(f"fuzz-{target}", [HERE / f"{target}.c"], toolchain, toolchain.sources((target,)))
    except programs.CompilerError as error:
        print(
            f"{error}\n{clang} could not build the fuzzer: does it have libFuzzer (apt-get install clang)?",
            file=sys.stderr,
        )
        sys.exit(2)


def fuzz(target: str, seconds: int) -> Found:
    """Runs a fuzzer. Its own words go to standard error as they come."""
    program, seeds, corpus = build(target), BUILD / f"{target}-seeds", BUILD / f"{target}-corpus"
    write_seeds(target, seeds)
    corpus.mkdir(exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-max_len={MAX_LEN}", "-timeout=20", "-print_final_stats=1"]
    options += ["-verbosity=1", f"-artifact_prefix={BUILD}/"]
    command: list[str | Path] = [program, *options, corpus, seeds]
    words = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as run:
        assert run.stderr
        for line in run.stderr:
            sys.stderr.write(line)
            words.append(line)
    code, text = run.returncode, "".join(words)
    executions = re.search(r"number_of_executed_units: (\d+)", text)
    broken = re.search(r"broken: .*|runtime error: .*|ERROR: .*", text)
    covered = re.findall(r"cov: (\d+)", text)
    return Found(
        int(executions[1]) if executions else 0,
        int(covered[-1]) if covered else 0,
        broken[0] if broken else (f"exit code {code}" if code else ""),
    )


def add_up(targets: dict[str, Found], seconds: int) -> dict[str, object]:
    return {
        "seconds": seconds,
        "executions": sum(found.executions for found in targets.values()),
        "covered": sum(found.covered for found in targets.values()),
        "broken": "; ".join(f"{target}: {found.broken}" for target, found in targets.items() if found.broken),
        "targets": {target: asdict(found) for target, found in targets.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="how long in all (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found to this file")
    options = parser.parse_args()
    seconds = max(1, options.seconds // len(TARGETS))
    found = add_up({target: fuzz(target, seconds) for target in TARGETS}, options.seconds)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{found['executions']:,} inputs, {found['covered']:,} edges covered, {found['broken'] or 'nothing broke'}")
    sys.exit(bool(found["broken"]))


if __name__ == "__main__":
    main()
