/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A refresh whose reading is overtaken: what was published never goes back. The source of refreshes is compiled into this
 * program, with a stop of ours between what one reads and what it publishes.
 */
#define bid_snapshot_read_files stopping_read_files
#include "../../csrc/resolve/maps.c"
#undef bid_snapshot_read_files

#include "check.h"
#include "mapped_code.h"

#include <pthread.h>
#include <semaphore.h>

void bid_snapshot_read_files(struct bid_snapshot *snapshot);

static _Thread_local int stops;
static sem_t stopped, go_on;

void stopping_read_files(struct bid_snapshot *snapshot)
{
    if (stops) {
        stops = 0;
        sem_post(&stopped);
        sem_wait(&go_on);
    }
    bid_snapshot_read_files(snapshot);
}

static void *slow_refresh(void *argument)
{
    stops = 1;
    CHECK(bid_maps_refresh(maps) >= 0);
    return argument;
}

int main(void)
{
    pthread_t thread;
    begin_mapping();
    make_elf(in_directory("plain"), 1, 20);
    uint64_t code = map_code(in_directory("plain"), NULL);
    char *page = (char *)(uintptr_t)code;
    CHECK(sem_init(&stopped, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
    refresh();
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
    CHECK(mprotect(page, PAGE, PROT_READ) == 0);
    CHECK(pthread_create(&thread, NULL, slow_refresh, NULL) == 0);
    sem_wait(&stopped); /* it has read that there is no code */
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0);
    refresh();
    check_code(code, 1, 20);
    sem_post(&go_on);
    CHECK(pthread_join(thread, NULL) == 0);
    check_code(code, 1, 20);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
    bid_maps_destroy(maps);
    remove_directory();
    return 0;
}
