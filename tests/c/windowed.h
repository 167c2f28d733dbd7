/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The build-ID parser fed through windows of a file, for test_note.c and the fuzzer. Each includes its own CHECK. */
#ifndef WINDOWED_H
#define WINDOWED_H

#include "bid/elf.h"

#include <stdlib.h>
#include <string.h>

/* Feeds what the parser wants, or `window` bytes if that is more, each time in a block of its own: so a sanitizer sees
 * reads outside of it. No range is wanted twice, and all work is counted. */
static inline int windowed(struct bid_elf *elf, int mode, const uint8_t *data, size_t size, size_t window)
{
    uint8_t *block = NULL;
    uint64_t offset = 0, asked = 0;
    size_t length = 0, wanted = 0;
    int status;
    bid_elf_begin(elf, mode);
    while ((status = bid_elf_feed(elf, offset, block, length)) == BID_ELF_MORE) {
        CHECK(elf->want_length >= 1 && elf->want_length <= BID_ELF_MAX_WANT);
        CHECK(elf->want_offset != offset || elf->want_length != wanted); /* what did not come is not there */
        asked++;
        offset = elf->want_offset;
        wanted = elf->want_length;
        length = window > elf->want_length ? window : elf->want_length;
        length = offset >= size ? 0 : length < size - offset ? length : size - (size_t)offset;
        free(block);
        block = malloc(length ? length : 1);
        CHECK(block);
        if (length)
            memcpy(block, data + offset, length);
    }
    free(block);
    /* A few requests for each step, and for the header. The kernel's way stops counting headers at its own limit. */
    CHECK(asked <= 4ull * elf->steps + 16 + (mode == BID_ELF_KERNEL ? BID_ELF_KERNEL_PHDRS : 0));
    return status;
}

#endif
