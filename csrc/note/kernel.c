/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * BID_ELF_KERNEL: the answer that Linux 6.12 and later give for a mapped file. Its quirks are included, because they
 * decide what a kernel's stack trace contains:
 *
 *   - the byte order named in the file is not read: all numbers are taken as native ones;
 *   - e_phentsize, e_version and PN_XNUM are not read; of more than BID_ELF_KERNEL_PHDRS program headers the first
 *     ones are examined;
 *   - a program header that cannot be read ends the search, a segment that makes no sense does not;
 *   - p_filesz counts modulo 2^32, and the segment must end below 4 GiB;
 *   - lengths of names and descriptors are rounded up to 4 modulo 2^32, the rounded note must fit its segment, and a
 *     note is looked at only if more than a header and four bytes of name are left.
 *
 * The kernel does not have BID_ELF_MAX_STEPS. When it parses without faulting, bytes that are not in the page cache
 * count as missing there.
 */
#include "parser.h"

#define ET_EXEC 2
#define ET_DYN 3
#define E_TYPE_END 18

static int no_build_id(struct bid_elf *elf)
{
    return bid_goto(elf, BID_PHASE_FINISH);
}

static bool kernel_reads_type(const struct bid_elf *elf, const uint8_t *ehdr)
{
    uint64_t type = bid_number(elf, ehdr + E_TYPE_END - 2, 2);
    return bid_is_magic(ehdr) && (type == ET_EXEC || type == ET_DYN) && (ehdr[4] == 1 || ehdr[4] == 2);
}

int bid_step_kernel_header(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *ehdr;
    enum bid_fetched fetched = bid_fetch(elf, window, 0, E_TYPE_END, &ehdr);
    if (fetched == BID_FETCHED) {
        elf->big_endian = bid_native_big_endian();
        if (!kernel_reads_type(elf, ehdr))
            return no_build_id(elf);
        elf->is64 = ehdr[4] == 2;
        fetched = bid_fetch(elf, window, 0, bid_elf_layout(elf)->ehdr, &ehdr);
    }
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    if (fetched == BID_FETCH_END)
        return no_build_id(elf);
    const struct bid_elf_layout *layout = bid_elf_layout(elf);
    uint64_t phnum = bid_number(elf, ehdr + layout->e_phnum, 2);
    elf->phnum = phnum < BID_ELF_KERNEL_PHDRS ? phnum : BID_ELF_KERNEL_PHDRS;
    elf->phoff = bid_number(elf, ehdr + layout->e_phoff, layout->word);
    return bid_goto(elf, BID_PHASE_KERNEL_SEGMENT);
}

int bid_step_kernel_segment(struct bid_elf *elf, const struct bid_window *window)
{
    const struct bid_elf_layout *layout = bid_elf_layout(elf);
    const uint8_t *phdr;
    if (elf->next == elf->phnum)
        return no_build_id(elf);
    switch (bid_fetch(elf, window, bid_sum(elf->phoff, elf->next * layout->phdr), layout->phdr, &phdr)) {
    case BID_FETCH_MORE:
        return BID_ELF_MORE;
    case BID_FETCH_END:
        return no_build_id(elf);
    case BID_FETCHED:
        break;
    }
    elf->next++;
    uint64_t offset = bid_number(elf, phdr + layout->p_offset, layout->word);
    uint32_t size = (uint32_t)bid_number(elf, phdr + layout->p_filesz, layout->word);
    if (bid_number32(elf, phdr) != BID_PT_NOTE || bid_sum(offset, size) > UINT32_MAX)
        return BID_STEP;
    elf->note = offset;
    elf->notes_end = offset + size;
    return bid_goto(elf, BID_PHASE_KERNEL_NOTE);
}

static uint32_t round_up_modulo(uint32_t n)
{
    return (n + 3) & ~(uint32_t)3;
}

int bid_step_kernel_note(struct bid_elf *elf, const struct bid_window *window)
{
    const uint8_t *note;
    const uint32_t id_offset = BID_NOTE_HEADER + BID_NOTE_NAME;
    if (elf->notes_end - elf->note <= id_offset)
        return bid_goto(elf, BID_PHASE_KERNEL_SEGMENT);
    enum bid_fetched fetched = bid_fetch(elf, window, elf->note, id_offset, &note);
    uint64_t next = elf->note;
    if (fetched == BID_FETCHED) {
        uint32_t length = bid_number32(elf, note + 4);
        next += (uint64_t)BID_NOTE_HEADER + round_up_modulo(bid_number32(elf, note)) + round_up_modulo(length);
        if (next > elf->notes_end)
            return bid_goto(elf, BID_PHASE_KERNEL_SEGMENT);
        if (bid_note_owner(elf, note) == BID_ELF_OWNER_GNU && length > 0 && length <= BID_ID_NARROW) {
            fetched = bid_fetch(elf, window, elf->note, id_offset + length, &note);
            if (fetched == BID_FETCHED) {
                bid_take_id(elf, BID_ELF_OWNER_GNU, elf->note + id_offset, note + id_offset, length);
                return bid_goto(elf, BID_PHASE_FINISH);
            }
        }
    }
    if (fetched == BID_FETCH_MORE)
        return BID_ELF_MORE;
    if (fetched == BID_FETCH_END)
        return bid_goto(elf, BID_PHASE_KERNEL_SEGMENT);
    if (bid_exhausted(elf))
        return bid_fail(elf, BID_ELF_E_TOO_MANY, elf->note);
    elf->note = next;
    return BID_STEP;
}
