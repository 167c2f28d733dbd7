/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Names and texts of the statuses of bid/status.h.
 */
#include "bid/status.h"

struct bid_status_entry {
    int status;
    const char *name;
    const char *text;
};

#define BID_ENTRY(status, text) {status, #status, text}

static const struct bid_status_entry bid_statuses[] = {
    BID_ENTRY(BID_OK, "done"),
    BID_ENTRY(BID_ABSENT, "the table has no entry for this key"),
    BID_ENTRY(BID_STALE, "the entry is for another generation of the inode"),
    BID_ENTRY(BID_NO_BUILD_ID, "the file is known to have no build ID"),
    BID_ENTRY(BID_EXISTS, "the key has an entry already"),
    BID_ENTRY(BID_UNCHANGED, "there was nothing to gain"),
    BID_ENTRY(BID_E_NULL, "a required pointer is NULL"),
    BID_ENTRY(BID_E_ID_LENGTH, "the build ID is longer than the table's id_size"),
    BID_ENTRY(BID_E_OPTIONS, "an option is not allowed, or a size is, or says more than this version knows"),
    BID_ENTRY(BID_E_TOO_MANY, "more than 2^32 entries"),
    BID_ENTRY(BID_E_NO_MEMORY, "the system has no memory left"),
    BID_ENTRY(BID_E_MAX_ENTRIES, "the table has as many entries as its max_entries allows"),
    BID_ENTRY(BID_E_RETIRED, "too much retired memory waits for a reader or an update that stands still: try again"),
    BID_ENTRY(BID_E_WOULD_ALLOCATE, "this would allocate memory, which is not allowed in NMI context"),
    BID_ENTRY(BID_E_COLLISIONS, "too many keys collide under the table's seeds"),
    BID_ENTRY(BID_E_MLOCK, "memory could not be locked: see RLIMIT_MEMLOCK"),
    BID_ENTRY(BID_E_UNSUPPORTED, "the system lacks what is needed: for a table, memory that a fork wipes (Linux 4.14)"),
    BID_ENTRY(BID_E_EVICTED, "the inode is being evicted"),
    BID_ENTRY(BID_E_REGION, "no region of this layout, or a table of the process that this one was forked from"),
    BID_ENTRY(BID_E_BUSY, "other threads have replaced the array with smaller ones: try again"),
};

static const struct bid_status_entry *bid_status_find(int status)
{
    static const struct bid_status_entry unknown = {0, "BID_E_?", "unknown status"};
    for (unsigned i = 0; i < sizeof bid_statuses / sizeof *bid_statuses; i++)
        if (bid_statuses[i].status == status)
            return &bid_statuses[i];
    return &unknown;
}

const char *bid_status_text(int status)
{
    return bid_status_find(status)->text;
}

const char *bid_status_name(int status)
{
    return bid_status_find(status)->name;
}
