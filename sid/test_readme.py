# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The examples of the README and of pages in docs, run as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from pybuildid import Table, read_build_id

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (".", "csrc", "docs", "examples", "examples/bpf", "stress", "study", "tests")
LONGEST = 150  #: lines of the README: a reader's first screens
DOCUMENTS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]


def example(language: str, page: str = "README.md") -> str:
    """A page's examples in a language, one after the other."""
    texts = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert texts
    return "".join(texts)


def test_python_examples(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", example("python")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"^\(2, 20\) \[20 20\] \d+ slots at most\n$", result.stdout)
    saved = dict(Table.load(tmp_path / "inodes.bid").items(generations=True))
    assert saved.keys() == {0xFFFF8881004EC110, 0xFFFF8881004ED718}
    assert saved[0xFFFF8881004ED718] == (b"ABCDEFGHIJ0123456789", 8)


def test_example_of_build_ids() -> None:
    command = [sys.executable, "-W", "error", "-c", example("python", "docs/build-ids.md")]
    shell, same, other, place = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert same == f"/bin/sh {shell}"
    assert other.startswith("/etc/passwd NotElfError(")
    build_id, offset, path = place.split(maxsplit=2)
    assert (read_build_id(path) or b"").hex() == build_id
    assert 0 < int(offset, 16) < os.path.getsize(path)


def test_example_of_a_profile(tmp_path: Path) -> None:
    """One with more work, so that there are samples, and with a file that is ours."""
    code = example("python", "docs/addresses.md")
    code = code.replace("10**6", "10**7").replace("/tmp/profile.pb.gz", str(tmp_path / "profile.pb.gz"))
    printed = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    resolved, samples = re.match(r"(\d+) of (\d+) ", printed.stdout).groups()  # type: ignore[union-attr]
    assert resolved == samples != "0"
    assert (tmp_path / "profile.pb.gz").stat().st_size > 100


def test_loop_of_the_profile(tmp_path: Path) -> None:
    source, program = tmp_path / "loop.c", tmp_path / "loop"
    source.write_text(example("c", "docs/addresses.md"))
    subprocess.run(
        [os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", "-O2", source, "-o", program], check=True
    )
    command = [
        sys.executable,
        "-m",
        "pybuildid",
        "profile",
        "-o",
        str(tmp_path / "out"),
        "--json",
        "-",
        "--",
        str(program),
    ]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert result["by_reason"]["resolved"] == result["samples"] > 100


def test_c_example(tmp_path: Path) -> None:
    source = tmp_path / "example.c"
    source.write_text(example("c"))
    command = [os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", "-Icsrc/include", str(source)]
    command += [str(path) for name in ("table", "process") for path in sorted((ROOT / "csrc" / name).glob("*.c"))]
    subprocess.run([*command, "-pthread", "-o", str(tmp_path / "example")], cwd=ROOT, check=True)
    subprocess.run([str(tmp_path / "example")], check=True)  # its status says whether the handler has found the ID


def test_bpf_example() -> None:
    """It is the program that test_bpf.py builds and runs."""
    comments, code = (ROOT / "examples/bpf/known.bpf.c").read_text().split("#include", 1)
    assert comments.startswith("/* SPDX")
    assert example("c bpf") == f"#include{code}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < LONGEST


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_named_file_exists() -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        for name in re.findall(r"`((?:tests|csrc|docs|stress|study)/[\w./]+\.\w+)`", text):
            assert (ROOT / name).exists(), f"{document.name} names {name}"
        for name, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", text):
            page = document.parent / name if name else document
            assert page.exists(), f"{document.name} links to {name}"
            assert not anchor or anchor in anchors(page), f"{document.name} links to {name}#{anchor}"


def test_the_maps_of_folders_are_complete() -> None:
    """Each names every file and folder beside it; of the tests, those that are no tests."""
    for folder, left_out in (("stress", "__init__.py"), ("study", "__init__.py"), ("tests", "test_*.py")):
        text = (ROOT / folder / "README.md").read_text()
        for path in (ROOT / folder).iterdir():
            if path.match(left_out) or path.suffix in (".md", ".so", ".c") or path.name.startswith("__pyc"):
                continue
            assert f"`{path.name}{'/' * path.is_dir()}`" in text, f"{folder}/README.md does not name {path.name}"
