# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Runs the models of the table under the C11 model checker GenMC (RC11).

    python tests/models/run.py [--quick] [--no-faults] [--json FILE] [NAME ...]

Each model drives the real sources in csrc/table. A scenario has to pass; a fault is the same scenario with one memory
order weakened, and has to be reported. Exit status: 0 if all is as it should be, 1 if not, 2 without the tools, or for
a name of nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
sys.path.insert(0, str(HERE.parents[1]))
from stress.mutants.catalog import MUTANTS  # noqa: E402
from stress.mutants.checks import Model, Mutant  # noqa: E402
from stress.mutants.edits import Edit, copy_edited  # noqa: E402

HOW_TO_GET = (
    "GenMC 0.11 is not on PATH (or clang and opt of the LLVM that it was built with are missing): "
    "build it from https://github.com/MPI-SWS/genmc, with LLVM from your distribution (Debian: clang-14, llvm-14-dev, "
    "libclang-14-dev), a C++20 compiler, autoconf and automake"
)

# What GenMC's own passes are told to leave alone: they serve speed, and do not cope with functions of this size.
GENMC = [
    "--rc11",
    "--disable-estimation",
    "--disable-mm-detector",
    "--disable-function-inliner",
    "--disable-loop-jump-threading",
    "--disable-spin-assume",
]
# Everything in one function, without changing an access to shared memory. Aggregates on the stack become scalars, for
# GenMC would count each of their fields as shared memory.
PASSES = "internalize,globaldce,function(lower-expect),always-inline,cgscc(inline),function(sroa,simplifycfg),globaldce"
CLANG = [
    "-std=c11",
    "-O1",
    "-gline-tables-only",
    "-S",
    "-emit-llvm",
    "-fno-discard-value-names",
    "-D__CONFIG_GENMC_INODE_DATA_SIZE=64",
    "-Xclang",
    "-disable-llvm-passes",
    "-Xclang",
    "-disable-lifetime-markers",
]


@dataclass(frozen=True)
class Scenario:
    """One run of a model: name, source file without suffix, macros; quick ones are part of the tests."""

    name: str
    model: str
    defines: tuple[str, ...] = ()
    quick: bool = True
    fault: bool = False  # has to be reported
    edits: tuple[Edit, ...] = ()  # a planted fault: that of a mutant


@dataclass(frozen=True)
class Verdict:
    """What came out: executions explored, the error that was reported or an empty string, seconds of a processor."""

    name: str
    fault: bool
    executions: int
    error: str
    seconds: float

    @property
    def ok(self) -> bool:
        """As it should be: a scenario without an error, or a fault reported as one of memory or of an answer."""
        return self.error.startswith("reported:") if self.fault else not self.error


def scenario(name: str, model: str, *defines: str, quick: bool = True) -> Scenario:
    return Scenario(name, model, defines, quick)


