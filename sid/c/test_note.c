/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The reader of build-ID notes, over files that are made here: both classes and byte orders, alignments, paddings, two
 * notes, sizes that wrap, wrong names and types, counts and offsets that lie. Each file is parsed whole and through
 * windows of several sizes, and every answer has to be the same.
 */
#include "check.h"

#define ROOM 2048
#define SEGMENTS 2
#define HEADERS 512 /* where notes begin, unless a test says otherwise: past all headers */

static const struct form {
    unsigned word;
    int big;
} forms[] = {{8, 0}, {8, 1}, {4, 0}, {4, 1}};

#define LITTLE_64 (&forms[0])
#define NATIVE_64 (&forms[__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__])
#define FOREIGN_64 (&forms[__BYTE_ORDER__ != __ORDER_BIG_ENDIAN__])

struct file {
    const struct form *form;
    size_t size, sections; /* sections: where their headers are, 0 for none */
    uint8_t bytes[ROOM];
};

/* ------------------------------------------------------------------------------------------ files are made -- */

static void put(struct file *file, size_t at, uint64_t value, unsigned size)
{
    CHECK(at + size <= ROOM);
    for (unsigned i = 0; i < size; i++)
        file->bytes[at + i] = (uint8_t)(value >> 8 * (file->form->big ? size - 1 - i : i));
    if (file->size < at + size)
        file->size = at + size;
}

static size_t is_64(const struct file *file)
{
    return file->form->word == 8;
}

/* An ELF header with room for SEGMENTS program headers, all of them PT_NULL, and no sections. */
static struct file begin(const struct form *form, unsigned type)
{
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F'};
    struct file file = {.form = form, .size = HEADERS};
    memcpy(file.bytes, magic, sizeof magic);
    put(&file, 4, form->word / 4, 1);
    put(&file, 5, form->big ? 2 : 1, 1);
    put(&file, 6, 1, 1);
    put(&file, 16, type, 2);
    put(&file, is_64(&file) ? 32 : 28, is_64(&file) ? 64 : 52, form->word); /* e_phoff */
    put(&file, is_64(&file) ? 54 : 42, is_64(&file) ? 56 : 32, 2);
    put(&file, is_64(&file) ? 56 : 44, SEGMENTS, 2);
    put(&file, is_64(&file) ? 58 : 46, is_64(&file) ? 64 : 40, 2);
    return file;
}

static void segment(struct file *file, unsigned number, uint32_t type, uint64_t offset, uint64_t size, uint64_t align)
{
    size_t at = is_64(file) ? 64 + number * 56 : 52 + number * 32, word = file->form->word;
    size_t first = at + word; /* p_flags is second in the one class, and second to last in the other */
    put(file, at, type, 4);
    put(file, first, offset, file->form->word);
    put(file, first + word, 0x10000 + offset, file->form->word); /* p_vaddr */
    put(file, first + 3 * word, size, file->form->word);
    put(file, first + 5 * word + (is_64(file) ? 0 : 4), align, file->form->word);
}

/* The headers of section 0, with counts, and of section 1, of notes. */
static void section(struct file *file, uint32_t type, uint64_t flags, uint64_t offset, uint64_t size)
{
    unsigned word = file->form->word;
    size_t shdr = is_64(file) ? 64 : 40, at = (file->size + 7) / 8 * 8, second = at + shdr;
    put(file, is_64(file) ? 40 : 32, at, word); /* e_shoff */
    put(file, is_64(file) ? 60 : 48, 2, 2);
    put(file, second + 4, type, 4);
    put(file, second + 8, flags, word);
    put(file, second + 8 + 2 * word, offset, word);
    put(file, second + 8 + 3 * word, size, word);
    put(file, second + shdr - 2 * word, 4, word); /* sh_addralign */
    put(file, second + shdr - 1, 0, 1);
    file->sections = at;
}

