# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The mutants: builds of the core with one fault each, and the checks that catch it; a list for each subject.

A mutant that no check catches shows a hole in the checks. Every check of a mutant has to catch it by itself. The
letters in brackets are the ordering edges of csrc/README.md.
"""

from stress.mutants.catalog.bpf import BPF
from stress.mutants.catalog.inode import PROTOCOL
from stress.mutants.catalog.note import NOTE
from stress.mutants.catalog.pins import RECLAMATION
from stress.mutants.catalog.places import PLACES
from stress.mutants.catalog.profile import PROFILE
from stress.mutants.catalog.region import REGION
from stress.mutants.catalog.resolve import RESOLVE
from stress.mutants.catalog.table import LOOKUPS, UPDATES
from stress.mutants.checks import Mutant

MUTANTS: list[Mutant] = LOOKUPS + UPDATES + PLACES + RECLAMATION + REGION + PROTOCOL + RESOLVE + PROFILE + NOTE + BPF