SCENARIOS = [
    scenario("publish and look up", "publish"),
    scenario("publish in a second bucket and look up", "publish", "FULL"),
    scenario("insert against insert of one key", "insert_insert"),
    scenario("insert against insert of one key and another", "insert_insert", "OTHER"),
    scenario("two inserts and one place", "claim"),
    scenario("two inserts and one place, look up", "claim", "READER"),
    scenario("a late insert while a future array is built", "late_insert"),
    scenario("a late insert when the future array is in use", "late_insert", "BEGUN"),
    scenario("remove, look up", "update_lookup", "UPDATE=REMOVE"),
    scenario("replace, look up", "update_lookup", "UPDATE=REPLACE"),
    scenario("remove and insert again, look up", "update_lookup", "UPDATE=REINSERT"),
    scenario("grow, look up", "resize_lookup", "FIRST=7", "SECOND=8"),
    scenario("grow, look up what was never there", "resize_lookup", "FIRST=9", "SECOND=7"),
    scenario("grow, look up what was removed and what was never there", "resize_lookup", "FIRST=8", "SECOND=9"),
    scenario("begin against replace, look up", "left", "UPDATE=REPLACE"),
    scenario("begin against remove, look up", "left", "UPDATE=REMOVE"),
    scenario("begin against replace, look up twice", "left", "UPDATE=REPLACE", "SEEN"),
    scenario("set LEFT late, when the head has moved on", "head_back", "LEAVE"),
    scenario("move the head late, when it has moved on twice", "head_back", "FINISH"),
    scenario("remove, while the array that it began in is freed", "kept_head"),
    scenario("a sealed word says that there is a future", "frozen"),
    scenario("a frozen chunk says that there is a future", "frozen", "HELP"),
    scenario("reseed, reclaim, look up", "seed"),
    scenario("take over a seed against begin and replace", "stale_head"),
    scenario("take over a seed against reseed", "stale_head", "RESEED"),
    scenario("two removes and two records set aside", "aside"),
    scenario("grow, begin again, retire", "retire_chain"),
    scenario("an array is left while another thread reclaims", "waiting"),
    scenario("a descriptor taken again while another thread retires", "descriptor_seen"),
    scenario("grow against insert, look up", "resize_update", "UPDATE=INSERT", "READER", quick=False),
    scenario("begin to grow and grow against insert", "resize_update", "UPDATE=INSERT", "BEGIN"),
    scenario("begin to grow and grow against replace", "resize_update", "UPDATE=REPLACE", "BEGIN", quick=False),
    scenario("begin to grow and grow against remove", "resize_update", "UPDATE=REMOVE", "BEGIN", quick=False),
    scenario("grow against replace", "resize_update", "UPDATE=REPLACE", quick=False),
    scenario("grow against remove: the late copy", "resize_update", "UPDATE=REMOVE"),
    scenario("grow against remove and insert: the late copy", "resize_update", "UPDATE=REINSERT", quick=False),
    scenario("copy against replace, look up", "resize_update", "UPDATE=REPLACE", "READER", "COPY", quick=False),
    scenario("copy against remove, look up", "resize_update", "UPDATE=REMOVE", "READER", "COPY", quick=False),
    scenario(
        "grow, copied, against replace, look up", "resize_update", "UPDATE=REPLACE", "READER", "COPIED", quick=False
    ),
    scenario(
        "grow, copied, against remove, look up", "resize_update", "UPDATE=REMOVE", "READER", "COPIED", quick=False
    ),
    scenario("grow and remove against remove", "remove_remove", quick=False),
    scenario("grow twice, replace between, look up", "resize_chain", quick=False),
    scenario("two helpers of one resize, look up", "resize_helpers"),
    scenario("retire, reclaim, look up", "grace_period", "LOOKUPS=1"),
    scenario("retire, reclaim, look up twice", "grace_period", "LOOKUPS=2"),
    scenario("retire, another thread reclaims, look up", "grace_period", "LOOKUPS=1", "RECLAIMER"),
    scenario("retire, reclaim, temporary pin", "grace_period", "LOOKUPS=2", "PIN_SLOTS=1", "PIN_TEMPORARY=1"),
    scenario("retire, reclaim, overflowing pins", "grace_period", "LOOKUPS=2", "PIN_SLOTS=1", "PIN_TEMPORARY=0"),
    scenario(
        "retire, reclaim with a plain pin, overflowing pin",
        "grace_period",
        "LOOKUPS=1",
        "PIN_SLOTS=1",
        "PIN_TEMPORARY=0",
        "MODEL_FENCED_PINS=0",
        "RESIZER=0",
    ),
    scenario(
        "a temporary slot handed over",
        "grace_period",
        "LOOKUPS=1",
        "RECLAIMER",
        "PIN_SLOTS=1",
        "PIN_TEMPORARY=1",
        quick=False,
    ),
    scenario("retire, reclaim, look up many", "many", "KEYS=1", "BEGIN", "RETIRE"),
    scenario("begin to grow and grow, look up many", "many", "KEYS=2", "BEGIN"),
    scenario("grow, replace, look up many", "many", "KEYS=1", "BEGIN", "UPDATE"),
    scenario("retire, reclaim with membarrier, plain pin", "membarrier"),
    scenario("retire, reclaim with membarrier, simple form", "membarrier", "OWN"),
    scenario("retire, observe a reader elsewhere, reclaim", "observed"),
    scenario("pages of a region given back and taken", "region"),
    scenario("a table published in a region, look up there", "region_reader"),
    scenario("a descriptor freed and taken again", "descriptor_reuse"),
    scenario("what a fork left, taken back by two threads", "orphans"),
    scenario("a snapshot takes the place of another, resolve", "snapshots"),
    scenario("a snapshot takes the place of another, resolve with a plain pin", "snapshots", "PLAIN"),
    scenario("associate against evict", "inodes", "ASSOCIATES=1", "EVICT"),
    scenario("associate against associate", "inodes", "ASSOCIATES=2"),
    scenario("associate, look up", "inodes", "ASSOCIATES=1", "READER"),
    scenario("evict, look up", "inodes", "EVICT", "READER"),
    scenario("evict and reuse, look up", "inodes", "REUSE", "READER"),
    scenario("associate against associate and evict", "inodes", "ASSOCIATES=2", "EVICT", quick=False),
    scenario("grow, iterate", "walk"),
    scenario("begin to grow and grow, iterate", "walk", "BEGIN"),
    scenario("begin to grow and grow, iterate over nothing", "walk", "BEGIN", "STAYS=0"),
    scenario("grow against insert, iterate", "walk", "WRITER", quick=False),
    scenario("retire, reclaim, iterate", "walk", "RETIRE"),
] + [
    scenario(f"writer stopped before write {n} to {n + 3}", "truncated", f"FIRST={n}", f"LAST={n + 3}", quick=False)
    for n in range(1, 41, 4)
]

