# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Pictures of profiles: a flame graph as one HTML page, which needs no network, and speedscope's JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path

from pybuildid.pictures.speedscope import speedscope
from pybuildid.pictures.tree import Tree, tree_of

__all__ = ["Tree", "flame_page", "speedscope", "tree_of"]

HERE = Path(__file__).parent


def flame_page(tree: Tree, title: str, names: Sequence[str]) -> str:
    """The page. Its data are in it as JSON, in which no text can end the element that holds it. names: of the profiles;
    of two, the second is compared with the first."""
    data = json.dumps(tree.document(title, names), separators=(",", ":")).replace("<", "\\u003c")
    page = (HERE / "flame.html").read_text()
    parts = {
        "TITLE": html.escape(title),
        "STYLE": (HERE / "flame.css").read_text(),
        "SCRIPT": (HERE / "flame.js").read_text(),
        "DATA": data,
    }
    for name, text in parts.items():  # the data last: nothing in them is replaced
        page = page.replace(f"@{name}@", text)
    return page