static uint8_t id_byte(unsigned version, size_t i)
{
    return (uint8_t)(version * 31 + i * 7 + 1);
}

/* A note at the file's end whose sizes tell the truth; returns where it begins. */
static size_t note(struct file *file, const char *name, uint32_t name_size, uint32_t type, unsigned version,
                   uint32_t length, unsigned align)
{
    size_t at = file->size, begin = at, descriptor = (at + 12 + name_size + align - 1) / align * align;
    put(file, at, name_size, 4);
    put(file, at + 4, length, 4);
    put(file, at + 8, type, 4);
    for (uint32_t i = 0; i < name_size; i++)
        put(file, at + 12 + i, (uint8_t)name[i], 1);
    for (uint32_t i = 0; i < length; i++)
        put(file, descriptor + i, id_byte(version, i), 1);
    at = (descriptor + length + align - 1) / align * align;
    if (file->size < at)
        file->size = at;
    return begin;
}

static size_t gnu(struct file *file, unsigned version, uint32_t length)
{
    return note(file, "GNU", 4, 3, version, length, 4);
}

static size_t go(struct file *file, unsigned version, uint32_t length)
{
    return note(file, "Go\0", 4, 4, version, length, 4);
}

/* All that follows HEADERS is segment 0. */
static void all_notes(struct file *file, uint64_t align)
{
    segment(file, 0, 4, HEADERS, file->size - HEADERS, align);
}

/* ------------------------------------------------------------------------------------------- and are parsed -- */

/* Through windows: what is wanted, or more if `window` is more, in a block of its own. Each range is asked for once. */
static int windowed(struct bid_elf *elf, int mode, const uint8_t *data, size_t size, size_t window)
{
    uint8_t *block = NULL;
    uint64_t offset = 0;
    size_t length = 0, wanted = 0;
    int status;
    bid_elf_begin(elf, mode);
    while ((status = bid_elf_feed(elf, offset, block, length)) == BID_ELF_MORE) {
        CHECK(elf->want_length >= 1 && elf->want_length <= BID_ELF_MAX_WANT);
        CHECK(elf->want_offset != offset || elf->want_length != wanted); /* what did not come is not there */
        offset = elf->want_offset;
        wanted = elf->want_length;
        length = window > elf->want_length ? window : elf->want_length;
        length = offset >= size ? 0 : length < size - offset ? length : size - (size_t)offset;
        free(block);
        block = malloc(length + 1);
        CHECK(block);
        memcpy(block, data + (length ? offset : 0), length);
    }
    free(block);
    return status;
}

static int parse(struct bid_elf *elf, int mode, const struct file *file)
{
    static const size_t windows[] = {0, 13, BID_ELF_MAX_WANT, 333, 4096};
    int status = bid_elf_parse(elf, mode, file->bytes, file->size);
    CHECK(status != BID_ELF_MORE && strcmp(bid_elf_status_name(status), "BID_ELF_?") != 0);
    CHECK((status == BID_ELF_OK) == (elf->id_length != 0));
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        struct bid_elf other;
        CHECK(windowed(&other, mode, file->bytes, file->size, windows[i]) == status);
        CHECK(other.id_length == elf->id_length && other.id_offset == elf->id_offset);
        CHECK(memcmp(other.id, elf->id, sizeof elf->id) == 0);
        CHECK(other.error == elf->error && other.error_offset == elf->error_offset && other.steps == elf->steps);
    }
    return status;
}