RELAXED = "memory_order_relaxed"
ORDER = re.compile(r"^#define (BID_[A-Z]_(?:RELEASE|ACQUIRE|FENCE)) memory_order_\w+$", re.MULTILINE)
#: The definition of each order: its file and line.
ORDERS = {
    line[1]: (str(path.relative_to(CSRC)), line[0])
    for path in sorted(CSRC.rglob("*.[ch]"))
    for line in ORDER.finditer(path.read_text())
}


def weakened(macro: str, of: str, order: str = RELAXED) -> Scenario:
    base = next(s for s in SCENARIOS if s.name == of)
    file, line = ORDERS[macro]
    edit = Edit(file, line, f"#define {macro} {order}")
    return Scenario(f"{macro} weakened: {of}", base.model, base.defines, base.quick, True, (edit,))


def wrong(name: str, of: str, *edits: Edit) -> Scenario:
    base = next(s for s in SCENARIOS if s.name == of)
    return Scenario(f"{name}: {of}", base.model, base.defines, base.quick, True, edits)


CLAIM = """        if (!bid_cas(at->slot, &at->word, at->word | BID_TAKEN, BID_RELAXED))
            return BID_STEP_AGAIN;
        at->word |= BID_TAKEN;
"""
CLAIM_BY_STORE = """        bid_store(at->slot, at->word | BID_TAKEN, BID_RELAXED);
        at->word |= BID_TAKEN;
"""
LEAVE = "    bid_leave(table, array);\n"
UPDATE = "    status = bid_update_array(table, future, op);\n"
LEAVE_RELAXED = Edit("table/move.c", "head | BID_HEAD_LEFT, BID_H_RELEASE", "head | BID_HEAD_LEFT, BID_RELAXED")
ORPHANS_RELAXED = (
    Edit(
        "table/orphan.c", "life = bid_load(&array->life, BID_L_ACQUIRE)", "life = bid_load(&array->life, BID_RELAXED)"
    ),
    Edit("table/orphan.c", "BID_LIFE_FREEING), BID_L_ACQUIRE))", "BID_LIFE_FREEING), BID_RELAXED))"),
)
LEAVE_LATE = (Edit("table/update.c", LEAVE, ""), Edit("table/update.c", UPDATE, LEAVE + UPDATE))


def variant(name: str, of: str, *edits: Edit) -> Scenario:
    """What csrc/README.md says would be right as well."""
    base = next(s for s in SCENARIOS if s.name == of)
    return Scenario(f"{name}: {of}", base.model, base.defines, base.quick, False, edits)


