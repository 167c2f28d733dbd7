# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The report: its verdict follows the figures, and the page is read in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from browsed import contrast, luminance, opened
from click.testing import CliRunner
from playwright.sync_api import Browser

from pybuildid.cli import main as pybuildid
from pybuildid.collisions import plot
from study import memory
from study.__main__ import main as study
from study.bench import plots as bench_plots
from study.report import DocumentError, Documents, judge, plots, read, render

ADDRESSES = Path(__file__).parent / "data" / "inode-addresses.txt"
SMALLEST_TEXT = 9  # pixels, at the width of a telephone

RUN: dict[str, Any] = {
    "design": "ours",
    "seed": 7,
    "seconds": 5.0,
    "threads": 4,
    "interruptions": 9000,
    "nested": 100,
    "landed_in_update": 3000,
    "landed_in_resize": 700,
    "landed_in_lookup": 2000,
    "lookups": 500_000,
    "updates": 90_000,
    "wrong": 0,
    "wrong_at_end": 0,
    "blocked": 0,
    "errno_changed": 0,
    "resizes": 20,
    "entries": 4000,
    "max_slots_read": 40,
    "max_records_read": 2,
    "failures": [],
}
RIVAL = {**RUN, "design": "spinlock", "landed_in_update": 3, "blocked": 2, "failures": ["2 blocked lookups"]}
STORM = {**RUN, "verdict": "SUCCESS", "others": [RIVAL], "bound_slots": 128, "bound_records": 128}
RATIO = {"label": "hit / cds_lfht hit", "size": 57_000, "median": 0.2, "min": 0.1, "max": 0.3, "bound": 0.25}
BENCH: dict[str, Any] = {
    "seed": 1,
    "rounds": 3,
    "took": 60.5,
    "keys": "made inodes",
    "interruptions": [
        {"who": who, "interruptions": 9, "in_update": 8, "answered": 16, "busy": 0, "blocked": blocked, "wrong": 0}
        for who, blocked in (("ours", 0), ("spinlock", 1))
    ],
    "worst": [{"who": "ours", "size": 1000, "keys": "made", "slots": 24, "records": 2, "instructions": None}],
    "ahead": [
        {
            "who": "rwlock",
            "leads": [{"what": "hit", "size": 1_000_000, "by": 1.8}],
            "why": ["lookups: it misses the cache once"],
            "price": "Its lookup was blocked for good.",
        }
    ],
    "notes": ["reparse is measured up to 100,000 entries"],
    "versus": [{"who": "cds_lfht", "size": 1000, "ratios": {"hit": 0.25, "remove": 1.75}}],
    "figures": [
        {"what": what, "who": who, "size": size, "median": (m := size**0.3 * factor), "min": m / 2, "max": m * 2}
        for what in ("hit", "cold hit", "miss", "insert", "bytes an entry, resident", "lookup while it grows, mean")
        for who, factor in (("ours", 1), ("cds_lfht", 4))
        for size in (1000, 57_000, 1_000_000)
    ],
    "ratios": [
        RATIO,
        {**RATIO, "label": "miss / hit", "median": 0.6, "bound": 0.5},
        {**RATIO, "label": "remove / that of cds_lfht", "bound": None},
        {**RATIO, "label": "bytes an entry, just before a grow", "median": 45.5, "bound": 50, "unit": "bytes"},
        {**RATIO, "label": "insert / cds_lfht insert", "median": None, "reason": "liburcu is not installed"},
    ],
}