#define CHECK_ANSWER(file, mode, expected)                                                                             \
    do {                                                                                                               \
        struct bid_elf elf_;                                                                                           \
        int status_ = parse(&elf_, mode, file);                                                                        \
        if (status_ != (expected)) {                                                                                   \
            fprintf(stderr, "%s:%d: %s, not %s\n", __FILE__, __LINE__, bid_elf_status_name(status_), #expected);       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_ERROR(file, expected, offset)                                                                            \
    do {                                                                                                               \
        struct bid_elf elf_;                                                                                           \
        CHECK(parse(&elf_, BID_ELF_FILE, file) == (expected) && elf_.error_offset == (offset));                        \
    } while (0)

#define CHECK_ID(file, mode, version, length)                                                                          \
    do {                                                                                                               \
        struct bid_elf elf_;                                                                                           \
        CHECK(parse(&elf_, mode, file) == BID_ELF_OK && elf_.id_length == (length));                                   \
        for (size_t i_ = 0; i_ < (length); i_++)                                                                       \
            CHECK(elf_.id[i_] == id_byte(version, i_) && (file)->bytes[elf_.id_offset + i_] == elf_.id[i_]);           \
    } while (0)

/* --------------------------------------------------------------------------------------------------- tests -- */

static void test_forms(const struct form *form)
{
    for (unsigned type = 1; type <= 4; type++) {
        struct file in_segment = begin(form, type), in_section = in_segment;
        gnu(&in_segment, 1, 20);
        all_notes(&in_segment, 4);
        CHECK_ID(&in_segment, BID_ELF_FILE, 1, 20);

        gnu(&in_section, 2, 20);
        section(&in_section, 7, 0, HEADERS, 36);
        CHECK_ID(&in_section, BID_ELF_FILE, 2, 20);
        section(&in_section, 7, 0x800, HEADERS, 36); /* SHF_COMPRESSED */
        CHECK_ANSWER(&in_section, BID_ELF_FILE, BID_ELF_NO_BUILD_ID);
        section(&in_section, 1, 0, HEADERS, 36);
        CHECK_ANSWER(&in_section, BID_ELF_FILE, BID_ELF_NO_BUILD_ID);
    }
}

static void test_lengths(void)
{
    struct bid_elf elf;
    for (uint32_t length = 1; length <= BID_ID_MAX; length++) {
        struct file file = begin(NATIVE_64, 3);
        gnu(&file, length, length);
        all_notes(&file, 4);
        CHECK_ID(&file, BID_ELF_FILE, length, length);
        CHECK_ANSWER(&file, BID_ELF_KERNEL, length <= 20 ? BID_ELF_OK : BID_ELF_NO_BUILD_ID);
    }
    struct file none = begin(LITTLE_64, 3), both = none, also = none;
    size_t at = gnu(&none, 1, 0);
    all_notes(&none, 4);
    CHECK_ERROR(&none, BID_ELF_E_ID_LENGTH, at + 4);

    go(&both, 1, 83);
    at = gnu(&both, 2, 65);
    go(&both, 3, 90);
    all_notes(&both, 4);
    CHECK(parse(&elf, BID_ELF_FILE, &both) == BID_ELF_LONG_ID);
    CHECK(elf.id_owner == BID_ELF_OWNER_GNU && elf.long_length == 65 && elf.id_offset == at + 16 && elf.error == 0);

    at = go(&also, 1, 83);
    all_notes(&also, 4);
    CHECK(parse(&elf, BID_ELF_FILE, &also) == BID_ELF_LONG_ID);
    CHECK(elf.id_owner == BID_ELF_OWNER_GO && elf.long_length == 83 && elf.id_offset == at + 16);
    go(&also, 2, 64);
    all_notes(&also, 4);
    CHECK_ID(&also, BID_ELF_FILE, 2, 64);
}

static void test_alignment(const struct form *form)
{
    static const uint64_t aligns[] = {0, 1, 2, 3, 4, 8, 16, 4096};
    for (size_t i = 0; i < sizeof aligns / sizeof *aligns; i++) {
        unsigned layout = aligns[i] == 8 ? 8 : 4;
        struct file file = begin(form, 3);
        note(&file, "Linux note", 11, 9, 1, 5, layout);
        note(&file, "GNU", 4, 3, 2, 20, layout);
        all_notes(&file, aligns[i]);
        CHECK_ID(&file, BID_ELF_FILE, 2, 20);
    }
    /* The segment says 8, the notes are laid out for 4: the kernel finds it, and so does the reader for files. */
    struct file file = begin(form, 3);
    note(&file, "GNU", 4, 1, 1, 12, 4);
    note(&file, "Linux note", 11, 9, 1, 5, 4);
    gnu(&file, 2, 20);
    all_notes(&file, 8);
    CHECK_ID(&file, BID_ELF_FILE, 2, 20);
    if (form == NATIVE_64)
        CHECK_ID(&file, BID_ELF_KERNEL, 2, 20);
}

/* A segment that can be read both ways, with a build ID in each: what the segment says counts
 * before what the kernel does. */
static void test_what_the_segment_says_counts(void)
{
    struct file file = begin(NATIVE_64, 3);
    size_t at = note(&file, "abc", 4, 9, 1, 4, 8), second = at + 20;
    put(&file, second, 4, 4);     /* with alignment 4 a note begins here */
    put(&file, second + 4, 4, 4); /* with alignment 8, here: its name has 4 bytes, as the other one's descriptor has */
    put(&file, second + 8, 3, 4);
    memcpy(file.bytes + second + 12, "GNU", 4);
    for (size_t i = 0; i < 4; i++)
        put(&file, second + 16 + i, id_byte(4, i), 1);
    file.size = at + 48;
    note(&file, "GNU", 4, 3, 8, 20, 8);
    all_notes(&file, 8);
    CHECK_ID(&file, BID_ELF_FILE, 8, 20);
    CHECK_ID(&file, BID_ELF_KERNEL, 4, 4);
    all_notes(&file, 4);
    CHECK_ID(&file, BID_ELF_FILE, 4, 4);
}

/* Laid out for 8 and without a build ID: that they make no sense with alignment 4 is no damage. */
static void test_reading_again_finds_no_damage(void)
{
    struct file file = begin(LITTLE_64, 3);
    note(&file, "", 0, 9, 1, 0, 8);
    note(&file, "GNU", 4, 1, 1, 16, 8);
    all_notes(&file, 8);
    CHECK_ANSWER(&file, BID_ELF_FILE, BID_ELF_NO_BUILD_ID);
    segment(&file, 0, 4, HEADERS, file.size - HEADERS - 4, 8);
    CHECK_ERROR(&file, BID_ELF_E_NOTE, HEADERS + 16);
}

static void test_two_notes(void)
{
    struct file file = begin(LITTLE_64, 3), sections = file;
    go(&file, 1, 20);
    gnu(&file, 2, 20);
    gnu(&file, 3, 20);
    go(&file, 4, 20);
    all_notes(&file, 4);
    CHECK_ID(&file, BID_ELF_FILE, 2, 20);

    go(&sections, 1, 20);
    go(&sections, 2, 20);
    gnu(&sections, 3, 20);
    segment(&sections, 1, 4, HEADERS, 72, 4);
    CHECK_ID(&sections, BID_ELF_FILE, 1, 20);
    section(&sections, 7, 0, HEADERS + 72, 36);
    CHECK_ID(&sections, BID_ELF_FILE, 3, 20);
}

static void test_damage_is_passed_over(void)
{
    struct file file = begin(LITTLE_64, 3);
    size_t at = gnu(&file, 1, 20);
    segment(&file, 0, 4, at, 35, 4);
    CHECK_ERROR(&file, BID_ELF_E_NOTE, at);
    segment(&file, 1, 4, at, 36, 4);
    CHECK_ID(&file, BID_ELF_FILE, 1, 20);
    segment(&file, 0, 4, 100000, 36, 4);
    CHECK_ID(&file, BID_ELF_FILE, 1, 20);
    segment(&file, 1, 1, 0, 0, 4);
    CHECK_ERROR(&file, BID_ELF_E_TRUNCATED, 100000);
}

static void test_padding(void)
{
    struct file file = begin(NATIVE_64, 3);
    gnu(&file, 1, 5);
    segment(&file, 0, 4, HEADERS, 21, 4); /* the last padding is missing */
    CHECK_ID(&file, BID_ELF_FILE, 1, 5);
    CHECK_ANSWER(&file, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);
    file.size = HEADERS + 21; /* also in the file */
    CHECK_ID(&file, BID_ELF_FILE, 1, 5);

    struct file ends = begin(NATIVE_64, 3);
    note(&ends, "Linux note", 11, 9, 1, 5, 4);
    gnu(&ends, 2, 20);
    segment(&ends, 0, 4, HEADERS, 12 + 12 + 5, 4); /* the second one is none of its notes */
    CHECK_ANSWER(&ends, BID_ELF_FILE, BID_ELF_NO_BUILD_ID);
    CHECK_ANSWER(&ends, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);
}

static void test_names_and_types(void)
{
    static const struct {
        const char *name;
        uint32_t size, type;
    } others[] = {{"GNU", 3, 3}, {"GNU\0", 5, 3}, {"GNX", 4, 3},  {"GN\0", 4, 3}, {"gnu", 4, 3},  {"GNUx", 4, 3},
                  {"GNU", 4, 4}, {"GNU", 4, 1},   {"Go\0", 4, 3}, {"Go", 3, 4},   {"CORE", 5, 3}, {"", 0, 3}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct file file = begin(NATIVE_64, 3);
        note(&file, others[i].name, others[i].size, others[i].type, 1, 20, 4);
        all_notes(&file, 4);
        CHECK_ANSWER(&file, BID_ELF_FILE, BID_ELF_NO_BUILD_ID);
        CHECK_ANSWER(&file, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);
    }
}

/* Sizes of names and descriptors that make no sense, some of which come to little modulo 2^32. */
static void test_huge_sizes(const struct form *form)
{
    static const uint32_t sizes[] = {0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffff4, 0xfffffffc, 0xffffffff};
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof *sizes); i++) {
        struct file file = begin(form, 3);
        size_t at = gnu(&file, 1, 20);
        gnu(&file, 2, 20);
        put(&file, at + i % 2 * 4, sizes[i / 2], 4);
        all_notes(&file, 4);
        CHECK_ERROR(&file, BID_ELF_E_NOTE, at);
        struct bid_elf elf; /* the kernel adds modulo 2^32, and may go on to the second one */
        int status = parse(&elf, BID_ELF_KERNEL, &file);
        CHECK(status == BID_ELF_NO_BUILD_ID || (status == BID_ELF_OK && elf.id[0] == id_byte(2, 0)));
    }
}

static void test_offsets_wrap(void)
{
    static const uint64_t offsets[] = {UINT64_MAX - 3, UINT64_MAX - 11, INT64_MAX - 11, (uint64_t)INT64_MAX + 1};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct file file = begin(LITTLE_64, 3);
        segment(&file, 0, 4, offsets[i], UINT64_C(1) << 63, 4);
        CHECK_ERROR(&file, BID_ELF_E_TRUNCATED, offsets[i]);
        CHECK_ANSWER(&file, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);
        put(&file, 32, offsets[i], 8); /* e_phoff */
        CHECK_ERROR(&file, BID_ELF_E_TRUNCATED, offsets[i]);
    }
    struct file far = begin(NATIVE_64, 3);
    gnu(&far, 1, 20);
    segment(&far, 0, 4, HEADERS, (UINT64_C(1) << 32) + 36, 4); /* the kernel takes it modulo 2^32 */
    CHECK_ID(&far, BID_ELF_KERNEL, 1, 20);
    segment(&far, 0, 4, HEADERS, UINT32_MAX - HEADERS + 1, 4); /* and no segment that ends past 4 GiB */
    CHECK_ANSWER(&far, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);
    segment(&far, 0, 4, HEADERS, UINT32_MAX - HEADERS, 4);
    CHECK_ID(&far, BID_ELF_KERNEL, 1, 20);
}

