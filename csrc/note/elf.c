/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The build-ID parser: the ELF header, the two header tables, and the loop over the steps.
 *
 * Phases, each with one step function (raw notes and notes are in note.c, the kernel's way in kernel.c):
 *
 *   START -> HEADER [-> SECTION_ZERO] [-> BASE] -> SEGMENT <-> NOTE
 *        \                                            |
 *         -> RAW_NOTES -> NOTE -> FINISH           SECTION <-> NOTE, then FINISH
 *
 * Bounded: every step but the first few moves on by one header or note, and counts (bid_exhausted()).
 */
#include "parser.h"

#define CLASS_32 1
#define CLASS_64 2
#define LITTLE_ENDIAN_DATA 1
#define BIG_ENDIAN_DATA 2
#define EI_CLASS 4
#define EI_DATA 5
#define EI_VERSION 6
#define EI_NIDENT 16
#define PN_XNUM 0xffff
#define SHT_NOTE 7
#define SHF_COMPRESSED 0x800

/* clang-format off */
const struct bid_elf_layout bid_elf_layout_32 = {
    .word = 4, .ehdr = 52, .phdr = 32, .shdr = 40,
    .e_phoff = 28, .e_shoff = 32, .e_phentsize = 42, .e_phnum = 44, .e_shentsize = 46, .e_shnum = 48,
    .p_offset = 4, .p_vaddr = 8, .p_filesz = 16, .p_align = 28,
    .sh_flags = 8, .sh_offset = 16, .sh_size = 20, .sh_info = 28, .sh_addralign = 32,
};
const struct bid_elf_layout bid_elf_layout_64 = {
    .word = 8, .ehdr = 64, .phdr = 56, .shdr = 64,
    .e_phoff = 32, .e_shoff = 40, .e_phentsize = 54, .e_phnum = 56, .e_shentsize = 58, .e_shnum = 60,
    .p_offset = 8, .p_vaddr = 16, .p_filesz = 32, .p_align = 48,
    .sh_flags = 8, .sh_offset = 24, .sh_size = 32, .sh_info = 44, .sh_addralign = 48,
};
/* clang-format on */

static uint64_t load_word(const struct bid_elf *elf, const uint8_t *field)
{
    return bid_number(elf, field, bid_elf_layout(elf)->word);
}

/* The first four bytes of gzip (deflate, its only method; and the flags, of which three are not in use), of xz, and of
 * zstd. None is the length of a name that begins a file of notes. */
static bool is_compressed(const uint8_t *b)
{
    return (b[0] == 0x1f && b[1] == 0x8b && b[2] == 8 && b[3] < 0x20) ||
           (b[0] == 0xfd && b[1] == '7' && b[2] == 'z' && b[3] == 'X') ||
           (b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd);
}

static int step_start(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *bytes;
    enum bid_fetched fetched = bid_fetch(elf, window, 0, 4, &bytes);
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    if (fetched == BID_FETCH_END)
        return BID_ELF_NOT_ELF;
    if (bid_is_magic(bytes))
        return bid_goto(elf, BID_PHASE_HEADER);
    if (elf->mode != BID_ELF_FILE)
        return BID_ELF_NOT_ELF;
    return is_compressed(bytes) ? BID_ELF_COMPRESSED : bid_goto(elf, BID_PHASE_RAW_NOTES);
}

/* The identification: sets the class and the byte order. Returns BID_STEP, or BID_ELF_OK if all is well. */
static int check_ident(struct bid_elf *elf, const uint8_t *ident)
{
    if (ident[EI_CLASS] != CLASS_32 && ident[EI_CLASS] != CLASS_64)
        return bid_fail(elf, BID_ELF_E_CLASS, EI_CLASS);
    if (ident[EI_DATA] != LITTLE_ENDIAN_DATA && ident[EI_DATA] != BIG_ENDIAN_DATA)
        return bid_fail(elf, BID_ELF_E_DATA, EI_DATA);
    if (ident[EI_VERSION] != 1)
        return bid_fail(elf, BID_ELF_E_VERSION, EI_VERSION);
    elf->is64 = ident[EI_CLASS] == CLASS_64;
    elf->big_endian = ident[EI_DATA] == BIG_ENDIAN_DATA;
    return BID_ELF_OK;
}

static int step_header(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *bytes;
    enum bid_fetched fetched = bid_fetch(elf, window, 0, EI_NIDENT, &bytes);
    if (fetched == BID_FETCHED) {
        if (check_ident(elf, bytes) != BID_ELF_OK)
            return BID_STEP;
        fetched = bid_fetch(elf, window, 0, bid_elf_layout(elf)->ehdr, &bytes);
    }
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    if (fetched == BID_FETCH_END)
        return bid_fail(elf, BID_ELF_E_TRUNCATED, 0);

    const struct bid_elf_layout *layout = bid_elf_layout(elf);
    elf->phoff = load_word(elf, bytes + layout->e_phoff);
    elf->phnum = elf->phoff ? bid_number(elf, bytes + layout->e_phnum, 2) : 0;
    elf->shoff = elf->mode == BID_ELF_IMAGE ? 0 : load_word(elf, bytes + layout->e_shoff);
    elf->shnum = elf->shoff ? bid_number(elf, bytes + layout->e_shnum, 2) : 0;
    elf->shentsize = (uint16_t)bid_number(elf, bytes + layout->e_shentsize, 2);
    if (elf->phnum && bid_number(elf, bytes + layout->e_phentsize, 2) != layout->phdr) {
        bid_remember(elf, BID_ELF_E_PHENTSIZE, layout->e_phentsize);
        elf->phnum = 0;
    }
    if (elf->shoff && (!elf->shnum || elf->phnum == PN_XNUM))
        return bid_goto(elf, BID_PHASE_SECTION_ZERO);
    return bid_goto(elf, elf->mode == BID_ELF_IMAGE ? BID_PHASE_BASE : BID_PHASE_SEGMENT);
}

/* Whether section headers have the size that the class says. */
static bool check_shentsize(struct bid_elf *elf)
{
    if (elf->shentsize == bid_elf_layout(elf)->shdr)
        return true;
    bid_remember(elf, BID_ELF_E_SHENTSIZE, bid_elf_layout(elf)->e_shentsize);
    elf->shnum = 0;
    return false;
}

/* Counts that do not fit the ELF header stand in the section header number 0. Never in an image. */
static int step_section_zero(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *bytes;
    if (!check_shentsize(elf))
        return bid_goto(elf, BID_PHASE_SEGMENT);
    enum bid_fetched fetched = bid_fetch(elf, window, elf->shoff, bid_elf_layout(elf)->shdr, &bytes);
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    if (fetched == BID_FETCH_END) {
        bid_remember(elf, BID_ELF_E_TRUNCATED, elf->shoff);
        elf->shnum = 0;
        return bid_goto(elf, BID_PHASE_SEGMENT);
    }
    if (!elf->shnum)
        elf->shnum = load_word(elf, bytes + bid_elf_layout(elf)->sh_size);
    if (elf->phnum == PN_XNUM)
        elf->phnum = bid_number32(elf, bytes + bid_elf_layout(elf)->sh_info);
    return bid_goto(elf, BID_PHASE_SEGMENT);
}

/* The next program header, in *bytes. Returns BID_ELF_OK, or what the step returns: BID_STEP when there is none, and
 * then the phase is `after`. */
static int next_segment(struct bid_elf *elf, const struct bid_window *window, enum bid_phase after,
                        const uint8_t **bytes)
{
    if (elf->next >= elf->phnum) {
        elf->next = 0;
        return bid_goto(elf, after);
    }
    uint64_t offset = bid_sum(elf->phoff, elf->next * bid_elf_layout(elf)->phdr);
    switch (bid_fetch(elf, window, offset, bid_elf_layout(elf)->phdr, bytes)) {
    case BID_FETCH_MORE:
        return BID_ELF_MORE;
    case BID_FETCH_END:
        bid_remember(elf, BID_ELF_E_TRUNCATED, offset);
        elf->next = 0;
        return bid_goto(elf, after);
    case BID_FETCHED:
        break;
    }
    if (bid_exhausted(elf))
        return bid_fail(elf, BID_ELF_E_TOO_MANY, offset);
    elf->next++;
    return BID_ELF_OK;
}

/* In memory, byte 0 is the ELF header, and the first PT_LOAD says at which address: its own less its file offset. */
static int step_base(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *phdr;
    int status = next_segment(elf, window, BID_PHASE_SEGMENT, &phdr);
    if (status != BID_ELF_OK)
        return status;
    if (bid_number32(elf, phdr) != BID_PT_LOAD)
        return BID_STEP;
    elf->base =
        load_word(elf, phdr + bid_elf_layout(elf)->p_vaddr) - load_word(elf, phdr + bid_elf_layout(elf)->p_offset);
    elf->next = 0;
    return bid_goto(elf, BID_PHASE_SEGMENT);
}

/* notes_end may wrap: what counts is its distance from note, and nothing past INT64_MAX can be fetched. */
static int enter_notes(struct bid_elf *elf, uint64_t offset, uint64_t size, uint64_t align)
{
    elf->notes = elf->note = offset;
    elf->notes_end = offset + size;
    elf->align = align == 8 ? 8 : 4;
    elf->again = false;
    return bid_goto(elf, BID_PHASE_NOTE);
}

static int step_segment(struct bid_elf *elf, const struct bid_window *window)
{
    const struct bid_elf_layout *layout = bid_elf_layout(elf);
    const uint8_t *phdr;
    int status = next_segment(elf, window, BID_PHASE_SECTION, &phdr);
    if (status != BID_ELF_OK)
        return status;
    if (bid_number32(elf, phdr) != BID_PT_NOTE)
        return BID_STEP;
    uint64_t offset = load_word(elf, phdr + layout->p_offset);
    if (elf->mode == BID_ELF_IMAGE)
        offset = load_word(elf, phdr + layout->p_vaddr) - elf->base;
    return enter_notes(elf, offset, load_word(elf, phdr + layout->p_filesz), load_word(elf, phdr + layout->p_align));
}

static int step_section(struct bid_elf *elf, const struct bid_window *window)
{
    const struct bid_elf_layout *layout = bid_elf_layout(elf);
    elf->in_sections = true;
    if (elf->next >= elf->shnum || !check_shentsize(elf))
        return bid_goto(elf, BID_PHASE_FINISH);
    const uint8_t *shdr;
    uint64_t offset = bid_sum(elf->shoff, elf->next * layout->shdr);
    switch (bid_fetch(elf, window, offset, layout->shdr, &shdr)) {
    case BID_FETCH_MORE:
        return BID_ELF_MORE;
    case BID_FETCH_END:
        return bid_fail(elf, BID_ELF_E_TRUNCATED, offset);
    case BID_FETCHED:
        break;
    }
    if (bid_exhausted(elf))
        return bid_fail(elf, BID_ELF_E_TOO_MANY, offset);
    elf->next++;
    if (bid_number32(elf, shdr + 4) != SHT_NOTE || (load_word(elf, shdr + layout->sh_flags) & SHF_COMPRESSED))
        return BID_STEP;
    return enter_notes(elf, load_word(elf, shdr + layout->sh_offset), load_word(elf, shdr + layout->sh_size),
                       load_word(elf, shdr + layout->sh_addralign));
}

static int step_finish(const struct bid_elf *elf)
{
    if (elf->id_length)
        return BID_ELF_OK;
    if (elf->long_length)
        return BID_ELF_LONG_ID;
    return elf->error ? elf->error : BID_ELF_NO_BUILD_ID;
}

static int step(struct bid_elf *elf, const struct bid_window *window)
{
    switch ((enum bid_phase)elf->phase) {
    case BID_PHASE_START:
        return step_start(elf, window);
    case BID_PHASE_RAW_NOTES:
        return bid_step_raw_notes(elf, window);
    case BID_PHASE_HEADER:
        return step_header(elf, window);
    case BID_PHASE_SECTION_ZERO:
        return step_section_zero(elf, window);
    case BID_PHASE_BASE:
        return step_base(elf, window);
    case BID_PHASE_SEGMENT:
        return step_segment(elf, window);
    case BID_PHASE_SECTION:
        return step_section(elf, window);
    case BID_PHASE_NOTE:
        return bid_step_note(elf, window);
    case BID_PHASE_KERNEL_HEADER:
        return bid_step_kernel_header(elf, window);
    case BID_PHASE_KERNEL_SEGMENT:
        return bid_step_kernel_segment(elf, window);
    case BID_PHASE_KERNEL_NOTE:
        return bid_step_kernel_note(elf, window);
    case BID_PHASE_FINISH:
        break;
    }
    return step_finish(elf);
}

void bid_elf_begin(struct bid_elf *elf, int mode)
{
    static const uint8_t first[BID_ELF_MODES] = {
        [BID_ELF_FILE] = BID_PHASE_START,
        [BID_ELF_IMAGE] = BID_PHASE_START,
        [BID_ELF_NOTES] = BID_PHASE_RAW_NOTES,
        [BID_ELF_KERNEL] = BID_PHASE_KERNEL_HEADER,
    };
    *elf = (struct bid_elf){.mode = (uint8_t)mode};
    if (mode < 0 || mode >= BID_ELF_MODES)
        bid_fail(elf, BID_ELF_E_MODE, 0);
    else
        elf->phase = first[mode];
}

int bid_elf_feed(struct bid_elf *elf, uint64_t offset, const void *data, size_t length)
{
    const struct bid_window window = {.data = data, .offset = offset, .length = length};
    int status;
    do
        status = step(elf, &window);
    while (status == BID_STEP);
    return status;
}

int bid_elf_parse(struct bid_elf *elf, int mode, const void *data, size_t length)
{
    int status;
    bid_elf_begin(elf, mode);
    do
        status = bid_elf_feed(elf, 0, data, length);
    while (status == BID_ELF_MORE);
    return status;
}
