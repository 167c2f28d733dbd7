# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of csrc/note: the reader of build-ID notes."""

from __future__ import annotations

from stress.mutants.checks import Mutant, Program
from stress.mutants.edits import Edit

READER = "notes"  #: none of the guarantees of the table: that build IDs are read as the public header says


def mutant(name: str, fault: str, *edits: tuple[str, str, str]) -> Mutant:
    """Edits are (file of csrc/note, old, new)."""
    return Mutant(
        name,
        READER,
        fault,
        tuple(Edit(f"note/{file}", old, new) for file, old, new in edits),
        (Program("test_note"),),
    )


NOTE = [
    mutant(
        "note-alignment-of-four-only",
        "notes of a segment with alignment 8 are taken for 4-byte aligned ones",
        ("elf.c", "elf->align = align == 8 ? 8 : 4;", "elf->align = 4;"),
    ),
    mutant(
        "note-alignment-of-the-header-only",
        "4-byte aligned notes in a segment that says 8 are not found, though the kernel finds them",
        ("note.c", "if (elf->align == 8) {", "if (0) {"),
    ),
    mutant(
        "note-damage-by-another-alignment",
        "notes of alignment 8 that make no sense with alignment 4 count as damage",
        ("note.c", "if (!elf->again)", "if (1)"),
    ),
    mutant(
        "note-any-alignment",
        "notes are laid out by any alignment that a segment says, such as 16",
        ("elf.c", "elf->align = align == 8 ? 8 : 4;", "elf->align = align > 4 ? (uint32_t)align : 4;"),
    ),
    mutant(
        "note-size-of-32-bits",
        "the size of a note is added up modulo 2^32, so that a huge one fits its segment",
        ("note.c", "uint64_t size = bid_align_up(", "uint32_t size = (uint32_t)bid_align_up("),
    ),
    mutant(
        "note-last-padding-required",
        "a note whose last padding is missing counts as longer than its segment",
        (
            "note.c",
            "elf->align) + length;\n    if (size > left)",
            "elf->align) + length;\n    if (bid_align_up(size, elf->align) > left)",
        ),
    ),
    mutant(
        "note-past-its-segment",
        "notes are read on past the end of their segment",
        ("note.c", "elf->note += size < left ? size : left;", "elf->note += size;"),
    ),
    mutant(
        "note-name-of-three-letters",
        "three letters of a note's name are compared, not the NUL",
        ("parser.h", "name[1] == 'N' && name[2] == 'U' && name[3] == 0", "name[1] == 'N' && name[2] == 'U'"),
    ),
    mutant(
        "note-name-length-not-compared",
        "a name of any length counts if it begins as that of a build ID",
        ("parser.h", "if (bid_number32(elf, note) != BID_NOTE_NAME)", "if (0)"),
        ("note.c", "if (name_length == BID_NOTE_NAME) {", "if (name_length) {"),
    ),
    mutant(
        "note-type-not-compared",
        "any note of the owner GNU is taken for a build ID",
        ("parser.h", "if (type == BID_GNU_BUILD_ID && name[0] == 'G'", "if (type && name[0] == 'G'"),
    ),
    mutant(
        "note-go-before-gnu",
        "the first build ID wins, though it is one of Go and a GNU one follows",
        (
            "note.c",
            "owner == BID_ELF_OWNER_GNU ? bid_goto(elf, BID_PHASE_FINISH) : BID_ELF_OK",
            "bid_goto(elf, BID_PHASE_FINISH)",
        ),
    ),
    mutant(
        "note-sections-before-segments",
        "a Go build ID of a segment ends the search, and the sections' GNU one is not found",
        (
            "elf.c",
            "if (elf->next >= elf->shnum || !check_shentsize(elf))",
            "if (elf->id_length || elf->next >= elf->shnum || !check_shentsize(elf))",
        ),
    ),
    mutant(
        "note-long-id-cut",
        "of a build ID of more than 64 bytes the first 64 are taken",
        (
            "note.c",
            "if (length == 0 || length > BID_ID_MAX) {",
            "length = length > BID_ID_MAX ? BID_ID_MAX : length;\n        if (length == 0) {",
        ),
    ),
    mutant(
        "note-long-id-unsaid",
        "a file whose build ID is too long counts as one without a build ID",
        ("elf.c", "if (elf->long_length)", "if (0)"),
    ),
    mutant(
        "note-damage-ends-the-search",
        "a malformed segment hides the good one after it",
        (
            "note.c",
            "remember_note(elf, error, offset);\n    return leave_notes(elf);",
            "return bid_fail(elf, error, offset);",
        ),
    ),
    mutant(
        "note-offsets-wrap",
        "the end of a range is computed modulo 2^64, so one at the end of all offsets is found in the window",
        (
            "parser.h",
            "if (offset >= window->offset && n <= window->length && offset - window->offset <= window->length - n) {",
            "if (offset + n <= window->offset + window->length) {",
        ),
    ),
    mutant(
        "note-asks-again",
        "a range that did not come is asked for once more, without end",
        (
            "parser.h",
            "(elf->want_length == n && elf->want_offset == offset)",
            "(elf->want_length == n && elf->want_offset == offset && elf->steps++ > 64)",
        ),
    ),
    mutant(
        "note-byte-order-native",
        "numbers are read in the order of this machine, whatever the file says",
        ("elf.c", "elf->big_endian = ident[EI_DATA] == BIG_ENDIAN_DATA;", "elf->big_endian = bid_native_big_endian();"),
    ),
    mutant(
        "note-size-in-memory",
        "of 32-bit files, a segment's size in memory is taken for that in the file",
        (
            "elf.c",
            ".p_offset = 4, .p_vaddr = 8, .p_filesz = 16, .p_align = 28,",
            ".p_offset = 4, .p_vaddr = 8, .p_filesz = 20, .p_align = 28,",
        ),
    ),
    mutant(
        "note-image-by-offset",
        "in memory, notes are looked for at their offset in the file",
        ("elf.c", "if (elf->mode == BID_ELF_IMAGE)\n        offset =", "if (0)\n        offset ="),
    ),
    mutant(
        "note-counts-of-the-header",
        "counts that stand in section header 0 are not read",
        ("elf.c", "if (elf->shoff && (!elf->shnum || elf->phnum == PN_XNUM))", "if (0)"),
    ),
    mutant(
        "note-steps-not-counted",
        "a file with any number of notes is read to its end",
        ("parser.h", "return elf->steps++ >= BID_ELF_MAX_STEPS;", "elf->steps++;\n    return false;"),
    ),
    mutant(
        "note-kernel-long-id",
        "what the kernel is said to find includes build IDs of more than 20 bytes",
        ("kernel.c", "length > 0 && length <= BID_ID_NARROW", "length > 0 && length <= BID_ID_MAX"),
    ),
    mutant(
        "note-kernel-padding-optional",
        "what the kernel is said to find includes a note whose last padding is missing",
        ("kernel.c", "if (next > elf->notes_end)\n            return bid_goto(elf, BID_PHASE_KERNEL_SEGMENT);", ""),
    ),
    mutant(
        "note-kernel-past-4-gib",
        "what the kernel is said to find includes segments that end past 4 GiB",
        ("kernel.c", "bid_sum(offset, size) > UINT32_MAX", "bid_sum(offset, size) > INT64_MAX"),
    ),
]