static void test_lying_headers(void)
{
    static const struct {
        size_t at;
        unsigned value, size;
        int status;
    } lies[] = {{4, 3, 1, BID_ELF_E_CLASS},       {4, 0, 1, BID_ELF_E_CLASS},      {5, 0, 1, BID_ELF_E_DATA},
                {5, 3, 1, BID_ELF_E_DATA},        {6, 2, 1, BID_ELF_E_VERSION},    {54, 55, 2, BID_ELF_E_PHENTSIZE},
                {58, 40, 2, BID_ELF_E_SHENTSIZE}, {58, 65, 2, BID_ELF_E_SHENTSIZE}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct file file = begin(LITTLE_64, 3);
        gnu(&file, 1, 20);
        if (lies[i].at == 58)
            section(&file, 7, 0, HEADERS, 36);
        else
            all_notes(&file, 4);
        put(&file, lies[i].at, lies[i].value, lies[i].size);
        CHECK_ERROR(&file, lies[i].status, lies[i].at);
    }
}

/* Every prefix: the build ID where nothing that leads to it is missing, else an error that lies in the file. */
static void test_cut_anywhere(const struct form *form)
{
    struct file file = begin(form, 3);
    gnu(&file, 1, 20);
    all_notes(&file, 4);
    size_t complete = file.size;
    for (size_t size = 0; size <= complete; size++) {
        struct bid_elf elf;
        file.size = size;
        int status = parse(&elf, BID_ELF_FILE, &file);
        CHECK(status == (size < 4 ? BID_ELF_NOT_ELF : size < complete ? BID_ELF_E_TRUNCATED : BID_ELF_OK));
        CHECK(status != BID_ELF_E_TRUNCATED || elf.error_offset < complete);
    }
}

