/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A table with so many entries, which stays until the module is unloaded: what it takes is in /proc/vmallocinfo. */
#include <linux/module.h>

#include <bid.h>

static ulong entries = 1000;
module_param(entries, ulong, 0444);
static struct bid_table *table;

static int __init fill_init(void)
{
    struct bid_options options = {.size = sizeof(options), .id_size = BID_ID_NARROW};
    int status = bid_create(&table, &options);
    ulong i, tries;
    for (i = 0; i < entries && status == BID_OK; i++)
        status = bid_insert(table, 0xffff888000000000ull + i * 680, 0, "0123456789abcdefghij", BID_ID_NARROW);
    for (tries = 0; tries < 1000 && bid_resizing(table); tries++) /* to its end */
        bid_reserve(table, 0);
    while (tries++ < 1000 && bid_reclaim(table))
        schedule_timeout_uninterruptible(1);
    if (status != BID_OK)
        bid_destroy(table);
    return status == BID_OK ? 0 : -ENOMEM;
}

static void __exit fill_exit(void)
{
    bid_destroy(table);
}

module_init(fill_init);
module_exit(fill_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("A table of so many entries");
