/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From an instruction pointer of this process to (build ID, file offset), where a profiler's signal handler needs it.
 *
 *     thread context:  bid_maps_create(&maps, NULL); bid_maps_refresh(maps); perhaps bid_maps_follow(maps, 100);
 *     any context:     reason = bid_resolve(maps, ip, &record, NULL);
 *
 * A refresh reads /proc/self/maps. It gives each mapped file a struct bid_inode, and associates the file's build ID
 * with that in a table. It publishes the executable ranges as one sorted snapshot, which is replaced whole. A lookup
 * pins the snapshot, searches it, and asks the table by the inode's flag bit. G1 to G9 hold for it as for the table.
 * bid.h explains the words Context, Progress, Memory and Returns.
 *
 * Caveats
 * -------
 * - Code that is mapped after a refresh is "no mapping" until the next one. Where code was unmapped and other code
 *   mapped in its place, a lookup answers for the old code until the next refresh. So refresh after dlopen() and
 *   dlclose(), or follow; following looks from time to time only.
 * - A file that is replaced or rewritten between two refreshes keeps its build ID until the second. A refresh compares
 *   what stat() says of the file (device, inode, size, ctime) and its file handle, which has the inode's generation.
 * - On overlayfs and btrfs two files may show the same device and number. There the build ID in memory comes first. If
 *   the beginning of a file is not mapped, the build ID may be that of the other file (docs/addresses.md).
 * - Refreshing opens files, so descriptors are taken for some microseconds. A refresh reads them by pread() only, and
 *   closes a number only if it still is of the file that was opened. So a thread that closes numbers which it did not
 *   open, or calls dup2() over them, loses nothing, unless it does so in the hundreds of nanoseconds between that check
 *   and close(). The thread of bid_maps_follow() has a table of descriptors of its own, where this cannot happen.
 * - fork(): the child has its own copy and may look up and refresh at once. The thread of bid_maps_follow() is not
 *   there: call it again.
 */
#ifndef BID_PUBLIC_RESOLVE_H
#define BID_PUBLIC_RESOLVE_H

#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The layout and the states of struct bpf_stack_build_id of Linux (include/uapi/linux/bpf.h). */
#define BID_STACK_ID_SIZE 20
enum bid_stack_status {
    BID_STACK_EMPTY = 0, /* BPF_STACK_BUILD_ID_EMPTY */
    BID_STACK_VALID = 1, /* BPF_STACK_BUILD_ID_VALID: build_id and offset are set; shorter IDs are zero-padded */
    BID_STACK_IP = 2,    /* BPF_STACK_BUILD_ID_IP: ip is set, build_id is all zero */
};
struct bid_stack_build_id {
    int32_t status; /* enum bid_stack_status */
    uint8_t build_id[BID_STACK_ID_SIZE];
    union {
        uint64_t offset; /* in the file */
        uint64_t ip;
    };
};

/* The result of a lookup. All but BID_RESOLVED are reasons why the record has no build ID. */
enum bid_resolve_reason {
    BID_RESOLVED = 0,
    BID_RESOLVE_NO_MAPPING = 1,   /* no executable mapping there when the mappings were last refreshed */
    BID_RESOLVE_NO_FILE = 2,      /* executable memory without a file: compiled at run time, the vsyscall page */
    BID_RESOLVE_UNKNOWN_FILE = 3, /* the table has no entry: the file could not be read, or was evicted */
    BID_RESOLVE_STALE = 4,        /* the table has an entry for another generation of the inode */
    BID_RESOLVE_NO_BUILD_ID = 5,  /* the file is known to have none */
    BID_RESOLVE_LONG_ID = 6,      /* longer than BID_STACK_ID_SIZE: in *id, but not in the record */
    BID_RESOLVE_REASONS = 7,
};

/* The bound of a lookup (G1), beside that of the table: steps of the search, and the most ranges that it searches. */
#define BID_RESOLVE_MAX_STEPS 20
#define BID_MAPS_MAX_RANGES (1u << BID_RESOLVE_MAX_STEPS)

/* Retired snapshots that may wait for their grace period at once. */
#define BID_MAPS_RETIRED_MAX 64

struct bid_maps;

/* Resolves an instruction pointer. *record is filled whatever the result. *id (may be NULL) gets the whole build ID if
 * the result is BID_RESOLVED or BID_RESOLVE_LONG_ID.
 * Context: any. Progress: wait-free: a pin, at most BID_RESOLVE_MAX_STEPS steps and one bid_inode_lookup(). Memory:
 * none.
 * Returns: enum bid_resolve_reason. */
BID_PUBLIC int bid_resolve(const struct bid_maps *maps, uint64_t ip, struct bid_stack_build_id *record,
                           struct bid_build_id *id);

/* Resolves `count` instruction pointers, such as a call stack that bpf_get_stack() or frame pointers gave, all by the
 * same snapshot. records[i] is filled whatever the result; reasons[i] (`reasons` may be NULL) gets its
 * enum bid_resolve_reason. The arrays must not overlap. If consecutive addresses lie in one range, its file is looked
 * up once. Return addresses are resolved as they are: the call is in the byte before.
 * Context: any. Progress: wait-free: one pin, and for each address at most the steps of bid_resolve(). Memory that is
 * retired meanwhile is freed after the call at the earliest. Memory: none.
 * Returns: how many are BID_RESOLVED. */