def output(*arguments: object) -> str:
    result = CliRunner().invoke(pybuildid if arguments[0] == "collisions" else study, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real documents of what is quick, and made ones of what takes minutes."""
    folder = tmp_path_factory.mktemp("documents")
    texts = {
        "storm": json.dumps(STORM),
        "bench": json.dumps(BENCH),
        "collisions": output("collisions", "--addresses", ADDRESSES, "--json", "-"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "SIZES", (1000, 20_000))
        texts["memory"] = output("memory", "--files", 60_000, "--inodes", 90_000, "--elf", 3000, "--json", "-")
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    return {name: folder / f"{name}.json" for name in texts}


# ------------------------------------------------------------------------------------------------------ verdict


def test_success_in_three_sentences(files: dict[str, Path]) -> None:
    verdict = judge(read(files))
    assert verdict.word == "SUCCESS"
    assert "interrupted updates 3,000 times" in verdict.sentences[0]
    assert "caught the spinlock table" in verdict.sentences[0]
    assert "Of 3 aims" in verdict.sentences[1]
    assert "1 missed: miss / hit at 57,000 entries (0.60, bound 0.5). A missed aim is no wrong" in verdict.sentences[1]
    assert "shift 10 alone of 25" in verdict.sentences[2]


def test_a_comparison_that_ended_early_says_so() -> None:
    early = "1,000 entries: hit, round 1: tbb did not come back within 120 seconds"
    sentence = judge(Documents(bench={**BENCH, "ended_early": early})).sentences[1]
    assert sentence.startswith(f"The comparison ended early ({early}): of 3 aims")


def test_a_comparison_that_is_not_usable_says_nothing(files: dict[str, Path]) -> None:
    """However good its figures are."""
    bench = {**BENCH, "unusable": "31% of the time of lookups was left out"}
    sentence = judge(Documents(bench=bench)).sentences[1]
    assert sentence == f"Nothing is said about speed, for the comparison is not usable: {bench['unusable']}."
    assert f"This run is not usable: {bench['unusable']}." in render(Documents(bench=bench, commands={"bench": "x"}))


def test_runs_of_a_storm_are_compared_by_rate() -> None:
    """The rival's run ends with its first blocked lookup, here after a tenth of the time."""
    storm = {**STORM, "others": [{**RIVAL, "seconds": 0.5, "lookups": 100_000, "landed_in_update": 300}]}
    page = render(Documents(storm=storm, commands={"storm": "x"}))
    assert "<td>lookups a second</td><td>100,000</td><td>200,000</td>" in page
    assert plots.a_second(storm, "landed_in_update") == plots.a_second(storm["others"][0], "landed_in_update") == 600


def test_ours_the_best_rival_and_the_floor_are_in_colour_and_no_two_lines_are_alike() -> None:
    who = ["ours", *(f"design {i}" for i in range(20)), "load, huge pages", "load, 4 KiB pages"]
    medians = {name: 100.0 - i for i, name in enumerate(who)}
    found = [{"what": "hit", "who": name, "size": size, "median": medians[name]} for name in who for size in (10, 99)]
    looks = bench_plots.looks([*found, {"what": "hit", "who": "of few", "size": 10, "median": 1.0}])
    coloured = {name for name, look in looks.items() if look["color"] != plot.GREY}
    assert coloured == {"ours", "design 19", "load, huge pages"}, "of the largest size"
    marks = [(look["color"], look["marker"], str(look.get("linestyle"))) for look in looks.values()]
    assert len(set(marks)) == len(looks) == 24


def test_names_beside_lines_do_not_cover_each_other() -> None:
    places = plot.apart([0.1, 0.11, 0.12, 0.9], 0.05)
    assert places == pytest.approx([0.06, 0.11, 0.16, 0.9])
    crowded = plot.apart(sorted([0.5] * 10 + [0.52, 0.1]), 0.05)
    assert all(high - low >= 0.05 - 1e-9 for low, high in zip(crowded, crowded[1:]))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"wrong": 1}, "1 wrong answers"),
        ({"wrong_at_end": 1}, "1 wrong entries"),
        ({"blocked": 3}, "3 blocked lookups"),
        ({"errno_changed": 1}, "errno"),
        ({"max_slots_read": 129}, "129 slots, and the bound is 128"),
        ({"landed_in_update": 0}, "no interruption landed inside an update"),
        ({"failures": ["it hung"]}, "it hung"),
        ({"others": []}, "no rival was caught"),
        ({"others": [{**RIVAL, "blocked": 0}]}, "no rival was caught"),
        ({"verdict": "FAILURE"}, "own verdict is FAILURE"),
    ],
)
def test_failure_where_the_figures_say_so(changed: dict[str, Any], reason: str) -> None:
    documents = Documents(storm={**STORM, **changed})
    verdict = judge(documents)
    assert verdict.word == "FAILURE"
    assert reason in verdict.sentences[0]
    page = render(Documents(storm={**STORM, **changed}, commands={"storm": "storm"}))
    assert "<strong>FAILURE</strong>" in page
    assert reason in page


