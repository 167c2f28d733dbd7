# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What cffi is told about a C interface, read from its headers: so nothing is declared twice.

The compiler's preprocessor resolves comments, conditions and macros. What is left are declarations, which are turned
into the form that cffi takes: sizes and values are left to the C compiler ("...").
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

INCLUDE = Path(__file__).resolve().parent / "include"
CONSTANT = re.compile(r"^#define (\w+) +([\w ()+*<|-]+?) *(?:/\*|$)", re.MULTILINE)  # no string, no argument
#: What C has and cffi does not know; to Python an atomic integer is an integer.
PLAIN = (
    (re.compile(r"_Atomic\(([^()]*)\)"), r"\1"),
    (re.compile(r"\batomic_(u?)int\b"), lambda match: "unsigned int" if match[1] else "int"),
    (re.compile(r"\b(?:__attribute__|_Alignas|_Static_assert)\s*(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))"), ""),
)


def public_headers(include: Path = INCLUDE) -> list[Path]:
    """Those that bid.h includes, in its order: a header comes after those that it uses."""
    return [
        include / name for name in re.findall(r'^#include "([^"]+)"', (include / "bid.h").read_text(), re.MULTILINE)
    ]


def declarations(headers: Sequence[Path], functions: Sequence[str]) -> str:
    """All constants and types of these headers, and the functions and variables whose names fit one of the patterns.

    A header comes after those whose macros it uses. An error of the preprocessor is raised as CalledProcessError.
    """
    texts = [header.read_text() for header in headers]
    constants = [match[1] for text in texts for match in CONSTANT.finditer(text) if "__" not in match[2]]
    kept = list(_kept(_preprocessed("\n".join(texts)), functions))
    return "\n".join([*(f"#define {name} ..." for name in constants), *kept])


def _preprocessed(text: str) -> str:
    """What a header includes is left out: cffi knows the standard types, and the other headers are read, too."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    own = re.sub(r"^ *# *include .*$", "", text, flags=re.MULTILINE)
    command = [*compiler, "-E", "-P", "-x", "c", "-"]
    plain = subprocess.run(command, input=own, capture_output=True, text=True, check=True).stdout
    for pattern, replacement in PLAIN:
        plain = pattern.sub(replacement, plain)
    return plain


def _split(text: str) -> Iterator[str]:
    """Declarations at the outermost level, without their semicolon; of a function's definition its body, too."""
    depth = start = 0
    for match in re.finditer(r"[{};]", text):
        depth += {"{": 1, "}": -1, ";": 0}[match[0]]
        body_ends = match[0] == "}" and re.match(r"\s*static\b", text[start : match.end()])
        if depth == 0 and (match[0] == ";" or body_ends):
            yield " ".join(text[start : match.start()].split())
            start = match.end()


def _kept(text: str, functions: Sequence[str]) -> Iterator[str]:
    for one in _split(text):
        if not one or one.startswith("static "):
            continue
        if re.match(r"enum \w*\s*{", one):
            values = one.partition("{")[2].rpartition("}")[0]
            yield from (f"#define {name} ..." for name in re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", values))
        elif one.startswith(("struct ", "union ", "typedef ")) and "{" in one:
            fields, _, rest = re.sub(r"\[[^]]+\]", "[...]", one).rpartition("}")
            yield f"{fields}...; }}{rest};"
        elif "(" not in one and not one.startswith("extern "):
            yield one + ";"  # the name of a type alone
        elif one.startswith("typedef ") or any(fnmatchcase(_name(one), pattern) for pattern in functions):
            yield re.sub(r"\[[^]]+\]", "[]", one) + ";"


def _name(declaration: str) -> str:
    """Of a function or variable."""
    found = re.findall(r"\w+", declaration.partition("(")[0])
    return str(found[-1])
