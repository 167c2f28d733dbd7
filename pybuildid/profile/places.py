# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Files of a profile: which is the main program, their names, and lines as of `eu-unstrip -n`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybuildid.profile import Module

DELETED = " (deleted)"
OTHERS = re.compile(r"\.so(\.|$)|^/tmp/perf-\d+\.map$")  # than programs: libraries, code that a process made


def main_module(modules: Sequence[Module]) -> Module | None:
    """The main program: the last one that the first process became. Without such a mark, the first module of that
    process that is not named as a library."""
    own = [module for module in modules if module.process == modules[0].process]
    marked = [module for module in own if module.main]
    named = [module for module in own if module.path.startswith("/") and not OTHERS.search(module.path)]
    return next(iter(marked[-1:] or named[:1]), None)


def undeleted(path: str) -> str:
    """A path as of /proc/PID/maps, without what the kernel appends when the file has been removed."""
    if path.endswith(DELETED) and not os.path.lexists(path):
        return path[: -len(DELETED)]
    return path


def escaped(path: str) -> str:
    """A path as one word: white space, what does not show, and backslashes as the octal numbers of their bytes, as in
    /proc/mounts. `printf %b` turns it back."""

    def octal(found: re.Match[str]) -> str:
        return "".join(f"\\{byte:03o}" for byte in os.fsencode(found[0]))

    return re.sub(r"[\s\\\x00-\x1f\x7f]", octal, path)


def unstrip_line(module: Module) -> str:
    """START+SIZE BUILDID@ADDRESS FILE DEBUGFILE MODULE, with START where the file's first byte would be."""
    start = module.header or module.start - module.offset
    build_id = f"{module.build_id.hex()}@{start + module.id_offset:#x}" if module.build_id else "-"
    path = escaped(module.path) or "-"
    return f"{start:#x}+{module.end - start:#x} {build_id} {path} - {os.path.basename(path) or '-'}"