BID_PUBLIC size_t bid_resolve_many(const struct bid_maps *maps, const uint64_t *ips, size_t count,
                                   struct bid_stack_build_id *records, uint8_t *reasons);

/* Gives a phrase for one of enum bid_resolve_reason, in English; "?" for a number that is none.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
BID_PUBLIC const char *bid_resolve_text(int reason);

/* Creates the mappings of this process, empty at first. Build IDs go into `table`, which must outlive the mappings.
 * With NULL they go into a table of their own.
 * Context: thread. Progress: blocking (system calls). Memory: allocates. May change errno.
 * Returns: BID_OK and the mappings in *maps; BID_E_NULL or as bid_create(), and *maps is NULL. */
BID_PUBLIC int bid_maps_create(struct bid_maps **maps, struct bid_table *table);

/* Destroys the mappings, and ends the thread that follows; NULL is allowed. The caller makes sure that no other call on
 * them is running or comes later.
 * Context: thread. Progress: blocking. Memory: frees everything. May change errno. */
BID_PUBLIC void bid_maps_destroy(struct bid_maps *maps);

/* Reads what is mapped now. On return the published snapshot was read after this call began, by this or another thread.
 * After an error the snapshot is the one that was there before. Build IDs are read only from files that are new at
 * their address or may have changed.
 * Context: thread. Progress: lock-free but for system calls. Memory: may allocate, and free. May change errno.
 * Returns: BID_OK if a new snapshot was published, BID_EXISTS if nothing had changed; BID_E_NULL, BID_E_NO_MEMORY,
 * BID_E_UNSUPPORTED (/proc/self/maps cannot be read, or other threads keep closing its descriptor), BID_E_TOO_MANY
 * (over BID_MAPS_MAX_RANGES), BID_E_RETIRED (a stalled reader keeps BID_MAPS_RETIRED_MAX snapshots), or as
 * bid_insert(). */
BID_PUBLIC int bid_maps_refresh(struct bid_maps *maps);

/* Starts a thread that refreshes every `milliseconds`; 0 ends it. Code that is mapped and unmapped between two looks is
 * not noticed; see the caveats. The thread has no descriptor in the program's table and runs no signal handler of the
 * program. It changes its user and groups when the program's threads do (setuid() and the like). It gives up a
 * capability shortly after the program's last thread that had it. A system call that needs a process of one thread, as
 * unshare(CLONE_NEWUSER), fails.
 * Context: thread, one at a time. Progress: blocking. Memory: may allocate. May change errno.
 * Returns: BID_OK, BID_E_NULL, BID_E_NO_MEMORY (no thread could be made), BID_E_UNSUPPORTED (the thread cannot have a
 * table of descriptors of its own: close_range() and unshare() are both refused, as by a seccomp filter). */
BID_PUBLIC int bid_maps_follow(struct bid_maps *maps, unsigned milliseconds);

/* One executable range. */
struct bid_mapping {
    uint64_t start, end; /* addresses, end excluded */
    uint64_t offset;     /* of the file, at start */
    uint64_t device;     /* as /proc/self/maps shows it: major << 32 | minor; 0 without a file */
    uint64_t inode;      /* 0 without a file */
    uint64_t header;     /* where offset 0 of the file is mapped; 0: nowhere */
    uint64_t id_offset;  /* of the build ID in the file; 0 if there is none */
    uint32_t generation; /* of the inode (FS_IOC_GETVERSION), 0 if the file system does not tell */
    int32_t status;      /* BID_OK, BID_NO_BUILD_ID, or BID_ABSENT: it could not be read, or is no file */
    int32_t fresh;       /* 1 if the snapshot before did not have it, or had another state of the file; else 0 */
    const char *path;    /* as in /proc/self/maps, "" without a name */
    const struct bid_build_id *id; /* with BID_OK */
};

typedef int (*bid_maps_visit)(void *argument, const struct bid_mapping *mapping);

/* Calls visit for each range of the current snapshot, by address, until it returns non-zero. The mapping that visit
 * gets is valid during the call only. *number (may be NULL) gets a number that tells snapshots apart.
 * Context: any (but visit runs in the caller's context). Progress: wait-free but for visit. Memory: none.
 * Returns: BID_OK, BID_E_NULL, or what visit returned. */
BID_PUBLIC int bid_maps_iterate(const struct bid_maps *maps, bid_maps_visit visit, void *argument, uint64_t *number);

/* Counts the snapshots that were published.
 * Context: any. Progress: wait-free. Memory: none. Returns: their number. */
BID_PUBLIC uint64_t bid_maps_published(const struct bid_maps *maps);

/* Counts the snapshots that are retired and not freed yet.
 * Context: any. Progress: wait-free. Memory: none. Returns: their number, at most BID_MAPS_RETIRED_MAX. */
BID_PUBLIC uint64_t bid_maps_waiting(const struct bid_maps *maps);

#ifdef __cplusplus
}
#endif
#endif
