# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of csrc/resolve: snapshots of the mappings, their lookups, and the thread that follows.

Those of test_resolve_identity and test_resolve_harmless need root: files are replaced on file systems that the programs
mount, and ids are changed.
"""

from __future__ import annotations

from stress.mutants.checks import Mutant, Program
from stress.mutants.edits import Edit

ANSWERS = Program("test_resolve")
INTERRUPTED = Program("test_resolve_interrupted")
ORDER = Program("test_resolve_order")
IDENTITY = Program("test_resolve_identity")
HARMLESS = Program("test_resolve_harmless")
MADE_UP_MAPS = Program("test_same_maps")

LOOKUPS = [
    Mutant(
        "range-with-its-end",
        "G3",
        "the first address after a range is taken for one of it",
        (Edit("resolve/resolve.c", "ip < first->end ? first : NULL", "ip <= first->end ? first : NULL"),),
        (ANSWERS,),
    ),
    Mutant(
        "range-without-its-start",
        "G3",
        "the search goes left at the first address of a range",
        (Edit("resolve/resolve.c", "first[half].start <= ip ?", "first[half].start < ip ?"),),
        (ANSWERS,),
    ),
    Mutant(
        "offset-in-the-range",
        "G3",
        "the offset is that in the range, not that in the file",
        (
            Edit(
                "resolve/resolve.c",
                "bid_stack_record_fill(record, ip - range->start + range->offset",
                "bid_stack_record_fill(record, ip - range->start",
            ),
        ),
        (ANSWERS,),
    ),
    Mutant(
        "many-by-the-last-range",
        "G3",
        "of an array, the first address after a range is taken for one of the range before it",
        (Edit("resolve/resolve.c", "|| ip >= range->end) {", "|| ip > range->end) {"),),
        (ANSWERS,),
    ),
    Mutant(
        "many-below-the-last-range",
        "G3",
        "of an array, an address below the range of the one before is taken for one of it",
        (Edit("resolve/resolve.c", "if (!range || ip < range->start || ", "if (!range || "),),
        (ANSWERS,),
    ),
    Mutant(
        "many-stay-pinned",
        "G7",
        "an array leaves its pin behind: snapshots that are retired afterwards are never freed",
        (Edit("resolve/resolve.c", "    bid_unpin(maps->pins, pin);\n    return resolved;", "    return resolved;"),),
        (ANSWERS,),
    ),
    Mutant(
        "long-id-cut-off",
        "G3",
        "a build ID of more than 20 bytes is shown by its first 20",
        (Edit("resolve/resolve.c", "id->length > BID_STACK_ID_SIZE ?", "0 ?"),),
        (ANSWERS,),
    ),
]

SNAPSHOTS = [
    Mutant(
        "ranges-that-overlap",
        "G3",
        "ranges of two reads of /proc/self/maps that overlap are both taken, which the search does not bear",
        (Edit("resolve/build.c", "line->executable && line->start >= last_end && ", "line->executable && "),),
        (MADE_UP_MAPS,),
    ),
    Mutant(
        "header-of-another-file",
        "G3",
        "the beginning of whatever file was mapped last is taken for that of this one",
        (Edit("resolve/build.c", "fill->header.text && same_file(line, &fill->header) ?", "fill->header.text ?"),),
        (MADE_UP_MAPS,),
    ),
    Mutant(
        "header-not-compared",
        "G3",
        "a snapshot in which a file begins elsewhere is taken for the last one",
        (Edit("resolve/build.c", "!range->file || range->file->header == before->file->header;", "1;"),),
        (MADE_UP_MAPS,),
    ),
    Mutant(
        "published-before-associated",
        "G3",
        "(M) a snapshot is published before the table has the build IDs of its files",
        (
            Edit(
                "resolve/maps.c",
                "            status = bid_snapshot_associate(snapshot, maps->table);\n",
                "            ;\n",
            ),
            Edit(
                "resolve/maps.c",
                "        result = status == BID_OK ? publish(maps, snapshot, called) : status;\n",
                "        result = status == BID_OK ? publish(maps, snapshot, called) : status;\n"
                "        if (result == PUBLISHED)\n"
                "            bid_snapshot_associate(snapshot, maps->table);\n",
            ),
        ),
        (INTERRUPTED,),
    ),
    Mutant(
        "older-over-newer",
        "G3",
        "a reading that overlapped with a newer one, and ended before it, is published over it",
        (Edit("resolve/maps.c", "else if (current->ended > snapshot->begun)", "else if (0)"),),
        (ORDER,),
    ),
    Mutant(
        "newer-not-published",
        "G3",
        "a reading that says what the last one said is not published, though an older one is about to be",
        (Edit("resolve/maps.c", "int alone = bid_readings_alone(maps->readings);", "int alone = 1;"),),
        (ORDER,),
    ),
    Mutant(
        "readings-of-a-parent",
        "G9",
        "the child of a fork counts refreshes of threads that it does not have",
        (Edit("resolve/wiped.h", "memory && madvise(memory, bytes, MADV_WIPEONFORK) != 0", "0"),),
        (ORDER, HARMLESS),
    ),
    Mutant(
        "epoch-before-publication",
        "G7",
        "(E) a snapshot is retired before another one has replaced it: a thread that pins in between is not waited for",
        (
            Edit(
                "resolve/maps.c",
                "    struct bid_pin pin = bid_pin(maps->pins);\n"
                "    struct bid_snapshot *current = bid_load(&maps->current, BID_M_ACQUIRE); /* (M) */\n"
                "    int result = PUBLISHED;\n",
                "    uint64_t early = bid_epoch_pass(maps->pins);\n"
                "    struct bid_pin pin = bid_pin(maps->pins);\n"
                "    struct bid_snapshot *current = bid_load(&maps->current, BID_M_ACQUIRE);\n"
                "    int result = PUBLISHED;\n",
            ),
            Edit(
                "resolve/maps.c",
                "        retire(maps, current);\n",
                "        current->epoch = early;\n"
                "        bid_add(&maps->waiting, 1, BID_RELAXED);\n"
                "        push(maps, current);\n",
            ),
        ),
        (ORDER,),
    ),
    Mutant(
        "snapshot-without-grace",
        "G7",
        "a snapshot is freed as soon as another one has taken its place",
        (Edit("resolve/maps.c", "snapshot->epoch < oldest && bid_snapshot_dispose", "bid_snapshot_dispose"),),
        (ANSWERS, ORDER),
    ),
    Mutant(
        "evicted-without-grace",
        "G3",
        "the entries of a snapshot leave the table while readers may be in it",
        (
            Edit(
                "resolve/maps.c",
                "    snapshot->epoch = bid_epoch_pass(maps->pins); /* (E) pairs with bid_pin_enter() */\n",
                "    for (uint64_t i = 0; i < snapshot->file_count; i++)\n"
                "        bid_inode_evict(maps->table, &snapshot->files[i].inode);\n"
                "    snapshot->epoch = bid_epoch_pass(maps->pins);\n",
            ),
        ),
        (ORDER,),
    ),
]

FILES = [
    Mutant(
        "inherited-by-number",
        "G3",
        "a build ID is inherited where the inode's number is the same: the fault that the resolver once had",
        (Edit("resolve/file.c", "    return bid_identity_equal(&now, &file->identity);\n", "    return 1;\n"),),
        (IDENTITY,),
    ),
    Mutant(
        "inherited-without-generation",
        "G3",
        "the file handle, which has the inode's generation, is not compared",
        (
            Edit("resolve/identity.c", "a->handle_type == b->handle_type && a->handle_bytes == b->handle_bytes &&", ""),
            Edit("resolve/identity.c", "memcmp(a->handle, b->handle, a->handle_bytes) == 0", "1"),
        ),
        (IDENTITY,),
    ),
    Mutant(
        "inherited-without-change",
        "G3",
        "the time of the file's last change is not compared",
        (
            Edit(
                "resolve/identity.c",
                "a->change_seconds == b->change_seconds && a->change_nanoseconds == b->change_nanoseconds &&",
                "",
            ),
        ),
        (IDENTITY,),
    ),
    Mutant(
        "inherited-within-a-tick",
        "G3",
        "a file that was changed just now is believed, though another change may get the same time",
        (Edit("resolve/identity.c", "identity->settled = is_settled(&file->st_ctim);", "identity->settled = 1;"),),
        (IDENTITY,),
    ),
    Mutant(
        "believed-while-written",
        "G3",
        "what was read of a file that changed meanwhile is believed",
        (Edit("resolve/file.c", "bid_identity_equal(&after, &file->identity) ? READ : CHANGED", "READ"),),
        (IDENTITY,),
    ),
    Mutant(
        "copy-for-the-original",
        "G3",
        "on overlayfs and btrfs, where another file may look like the mapped one, it is read all the same",
        (Edit("resolve/file.c", "if (file->header && bid_is_ambiguous(descriptor, file->inode.device))", "if (0)"),),
        (IDENTITY,),
    ),
    Mutant(
        "not-fresh",
        "G3",
        "a range whose file has changed is not shown as a new one, so a profiler does not write it down",
        (Edit("resolve/build.c", "            range->fresh = 1;\n", ""),),
        (IDENTITY,),
    ),
]

HARM = [
    Mutant(
        "table-of-the-program",
        "G12",
        "the thread that follows has its descriptors in the program's table",
        (Edit("resolve/guest.c", "    if (syscall(SYS_close_range, 0u, ~0u, CLOSE_RANGE_UNSHARE) == 0)\n", ""),),
        (HARMLESS,),
    ),
    Mutant(
        "pipes-kept-open",
        "G12",
        "before Linux 5.9 the thread that follows keeps what was open when it began",
        (Edit("resolve/guest.c", "unshare(CLONE_FILES) == 0 && close_all();", "unshare(CLONE_FILES) == 0;"),),
        (HARMLESS,),
    ),
    Mutant(
        "signals-taken",
        "G12",
        "the thread that follows runs the program's handlers",
        (Edit("resolve/follow.c", "    sigfillset(&all);\n", "    sigemptyset(&all);\n"),),
        (HARMLESS,),
    ),
    Mutant(
        "capabilities-of-its-own",
        "G12",
        "where the program changes its ids, the thread that follows may do less, or more, and libc ends the program",
        (
            Edit(
                "resolve/guest.c",
                "    follow_capabilities();\n    while (syscall(SYS_tgkill",
                "    while (syscall(SYS_tgkill",
            ),
        ),
        (HARMLESS,),
    ),
    Mutant(
        "capabilities-kept",
        "G12",
        "the thread that follows keeps capabilities that the program has given up",
        (Edit("resolve/guest.c", "next.set[i].permitted &= program.set[i].permitted;", ""),),
        (HARMLESS,),
    ),
    Mutant(
        "closes-what-is-not-ours",
        "G12",
        "a refresh closes a number that another thread has given to a file of the program",
        (Edit("note/descriptor.h", "    if (ours)\n", ""),),
        (HARMLESS,),
    ),
    Mutant(
        "reads-what-is-not-ours",
        "G12",
        "what was read by a number that another thread has taken is believed",
        (
            Edit(
                "resolve/procmaps.c",
                "    if (!bid_descriptor_close(&maps))\n",
                "    if (!bid_descriptor_close(&maps) && 0)\n",
            ),
        ),
        (HARMLESS,),
    ),
]

RESOLVE = LOOKUPS + SNAPSHOTS + FILES + HARM
