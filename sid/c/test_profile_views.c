/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Views of this process's own mappings, as the server makes them: what they say, when they
 * are used again, and names. */
#define _GNU_SOURCE
#include "mapped_code.h"
#include "profiled.h"

#include "../../csrc/profile/server.h"

#include <errno.h>
#include <fcntl.h>

static struct bid_server server;
static struct bid_slot *slot;
static struct bid_target target;

static void begin(void)
{
    CHECK(mkdtemp(directory));
    server.recording = bid_recording_create(NULL, 100, 100, 0);
    CHECK(server.recording);
    slot = &server.recording->slots[3];
    target = (struct bid_target){.slot = slot, .pid = getpid(), .start_time = bid_process_start_time(getpid())};
    CHECK(target.start_time);
}

static const struct bid_view *view(void)
{
    CHECK(slot->view && slot->view == target.view);
    return (const struct bid_view *)((char *)server.recording + slot->view);
}

static const struct bid_view_range *range_of(uint64_t ip)
{
    for (uint64_t i = 0; i < view()->count; i++)
        if (view()->ranges[i].start <= ip && ip < view()->ranges[i].end)
            return &view()->ranges[i];
    return NULL;
}

static const struct bid_module *module_of(uint64_t ip)
{
    const struct bid_view_range *range = range_of(ip);
    CHECK(range && range->module >= BID_MODULE_FIRST);
    return (const struct bid_module *)(server.recording->modules + server.module_offsets[range->module]);
}

static void look(void)
{
    CHECK(bid_view_refresh(&server, &target) == 0);
}

static void check_id(uint64_t code, uint8_t first, unsigned length)
{
    const struct bid_module *module = module_of(code);
    CHECK(module->id_length == length && range_of(code)->reason == BID_SAMPLE_RESOLVED);
    for (unsigned i = 0; i < length; i++)
        CHECK(module->id[i] == (uint8_t)(first + i));
}

/* ------------------------------------------------------------------------------------------------ contents -- */

static void test_contents(void)
{
    const char *path = in_directory("first");
    make_elf(path, 1, 20);
    uint64_t code = map_code(path, NULL);
    look();
    check_id(code, 1, 20);
    const struct bid_view_range *range = range_of(code);
    CHECK(range->start == code - PAGE && range->end == code + PAGE && range->offset == 0);
    CHECK(range->header == code - PAGE);
    CHECK(strcmp(module_of(code)->path, path) == 0);
    for (uint64_t i = 1; i < view()->count; i++)
        CHECK(view()->ranges[i - 1].end <= view()->ranges[i].start);
    CHECK(range_of((uintptr_t)test_contents) && module_of((uintptr_t)test_contents)->id_length);
    unmap_code(code);
    look();
    CHECK(!range_of(code));
}

/* IDs of every length, none, and memory without a file. */
static void test_kinds(void)
{
    uint64_t codes[4];
    make_elf(in_directory("short"), 7, 8);
    make_elf(in_directory("long"), 9, 64);
    make_elf(in_directory("none"), 0, 0);
    make_elf(in_directory("too long"), 9, 65);
    codes[0] = map_code(in_directory("short"), NULL);
    codes[1] = map_code(in_directory("long"), NULL);
    codes[2] = map_code(in_directory("none"), NULL);
    codes[3] = map_code(in_directory("too long"), NULL);
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    look();
    check_id(codes[0], 7, 8);
    check_id(codes[1], 9, 64);
    CHECK(range_of(codes[2])->reason == BID_SAMPLE_NO_BUILD_ID);
    CHECK(strcmp(module_of(codes[2])->path, in_directory("none")) == 0);
    CHECK(range_of(codes[3])->reason == BID_SAMPLE_NO_BUILD_ID);
    CHECK(strcmp(module_of(codes[3])->path, in_directory("too long")) == 0);
    CHECK(range_of((uintptr_t)memory)->module == BID_SAMPLE_NO_FILE);
    CHECK(range_of((uintptr_t)memory)->reason == BID_SAMPLE_NO_FILE);
    munmap(memory, PAGE);
    for (int i = 0; i < 4; i++)
        unmap_code(codes[i]);
}

