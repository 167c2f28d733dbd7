/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What functions return. 0 and above: an answer. Below 0: an error, and the function changed nothing. */
#ifndef BID_PUBLIC_STATUS_H
#define BID_PUBLIC_STATUS_H

#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

enum bid_status {
    BID_OK = 0,          /* done; a lookup found the key, and the build ID is in the caller's buffer */
    BID_ABSENT = 1,      /* the table has no entry for this key */
    BID_STALE = 2,       /* there is an entry, but for another generation of the inode */
    BID_NO_BUILD_ID = 3, /* there is an entry, and it says that this file has no build ID */
    BID_EXISTS = 4,      /* insert: the key has an entry already, which is unchanged */
    BID_UNCHANGED = 5,   /* shrink: there was nothing to gain, and the array stays */

    /* Rejected arguments and options: nothing was done. */
    BID_E_NULL = -1,      /* a required pointer is NULL */
    BID_E_ID_LENGTH = -2, /* the build ID is longer than the table's id_size */
    BID_E_OPTIONS = -3,   /* an option has a value that struct bid_options does not allow; or the size of a struct is
                             too small, or the struct is larger than this version's and the rest is not zero */
    BID_E_TOO_MANY = -9,  /* the entries expected, reserved or allowed are more than a table can hold (2^32) */

    /* Updates that could not be done: the table is unchanged, and the same call may succeed later. */
    BID_E_NO_MEMORY = -11,      /* the system has no memory for a new bucket array or for records. An array of 64 MiB or
                                   more is refused at once if it is larger than MemAvailable and free swap of
                                   /proc/meminfo, or than what a memory cgroup of the process leaves */
    BID_E_MAX_ENTRIES = -12,    /* the table has options.max_entries entries, or is to reserve more */
    BID_E_RETIRED = -13,        /* too much retired memory waits for a stalled reader or update; see retired_limit */
    BID_E_WOULD_ALLOCATE = -14, /* the form for NMI context would have to allocate */
    BID_E_COLLISIONS = -15, /* the key's probe sequence is full: practically only with keys made for the table's seed */
    BID_E_MLOCK = -16,      /* memory could not be locked (RLIMIT_MEMLOCK); removing goes on, it needs none */

    /* The system lacks something. */
    BID_E_UNSUPPORTED = -17, /* creation: anonymous memory that a fork wipes (madvise MADV_WIPEONFORK); functions of
                                bid/resolve.h and bid/bpf.h say themselves what they need */

    /* The protocol on inodes. */
    BID_E_EVICTED = -18, /* the inode is being evicted or has been: nothing may be associated with it */

    /* An update that could not be done, as above. */
    BID_E_BUSY = -19, /* reserve: other threads put smaller arrays in place each time, as by bid_shrink() */

    /* Memory that others read, too. */
    BID_E_REGION = -20, /* no region of this layout; or an update by the child of the process that has the table */
};

/* Gives a sentence for a status, in English, without a full stop.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
BID_PUBLIC const char *bid_status_text(int status);

/* Gives the name of a status, as in this header ("BID_E_NULL"), or "BID_E_?" for a number that is none.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
BID_PUBLIC const char *bid_status_name(int status);

#ifdef __cplusplus
}
#endif
#endif
