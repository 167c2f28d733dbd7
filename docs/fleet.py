# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How fast profiles of a fleet are merged, and how soon the picture of a large one can be seen.

    .venv/bin/python docs/fleet.py merge [FILES]      # files of 100,000 samples each: 10
    .venv/bin/python docs/fleet.py picture [STACKS]   # an hour at 99 Hz on 64 CPUs: 100,000 different stacks

Profiles are made up: stacks of 15 to 30 functions out of 20,000. A sample here is a stack of a file with its labels and
its count, whatever the count: of one machine in one minute, say.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pybuildid.pictures import flame_page, tree_of
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.merge import Merger
from pybuildid.stacks.model import StackProfile
from pybuildid.stacks.pprof import write_pprof

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from madeup import large_profile  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DEPTH, FUNCTIONS, SAMPLES, SEEDS = 30, 20_000, 100_000, 5
HOUR = 3600 * 99 * 64  #: samples
RUNS = 5


def elsewhere(profile: StackProfile, by: int) -> StackProfile:
    """As another process has it: its files are mapped elsewhere."""
    profile.mappings = [each._replace(start=each.start + by, limit=each.limit + by) for each in profile.mappings]
    profile.locations = [each._replace(address=each.address + by) for each in profile.locations]
    return profile


def merge(files: int) -> None:
    """Half of the stacks are in two files."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{at}.pb.gz" for at in range(files)]
        for at, path in enumerate(paths):
            profile = large_profile(SAMPLES, DEPTH, seed=at % SEEDS, functions=FUNCTIONS)
            write_pprof(elsewhere(profile, at << 40), path)
        for _ in range(RUNS):
            merger, begin, cpu = Merger(), time.perf_counter(), time.process_time()
            assert not any(error for _, error in merger.add_files(paths))
            elapsed, used = time.perf_counter() - begin, time.process_time() - cpu
            write_pprof(merger.result(), f"{folder}/merged.pb.gz")
            written = time.process_time() - cpu - used
            print(
                f"{files * SAMPLES / elapsed:10,.0f} samples a second; of processor time {files * SAMPLES / used:,.0f};"
                f" {len(list(merger.result().samples)):,} different ones, written in {written:.1f} s"
            )


def picture(stacks: int) -> None:
    from browsed import BROWSERS
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)))
    profile = large_profile(stacks, DEPTH, functions=FUNCTIONS, threads=64)
    scale = HOUR / sum(sample.values[0] for sample in profile.samples)
    profile.samples = [each._replace(values=(max(1, round(each.values[0] * scale)), 0)) for each in profile.samples]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        source, page = f"{folder}/hour.pb.gz", Path(folder, "flame.html")
        write_pprof(profile, source)
        begin = time.process_time()
        page.write_text(flame_page(tree_of(read_profile(source), 0), "an hour", ["an hour"]))
        print(f"made in {time.process_time() - begin:.1f} s of processor time, {page.stat().st_size / 1e6:.0f} MB")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        seconds = [opened(browser, page) for _ in range(RUNS)]
        print(f"opened and drawn in {median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})")


def opened(browser: Browser, file: Path) -> float:
    """Seconds until the picture is on the screen."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    begin = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_function("document.getElementById('details').textContent.startsWith('all')")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")
    elapsed = time.perf_counter() - begin
    page.close()
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("merge", "picture"))
    parser.add_argument("number", type=int, nargs="?", help="FILES or STACKS")
    options = parser.parse_args()
    if options.what == "merge":
        merge(options.number or 10)
    else:
        picture(options.number or 100_000)


if __name__ == "__main__":
    main()
