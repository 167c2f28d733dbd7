/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the steps of the build-ID parser share: the window of bytes at hand, and how to read from it.
 *
 * A step examines one thing (a header or a note). It fetches the bytes first and changes the state last, so a step
 * that lacks bytes is simply run again when they are there. All fetches of one step begin at the same offset: a
 * window that satisfies the longest satisfies them all, and no two of them can take turns in asking.
 */
#ifndef BID_NOTE_PARSER_H
#define BID_NOTE_PARSER_H

#include "bid/elf.h"
#include <stdbool.h>

#define BID_STEP 1000      /* a step is done and there is another; beside enum bid_elf_status */
#define BID_NOTE_HEADER 12 /* namesz, descsz, type: the same for 32 and 64 bits */
#define BID_NOTE_NAME 4    /* "GNU\0" and "Go\0\0" */
#define BID_GNU_BUILD_ID 3
#define BID_GO_BUILD_ID 4
#define BID_PT_LOAD 1
#define BID_PT_NOTE 4

/* The layout of the headers of one class: sizes, and offsets of the fields that are read. */
struct bid_elf_layout {
    uint8_t word; /* size of an offset or address */
    uint8_t ehdr, phdr, shdr;
    uint8_t e_phoff, e_shoff, e_phentsize, e_phnum, e_shentsize, e_shnum;
    uint8_t p_offset, p_vaddr, p_filesz, p_align;
    uint8_t sh_flags, sh_offset, sh_size, sh_info, sh_addralign;
};
extern const struct bid_elf_layout bid_elf_layout_32, bid_elf_layout_64;

enum bid_phase {
    BID_PHASE_START,        /* ELF, notes, or neither? */
    BID_PHASE_RAW_NOTES,    /* the first note of a file of notes */
    BID_PHASE_HEADER,       /* the ELF header */
    BID_PHASE_SECTION_ZERO, /* counts that do not fit the ELF header */
    BID_PHASE_BASE,         /* the program headers up to the first PT_LOAD */
    BID_PHASE_SEGMENT,      /* the next program header */
    BID_PHASE_SECTION,      /* the next section header */
    BID_PHASE_NOTE,         /* the next note of the segment or section at hand */
    BID_PHASE_FINISH,
    BID_PHASE_KERNEL_HEADER, /* BID_ELF_KERNEL has its own steps */
    BID_PHASE_KERNEL_SEGMENT,
    BID_PHASE_KERNEL_NOTE,
};

struct bid_window {
    const uint8_t *data;
    uint64_t offset;
    size_t length;
};

enum bid_fetched { BID_FETCHED, BID_FETCH_MORE, BID_FETCH_END };

/* Points *bytes at n bytes of the file. BID_FETCH_END: the file does not have them, because no file is that long, or
 * because they were asked for and did not come. The window at hand is always the reply to the last range asked for. So
 * if that range is not in the window, it is not in the file. */
static inline enum bid_fetched bid_fetch(struct bid_elf *elf, const struct bid_window *window, uint64_t offset,
                                         uint32_t n, const uint8_t **bytes)
{
    if (offset >= window->offset && n <= window->length && offset - window->offset <= window->length - n) {
        *bytes = window->data + (offset - window->offset);
        return BID_FETCHED;
    }
    if (offset > (uint64_t)INT64_MAX - n || (elf->want_length == n && elf->want_offset == offset))
        return BID_FETCH_END;
    elf->want_offset = offset;
    elf->want_length = n;
    return BID_FETCH_MORE;
}

static inline uint64_t bid_number(const struct bid_elf *elf, const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | bytes[elf->big_endian ? i : size - 1 - i];
    return value;
}

static inline uint32_t bid_number32(const struct bid_elf *elf, const uint8_t *bytes)
{
    return (uint32_t)bid_number(elf, bytes, 4);
}

static inline const struct bid_elf_layout *bid_elf_layout(const struct bid_elf *elf)
{
    return elf->is64 ? &bid_elf_layout_64 : &bid_elf_layout_32;
}

/* Sums stick at the largest number, which is past the end of any file. */
static inline uint64_t bid_sum(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

static inline uint64_t bid_align_up(uint64_t n, uint32_t align)
{
    return (n + align - 1) & ~(uint64_t)(align - 1);
}

static inline bool bid_native_big_endian(void)
{
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

static inline bool bid_is_magic(const uint8_t *bytes)
{
    return bytes[0] == 0x7f && bytes[1] == 'E' && bytes[2] == 'L' && bytes[3] == 'F';
}

/* The owner of a note whose header and four bytes of name are at hand. */
static inline enum bid_elf_owner bid_note_owner(const struct bid_elf *elf, const uint8_t *note)
{
    uint32_t type = bid_number32(elf, note + 8);
    const uint8_t *name = note + BID_NOTE_HEADER;
    if (bid_number32(elf, note) != BID_NOTE_NAME)
        return BID_ELF_OWNER_NONE;
    if (type == BID_GNU_BUILD_ID && name[0] == 'G' && name[1] == 'N' && name[2] == 'U' && name[3] == 0)
        return BID_ELF_OWNER_GNU;
    if (type == BID_GO_BUILD_ID && name[0] == 'G' && name[1] == 'o' && name[2] == 0 && name[3] == 0)
        return BID_ELF_OWNER_GO;
    return BID_ELF_OWNER_NONE;
}

static inline int bid_goto(struct bid_elf *elf, enum bid_phase phase)
{
    elf->phase = (uint8_t)phase;
    return BID_STEP;
}

/* Remembers the first error: it counts only if no build ID turns up. */
static inline void bid_remember(struct bid_elf *elf, int error, uint64_t offset)
{
    if (!elf->error) {
        elf->error = error;
        elf->error_offset = offset;
    }
}

static inline int bid_fail(struct bid_elf *elf, int error, uint64_t offset)
{
    bid_remember(elf, error, offset);
    return bid_goto(elf, BID_PHASE_FINISH);
}

/* Counts a step against BID_ELF_MAX_STEPS, and says whether that was one too many. */
static inline bool bid_exhausted(struct bid_elf *elf)
{
    return elf->steps++ >= BID_ELF_MAX_STEPS;
}

void bid_take_id(struct bid_elf *elf, enum bid_elf_owner owner, uint64_t offset, const uint8_t *id, uint32_t length);

/* The steps: BID_STEP, or what bid_elf_feed() returns. */
int bid_step_raw_notes(struct bid_elf *elf, const struct bid_window *window);
int bid_step_note(struct bid_elf *elf, const struct bid_window *window);
int bid_step_kernel_header(struct bid_elf *elf, const struct bid_window *window);
int bid_step_kernel_segment(struct bid_elf *elf, const struct bid_window *window);
int bid_step_kernel_note(struct bid_elf *elf, const struct bid_window *window);

#endif