/* More program headers than the ELF header can count: their number is in section header 0. */
static void test_counts_in_section_zero(const struct form *form)
{
    struct file file = begin(form, 3);
    gnu(&file, 1, 20);
    segment(&file, 1, 4, HEADERS, 36, 4);
    section(&file, 1, 0, 0, 0);
    put(&file, file.form->word == 8 ? 56 : 44, 0xffff, 2);
    put(&file, file.sections + (file.form->word == 8 ? 44 : 28), SEGMENTS, 4); /* sh_info */
    CHECK_ID(&file, BID_ELF_FILE, 1, 20);
    put(&file, file.form->word == 8 ? 56 : 44, SEGMENTS, 2);
    segment(&file, 1, 1, 0, 0, 4);
    section(&file, 7, 0, HEADERS, 36);
    put(&file, file.form->word == 8 ? 60 : 48, 0, 2);
    put(&file, file.sections + (file.form->word == 8 ? 32 : 20), 2, file.form->word); /* sh_size */
    CHECK_ID(&file, BID_ELF_FILE, 1, 20);
}

/* In memory a segment lies at its address less that of the first byte. */
static void test_image(const struct form *form)
{
    struct file file = begin(form, 3);
    size_t vaddr = file.form->word == 8 ? 16 : 8;
    gnu(&file, 1, 20);
    segment(&file, 0, 4, 8, 36, 4);
    put(&file, (file.form->word == 8 ? 64 : 52) + vaddr, 0x10000 + HEADERS, file.form->word);
    segment(&file, 1, 1, 0, file.size, 4096);
    CHECK_ID(&file, BID_ELF_IMAGE, 1, 20);
}

