# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Pictures of profiles, in a real browser and as other tools read them."""

from __future__ import annotations

import gzip
import html
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsed import contrast, luminance, opened
from click.testing import CliRunner
from madeup import large_profile, named_profile
from playwright.sync_api import Browser, Page
from profiled import need

from pybuildid.cli import main
from pybuildid.pictures import Tree, flame_page, tree_of
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.model import (
    Label,
    Line,
    Location,
    Sample,
    StackProfile,
    ValueType,
    stack_frames,
    thread_name,
)
from pybuildid.stacks.pprof import write_pprof

ROW = 20  #: pixels
SCRIPT = "</script><script>alert(1)</script>"


def two_threads() -> StackProfile:
    """main calls work (60 of 100) and other (30); 10 are in no mapping. In another thread, 20 more of idle."""
    profile = named_profile(
        ("app!main;app!work;libx.so!inner", 50), ("app!main;app!work", 10), ("app!main;app!other", 30)
    )
    more = named_profile(("app!main;app!work", 20), labels=(Label("thread", "idle"),))
    samples = [sample._replace(labels=(Label("thread", "busy"),)) for sample in profile.samples]
    samples += [sample._replace(labels=(Label("thread", "idle"),)) for sample in more.samples]
    profile.locations.append(profile.locations[0]._replace(mapping=0, lines=()))
    lost = (Label("thread", "busy"), Label("fallback", "no mapping"))
    samples.append(Sample((len(profile.locations),), (10, 10), lost))
    profile.samples = samples
    return profile


def picture(profile: StackProfile, folder: Path, *options: str) -> Path:
    write_pprof(profile, folder / "profile.pb.gz")
    output = folder / "flame.html"
    result = CliRunner().invoke(main, ["flamegraph", str(folder / "profile.pb.gz"), "-o", str(output), *options])
    assert result.exit_code == 0, result.output
    return output