def test_the_comparison_names_who_is_ahead_and_who_was_blocked(page_file: Path) -> None:
    page = page_file.read_text()
    for text in (
        "hit 1.80 at 1,000,000",
        '<td class="bad">1.75</td>',
        "it misses the cache once. Its lookup was blocked",
        "not measured: liburcu is not installed",
        "<td>45.50 bytes</td>",
        "60 seconds",
    ):
        assert text in page
    assert re.search(r"<td>spinlock</td>.*<td class=\"bad\">1</td>", page)
    assert re.search(r"<summary>1,000,000 entries", page)


def test_undecided_without_a_storm(tmp_path: Path) -> None:
    assert judge(Documents()).word == "UNDECIDED"
    text = output("report", "--output", tmp_path / "report.html")
    assert "Not in the report: storm" in text
    page = (tmp_path / "report.html").read_text()
    for what in ("No storm was run.", "Speed was not compared.", "Collisions were not", "Memory was not measured."):
        assert what in page


def test_the_machine_is_that_of_the_figures(tmp_path: Path) -> None:
    """Not that of the one who draws the page."""
    machine = {"processor": "A processor of elsewhere", "processors": 96, "kernel": "Linux 6.1", "date": "2024-01-02"}
    missing = [{"name": "ck_ht", "package": "libck-dev", "reason": "no header"}]
    file, storm = tmp_path / "bench.json", tmp_path / "storm.json"
    file.write_text(json.dumps({**BENCH, "machine": machine, "missing": missing}))
    storm.write_text(json.dumps({**STORM, "processor": machine["processor"], "kernel": "6.1"}))
    documents = read({"bench": file, "storm": storm})
    page = render(documents)
    assert "<td>96</td>" in page
    assert page.count(f"<td>{machine['processor']}</td>") == page.count("<td>Linux 6.1</td>") == 2
    assert "different machines" not in page
    assert "ck_ht, for which <code>apt-get install libck-dev</code> is needed (no header)" in page
    storm.write_text(json.dumps({**STORM, "processor": "another", "kernel": "6.1"}))
    assert "The figures are of different machines." in render(read({"bench": file, "storm": storm}))
    assert "No document says which machine" in render(Documents())


def test_wrong_documents(tmp_path: Path, files: dict[str, Path]) -> None:
    file = tmp_path / "file.json"
    for text, message in (
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "no JSON document of this version's `python -m stress`"),
    ):
        file.write_text(text)
        with pytest.raises(DocumentError, match=message):
            read({"storm": file})
    file.write_bytes(b"\xff")
    with pytest.raises(DocumentError, match="no JSON: "):
        read({"storm": file})
    for name in files:
        for other, path in files.items():
            if other != name:
                with pytest.raises(DocumentError, match="is no JSON document of this version"):
                    read({name: path})
    result = CliRunner().invoke(study, ["report", "--memory", str(files["storm"])])
    assert result.exit_code == 1
    assert "storm.json is no JSON document of this version's `python -m study memory`" in result.output


