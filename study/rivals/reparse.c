/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Today's way, as the kernel does it for perf and BPF (lib/buildid.c): it stores nothing, and reads the note from the
 * file's first page when asked, if that page is in the page cache. In NMI context it cannot read the page from disk;
 * then there is no answer (RIVAL_NOT_IN_MEMORY).
 *
 * Here a file's first page is a page of anonymous memory, into which an insert writes an ELF header, a program header
 * and the note. Its address is the object. The system call mincore() says whether it is in memory; the kernel looks
 * into its own page cache, which is cheaper. So a lookup's nanoseconds are an upper bound of the kernel's. What counts
 * are its failures.
 *
 * Progress: wait-free lookups; two updates of one file may not run at once.
 */
#define _GNU_SOURCE
#include "loops.h"
#include "objects.h"
#include "record.h"

#include <elf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct reparse_page {
    Elf64_Ehdr header;
    Elf64_Phdr program;
    Elf64_Nhdr note;
    char name[4];
    uint8_t id[BID_ID_NARROW];
    uint32_t generation;    /* the inode's: not of the file's bytes */
    _Atomic(uint8_t) there; /* 0 while the page is being written */
};

struct reparse_table {
    struct rival_objects objects;
    size_t page;
    _Atomic(uint64_t) count;
};

static void *reparse_create(uint64_t expected_entries, uint64_t seed)
{
    struct reparse_table *table = calloc(1, sizeof *table);
    (void)expected_entries, (void)seed;
    if (!table)
        return NULL;
    table->page = (size_t)sysconf(_SC_PAGESIZE);
    if (rival_objects_init(&table->objects, table->page, 0) == 0)
        return table;
    free(table);
    return NULL;
}

static void reparse_destroy(void *design)
{
    struct reparse_table *table = design;
    if (table)
        rival_objects_end(&table->objects);
    free(table);
}

static uint64_t reparse_object(void *design, uint64_t key)
{
    return rival_object(&((struct reparse_table *)design)->objects, key);
}

static struct reparse_page *page_of(uint64_t object)
{
    return (struct reparse_page *)(uintptr_t)object;
}

/* A file without a build ID has a note of another type. */
static void write_page(struct reparse_page *page, uint32_t generation, const void *id, size_t length)
{
    atomic_store(&page->there, 0);
    memcpy(page->header.e_ident, ELFMAG, SELFMAG);
    page->header.e_ident[EI_CLASS] = ELFCLASS64;
    page->header.e_ident[EI_DATA] = *(const uint8_t *)&(uint16_t){1} ? ELFDATA2LSB : ELFDATA2MSB;
    page->header.e_ident[EI_VERSION] = EV_CURRENT;
    page->header.e_version = EV_CURRENT;
    page->header.e_type = ET_DYN;
    page->header.e_ehsize = sizeof page->header;
    page->header.e_phoff = offsetof(struct reparse_page, program);
    page->header.e_phentsize = sizeof page->program;
    page->header.e_phnum = 1;
    page->program.p_type = PT_NOTE;
    page->program.p_align = 4;
    page->program.p_offset = offsetof(struct reparse_page, note);
    page->program.p_filesz = sizeof page->note + sizeof page->name + (length + 3) / 4 * 4;
    page->note = (Elf64_Nhdr){sizeof page->name, (Elf64_Word)length, length ? NT_GNU_BUILD_ID : NT_GNU_ABI_TAG};
    memcpy(page->name, "GNU", sizeof page->name);
    if (length)
        memcpy(page->id, id, length);
    page->generation = generation;
    atomic_store(&page->there, 1);
}

static int is_in_memory(const struct reparse_table *table, const struct reparse_page *page)
{
    unsigned char resident = 0;
    return mincore((void *)page, table->page, &resident) == 0 && resident & 1;
}

static inline int reparse_lookup(void *design, uint64_t object, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    const struct reparse_table *table = design;
    const struct reparse_page *page = page_of(object);
    struct bid_elf elf;
    if (cost)
        *cost = (struct bid_probe_cost){.slots = 1, .records = 1};
    if (!is_in_memory(table, page))
        return RIVAL_NOT_IN_MEMORY;
    if (!page->there)
        return BID_ABSENT;
    id->generation = page->generation;
    id->length = 0;
    if (bid_elf_parse(&elf, BID_ELF_KERNEL, page, table->page) != BID_ELF_OK)
        return BID_NO_BUILD_ID;
    id->length = elf.id_length;
    memcpy(id->bytes, elf.id, BID_ID_NARROW);
    return BID_OK;
}

static int reparse_lookup_generation(void *design, uint64_t object, uint32_t generation, struct bid_build_id *id)
{
    return rival_lookup_generation(&bid_design_reparse, design, object, generation, id);
}

static int reparse_insert(void *design, uint64_t object, uint32_t generation, const void *id, size_t length)
{
    struct reparse_table *table = design;
    int status = rival_accepts(id, length, BID_ID_NARROW);
    if (status != BID_OK)
        return status;
    if (page_of(object)->there)
        return BID_EXISTS;
    write_page(page_of(object), generation, id, length);
    atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
    return BID_OK;
}

static int reparse_replace(void *design, uint64_t object, uint32_t generation, const void *id, size_t length)
{
    int status = rival_accepts(id, length, BID_ID_NARROW);
    (void)design;
    if (status != BID_OK)
        return status;
    if (!page_of(object)->there)
        return BID_ABSENT;
    write_page(page_of(object), generation, id, length);
    return BID_OK;
}

static int reparse_remove(void *design, uint64_t object)
{
    struct reparse_table *table = design;
    if (!page_of(object)->there)
        return BID_ABSENT;
    atomic_store(&page_of(object)->there, 0);
    atomic_fetch_sub_explicit(&table->count, 1, memory_order_relaxed);
    return BID_OK;
}

/* What was written is lost, as that of a file is not; but a lookup does not get to see that. */
static int reparse_page_out(void *design, uint64_t object)
{
    struct reparse_table *table = design;
    if (!is_in_memory(table, page_of(object)))
        return RIVAL_NOT_IN_MEMORY;
    atomic_fetch_sub_explicit(&table->count, page_of(object)->there, memory_order_relaxed);
    return madvise(page_of(object), table->page, MADV_DONTNEED) == 0 ? BID_OK : BID_E_NO_MEMORY;
}

static uint64_t reparse_count(const void *design)
{
    return atomic_load_explicit(&((const struct reparse_table *)design)->count, memory_order_relaxed);
}

static size_t reparse_keys(void *design, uint64_t *keys, size_t capacity)
{
    struct reparse_table *table = design;
    size_t seen = 0;
    for (uint64_t i = 0; i < table->objects.count; i++) {
        const struct reparse_page *page = rival_object_at(&table->objects, i);
        if (is_in_memory(table, page) && page->there && seen++ < capacity)
            keys[seen - 1] = table->objects.names[i];
    }
    return seen;
}

RIVAL_LOOPS(reparse)

const struct bid_design bid_design_reparse = {
    .name = "reparse",
    .summary = "no table: the note is parsed when asked, and not found when its page is not in memory",
    .create = reparse_create,
    .destroy = reparse_destroy,
    .lookup = reparse_lookup,
    .lookup_generation = reparse_lookup_generation,
    .insert = reparse_insert,
    .replace = reparse_replace,
    .remove = reparse_remove,
    .count = reparse_count,
    .keys = reparse_keys,
    .hits = reparse_hits,
    .chain = reparse_chain,
    .object = reparse_object,
    .page_out = reparse_page_out,
    .traits = RIVAL_GROWS | RIVAL_REPARSES,
};
