# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Pictures of profiles: a flame graph as one HTML page, which needs no network, and speedscope's JSON."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pybuildid.pictures.speedscope import speedscope
from pybuildid.pictures.tree import Tree, tree_of

__all__ = ["Tree", "flame_page", "speedscope", "tree_of"]

HERE = Path(__file__).parent
LEVEL = 6  #: of compression


def flame_page(tree: Tree, title: str, names: Sequence[str]) -> str:
    """The page. Its data are in it as JSON, in which no text can end the element that holds it, and as numbers. names:
    of the profiles; of two, the second is compared with the first."""
    columns = tree.columns()
    layout = {name: [column.typecode, len(column)] for name, column in columns.items()}
    document = {**tree.document(title, names), "columns": layout}
    data = json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "TITLE": html.escape(title),
        "STYLE": _file("flame.css"),
        "SCRIPT": _file("flame.js"),
        "NUMBERS": _packed(columns),
        "DATA": data,
    }
    return re.sub("@([A-Z]+)@", lambda place: parts[place[1]], _file("flame.html"))  # nothing in the parts is replaced


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _packed(columns: dict[str, array[Any]]) -> str:
    """Columns one after the other, little-endian, each from a multiple of 8 bytes on: compressed, in base 64."""
    packer = zlib.compressobj(LEVEL)
    parts = []
    for column in columns.values():
        if sys.byteorder == "big":
            column.byteswap()
        parts.append(packer.compress(column.tobytes() + bytes(-len(column) * column.itemsize % 8)))
    return base64.b64encode(b"".join([*parts, packer.flush()])).decode()
