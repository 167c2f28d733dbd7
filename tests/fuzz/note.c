/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A libFuzzer target over csrc/note: `make fuzz SECONDS=60`. Of any bytes, in each mode:
 *
 *   - the parser ends, within BID_ELF_MAX_STEPS steps and with requests of 1 to BID_ELF_MAX_WANT
 *     bytes, each asked once;
 *   - what it answers is one of enum bid_elf_status, a build ID is where it says, and an error lies where it says;
 *   - the same comes out whether the file is there as a whole or comes in windows, and of input that ends anywhere;
 *   - what the kernel would find, the reader for files finds as well: that build ID or one before it.
 *
 * The address sanitizer sees reads outside of the bytes given: each window is a block of its own.
 */
#include "target.h"

#include <bid.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ELF_DATA 5

#include "../c/windowed.h"

static uint8_t *copy(const uint8_t *data, size_t size)
{
    uint8_t *block = malloc(size ? size : 1);
    CHECK(block);
    if (size)
        memcpy(block, data, size);
    return block;
}

static int whole(struct bid_elf *elf, int mode, const uint8_t *data, size_t size)
{
    uint8_t *block = copy(data, size);
    int status = bid_elf_parse(elf, mode, block, size);
    free(block);
    return status;
}

static void check_answer(const struct bid_elf *elf, int status, int mode, const uint8_t *data, size_t size)
{
    CHECK(status != BID_ELF_MORE && status != BID_ELF_E_MODE && status != BID_ELF_E_IO);
    CHECK(strcmp(bid_elf_status_name(status), "BID_ELF_?") != 0);
    CHECK((status == BID_ELF_OK) == (elf->id_length != 0));
    CHECK(elf->steps <= BID_ELF_MAX_STEPS + 1);
    if (status == BID_ELF_OK) {
        CHECK(elf->id_length <= (mode == BID_ELF_KERNEL ? BID_ID_NARROW : BID_ID_MAX));
        CHECK(elf->id_offset <= size && elf->id_length <= size - elf->id_offset);
        CHECK(memcmp(data + elf->id_offset, elf->id, elf->id_length) == 0);
        CHECK(elf->id_owner == BID_ELF_OWNER_GNU || (elf->id_owner == BID_ELF_OWNER_GO && mode != BID_ELF_KERNEL));
    }
    if (status == BID_ELF_LONG_ID) {
        CHECK(elf->long_length > BID_ID_MAX && elf->id_offset <= size && mode != BID_ELF_KERNEL);
        CHECK(elf->id_owner == BID_ELF_OWNER_GNU || elf->id_owner == BID_ELF_OWNER_GO);
    }
    if (status == BID_ELF_COMPRESSED)
        CHECK(mode == BID_ELF_FILE && elf->steps == 0);
    if (mode == BID_ELF_KERNEL)
        CHECK(status == BID_ELF_OK || status == BID_ELF_NO_BUILD_ID || status == BID_ELF_E_TOO_MANY);
    if (status < 0)
        CHECK(status == elf->error);
}

static void check_windows(const struct bid_elf *elf, int status, int mode, const uint8_t *data, size_t size)
{
    static const size_t windows[] = {0, 13, BID_ELF_MAX_WANT, 100, 4096};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct bid_elf other;
        CHECK(windowed(&other, mode, data, size, windows[i]) == status);
        CHECK(other.id_length == elf->id_length && other.id_offset == elf->id_offset);
        CHECK(other.error == elf->error && other.error_offset == elf->error_offset);
        CHECK(other.steps == elf->steps);
    }
}

/* Whether the header says only what the kernel looks at in the same way: it takes the byte order for the native one and
 * does not read the version and the sizes of headers. */
static bool is_plain(const uint8_t *data, const struct bid_elf *file)
{
    return file->error == 0 && data[ELF_DATA] == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 1 : 2);
}

/* In a file with nothing wrong, whatever the kernel finds, the reader for files finds that
 * or one that stands before. */
static void check_subset(const uint8_t *data, size_t size)
{
    struct bid_elf kernel, file;
    if (whole(&kernel, BID_ELF_KERNEL, data, size) != BID_ELF_OK)
        return;
    CHECK(memcmp(data, "\177ELF", 4) == 0);
    int status = whole(&file, BID_ELF_FILE, data, size);
    if (is_plain(data, &file))
        CHECK(status == BID_ELF_OK && file.id_owner == BID_ELF_OWNER_GNU);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int mode = 0; mode < BID_ELF_MODES; mode++) {
        struct bid_elf elf;
        int status = whole(&elf, mode, data, size);
        check_answer(&elf, status, mode, data, size);
        check_windows(&elf, status, mode, data, size);
    }
    check_subset(data, size);
    return 0;
}
