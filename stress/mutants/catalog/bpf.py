# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of the table for BPF programs (csrc/bpf), and of the spaces of the recorder."""

from __future__ import annotations

from stress.mutants.checks import Bpf, Mutant, Record
from stress.mutants.edits import Edit

VECTORS, REMOVES = Bpf("vectors"), Bpf("removes")
LOOKUP, SPACE = "bpf/lookup.bpf.h", "bpf/space.bpf.h"

BPF = [
    Mutant(
        "bpf-ignores-the-future",
        "G3",
        "a lookup of a BPF program never asks the future array",
        (Edit(LOOKUP, "if (status < 0 || !head.future || (out->record", "if (status < 0 || 1 || (out->record"),),
        (VECTORS,),
    ),
    Mutant(
        "bpf-generation-not-compared",
        "G3",
        "a lookup of a BPF program answers for another generation",
        (
            Edit(
                LOOKUP,
                "    if (generation != BID_BPF_ANY && generation != is)\n        return BID_STALE;\n    id->",
                "    if (generation != BID_BPF_ANY && generation > is + 100ull)\n        return BID_STALE;\n    id->",
            ),
        ),
        (VECTORS,),
    ),
    Mutant(
        "bpf-finds-what-was-removed",
        "G3",
        "a lookup of a BPF program answers with an entry that was removed",
        (
            Edit(
                LOOKUP,
                " || (found.word & BID_STATE_MASK) != BID_LIVE)\n        return BID_ABSENT;\n    char *line",
                ")\n        return BID_ABSENT;\n    char *line",
            ),
        ),
        (VECTORS,),
    ),
    Mutant(
        "bpf-removes-what-is-sealed",
        "G5",
        "a BPF program removes an entry that a resize has frozen and copies",
        (Edit(LOOKUP, "if (found.word & BID_FROZEN)\n        return", "if (0)\n        return"),),
        (VECTORS,),
    ),
    Mutant(
        "bpf-removes-by-a-plain-store",
        "G5",
        "a BPF program overwrites a word that has changed since it was read",
        (
            Edit(
                LOOKUP,
                "if (__sync_val_compare_and_swap(at, word, after) != word)\n        return BID_BPF_E_BUSY;",
                "*(volatile u64 *)at = after;",
            ),
        ),
        (REMOVES,),
    ),
    Mutant(
        "bpf-count-not-taken-down",
        "G5",
        "an entry that a BPF program has removed is still counted",
        (Edit(LOOKUP, "% BID_BPF_LINE), (u64)-1)", "% BID_BPF_LINE), (u64)0)"),),
        (VECTORS, REMOVES),
    ),
    Mutant(
        "bpf-grace-period-not-waited-for",
        "G7",
        "memory that a resize has left is used again while a BPF program may still read it",
        (Edit("bpf/region.c", "if (!number || bid_synchronize())", "if (!number)"),),
        (Bpf("reclaim", ("wait",)),),
    ),
    Mutant(
        "ranges-stay",
        "G3",
        "what a mapping covers stays in the space: other code at its addresses goes by its build ID",
        (Edit(SPACE, "if (to <= start || from >= end)", "if (to <= start || from >= end || end)"),),
        (Record("remap"),),
    ),
    Mutant(
        "hole-stays",
        "G3",
        "where code is mapped into a hole, the hole stays: what covers that code later is not seen",
        (Edit(SPACE, "    bid_hole_drop(mm); /* before the range is in the space */\n", ""),),
        (Record("compiled"),),
    ),
]
