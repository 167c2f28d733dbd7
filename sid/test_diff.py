# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Two profiles side by side: which functions are the same, and how their shares changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browsed import opened
from click.testing import CliRunner
from madeup import named_profile
from playwright.sync_api import Browser

from pybuildid.cli import main
from pybuildid.stacks.diff import Change, compare, family
from pybuildid.stacks.model import StackProfile
from pybuildid.stacks.pprof import write_pprof


def rebuilt(profile: StackProfile, file: str, path: str) -> StackProfile:
    """That file is another build, at another path."""
    profile.mappings = [
        each._replace(path=path, build_id="ff" * 20) if each.path.endswith(f"/{file}") else each
        for each in profile.mappings
    ]
    return profile


def by_name(changes: list[Change]) -> dict[str, tuple[str, float, float]]:
    return {each.name: (each.match, round(each.alone_before, 4), round(each.alone_after, 4)) for each in changes}


def test_functions_are_matched_by_build_then_by_file_then_by_name() -> None:
    before = named_profile(
        ("app!main;libx.so.1!a", 50), ("app!main;libx.so.1!gone", 10), ("app!main;liby.so!moved", 20), ("app!main", 20)
    )
    after = named_profile(
        ("app!main;libx.so.1!a", 90), ("app!main;libz.so!moved", 20), ("app!main;app!fresh", 50), ("app!main", 40)
    )
    after = rebuilt(after, "libx.so.1", "/opt/libx.so.2")
    assert by_name(compare(before, after, 0, 0)) == {
        "a": ("another build", 0.5, 0.45),
        "gone": ("before only", 0.1, 0),
        "moved": ("another build", 0.2, 0.1),
        "fresh": ("after only", 0, 0.25),
        "main": ("same build", 0.2, 0.2),
    }
    assert [each.name for each in compare(before, after, 0, 0)] == ["fresh", "gone", "moved", "a", "main"]


def test_a_file_with_another_path_is_the_same_build() -> None:
    before, after = named_profile(("app!f", 1)), named_profile(("app!f", 1))
    after.mappings = [each._replace(path="/containers/7/app-renamed") for each in after.mappings]
    (change,) = compare(before, after, 0, 0)
    assert change.match == "same build"


def test_functions_of_one_name_are_not_mixed_up() -> None:
    """Two files have a function of that name, and one of them is another build: it is matched by its file."""
    before = named_profile(("libx.so.1!init", 30), ("liby.so!init", 70))
    after = rebuilt(named_profile(("libx.so.1!init", 60), ("liby.so!init", 40)), "libx.so.1", "/opt/libx.so.2")
    found = {each.module: (each.match, round(each.alone, 2)) for each in compare(before, after, 0, 0)}
    assert found == {"libx.so.2": ("another build", 0.3), "liby.so": ("same build", -0.3)}


def test_a_name_that_says_too_little_matches_nothing() -> None:
    before, after = named_profile(("libx.so!init", 1), ("liby.so!init", 1)), named_profile(("libz.so!init", 1))
    assert {each.match for each in compare(before, after, 0, 0)} == {"before only", "after only"}


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("libssl.so.1.1", "libssl.so"),
        ("libc-2.31.so", "libc.so"),
        ("libpython3.11.so.1.0", "libpython.so"),
        ("x264", "x264"),
        ("", ""),
    ],
)
def test_versions_of_a_file(module: str, expected: str) -> None:
    assert family(module) == expected


def test_calls_count_once_on_a_stack() -> None:
    """A recursive function does not take more than all."""
    (change,) = compare(named_profile(("f;f;f", 5)), named_profile(("f;f", 5)), 0, 0)
    assert (change.total_before, change.total_after, change.alone) == (1, 1, 0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    write_pprof(named_profile(("app!main;app!parse", 60), ("app!main;app!draw", 40)), tmp_path / "old.pb.gz")
    write_pprof(named_profile(("app!main;app!parse", 100), ("app!main;app!draw", 300)), tmp_path / "new.pb.gz")
    return str(tmp_path / "old.pb.gz"), str(tmp_path / "new.pb.gz")


def test_the_command(files: tuple[str, str]) -> None:
    result = CliRunner().invoke(main, ["diff", *files])
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert rows[1] == ["+35.0%", "40.0%", "75.0%", "draw", "app"]
    assert rows[2] == ["-35.0%", "60.0%", "25.0%", "parse", "app"]
    document = json.loads(CliRunner().invoke(main, ["diff", *files, "--json", "-"]).output)
    assert {each["name"] for each in document["functions"]} == {"main", "parse", "draw"}
    same = CliRunner().invoke(main, ["diff", files[0], files[0]])
    assert same.output == "No function changed by 0.05% of the whole or more.\n"


def test_the_picture(files: tuple[str, str], browser: Browser, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["diff", *files, "-o", str(tmp_path / "d.html")])
    assert result.exit_code == 0, result.output
    page, trouble = opened(browser, tmp_path / "d.html", 1000, "light")
    told: list[str] = []
    for _ in range(3):
        page.locator("#flame").press("ArrowDown" if len(told) < 2 else "ArrowRight")
        told.append(page.text_content("#details") or "")
    assert "old.pb.gz: 100.0% (100 samples); new.pb.gz: 100.0% (400 samples)" in told[0]
    assert "draw\napp\nold.pb.gz: 40.0% (40 samples); new.pb.gz: 75.0% (300 samples); +35.0%" in told[1]
    assert "parse\napp\nold.pb.gz: 60.0% (60 samples); new.pb.gz: 25.0% (100 samples); -35.0%" in told[2]
    pixel = (
        "x => { const c = document.getElementById('flame'); return [...c.getContext('2d').getImageData("
        "c.width * x, 2 * 20 + 3, 1, 1).data].slice(0, 3); }"
    )
    grew, shrank = page.evaluate(pixel, 0.4), page.evaluate(pixel, 0.9)
    assert grew[0] > grew[2]  # red
    assert shrank[2] > shrank[0]  # blue
    page.locator("#list summary").click()
    page.locator("#list tbody tr").first.wait_for()
    assert page.locator("#list tbody tr").count() == 2
    assert trouble == []
    page.close()


def test_a_profile_without_names_is_told_of(files: tuple[str, str], tmp_path: Path) -> None:
    write_pprof(named_profile(("app!", 100)), tmp_path / "bare.pb.gz")
    result = CliRunner().invoke(main, ["diff", files[0], str(tmp_path / "bare.pb.gz")])
    assert (
        f"{tmp_path / 'bare.pb.gz'}: 100% of its samples have no name: `pybuildid symbolize` it first." in result.output
    )
    assert "have no name" not in CliRunner().invoke(main, ["diff", *files]).output