def drawn(browser: Browser, file: Path, width: int, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page when the picture is there."""
    page, trouble = opened(browser, file, width, scheme)
    page.wait_for_function("document.getElementById('details').textContent.startsWith('all')")
    return page, trouble


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    page, trouble = drawn(browser, picture(two_threads(), tmp_path), 1000)
    yield page
    assert trouble == []
    page.close()


def details(page: Page) -> str:
    return page.text_content("#details") or ""


def click(page: Page, row: int, share: float) -> str:
    """In a row of boxes, so far from the left. What is told of the box."""
    area = page.locator("#flame").bounding_box()
    assert area
    page.mouse.click(area["x"] + area["width"] * share, area["y"] + ROW * row + ROW / 2)
    return details(page)


# ------------------------------------------------------------------------------------------------ in a browser


def test_boxes_are_clicked(page: Page) -> None:
    assert details(page).startswith("all\n120 samples, 100.0%; itself 0 samples")
    assert "main\nmain.c · app" in click(page, 1, 0.1)
    assert "110 samples, 91.7%; itself 0 samples" in details(page)
    assert "work\n" in click(page, 2, 0.1)
    assert "80 samples, 66.7%; itself 30 samples" in details(page)
    assert "inner\ninner.c · libx.so" in click(page, 3, 0.5)  # alone now, so its 50 of 80 are wider
    assert "work\n" in click(page, 2, 0.9)  # a caller above, all the width
    assert "all\n" in click(page, 0, 0.9)
    assert "[no mapping]" in click(page, 1, 0.97)
    page.click("#reset")
    assert details(page).startswith("all\n")


def test_it_can_be_used_by_keyboard(page: Page) -> None:
    flame = page.locator("#flame")
    told = []
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Enter", "Escape"):
        flame.press(key)
        told.append(details(page).partition("\n")[0])
    assert told == ["main", "work", "other", "work", "inner", "work", "work", "all"]
    flame.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("inner")
    page.wait_for_function("document.getElementById('found').textContent.includes('41.7%')")
    page.locator("#list summary").press("Enter")
    first = page.locator("#list tbody tr").first
    first.wait_for()
    assert first.locator("td").all_text_contents() == ["50", "41.7%", "inner", "libx.so"]


def test_search(page: Page) -> None:
    def found(text: str) -> str:
        page.fill("#search", "")
        page.wait_for_function("document.getElementById('found').textContent === ''")
        page.fill("#search", text)
        page.wait_for_function("document.getElementById('found').textContent !== ''")
        return page.text_content("#found") or ""

    assert found("WORK") == "WORK: on stacks of 66.7%, 80 samples"
    assert found("/^(inner|work)$/") == "/^(inner|work)$/: on stacks of 66.7%, 80 samples"  # each stack once
    assert found("libx") == "libx: on stacks of 41.7%, 50 samples"
    assert found("nothing such") == "nothing such: on stacks of 0.0%, 0 samples"
    assert "is no regular expression" in found("/(/")


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("file", {"app": "60 samples, 50.0%", "libx.so": "50 samples, 41.7%", "no file": "10 samples, 8.3%"}),
        ("thread", {"busy": "100 samples, 83.3%", "idle": "20 samples, 16.7%"}),
        ("missing", {"nothing is missing": "110 samples, 91.7%", "no mapping": "10 samples, 8.3%"}),
    ],
)
def test_groups(page: Page, group: str, expected: dict[str, str]) -> None:
    page.select_option("#group", group)
    page.locator("#flame").press("ArrowDown")
    found = {}
    for _ in expected:
        name, _, rest = details(page).partition("\n")
        found[name] = rest
        page.locator("#flame").press("ArrowRight")
    assert {name: rest.partition(";")[0] for name, rest in found.items()} == expected


def test_groups_of_many_stacks(browser: Browser, tmp_path: Path) -> None:
    """Each thread has its own samples, and any function has as many in all groups together as without."""
    page, trouble = drawn(browser, picture(large_profile(3000, 30), tmp_path), 1600)
    counts: Counter[str] = Counter()
    for sample in read_profile(tmp_path / "profile.pb.gz").samples:
        counts[sample.label("thread")] += sample.values[0]
    found: dict[str, set[str]] = {}
    for group in ("none", "file", "thread"):
        page.select_option("#group", group)
        for name in ("function_17", "function_4", "lib7.so"):
            page.fill("#search", name)
            page.wait_for_function(f"document.getElementById('found').textContent.startsWith({name!r})")
            if (group, name) != ("file", "lib7.so"):  # which finds a group, too
                found.setdefault(name, set()).add(page.text_content("#found") or "")
    assert {name: len(texts) for name, texts in found.items()} == dict.fromkeys(found, 1), found
    page.select_option("#group", "thread")
    page.locator("#flame").press("ArrowDown")
    for name, count in counts.most_common():
        assert details(page).startswith(f"{name}\n{count:,} samples")
        page.locator("#flame").press("ArrowRight")
    assert trouble == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_and_can_be_read(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    page, trouble = drawn(browser, picture(two_threads(), tmp_path), width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")
    inks = page.evaluate("[...document.querySelectorAll('h1, p, label, summary')].map(e => getComputedStyle(e).color)")
    assert all(contrast(ink, paper) >= 4.5 for ink in inks), (inks, paper)
    box = page.locator("#flame").bounding_box()
    assert box
    assert box["width"] >= width - 40
    ink, *fills = page.evaluate(PIXELS)
    assert all(contrast(ink, fill) >= 4.5 for fill in fills), (ink, fills)
    page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    fresh = f"before => ({PIXELS})().slice(1).every(fill => !before.includes(fill))"
    page.wait_for_function(fresh, arg=fills)  # or the test fails
    assert trouble == []
    page.close()


#: The colour of text, and those at the right end of each row of boxes, where no text is.
PIXELS = """() => {
  const canvas = document.getElementById("flame"), pen = canvas.getContext("2d");
  const at = (x, row) => `rgb(${pen.getImageData(x, row * 20 + 3, 1, 1).data.slice(0, 3).join(", ")})`;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ink = dark ? "rgb(242, 242, 242)" : "rgb(20, 20, 20)";
  return [ink, at(canvas.width - 3, 0), at(canvas.width / 2, 1), at(canvas.width / 3, 2)];
}"""


def test_many_stacks(browser: Browser, tmp_path: Path) -> None:
    """The whole is there, and what is drawn is a small part of it."""
    page, trouble = drawn(browser, picture(large_profile(5000, 30), tmp_path), 1200)
    total = sum(sample.values[0] for sample in read_profile(tmp_path / "profile.pb.gz").samples)
    assert f"{total:,} samples, 100.0%" in details(page)
    page.locator("#flame").press("ArrowDown")
    page.locator("#flame").press("ArrowDown")
    page.locator("#flame").press("Enter")
    assert "100.0%" not in details(page)
    assert trouble == []
    page.close()


def test_no_name_becomes_a_part_of_the_page(browser: Browser, tmp_path: Path) -> None:
    page, trouble = drawn(browser, picture(named_profile((f"app!main;app!{SCRIPT}", 1)), tmp_path), 600)
    assert SCRIPT in click(page, 2, 0.5)
    assert trouble == []
    page.close()
    title = flame_page(tree_of(two_threads(), 0), SCRIPT, [SCRIPT])
    assert SCRIPT not in title
    assert "@DATA@" in flame_page(tree_of(named_profile(("@DATA@", 1)), 0), "x", ["x"])
    assert "<h1>@SCRIPT@ @STYLE@</h1>" in flame_page(tree_of(two_threads(), 0), "@SCRIPT@ @STYLE@", ["x"])


def test_deep_stacks(browser: Browser, tmp_path: Path) -> None:
    """More frames than 16 bits count. A canvas that was as tall as all callers of what is shown would not be drawn."""
    names = ";".join(f"app!f{at % 50}" for at in range(70_000))
    file = picture(named_profile((names, 1)), tmp_path)
    page = browser.new_page(viewport={"width": 400, "height": 300}, device_scale_factor=9)
    page.goto(file.as_uri())
    page.wait_for_function("document.getElementById('details').textContent.startsWith('all')")
    page.evaluate(DOWN, 370)
    assert details(page).startswith("f19\n")
    width, height, pixel = page.evaluate(CORNER)
    assert pixel[3] == 255, (width, height)  # something is drawn
    page.close()


#: Presses the key so often.
DOWN = """count => { while (count--)
  document.getElementById("flame").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" })); }"""
CORNER = """() => { const canvas = document.getElementById("flame");
  return [canvas.width, canvas.height, [...canvas.getContext("2d").getImageData(9, 9, 1, 1).data]]; }"""


def test_no_locale_is_needed(tmp_path: Path) -> None:
    """The page's own files are in UTF-8, and so is what is written."""
    picture(named_profile(("app!main;app!größe", 1)), tmp_path)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for output in ("flame.html", "out.folded", "out.json"):
        command = [sys.executable, "-m", "pybuildid", "flamegraph", "profile.pb.gz", "-o", output]
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "out.folded").read_text(encoding="utf-8") == "main;größe 1\n"


# ------------------------------------------------------------------------------------------------ for other tools


def test_folded(tmp_path: Path) -> None:
    picture(two_threads(), tmp_path)
    result = CliRunner().invoke(
        main, ["flamegraph", str(tmp_path / "profile.pb.gz"), "-o", str(tmp_path / "p.folded"), "--value", "samples"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "p.folded").read_text().splitlines() == [
        "[no mapping] 10",
        "main;other 30",
        "main;work 30",
        "main;work;inner 50",
    ]
    again = tree_of(read_profile(tmp_path / "p.folded"), 0)
    assert sorted(again.columns()["counts0"]) == [10, 30, 30, 50]


def test_into_a_pipe(tmp_path: Path) -> None:
    """Of which nothing else is written."""
    picture(named_profile(("main;f", 1)), tmp_path)
    for arguments, expected in (
        (["flamegraph", "profile.pb.gz", "--format", "folded"], b"main;f 1\n"),
        (["merge", "profile.pb.gz"], b""),
    ):
        command = [sys.executable, "-m", "pybuildid", *arguments, "-o", "/dev/stdout"]
        run = subprocess.run(command, capture_output=True, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        assert run.stderr.startswith(b"Written: -")
        (tmp_path / "out").write_bytes(run.stdout)
        assert run.stdout == expected if expected else read_profile(tmp_path / "out").samples


def unlike(seed: int) -> StackProfile:
    """With everything that a tree tells apart: threads, no names, no files, reasons, and a sample without a stack."""
    rng = random.Random(seed)
    profile = large_profile(400, 12, seed, functions=40)
    lines = profile.locations[0].lines
    for at in rng.sample(range(40), 12):
        profile.locations[at] = profile.locations[at]._replace(mapping=rng.choice((0, 3)), lines=())
    profile.locations[7] = profile.locations[7]._replace(lines=(*profile.locations[8].lines, *lines))
    samples = [
        sample._replace(
            stack=sample.stack[: rng.choice((0, 3, 99, 99))],
            labels=(*sample.labels, *([Label("fallback", "no room")] * (rng.random() < 0.3))),
        )
        for sample in profile.samples
    ]
    profile.samples = samples + [sample._replace(values=(-1, 2)) for sample in samples[:50]]
    return profile


def plainly(profile: StackProfile) -> dict[tuple[tuple[str, ...], str, str], int]:
    """What is counted, by names of functions, thread and what is missing: slowly, and obviously right."""
    frames = profile.frames()
    found: Counter[tuple[tuple[str, ...], str, str]] = Counter()
    for sample in profile.samples:
        names = tuple(f"{frame.name} {frame.module}" for frame in stack_frames(frames, sample))
        nameless = [each for at in sample.stack for each in frames[at - 1] if not each.named]
        missing = f"no name in {nameless[0].module or 'unknown code'}" if nameless else ""
        found[names, thread_name(sample), sample.label("fallback") or missing] += sample.values[0]
    return found


def test_columns_of_a_tree() -> None:
    """Of two profiles: nodes in the order of a walk, each once, and what is counted there."""
    profiles = unlike(1), unlike(2)
    tree = Tree("samples", "count")
    for profile in profiles:
        tree.add(profile, 0)
    columns = tree.columns()
    stacks: list[tuple[int, ...]] = [()]
    for depth, function in zip(columns["depths"], columns["functions"]):
        assert 0 < depth <= len(stacks[-1]) + 1
        stacks.append((*stacks[-1][: depth - 1], function))
    assert len(set(stacks)) == len(stacks)
    names = [f"{frame.name} {frame.module}" for frame in tree.frames]
    texts, threads = list(tree.missing), list(tree.threads)
    keys = [
        (tuple(names[at] for at in stacks[node]), threads[thread], texts[missing])
        for node, thread, missing in zip(columns["nodes"], columns["threads"], columns["missing"])
    ]
    assert len(set(keys)) == len(keys)
    for at, profile in enumerate(profiles):
        wanted = plainly(profile)
        assert dict(zip(keys, columns[f"counts{at}"])) == {key: wanted.get(key, 0) for key in keys}
        assert wanted.keys() <= set(keys)
    assert tree.columns() == columns


def test_a_tree_of_nothing() -> None:
    columns = tree_of(StackProfile([*large_profile(1, 2).types]), 0).columns()
    assert {name: len(column) for name, column in columns.items() if len(column)} == {}


def test_speedscope(tmp_path: Path) -> None:
    picture(two_threads(), tmp_path)
    output = tmp_path / "p.json"
    arguments = ["flamegraph", str(tmp_path / "profile.pb.gz"), "-o", str(output), "--value", "cpu"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    document = json.loads(output.read_text())
    frames = document["shared"]["frames"]
    busy, idle = document["profiles"]
    assert (busy["name"], busy["unit"], idle["name"]) == ("busy", "nanoseconds", "idle")
    stacks = [[frames[at]["name"] for at in stack] for stack in busy["samples"]]
    assert stacks == [["main", "work", "inner"], ["main", "work"], ["main", "other"], ["[no mapping]"]]
    assert busy["endValue"] == sum(busy["weights"])
    for each in (busy, idle):  # what the format's schema asks for
        assert each.keys() == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert (each["type"], each["startValue"], len(each["samples"])) == ("sampled", 0, len(each["weights"]))
    assert document.keys() == {"$schema", "exporter", "name", "shared", "profiles"}
    assert all(frame.keys() <= {"name", "file", "line", "col"} for frame in frames)
    assert frames[0] == {"name": "main", "file": "main.c", "line": 10}


def test_go_has_names_and_lines_of_the_same_file(tmp_path: Path) -> None:
    need("go", "golang-go")
    picture(two_threads(), tmp_path)
    command = ["go", "tool", "pprof", "-top", "-sample_index=samples", "-lines", str(tmp_path / "profile.pb.gz")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^ +50 41\.67% .* inner inner\.c:10$", text, re.MULTILINE)


def wait_for_server(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(300):
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)
    pytest.fail(f"nobody listens at {address}")


def test_a_profile_without_samples_is_said(tmp_path: Path) -> None:
    """As Go writes it where nothing was blocked. It has mappings, and no name is missing."""
    profile = named_profile(("app!main", 1))
    profile.samples, profile.locations = [], []
    picture(profile, tmp_path)
    command = [sys.executable, "-m", "pybuildid", "flamegraph", "profile.pb.gz"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "There are no samples in it.\n")


def test_the_value_that_a_profile_says_itself(tmp_path: Path) -> None:
    """Unless it has a number of samples: of a heap of Go, `go tool pprof` shows what is in use as well."""
    types = [ValueType("alloc_space", "bytes"), ValueType("inuse_space", "bytes")]
    samples = [Sample((1,), (700, 3)), Sample((), (0, 1))]
    profile = StackProfile(types, samples, [], [Location(0, 0, (Line("main"),))], default_type="inuse_space")
    picture(profile, tmp_path)
    command = ["flamegraph", str(tmp_path / "profile.pb.gz"), "-o", str(tmp_path / "p.folded")]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert (tmp_path / "p.folded").read_text() == "[no stack] 1\nmain 3\n"
    assert len(list(read_profile(tmp_path / "p.folded").samples)) == 2


def test_a_profile_without_names_is_said(tmp_path: Path) -> None:
    profile = two_threads()
    profile.locations = [each._replace(lines=()) for each in profile.locations]
    for each, hint in ((profile, True), (two_threads(), False)):
        write_pprof(each, tmp_path / "p.pb.gz")
        result = CliRunner().invoke(main, ["flamegraph", str(tmp_path / "p.pb.gz"), "-o", str(tmp_path / "p.html")])
        assert ("No function in it has a name: `pybuildid symbolize" in result.stderr) == hint


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of `go tool pprof -http`, for a profile whose sources are there. It needs no network."""
    need("go", "golang-go")
    profile = two_threads()
    for name in ("main", "work", "inner", "other"):
        (tmp_path / f"{name}.c").write_text("\n" * 9 + f"int {name}(void); /* line 10 */\n")
    profile.locations = [
        each._replace(lines=tuple(line._replace(file=str(tmp_path / line.file)) for line in each.lines))
        for each in profile.locations
    ]
    profile.mappings = [each._replace(functions=True, files=True, lines=True) for each in profile.mappings]
    write_pprof(profile, tmp_path / "p.pb.gz")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ["-no_browser", "-symbolize=none", "-sample_index=samples", f"-http={address}"]
    environment = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    command = ["go", "tool", "pprof", *options, str(tmp_path / "p.pb.gz")]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    try:
        assert server.stderr
        assert any("Serving web UI" in line for line in server.stderr), "it has ended"
        wait_for_server(address)  # which it says before it listens
        yield f"http://{address}/ui"
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # go has started pprof
        server.communicate()


def test_go_serves_names_and_lines(served: str, tmp_path: Path) -> None:
    def fetch(page: str) -> str:
        with urllib.request.urlopen(f"{served}/{page}", timeout=30) as answer:
            return html.unescape(answer.read().decode())

    assert re.search(r'"Name":"inner"[^}]*"Flat":50,"Cum":50', fetch("top"))
    drawn = fetch("flamegraph").replace("\\u0022", '"')
    assert all(re.search(rf'"(n|FullName)":"{name}"', drawn) for name in ("main", "work", "inner", "other"))
    source = fetch("source?f=inner")
    assert f"{tmp_path}/inner.c" in source
    assert re.search(r"10 +50 +50 .*int inner\(void\); /\* line 10 \*/", re.sub("<[^>]*>", "", source))


def test_what_is_no_profile(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(b"nothing"))
    result = CliRunner().invoke(main, ["flamegraph", str(file), "-o", str(tmp_path / "x.html")])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {file}: no profile in the format of pprof")
    assert not (tmp_path / "x.html").exists()
    write_pprof(two_threads(), file)
    result = CliRunner().invoke(main, ["flamegraph", str(file), "-o", str(tmp_path / "x.html"), "--value", "space"])
    assert result.exit_code == 2
    assert "there is no value 'space' in the profile: it has samples, cpu" in result.output