LEFT = ("begin against replace, look up", "begin against replace, look up twice", "begin against remove, look up")
VARIANTS = [variant("LEFT by a relaxed swap", of, LEAVE_RELAXED) for of in LEFT] + [
    variant("LEFT after the seal and before the update", of, *LEAVE_LATE) for of in LEFT
]
VARIANTS += [variant("lives of orphans read relaxed", "what a fork left, taken back by two threads", *ORPHANS_RELAXED)]

WRONG = [
    wrong("a place filled without a claim", "two inserts and one place", Edit("table/record.c", CLAIM, "")),
    wrong(
        "a place claimed by a store",
        "two inserts and one place",
        Edit("table/record.c", CLAIM, CLAIM_BY_STORE),
    ),
    wrong(
        "a helper leaves a slot with a claimed place alone",
        "begin to grow and grow against insert",
        Edit(
            "table/move.c",
            "        uint64_t word = bid_freeze(&bucket[i]);\n",
            "        if (bid_load(&bucket[i], BID_P_ACQUIRE) == BID_TAKEN)\n            break;\n"
            "        uint64_t word = bid_freeze(&bucket[i]);\n",
        ),
    ),
    wrong(
        "a record set aside for two removes",
        "two removes and two records set aside",
        Edit(
            "table/record.c",
            "uint64_t number = bid_add(&array->aside, 1, BID_RELAXED);",
            "uint64_t number = bid_load(&array->aside, BID_RELAXED);\n"
            "    bid_store(&array->aside, number + 1, BID_RELAXED);",
        ),
    ),
    wrong(
        "whoever finds a future does not set LEFT",
        "begin against replace, look up",
        Edit("table/update.c", LEAVE, ""),
    ),
    wrong(
        "RESEEDED taken away before the seed is there",
        "reseed, reclaim, look up",
        Edit("table/reclaim.c", "head & ~BID_HEAD_RESEEDED, BID_H_RELEASE", "head & ~BID_HEAD_RESEEDED, BID_RELAXED"),
    ),
]


def planted(mutant: Mutant, of: str) -> Scenario:
    base = next(s for s in SCENARIOS if s.name == of)
    return Scenario(f"{mutant.name}: {of}", base.model, base.defines, False, True, mutant.edits)


FAULTS = (
    [
        weakened("BID_P_RELEASE", "publish and look up"),
        weakened("BID_P_ACQUIRE", "publish and look up"),
        weakened("BID_F_RELEASE", "grow, look up"),
        weakened("BID_F_ACQUIRE", "grow, look up"),
        weakened("BID_D_RELEASE", "two helpers of one resize, look up"),
        weakened("BID_D_ACQUIRE", "two helpers of one resize, look up"),
        weakened("BID_H_RELEASE", "grow, look up"),
        weakened("BID_H_ACQUIRE", "two helpers of one resize, look up"),
        weakened("BID_E_RELEASE", "retire, reclaim, look up"),
        weakened("BID_E_ACQUIRE", "retire, reclaim with membarrier, plain pin"),
        weakened("BID_U_RELEASE", "retire, reclaim, look up"),
        weakened("BID_U_ACQUIRE", "retire, reclaim with membarrier, plain pin"),
        weakened("BID_U_RELEASE", "a temporary slot handed over"),
        weakened("BID_U_ACQUIRE", "a temporary slot handed over"),
        weakened("BID_H_ACQUIRE", "begin to grow and grow, look up many"),
        weakened("BID_U_RELEASE", "retire, reclaim, look up many"),
        weakened("BID_S_FENCE", "retire, reclaim, look up many", "memory_order_acq_rel"),
        weakened("BID_S_FENCE", "retire, reclaim, look up", "memory_order_acq_rel"),
        weakened("BID_L_RELEASE", "a descriptor freed and taken again"),
        weakened("BID_L_ACQUIRE", "a descriptor freed and taken again"),
        weakened("BID_C_RELEASE", "a late insert while a future array is built"),
        weakened("BID_C_RELEASE", "a late insert when the future array is in use"),
        weakened("BID_C_ACQUIRE", "a late insert while a future array is built"),
        weakened("BID_C_ACQUIRE", "a late insert when the future array is in use"),
        weakened("BID_G_RELEASE", "retire, observe a reader elsewhere, reclaim"),
        weakened("BID_G_ACQUIRE", "retire, observe a reader elsewhere, reclaim"),
        weakened("BID_E_RELEASE", "retire, observe a reader elsewhere, reclaim"),
        weakened("BID_E_ACQUIRE", "retire, observe a reader elsewhere, reclaim"),
        weakened("BID_R_RELEASE", "pages of a region given back and taken"),
        weakened("BID_R_ACQUIRE", "pages of a region given back and taken"),
        weakened("BID_M_RELEASE", "a snapshot takes the place of another, resolve with a plain pin"),
        weakened("BID_M_ACQUIRE", "a snapshot takes the place of another, resolve"),
        weakened("BID_I_RELEASE", "associate against evict"),
        weakened("BID_I_ACQUIRE", "associate against evict"),
    ]
    + WRONG
    + [planted(mutant, check.name) for mutant in MUTANTS for check in mutant.checks if isinstance(check, Model)]
)


