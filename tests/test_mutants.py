# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The mutants: each edit fits the sources, a few are built and caught, and what is not caught is said to be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stress import programs
from stress.common import object_file
from stress.mutants import run as mutants
from stress.mutants.catalog import MUTANTS
from stress.mutants.catalog.note import READER
from stress.mutants.checks import Fault, Model, Mutant, Program, Reading, Storm
from stress.mutants.edits import CSRC, Edit, EditError, copy_edited, edited_files
from stress.mutants.run import SOUND, Finding, Verdict

sys.path.insert(0, str(Path(__file__).resolve().parent / "models"))
import run

ROOT = Path(__file__).resolve().parent.parent
HARMLESS = Edit("table/lookup.c", '#include "pin.h"\n', '#include "pin.h"\n\n')

#: What a table of this kind is known to go wrong by.
CLASSICS = {
    "seqlock-reader",
    "published-before-filled",
    "relaxed-publication",
    "no-grace-period",
    "half-a-grace-period",
    "pins-not-reentrant",
    "slot-returns-to-empty",
    "no-tombstone",
    "late-copy-overwrites",
    "seal-misses-the-last-slot",
    "third-array-too-early",
    "retry-without-bound",
    "lazy-tls",
    "malloc-in-lookup",
    "errno-touched",
    "fault-on-first-touch",
    "torn-copy",
    "generation-not-compared",
    "evict-forgets-the-flag",
    "lock-in-update",
}

# -------------------------------------------------------------------------------------------------- the list --


def test_two_threads_compile_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants are judged two at a time, and most of their sources are the same."""
    both, run_alone = threading.Barrier(2), programs._run
    monkeypatch.setattr(programs, "BUILD", tmp_path)

    def run_together(command: Sequence[str]) -> None:
        run_alone(command)
        both.wait(60)

    monkeypatch.setattr(programs, "_run", run_together)
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(programs.objects, [CSRC / "table" / "status.c"], programs.Toolchain()) for _ in range(2)]
    assert made[0].result() == made[1].result()
    assert [file.name for file in tmp_path.iterdir()] == [made[0].result()[0].name]


def test_what_is_there_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may be reading it, and takes one of another size, with other paths in it, for one that is cut off."""
    made = tmp_path / "some.o"

    def run_beside_another(command: Sequence[str]) -> None:
        made.write_text("the first")
        Path(command[-1]).write_text("the second")

    monkeypatch.setattr(programs, "BUILD", tmp_path)
    monkeypatch.setattr(programs, "_run", run_beside_another)
    programs._make(made, lambda to: ["cc", to])
    assert made.read_text() == "the first"


def test_a_source_that_another_includes_is_compiled_anew(tmp_path: Path) -> None:
    """Some C tests compile a file of the core with changes of their own: of a mutant it has to be the mutant's."""
    csrc, test = copy_edited([HARMLESS], tmp_path / "csrc"), [ROOT / "tests" / "c" / "test_pins.c"]
    here, there = (programs.objects(test, programs.Toolchain(csrc=folder)) for folder in (CSRC, csrc))
    assert here != there
    (csrc / "table" / "lookup.c").write_text((CSRC / "table" / "lookup.c").read_text())
    assert programs.objects(test, programs.Toolchain(csrc=csrc)) == here


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_fits_the_sources(mutant: Mutant) -> None:
    texts = edited_files(mutant.edits)
    assert all(text != (CSRC / file).read_text() for file, text in texts.items())


def test_the_list_is_complete() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))
    assert set(names) >= CLASSICS
    assert {mutant.guarantee for mutant in MUTANTS} - {READER} >= {f"G{number}" for number in range(1, 10)}


def test_checks_exist_and_every_reading_has_a_mutant() -> None:
    checks = {check for mutant in MUTANTS for check in mutant.checks}
    programs = {check.name for check in checks if isinstance(check, Program)}
    assert programs <= {path.stem for path in (ROOT / "tests" / "c").glob("test_*.c")}
    assert {check.name for check in checks if isinstance(check, Reading)} == object_file.READINGS.keys()
    planted = {scenario.name for scenario in run.FAULTS}
    modelled = [(mutant, check) for mutant in MUTANTS for check in mutant.checks if isinstance(check, Model)]
    assert {mutants.model_name(mutant.name, check) for mutant, check in modelled} <= planted


def test_a_mutant_names_a_test_or_says_why_none() -> None:
    with pytest.raises(ValueError, match="only the model checker"):
        Mutant("x", "G1", "", (), (Model("publish and look up"),))
    with pytest.raises(ValueError, match="only the model checker"):
        Mutant("x", "G1", "", (), (Storm(),), "no reason")
    with pytest.raises(ValueError, match="only the model checker"):
        Mutant("x", "G1", "", (), ())