MACHINE = {"processor": "x", "kernel": "6"}


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("collisions", {"machine": None}, "its parts are not of their types"),
        ("collisions", {"machine": "x"}, "its parts are not of their types"),
        ("collisions", {"machine": {"processor": "x"}}, "it has no 'kernel'"),
        ("collisions", {"machine": {"processor": "x", "kernel": 6}}, "its parts are not of their types"),
        ("collisions", {"machine": {**MACHINE, "processor": ["x"]}}, "its parts are not of their types"),
        ("collisions", {"machine": {**MACHINE, "memory_bytes": ""}}, "its parts are not of their types"),
        ("collisions", {"by_shift": []}, "its parts are not of their types"),
        ("collisions", {"others": []}, "its parts are not of their types"),
        ("collisions", {"cases": []}, "its parts are not of their types"),
        ("memory", {"balances": []}, "its parts are not of their types"),
        ("memory", {"curves": []}, "its parts are not of their types"),
        ("storm", {"machine": None}, "its parts are not of their types"),
        ("bench", {"machine": []}, "its parts are not of their types"),
        ("storm", {"others": {}}, "its parts are not of their types"),
        ("bench", {"ratios": [{**RATIO, "bound": 0}]}, "its parts are not of their types"),
        ("bench", {"ratios": [{**RATIO, "median": None}]}, "it has no 'reason'"),
        ("bench", {"figures": None}, "its parts are not of their types"),
    ],
)
def test_parts_of_documents(
    tmp_path: Path, files: dict[str, Path], name: str, changed: dict[str, Any], message: str
) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps({**json.loads(files[name].read_text()), **changed}))
    result = CliRunner().invoke(study, ["report", f"--{name}", str(file), "--output", str(tmp_path / "page.html")])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {file} is no JSON document of this version's `")
    assert result.output.endswith(f": {message}\n")


def test_no_document_at_all(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text("[" * 200_000)
    result = CliRunner().invoke(study, ["report", "--bench", str(file), "--output", str(tmp_path / "page.html")])
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: .*file\.json is no JSON: .*recursion.*\n", result.output)


@pytest.mark.parametrize(("program", "command"), [(study, "report --bench"), (pybuildid, "collisions --addresses")])
def test_what_has_no_end_is_not_read_to_it(program: click.Command, command: str) -> None:
    result = CliRunner().invoke(program, [*command.split(), "/dev/zero"])
    text = "more than 64 MiB of what is no regular file: save it as one, and give that"
    assert (result.exit_code, result.output) == (1, f"Error: /dev/zero: {text}\n")


# ------------------------------------------------------------------------------------------------------ browser


@pytest.fixture(scope="module")
def page_file(files: dict[str, Path]) -> Path:
    file = files["storm"].parent / "report.html"
    output("report", *(word for name, path in files.items() for word in (f"--{name}", path)), "--output", file)
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_in_a_browser(browser: Browser, page_file: Path, width: int, scheme: str) -> None:
    page, trouble = opened(browser, page_file, width, scheme)
    assert trouble == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("strong").first.text_content() == "SUCCESS"
    shown = page.locator("figure svg")
    assert shown.count() == 10
    for i in range(shown.count()):
        box = shown.nth(i).bounding_box()
        assert box is not None
        assert box["width"] >= min(350, width - 40)
        assert box["height"] > 120
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    sizes = page.evaluate("[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height)")
    assert min(size for size in sizes if size) >= SMALLEST_TEXT
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")
    inks = {
        *page.evaluate("[...document.querySelectorAll('svg text')].map(e => getComputedStyle(e).fill)"),
        *page.evaluate("[...document.querySelectorAll('p, td, th, h2, li')].map(e => getComputedStyle(e).color)"),
    }
    assert inks
    assert all(contrast(ink, paper) >= 4.5 for ink in inks), (inks, paper)
    lines = page.evaluate(
        "[...document.querySelectorAll('svg path, svg use')].map(e => getComputedStyle(e).stroke)"
        ".filter(s => s.startsWith('rgb'))"
    )
    assert len(set(lines)) > 4
    page.close()


def test_a_svg_file_alone_is_readable_in_the_dark(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "shifts.svg"
    output("collisions", "--addresses", ADDRESSES, "--plot", file)
    page, trouble = opened(browser, file, 400, "dark")
    assert trouble == []
    ink = page.evaluate("getComputedStyle(document.querySelector('text')).fill")
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert contrast(ink, paper) >= 4.5
    page.close()


def test_identifiers_are_unique(page_file: Path) -> None:
    text = page_file.read_text()
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert targets
    assert set(targets) <= set(ids)
    assert not re.search(r'(src|href)="https?:', text)
