/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Names and texts of enum bid_elf_status. */
#include "bid/elf.h"

struct status {
    int status;
    const char *name, *text;
};

#define STATUS(status, text) {status, #status, text}

static const struct status statuses[] = {
    STATUS(BID_ELF_OK, "has a build ID"),
    STATUS(BID_ELF_MORE, "more bytes are needed"),
    STATUS(BID_ELF_NO_BUILD_ID, "has no build ID"),
    STATUS(BID_ELF_NOT_ELF, "not an ELF file"),
    STATUS(BID_ELF_LONG_ID, "the build ID has more than 64 bytes"),
    STATUS(BID_ELF_COMPRESSED, "compressed"),
    STATUS(BID_ELF_E_TRUNCATED, "a header or note lies past the end of the file"),
    STATUS(BID_ELF_E_CLASS, "the class is neither 32 nor 64 bits"),
    STATUS(BID_ELF_E_DATA, "the byte order is neither little nor big endian"),
    STATUS(BID_ELF_E_VERSION, "the ELF version is not 1"),
    STATUS(BID_ELF_E_PHENTSIZE, "the size of program headers is wrong"),
    STATUS(BID_ELF_E_SHENTSIZE, "the size of section headers is wrong"),
    STATUS(BID_ELF_E_NOTE, "a note is longer than its segment or section"),
    STATUS(BID_ELF_E_ID_LENGTH, "the build ID is empty"),
    STATUS(BID_ELF_E_TOO_MANY, "too many headers and notes (over 1,048,576)"),
    STATUS(BID_ELF_E_MODE, "unknown mode"),
    STATUS(BID_ELF_E_IO, "reading failed"),
};

static const struct status *find(int status)
{
    static const struct status unknown = {0, "BID_ELF_?", "unknown status"};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return &statuses[i];
    return &unknown;
}

const char *bid_elf_status_text(int status)
{
    return find(status)->text;
}

const char *bid_elf_status_name(int status)
{
    return find(status)->name;
}
