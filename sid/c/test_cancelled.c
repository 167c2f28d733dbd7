/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Deferred cancellation, which is the default: no function of the table is a cancellation point, so
 * no thread ends inside one. */
#include "check.h"

#include <pthread.h>

static struct bid_table *table;
static int finished;

static void *use(void *argument)
{
    struct bid_build_id id;
    CHECK(pthread_cancel(pthread_self()) == 0); /* from here on it is over at the next cancellation point */
    table = make_table((struct bid_options){.id_size = 20});
    for (uint64_t i = 0; i < 5000; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    CHECK_STATUS(bid_reserve(table, 3000000), BID_OK); /* so large that the system is asked whether it has as much */
    CHECK_STATUS(bid_shrink(table), BID_OK);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
    finished = 1;
    pthread_testcancel();
    CHECK(!"cancelled");
    return argument;
}

int main(void)
{
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, use, NULL) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && finished);
    CHECK(bid_reclaim(table) == 0);
    bid_destroy(table);
    return 0;
}