# --------------------------------------------------------------------------------------------------- the edits --


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("table/move.c", "no such text", ""), "no times, not once: no such text"),
        (Edit("table/move.c", "bid_copy", ""), r"\d+ times, not once"),
        (Edit("table/none.c", "", ""), "there is no csrc/table/none.c"),
    ],
)
def test_an_edit_that_does_not_fit_is_an_error(edit: Edit, message: str) -> None:
    with pytest.raises(EditError, match=message):
        edited_files([edit])


def test_edits_of_one_file_add_up(tmp_path: Path) -> None:
    edits = [Edit("table/deciding.c", '#include "update.h"', "#first"), Edit("table/deciding.c", "#first", "#second")]
    csrc = copy_edited(edits, tmp_path / "csrc")
    assert "\n#second\n" in (csrc / "table" / "deciding.c").read_text()
    assert (csrc / "table" / "move.c").read_text() == (CSRC / "table" / "move.c").read_text()
    assert (csrc / "include" / "bid.h").exists()


# ---------------------------------------------------------------------------------------------------- verdicts --


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "BUILD", tmp_path)


@pytest.mark.usefixtures("build")
def test_a_harmless_mutant_is_missed() -> None:
    checks = (Program("test_nmi_forms"),)
    verdict = mutants.judge_mutant(Mutant("harmless", "G1", "an empty line", (HARMLESS,), checks))
    assert [finding.found for finding in verdict.findings] == [""]
    assert not verdict.caught
    assert not verdict.ok


@pytest.mark.usefixtures("build")
def test_a_mutant_that_cannot_be_built_is_no_success() -> None:
    edits = (Edit("table/deciding.c", '#include "update.h"', "#error broken"),)
    verdict = mutants.judge_mutant(Mutant("unbuilt", "G1", "", edits, (Program("test_nmi_forms"),)))
    assert "#error broken" in verdict.error
    assert not verdict.ok


def verdict_of(name: str, *findings: Finding) -> Verdict:
    return Verdict(name, "G1", "", findings)


def test_all_checks_of_a_mutant_have_to_catch_it_and_none_the_sound_sources() -> None:
    found, silent, unable = Finding("a", "wrong", 1.0), Finding("b", "", 1.0), Finding("c", "", 0.0, "no tool")
    assert verdict_of("mutant", found).ok
    assert verdict_of("mutant", found, unable).ok
    assert not verdict_of("mutant", found, silent).ok
    assert not verdict_of("mutant").ok
    assert verdict_of("mutant", unable).skipped == "no tool"
    assert not verdict_of("mutant", unable).caught
    assert verdict_of(SOUND, silent, unable).ok
    assert not verdict_of(SOUND, silent, found).ok


# ------------------------------------------------------------------------------------------------- the command --


def command(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stress", "mutants", *options], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


#: A few that take little time, and all that `stress faults` has to catch, which nothing else shows to be able to fail.
BUILT = (
    *("slot-returns-to-empty", "lazy-tls", "pins-not-reentrant"),
    *(mutant.name for mutant in MUTANTS if any(isinstance(check, Fault) for check in mutant.checks)),
)


def test_some_mutants_are_caught_by_name(tmp_path: Path) -> None:
    if shutil.which("objdump") is None:
        pytest.skip(object_file.HOW_TO_GET)
    names = (*BUILT, "relaxed-publication")
    options = [option for name in names for option in ("--mutant", name)]
    result = command(*options, "--json", str(tmp_path / "mutants.json"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].startswith("SUCCESS: ")
    report = json.loads((tmp_path / "mutants.json").read_text())
    states = {mutant["mutant"]: mutant for mutant in report["mutants"]}
    assert states.keys() == {SOUND, *names}
    assert states[SOUND]["state"] == "passed"
    for name in BUILT:
        assert states[name]["state"] == "caught"
        assert all(finding["found"] for finding in states[name]["findings"])
    modelled = states["relaxed-publication"]
    assert modelled["only_modelled"]
    assert modelled["state"] == ("caught" if shutil.which("genmc") else "skipped")


def test_the_list_names_every_mutant_and_its_checks() -> None:
    result = command("--list")
    assert result.returncode == 0, result.stderr
    assert all(mutant.name in result.stdout for mutant in MUTANTS)


def test_a_name_that_is_none_is_an_error() -> None:
    result = command("--mutant", "conjoined")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "Error: Invalid value for --mutant: conjoined: see --list"
