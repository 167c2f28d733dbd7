# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Edits of a copy of the C core: how a mutant differs from it, so that the real sources carry no switches."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CSRC = Path(__file__).resolve().parent.parent.parent / "csrc"


class EditError(ValueError):
    """An edit that does not fit the sources (any more)."""


@dataclass(frozen=True)
class Edit:
    file: str  #: below csrc/, or the folder that is given
    old: str  #: stands there exactly once
    new: str  #: takes its place

    def applied(self, text: str) -> str:
        """The file's text after the edit. Raises EditError."""
        times = text.count(self.old)
        if times != 1:
            raise EditError(f"{self.file} has this {times or 'no'} time{'s' * (times != 1)}, not once: {self.old}")
        return text.replace(self.old, self.new)


def edited_files(edits: Iterable[Edit], csrc: Path = CSRC) -> dict[str, str]:
    """The text of each file that the edits change, in their order. Raises EditError."""
    texts: dict[str, str] = {}
    for edit in edits:
        if edit.file not in texts:
            if not (csrc / edit.file).is_file():
                raise EditError(f"there is no {csrc.name}/{edit.file}")
            texts[edit.file] = (csrc / edit.file).read_text()
        texts[edit.file] = edit.applied(texts[edit.file])
    return texts


def copy_edited(edits: Iterable[Edit], target: Path, csrc: Path = CSRC) -> Path:
    """Replaces the folder `target` by a copy of the core's sources with the edits. Raises EditError."""
    texts = edited_files(edits, csrc)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(csrc, target, ignore=shutil.ignore_patterns("*.o", "README.md"))
    for file, text in texts.items():
        (target / file).write_text(text)
    return target