@dataclass(frozen=True)
class Tools:
    genmc: str
    clang: str
    opt: str
    include: Path

    @staticmethod
    def find() -> Tools | None:
        """The tools, or None; see HOW_TO_GET."""
        genmc = shutil.which("genmc")
        if genmc is None:
            return None
        version = subprocess.run([genmc, "--version"], capture_output=True, text=True, check=False).stdout
        llvm = re.search(r"LLVM (\d+)", version)
        major = llvm.group(1) if llvm else ""
        path = f"/usr/lib/llvm-{major}/bin"
        clang = shutil.which(f"clang-{major}") or shutil.which("clang", path=path)
        opt = shutil.which(f"opt-{major}") or shutil.which("opt", path=path)
        include = Path(genmc).resolve().parents[1] / "include" / "genmc" / "include"
        if clang is None or opt is None or not include.is_dir():
            return None
        return Tools(genmc, clang, opt, include)


def foreign_copies(ir: str) -> Iterator[str]:
    """Copies and fills of memory that GenMC would not split into the fields of a struct, as it has to."""
    for function in ir.split("\ndefine ")[1:]:
        for call in re.finditer(r"call void @llvm\.mem\w+\.\S+\((.*?), i64 ", function):
            for pointer in re.findall(r"i8\* [^%]*(%[\w.]+)", call.group(1)):
                if not re.search(rf"\n *{re.escape(pointer)} = bitcast %struct\.\w+\* ", function):
                    yield f"{pointer} in {function.split('(')[0]}"


def build(tools: Tools, what: Scenario, target: Path) -> None:
    """Compiles a model with the table's sources into one file of LLVM code."""
    csrc = copy_edited(what.edits, target.parent / "csrc") if what.edits else CSRC
    includes = [
        f"-I{HERE}",
        f"-I{csrc / 'table'}",
        f"-I{csrc / 'process'}",
        f"-I{csrc / 'include'}",
        "-isystem",
        str(tools.include),
    ]
    source = HERE / f"{what.model}.c"
    clang = [tools.clang, *CLANG, *includes, *(f"-D{d}" for d in what.defines), str(source), "-o", "-"]
    raw = subprocess.run(clang, capture_output=True, text=True, check=True).stdout
    opt = [tools.opt, "-S", f"-passes={PASSES}", "-inline-threshold=100000", "-internalize-public-api-list=main"]
    ir = subprocess.run([*opt, "-"], input=raw, capture_output=True, text=True, check=True).stdout
    for copy in foreign_copies(ir):
        raise ValueError(f"{what.model}: a copy of memory that the model checker cannot follow: {copy}")
    target.write_text(ir)


NO_END = "no end after"
PATIENCE = 60  #: how much longer a busy machine may take than a processor's time


