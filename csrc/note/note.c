/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Notes: a header (sizes of name and descriptor, type), the name, padding, the descriptor, padding. A build ID is a
 * descriptor. Its name has four bytes, so the descriptor begins 16 bytes into the note whatever the alignment.
 */
#include "parser.h"

#define ID_OFFSET (BID_NOTE_HEADER + BID_NOTE_NAME)
#define RAW_NAME_MAX 32 /* names longer than this do not begin a file of notes */

_Static_assert(ID_OFFSET + BID_ID_MAX == BID_ELF_MAX_WANT, "the longest range that a step asks for");

void bid_take_id(struct bid_elf *elf, enum bid_elf_owner owner, uint64_t offset, const uint8_t *id, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        elf->id[i] = id[i];
    elf->id_offset = offset;
    elf->id_length = (uint8_t)length;
    elf->id_owner = (uint8_t)owner;
}

/* Whether this is a name as it stands at the beginning of a file of notes: not empty, or other files would do as well
 * (a .DS_Store of macOS begins like a note without a name). */
static bool is_name(const uint8_t *name, uint32_t length)
{
    for (uint32_t i = 0; i + 1 < length; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return length > 1 && name[length - 1] == 0;
}

/* A file of notes has neither magic nor byte order: the first note must have a proper name, and the order is the one
 * in which its length is a small number. */
int bid_step_raw_notes(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *bytes;
    enum bid_fetched fetched = bid_fetch(elf, window, 0, BID_NOTE_HEADER, &bytes);
    if (fetched == BID_FETCHED) {
        elf->big_endian = bid_native_big_endian();
        if (bid_number32(elf, bytes) > 0xffff)
            elf->big_endian = !elf->big_endian;
        uint32_t length = bid_number32(elf, bytes);
        if (length > RAW_NAME_MAX)
            return BID_ELF_NOT_ELF;
        fetched = bid_fetch(elf, window, 0, BID_NOTE_HEADER + length, &bytes);
        if (fetched == BID_FETCHED && !is_name(bytes + BID_NOTE_HEADER, length))
            return BID_ELF_NOT_ELF;
    }
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    if (fetched == BID_FETCH_END)
        return BID_ELF_NOT_ELF;
    elf->mode = BID_ELF_NOTES;
    elf->notes_end = INT64_MAX; /* they end where the file ends */
    elf->align = 4;
    return bid_goto(elf, BID_PHASE_NOTE);
}

/* Where the parser goes on after the last note of a segment, a section or a file of notes. Those of alignment 8 that
 * have no GNU build ID are read again with alignment 4: the kernel reads all notes so, and never looks at p_align. */
static int leave_notes(struct bid_elf *elf)
{
    if (elf->align == 8) {
        elf->align = 4;
        elf->again = true;
        elf->note = elf->notes;
        return BID_STEP;
    }
    if (elf->mode == BID_ELF_NOTES)
        return bid_goto(elf, BID_PHASE_FINISH);
    return bid_goto(elf, elf->in_sections ? BID_PHASE_SECTION : BID_PHASE_SEGMENT);
}

/* Notes are malformed if they are so by the alignment that their segment or section says. */
static void remember_note(struct bid_elf *elf, int error, uint64_t offset)
{
    if (!elf->again)
        bid_remember(elf, error, offset);
}

static int leave_malformed(struct bid_elf *elf, int error, uint64_t offset)
{
    remember_note(elf, error, offset);
    return leave_notes(elf);
}

/* A GNU build ID without a byte is malformed. One that no table takes is remembered, a GNU
 * one rather than one of Go. */
static void pass_over(struct bid_elf *elf, enum bid_elf_owner owner, uint32_t length)
{
    if (length == 0) {
        if (owner == BID_ELF_OWNER_GNU)
            remember_note(elf, BID_ELF_E_ID_LENGTH, elf->note + 4);
        return;
    }
    if (elf->id_length || (elf->long_length && owner >= elf->id_owner))
        return;
    elf->long_length = length;
    elf->id_owner = (uint8_t)owner;
    elf->id_offset = elf->note + ID_OFFSET;
}

/* Takes the build ID of a note that has one. Returns BID_ELF_OK when the note is dealt with, BID_STEP when the notes
 * at hand end here, or BID_ELF_MORE. */
static int take_note(struct bid_elf *elf, const struct bid_window *window, uint32_t length)
{
    const uint8_t *bytes;
    enum bid_fetched fetched = bid_fetch(elf, window, elf->note, ID_OFFSET, &bytes);
    if (fetched == BID_FETCHED) {
        enum bid_elf_owner owner = bid_note_owner(elf, bytes);
        if (owner == BID_ELF_OWNER_NONE || (owner == BID_ELF_OWNER_GO && elf->id_length))
            return BID_ELF_OK;
        if (length == 0 || length > BID_ID_MAX) {
            pass_over(elf, owner, length);
            return BID_ELF_OK;
        }
        fetched = bid_fetch(elf, window, elf->note, ID_OFFSET + length, &bytes);
        if (fetched == BID_FETCHED) {
            bid_take_id(elf, owner, elf->note + ID_OFFSET, bytes + ID_OFFSET, length);
            return owner == BID_ELF_OWNER_GNU ? bid_goto(elf, BID_PHASE_FINISH) : BID_ELF_OK;
        }
    }
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    return leave_malformed(elf, BID_ELF_E_TRUNCATED, elf->note);
}

int bid_step_note(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *bytes;
    uint64_t left = elf->notes_end - elf->note;
    if (left < BID_NOTE_HEADER) /* nothing, or padding */
        return leave_notes(elf);
    enum bid_fetched fetched = bid_fetch(elf, window, elf->note, BID_NOTE_HEADER, &bytes);
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    if (fetched == BID_FETCH_END && elf->mode == BID_ELF_NOTES)
        return leave_notes(elf);
    if (fetched == BID_FETCH_END)
        return leave_malformed(elf, BID_ELF_E_TRUNCATED, elf->note);

    uint32_t name_length = bid_number32(elf, bytes), length = bid_number32(elf, bytes + 4);
    uint64_t size = bid_align_up((uint64_t)BID_NOTE_HEADER + name_length, elf->align) + length;
    if (size > left)
        return leave_malformed(elf, BID_ELF_E_NOTE, elf->note);
    if (name_length == BID_NOTE_NAME) {
        int status = take_note(elf, window, length);
        if (status != BID_ELF_OK)
            return status;
    }
    if (bid_exhausted(elf))
        return bid_fail(elf, BID_ELF_E_TOO_MANY, elf->note);
    size = bid_align_up(size, elf->align);
    elf->note += size < left ? size : left; /* the last padding may be missing */
    return BID_STEP;
}