static void test_what_the_kernel_leaves(void)
{
    struct file file = begin(NATIVE_64, 3);
    gnu(&file, 1, 20);
    all_notes(&file, 4);
    CHECK_ID(&file, BID_ELF_KERNEL, 1, 20);
    put(&file, 16, 1, 2); /* ET_REL */
    CHECK_ANSWER(&file, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);

    struct file foreign = begin(FOREIGN_64, 3);
    gnu(&foreign, 1, 20);
    all_notes(&foreign, 4);
    CHECK_ANSWER(&foreign, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);

    struct file section_only = begin(NATIVE_64, 3);
    gnu(&section_only, 1, 20);
    section(&section_only, 7, 0, HEADERS, 36);
    CHECK_ANSWER(&section_only, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);
}

/* A file of notes and nothing else, in either order, and what begins like one and is none. */
static void test_no_elf(void)
{
    static const uint8_t compressed[][6] = {{0x1f, 0x8b, 8}, {0xfd, '7', 'z', 'X', 'Z'}, {0x28, 0xb5, 0x2f, 0xfd}};
    for (size_t i = 0; i < 2; i++) {
        struct file file = {.form = &forms[i]};
        note(&file, "Xen", 4, 6, 1, 1, 4);
        gnu(&file, 2, 20);
        CHECK_ID(&file, BID_ELF_FILE, 2, 20);
        CHECK_ID(&file, BID_ELF_NOTES, 2, 20);
        CHECK_ANSWER(&file, BID_ELF_IMAGE, BID_ELF_NOT_ELF);
        file.bytes[12] = 7;
        CHECK_ANSWER(&file, BID_ELF_FILE, BID_ELF_NOT_ELF);
    }
    struct file nameless = {.form = LITTLE_64};
    note(&nameless, "", 0, 3, 1, 20, 4);
    CHECK_ANSWER(&nameless, BID_ELF_FILE, BID_ELF_NOT_ELF);
    for (size_t i = 0; i < 3; i++) {
        struct file file = {.form = LITTLE_64, .size = 64};
        memcpy(file.bytes, compressed[i], sizeof compressed[i]);
        CHECK_ANSWER(&file, BID_ELF_FILE, BID_ELF_COMPRESSED);
        CHECK_ANSWER(&file, BID_ELF_IMAGE, BID_ELF_NOT_ELF);
        CHECK_ANSWER(&file, BID_ELF_KERNEL, BID_ELF_NO_BUILD_ID);
    }
}

