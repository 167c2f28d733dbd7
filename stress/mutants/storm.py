# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A storm over another engine than the harness's own: ``python -m stress.mutants.storm ENGINE SECONDS SEED``.

Runs as a process of its own, because it puts that engine in the place of stress.storm._storm. Ends with the first
fault, and prints what was wrong, as a JSON list of sentences.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
from pathlib import Path

ENTRIES = 500
GRACE_SECONDS = 5.0  #: after the storm's time; what does not end by then will not


def load_engine(path: Path) -> None:
    """Makes this extension module stress.storm._storm. It must not have been imported yet."""
    loader = importlib.machinery.ExtensionFileLoader("stress.storm._storm", str(path))
    spec = importlib.util.spec_from_file_location("stress.storm._storm", path, loader=loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules["stress.storm._storm"] = module


def run(seconds: float, seed: int) -> list[str]:
    """What was wrong; nothing if the storm was a success."""
    from stress.storm import run as storm
    from stress.storm.collect import inode_key

    storm.GRACE_SECONDS = GRACE_SECONDS
    keys = [inode_key(1, number) for number in range(ENTRIES)]
    one = storm.Storm(
        "ours", keys, [key.to_bytes(20, "big") for key in keys], seed=seed, seconds=seconds, lookers=2, churners=2
    )
    ended_early = False

    def watch(storm: storm.Storm) -> None:
        nonlocal ended_early
        if storm.faults() and not ended_early:
            ended_early = True
            storm.kill()

    failures = one.run(watch).failures
    return failures[1:] if ended_early else failures  # the first says how it ended


if __name__ == "__main__":
    load_engine(Path(sys.argv[1]))
    print(json.dumps(run(float(sys.argv[2]), int(sys.argv[3]))))