/* Another file of the same name at the same address, perhaps with the same inode number; and one that was deleted. */
static void test_another_file(void)
{
    const char *path = in_directory("again");
    make_elf(path, 1, 20);
    uint64_t code = map_code(path, NULL);
    look();
    for (uint8_t first = 2; first < 20; first++) {
        unmap_code(code);
        CHECK(unlink(path) == 0);
        make_elf(path, first, 20);
        CHECK(map_code(path, (void *)(code - PAGE)) == code);
        look();
        check_id(code, first, 20);
    }
    CHECK(unlink(path) == 0);
    make_elf(path, 50, 20);
    look();
    check_id(code, 19, 20); /* what is mapped */
    unmap_code(code);
}

static void test_names_once(void)
{
    const char *path = in_directory("first");
    make_elf(path, 1, 20);
    uint64_t used = server.recording->module_used;
    for (int i = 0; i < 50; i++) {
        uint64_t code = map_code(path, NULL);
        look();
        check_id(code, 1, 20);
        unmap_code(code);
        look();
    }
    uint64_t one = server.recording->module_used - used;
    CHECK(one <= 2 * (sizeof(struct bid_module) + strlen(path) + 8)); /* a write of the file is another file */
}

/* ------------------------------------------------------------------------------------------------- readers -- */

/* While a handler is inside, what it may be reading stays as it is, and no third view is made. */
static void test_readers(void)
{
    make_elf(in_directory("first"), 1, 20);
    uint64_t code = map_code(in_directory("first"), NULL), other;
    look();
    look();
    const struct bid_view *seen = view();
    size_t bytes = sizeof *seen + seen->count * sizeof seen->ranges[0];
    void *copy = malloc(bytes);
    memcpy(copy, seen, bytes);
    slot->inside = 1;
    unmap_code(code);
    look();
    CHECK(view() != seen);
    const struct bid_view *second = view();
    other = map_code(in_directory("first"), NULL);
    CHECK(bid_view_refresh(&server, &target) == EBUSY);
    CHECK(view() == second && memcmp(copy, seen, bytes) == 0);
    slot->inside = 0;
    look();
    CHECK(range_of(other));
    unmap_code(other);
    free(copy);
}

/* Views are used again: a process that goes on changing its mappings takes no more room than two. */
static void test_memory(void)
{
    make_elf(in_directory("first"), 1, 20);
    uint64_t code = map_code(in_directory("first"), NULL), end;
    look();
    look();
    end = server.view_end;
    for (int i = 0; i < 300; i++) {
        unmap_code(code);
        look();
        code = map_code(in_directory("first"), NULL);
        look();
        CHECK(range_of(code));
    }
    CHECK(server.view_end <= end + 2 * 64 * 1024 && server.recording->views_lost == 0);
    uint64_t before = slot->view;
    look(); /* nothing has changed */
    CHECK(slot->view == before);
    unmap_code(code);
}

/* ----------------------------------------------------------------------------------------------- no room -- */

static void test_no_room(void)
{
    uint64_t used = server.recording->module_used, lost = server.recording->modules_lost;
    make_elf(in_directory("late"), 99, 20);
    uint64_t code = map_code(in_directory("late"), NULL);
    server.recording->module_used = BID_MODULE_BYTES - 8;
    look();
    CHECK(range_of(code)->module == BID_SAMPLE_NO_ROOM && range_of(code)->reason == BID_SAMPLE_NO_ROOM);
    look();
    CHECK(server.recording->modules_lost == lost + 1); /* once for each file */
    server.recording->module_used = used;
    server.view_end = BID_VIEW_BYTES;
    memset(server.view_free, 0, sizeof server.view_free);
    unmap_code(code);
    CHECK(bid_view_refresh(&server, &target) == ENOSPC && server.recording->views_lost == 1);
    CHECK(range_of(code)); /* the last one stays */
}

/* Of a process that has another start time the number was used again. */
static void test_another_process(void)
{
    target.start_time++;
    CHECK(bid_view_refresh(&server, &target) == ESRCH);
    target.start_time--;
    server.inode = 12345; /* this process does not have that file mapped: it runs another program */
    server.device = 1;
    CHECK(bid_view_refresh(&server, &target) == ESRCH);
    server.inode = 0;
}

int main(void)
{
    begin();
    test_contents();
    test_kinds();
    test_another_file();
    test_names_once();
    test_readers();
    test_memory();
    test_another_process();
    test_no_room();
    remove_directory();
    printf("ok\n");
    return 0;
}