def run_for(command: list[str], wall_seconds: float) -> tuple[int, str, float]:
    """Runs a program and returns its exit status (minus a signal's number), its output, and seconds of a processor."""
    with tempfile.TemporaryFile("w+") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        patience = threading.Timer(wall_seconds, process.kill)
        patience.start()
        _, status, used = os.wait4(process.pid, 0)
        patience.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        file.seek(0)
        return process.returncode, file.read(), used.ru_utime + used.ru_stime


def check(tools: Tools, what: Scenario, code: Path, cpu_seconds: int = 600) -> Verdict:
    """Runs the model checker over what build() made, for so much of a processor's time. An error that is not the model
    checker's verdict begins with "failed:"."""
    limits = ["setpriv", "--pdeathsig", "KILL", "prlimit", f"--cpu={cpu_seconds}"]
    command = [*limits, tools.genmc, *GENMC, "--input-from-bitcode-file", str(code)]
    status, output, seconds = run_for(command, PATIENCE * cpu_seconds)
    executions = re.search(r"complete executions explored: (\d+)", output)
    reported = re.search(r"^Error: (.*)", output, re.MULTILINE)
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        problem = f"failed: {NO_END} {seconds:.0f} s of a processor"
    elif reported:
        problem = f"reported: {reported.group(1)}"
    elif "No errors were detected" in output:
        problem = ""
    else:
        problem = f"failed: {output[-500:]}"
    explored = int(executions.group(1)) if executions else 0
    return Verdict(what.name, what.fault, explored, problem, seconds)


def verify(tools: Tools, what: Scenario, cpu_seconds: int = 600) -> Verdict:
    """Builds and checks one scenario."""
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "model.ll"
        try:
            build(tools, what, code)
        except subprocess.CalledProcessError as error:
            return Verdict(what.name, what.fault, 0, f"failed: {error.stderr}", 0.0)
        return check(tools, what, code, cpu_seconds)


def is_named(what: Scenario, names: list[str]) -> bool:
    """A name that is a scenario's means that one alone, that of a file (`NAME`, `NAME.c`, or a path) its scenarios, any
    other those that it is a part of."""
    whole = {name for s in SCENARIOS + VARIANTS + FAULTS for name in (s.name, s.model)}
    file = f"{what.model}.c"
    return not names or any(
        n in (what.name, what.model) or Path(n).name == file or (n not in whole and n in what.name) for n in names
    )


def say(one: Scenario, verdict: Verdict) -> None:
    said = verdict.error.splitlines()[0] if verdict.error else "no error"
    sign = "ok  " if verdict.ok else "FAIL"
    print(f"{sign} {one.name:<66} {verdict.executions:>7} executions {verdict.seconds:6.1f} s  {said}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Model-checks the table's sources with GenMC.")
    parser.add_argument("names", nargs="*", help="scenarios, parts of their names, or their files (default: all)")
    parser.add_argument("--quick", action="store_true", help="only those that take seconds")
    parser.add_argument("--no-faults", action="store_true", help="without the weakened orders")
    parser.add_argument("--json", type=Path, help="write the verdicts there")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many at a time (default: %(default)s)")
    options = parser.parse_args()
    for name in options.names:
        if not any(is_named(s, [name]) for s in SCENARIOS + VARIANTS + FAULTS):
            parser.error(f"no scenario is called {name!r}, nor its file: see SCENARIOS in {__file__}")
    tools = Tools.find()
    if tools is None:
        print(HOW_TO_GET, file=sys.stderr)
        return 2
    wanted = [
        s
        for s in SCENARIOS + VARIANTS + ([] if options.no_faults else FAULTS)
        if (s.quick or not options.quick) and is_named(s, options.names)
    ]
    verdicts = []
    with ThreadPoolExecutor(options.jobs) as executor:
        for one, verdict in zip(wanted, executor.map(partial(verify, tools), wanted)):
            verdicts.append(verdict)
            say(one, verdict)
    print(f"{len(verdicts)} models, {sum(v.seconds for v in verdicts):.0f} s of a processor under the model checker")
    if options.json:
        options.json.write_text(json.dumps([{**asdict(v), "ok": v.ok} for v in verdicts], indent=2) + "\n")
    return 0 if verdicts and all(v.ok for v in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
