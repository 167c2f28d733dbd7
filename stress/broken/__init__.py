# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The broken twins: builds of the core with one fault each, and the checks that catch it; a list for each subject.

A twin that no check catches shows a hole in the checks. Every check of a twin has to catch it by itself. The letters in
brackets are the ordering edges of csrc/README.md.
"""

from stress.broken.checks import (
    Check,
    Fault,
    Freeze,
    Histories,
    Model,
    Program,
    Reading,
    Step,
    Storm,
    Twin,
)
from stress.broken.inode import PROTOCOL
from stress.broken.note import NOTE
from stress.broken.pins import RECLAMATION
from stress.broken.profile import PROFILE
from stress.broken.resolve import RESOLVE
from stress.broken.table import LOOKUPS, UPDATES

TWINS = LOOKUPS + UPDATES + RECLAMATION + PROTOCOL + RESOLVE + PROFILE + NOTE

__all__ = [
    "TWINS",
    "Check",
    "Fault",
    "Freeze",
    "Histories",
    "Model",
    "Program",
    "Reading",
    "Step",
    "Storm",
    "Twin",
]
