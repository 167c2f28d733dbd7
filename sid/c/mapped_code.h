/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the tests of csrc/resolve share: small ELF files in a directory of their own, mapped as code, and
 * what is said of an address. */
#ifndef MAPPED_CODE_H
#define MAPPED_CODE_H

#include "check.h"

#include "../resolve/resolve.h"

#include <dirent.h>
#include <elf.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096
#define ELF_BYTE_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

static struct bid_maps *maps;
static char directory[] = "mapped_code.XXXXXX";

/* Two pages: the header with a note, and `code`. length 0: no note. */
static inline void make_elf(const char *path, uint8_t first, unsigned length)
{
    static uint8_t image[2 * PAGE];
    Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELF_BYTE_ORDER, EV_CURRENT},
                         .e_type = ET_DYN,
                         .e_machine = EM_X86_64,
                         .e_version = EV_CURRENT,
                         .e_phoff = sizeof header,
                         .e_ehsize = sizeof header,
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = length ? 1 : 0};
    Elf64_Nhdr note = {4, length, NT_GNU_BUILD_ID};
    uint64_t size = sizeof note + 4 + length;
    Elf64_Phdr segment = {.p_type = PT_NOTE, .p_offset = 256, .p_vaddr = 256, .p_filesz = size, .p_memsz = size};
    memset(image, 0, sizeof image);
    memcpy(image, &header, sizeof header);
    memcpy(image + sizeof header, &segment, sizeof segment);
    memcpy(image + 256, &note, sizeof note);
    memcpy(image + 256 + sizeof note, "GNU", 4);
    for (unsigned i = 0; i < length; i++)
        image[256 + sizeof note + 4 + i] = (uint8_t)(first + i);
    FILE *file = fopen(path, "w");
    CHECK(file && fwrite(image, sizeof image, 1, file) == 1 && fclose(file) == 0);
}

static inline const char *in_directory(const char *name)
{
    static char path[4][256];
    static unsigned turn;
    char *at = path[turn++ % 4];
    CHECK(realpath(directory, at));
    strcat(strcat(at, "/"), name);
    return at;
}

/* Maps a file as code, in one step; the address of its second page. */
static inline uint64_t map_code(const char *path, void *where)
{
    FILE *file = fopen(path, "r");
    CHECK(file);
    int fixed = where ? MAP_FIXED : 0;
    char *base = mmap(where, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | fixed, fileno(file), 0);
    CHECK(base != MAP_FAILED);
    fclose(file);
    return (uintptr_t)base + PAGE;
}

static inline void unmap_code(uint64_t code)
{
    CHECK(munmap((void *)(code - PAGE), 2 * PAGE) == 0);
}

static inline void refresh(void)
{
    int status = bid_maps_refresh(maps);
    if (status != BID_EXISTS)
        CHECK_STATUS(status, BID_OK);
}

static inline int reason_of(uint64_t ip)
{
    struct bid_stack_build_id record;
    int reason = bid_resolve(maps, ip, &record, NULL);
    if (reason == BID_RESOLVED)
        CHECK(record.status == BID_STACK_VALID);
    else
        CHECK(record.status == BID_STACK_IP && record.ip == ip && !record.build_id[0] && !record.build_id[19]);
    return reason;
}

static inline void check_code(uint64_t code, uint8_t first, unsigned length)
{
    struct bid_stack_build_id record;
    CHECK(bid_resolve(maps, code + 5, &record, NULL) == BID_RESOLVED);
    CHECK(record.status == BID_STACK_VALID && record.offset == PAGE + 5);
    for (unsigned i = 0; i < BID_STACK_ID_SIZE; i++)
        CHECK(record.build_id[i] == (i < length ? (uint8_t)(first + i) : 0));
}

/* From now on files are found by their paths, as for a user without capabilities. */
static inline void without_map_files(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &head, data) == 0);
    data[0].effective &= ~(1u << CAP_SYS_ADMIN);
    data[1].effective &= ~(1u << (40 - 32)); /* CAP_CHECKPOINT_RESTORE */
    CHECK(syscall(SYS_capset, &head, data) == 0);
}

static inline void begin_mapping(void)
{
    CHECK(mkdtemp(directory));
    CHECK_STATUS(bid_maps_create(&maps, NULL), BID_OK);
}

static inline void remove_directory(void)
{
    struct dirent *entry;
    DIR *files = opendir(directory);
    CHECK(files);
    while ((entry = readdir(files)))
        unlink(in_directory(entry->d_name)); /* but for "." and ".." */
    closedir(files);
    CHECK(rmdir(directory) == 0);
}

#endif