/* Work is bounded whatever the file says: notes without a byte, of which a segment may have a million. */
static void test_too_many_notes(void)
{
    struct file head = begin(NATIVE_64, 3);
    size_t size = HEADERS + 12 * ((size_t)BID_ELF_MAX_STEPS + 2);
    uint8_t *bytes = calloc(1, size);
    struct bid_elf elf;
    CHECK(bytes);
    segment(&head, 0, 4, HEADERS, size - HEADERS, 8);
    memcpy(bytes, head.bytes, HEADERS);
    CHECK(bid_elf_parse(&elf, BID_ELF_FILE, bytes, size) == BID_ELF_E_TOO_MANY && elf.steps <= BID_ELF_MAX_STEPS + 1);
    CHECK(bid_elf_parse(&elf, BID_ELF_KERNEL, bytes, size) == BID_ELF_E_TOO_MANY && elf.steps <= BID_ELF_MAX_STEPS + 1);
    CHECK(bid_elf_parse(&elf, BID_ELF_MODES, bytes, size) == BID_ELF_E_MODE);
    free(bytes);
}

int main(void)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        test_forms(&forms[i]);
        test_alignment(&forms[i]);
        test_huge_sizes(&forms[i]);
        test_cut_anywhere(&forms[i]);
        test_counts_in_section_zero(&forms[i]);
        test_image(&forms[i]);
    }
    test_lengths();
    test_what_the_segment_says_counts();
    test_reading_again_finds_no_damage();
    test_two_notes();
    test_damage_is_passed_over();
    test_padding();
    test_names_and_types();
    test_offsets_wrap();
    test_lying_headers();
    test_what_the_kernel_leaves();
    test_no_elf();
    test_too_many_notes();
    return 0;
}
