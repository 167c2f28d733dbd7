/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A hash table from a 64-bit key (the address of an inode) to a build ID of at most 64 bytes. Lookups are wait-free and
 * may interrupt anything, including an update of the same table on the same thread. Updates are lock-free. The table
 * grows and shrinks without a lock and without a pause. bid.h explains the words Context, Progress, Memory and Returns.
 *
 * Updates of thread context may allocate a bucket array or records, help with a resize that is under way, and free
 * memory whose grace period has passed. The errors of updates are BID_E_NULL, BID_E_NO_MEMORY, BID_E_RETIRED,
 * BID_E_COLLISIONS and BID_E_MLOCK; of those that insert also BID_E_MAX_ENTRIES; of those that take a build ID also
 * BID_E_ID_LENGTH. After an error the table is as it was.
 *
 * Caveats, before the list of functions
 * -------------------------------------
 * - NMI context is emulated in user space by signal handlers written in C. They interrupt a function of this header at
 *   any instruction, and must return. A siglongjmp() out of such a handler leaves the pin of that function behind:
 *   memory retired later is never freed, and updates fail with BID_E_RETIRED once the limit is reached. Lookups stay
 *   right. The same happens with a longjmp() or an exception out of a visit of bid_iterate(), with pthread_exit() in a
 *   handler, and with asynchronous cancellation (PTHREAD_CANCEL_ASYNCHRONOUS) inside a function of this header. Do none
 *   of these. Deferred cancellation, the default, is safe: no function here is a cancellation point.
 * - Visits of one thread must nest: the last bid_iterate() to begin must be the first to end. Otherwise, as on two
 *   coroutines of a thread, their pins no longer protect them.
 * - A thread that is stopped inside a lookup delays the freeing of memory, and nothing else, until retired_limit is
 *   reached. Then updates that need a new array fail with BID_E_RETIRED. Many threads that insert and remove on few
 *   processors may get there by being preempted: the same call succeeds later, and a higher retired_limit helps. So may
 *   more than 120 threads that make an array at the same moment, as by bid_reserve(); and more than 1,024 threads in a
 *   process, for some of these have no pin slot of their own, and while they read nothing is freed.
 * - If membarrier() is blocked after a table exists, as by a seccomp filter, retired memory is never freed again.
 * - fork(): the child has its own copy of every table and may use it at once. Its first updates take back the arrays
 *   that other threads were making or freeing. bid_count() may be too high there, by one for each other thread that was
 *   inserting or removing. Memory locks are not inherited (mlock(2)), so BID_MLOCK ends there. After a fork the system
 *   copies pages that one side writes, so a lookup that meets an update of another thread may take a page fault.
 * - A handler may interrupt fork() and fork itself, with two exceptions. In the new process, until fork() returns: pins
 *   may be lost, so a lookup, update or visit that is under way is not protected there and must not go on. And in a
 *   visit of the handler's own: the child of the interrupted fork() may have a pin too many, and never free memory.
 * - A child made by _Fork() or a bare clone() system call skips the fork handlers. Its first pin takes page faults. A
 *   lookup, update or visit that was under way when the child was made is not protected there and must not go on. A
 *   table of bid_flavor_shared is still its parent's there, and nothing refuses an update: do not make one.
 * - Two threads with one thread pointer (a bare clone() without CLONE_SETTLS) must not use a table at the same time.
 * - A thread must not run while its stack or its thread pointer is being set up or torn down by hand.
 * - With the shared library, the dynamic linker binds a function at its first call, and that may take a lock. Link a
 *   program that calls from a handler with -Wl,-z,now, or statically; or call through a pointer, which is bound early.
 */
#ifndef BID_PUBLIC_TABLE_H
#define BID_PUBLIC_TABLE_H

#include "build_id.h"
#include "status.h"
#include "version.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The bound of a lookup (guarantee G1): a key's probe sequence in one bucket array has BID_SEQUENCE_SLOTS slots, in
 * buckets of eight. A lookup looks at the first bucket, and nearly always that is all. If not, it starts again and
 * follows at most two sequences. It reads at most one record for each slot of these, and one in the first bucket. */
#define BID_SEQUENCE_SLOTS 128
#define BID_LOOKUP_MAX_SLOTS (2 * BID_SEQUENCE_SLOTS + 8)
#define BID_LOOKUP_MAX_RECORDS (2 * BID_SEQUENCE_SLOTS + 1)

/* What bid_lookup_many() writes as the length of an entry that says "known to have no build ID". */
#define BID_LENGTH_NO_BUILD_ID 255

/* The most new arrays that one bid_reserve() or bid_shrink() puts in place, whatever other threads do meanwhile. */
#define BID_REBUILDS_MAX 4

/* Retired bucket arrays that may wait for their grace period at once, whatever their size. */
#define BID_RETIRED_MAX 125

/* Records that every array sets aside for removes. */
#define BID_REMOVES_ASIDE 64

/* ----------------------------------------------------------------------------------- create and destroy -- */

enum bid_flags {
    BID_FIXED_SEED = 1u << 0, /* use options.seed, and derive later seeds from it: for tests, not against adversaries */
    BID_MLOCK = 1u << 1,      /* lock the table's memory, and the process's pins for good: nothing is swapped out */
    BID_FENCED_PINS = 1u << 2, /* pins with a full fence even where membarrier() is available */
};

/*
 * Where a table's memory comes from, that of the table itself included. The functions are called in thread context
 * only, and by several threads at once. They must not call a function of the same table.
 */
struct bid_allocator {
    void *context; /* handed to each function */
    /* Returns zeroed memory that begins at a page, or NULL: there is none. `present` bytes of it will be populated at
     * once; if so much cannot be had, return NULL. Huge pages are welcome in the first `huge` bytes. */
    void *(*map)(void *context, size_t bytes, size_t present, size_t huge);
    /* Makes a part present for writing, so that no later access faults; others may be using it already. `lock`: locks
     * it as well. BID_OK, BID_E_NO_MEMORY or BID_E_MLOCK. */
    int (*populate)(void *context, void *address, size_t bytes, int lock);
    /* Gives back all that was mapped at *address. Sets *address to NULL when the memory is gone, and before anything
     * else can be mapped there: the child of a fork, made by another thread in between, relies on it. */
    void (*unmap)(void *context, void **address, size_t bytes);
};

/*
 * How readers are protected, and so what retired memory waits for. The threads of this process hold pins, whatever the
 * flavor. bid_flavor_shared is for a table that others read as well, without pins: BPF programs, or other processes. A
 * thread observes their grace periods, see bid_grace_begin(). No update waits for one. (Not in a kernel.)
 *
 * The child of a fork shares such a table with its parent, and the parent does not see the child's pins. So in the
 * child updates fail with BID_E_REGION, bid_destroy() does nothing, and lookups are those of bid/region.h.
 */
struct bid_flavor;
BID_PUBLIC extern const struct bid_flavor bid_flavor_shared;

/* Fields are added at the end only, as with open_how of openat2(). A caller's struct may be smaller than the library's:
 * the rest counts as zero. It may be larger if the rest is zero. Anything else is BID_E_OPTIONS. */
struct bid_options {
    /* sizeof(struct bid_options), as the caller knows it: 8 to 4,096. */
    uint64_t size;

    /* Room for that many entries without growing, at most max_entries. 0: 2,048 slots, for 1,433 entries. */
    uint64_t expected_entries;

    /* An insert beyond it fails with BID_E_MAX_ENTRIES; nothing else is refused. An entry counts as long as its insert
     * or its remove is under way. 0: 2^32. BID_ARRAY_BYTES_MAX() says how much memory that is. */
    uint64_t max_entries;

    /* Bytes that may be retired and not yet freed. One array may always wait, whatever its size. An array is measured
     * when the next one is begun; records that updates take of it until then come on top. 0: four times the largest
     * array + 16 MiB. */
    uint64_t retired_limit;

    /* With BID_FIXED_SEED; otherwise 0. */
    uint64_t seed;

    /* Bytes of the longest build ID that this table accepts, at most BID_ID_MAX. Every entry takes the memory of one
     * that long. 0: BID_ID_NARROW. */
    uint32_t id_size;

    /* Of enum bid_flags. */
    uint32_t flags;

    /* Copied by bid_create(). NULL: memory of this process, or of this kernel. */
    const struct bid_allocator *allocator;

    /* NULL: only threads of this process, or of this kernel, read the table. */
    const struct bid_flavor *flavor;
};

/*
 * The most bytes that a table takes with max_entries and id_size, beside some 50 KiB for itself. A table has at most
 * one array in use, one that replaces it, and retired ones. The retired ones take at most retired_limit bytes, or one
 * array if that is more. So a table takes three arrays if retired_limit is at most one array. With the default of
 * retired_limit it takes seven arrays and 16 MiB. If several threads make an array at once, each may have one more for
 * that moment.
 *
 * These are bounds for the worst case: every slot is claimed, and every record is used up. A table that has only grown
 * takes about 68 bytes an entry right after a resize, and about 50 right before one, with IDs of up to 20 bytes.
 */
#define BID_RECORD_BYTES_MAX(id_size) ((12ull + (id_size) + 31) / 32 * 32)
/* An array has fewer than four slots for each entry, and at least 2,048. That least number doubles for each 16 retired
 * arrays that wait, of which there are at most 125. */
#define BID_ARRAY_SLOTS_MAX(max_entries) ((max_entries) < 65536 ? 262144ull : 4ull * (max_entries))
/* A bucket of eight slots has 256 bytes. For each sixteen slots there are at most 29 records elsewhere, and in all
 * 1,024 more and those that are set aside. Each section ends with a page or a step. */
#define BID_ARRAY_BYTES_MAX(max_entries, id_size)                                                                      \
    (BID_ARRAY_SLOTS_MAX(max_entries) * 33 +                                                                           \
     (BID_ARRAY_SLOTS_MAX(max_entries) * 29 / 16 + 1024 + BID_REMOVES_ASIDE) * BID_RECORD_BYTES_MAX(id_size) +         \
     (4ull << 20))

struct bid_table;

/* Creates a table. options may be NULL: all zero but for the size.
 * Context: thread. Progress: blocking (system calls). Memory: allocates. May change errno.
 * Returns: BID_OK and the table in *table; BID_E_NULL, BID_E_OPTIONS, BID_E_TOO_MANY, BID_E_NO_MEMORY,
 * BID_E_MLOCK or BID_E_UNSUPPORTED, and *table is NULL. */
BID_PUBLIC int bid_create(struct bid_table **table, const struct bid_options *options);

/* Destroys a table; NULL is allowed. The caller makes sure that no other call on this table is running or comes later,
 * in any thread or handler.
 * Context: thread. Progress: wait-free but for system calls. Memory: frees everything. May change errno. */
BID_PUBLIC void bid_destroy(struct bid_table *table);

/* ------------------------------------------------------------------------------------- lookup: any context -- */

/* What one lookup read. */
struct bid_probe_cost {
    uint32_t slots;   /* at most BID_LOOKUP_MAX_SLOTS; read eight at a time */
    uint32_t records; /* at most BID_LOOKUP_MAX_RECORDS */
};

/* Copies the build ID of a key into *id.
 * Context: any. Progress: wait-free, at most BID_LOOKUP_MAX_SLOTS slots and BID_LOOKUP_MAX_RECORDS records.
 * Memory: none. Returns: BID_OK, BID_ABSENT or BID_NO_BUILD_ID; *id is written for BID_OK, and generation and
 * length also for BID_NO_BUILD_ID. */
BID_PUBLIC int bid_lookup(const struct bid_table *table, uint64_t key, struct bid_build_id *id);

/* As bid_lookup(), for one generation of the inode only.
 * Context: any. Progress: wait-free, same bound. Memory: none.
 * Returns: BID_OK, BID_ABSENT, BID_NO_BUILD_ID, or BID_STALE if the entry is for another generation (then *id is
 * unchanged). */
BID_PUBLIC int bid_lookup_generation(const struct bid_table *table, uint64_t key, uint32_t generation,
                                     struct bid_build_id *id);

/* As bid_lookup(), in the same form, and says what it read.
 * Context: any. Progress: wait-free, same bound. Memory: none. Returns: as bid_lookup(). */
BID_PUBLIC int bid_lookup_cost(const struct bid_table *table, uint64_t key, struct bid_build_id *id,
                               struct bid_probe_cost *cost);

/* Looks up n keys. Row i of ids has id_size bytes, 1 to BID_ID_MAX. It gets the build ID of keys[i], padded with zeros.
 * A longer build ID is cut off; with the table's id_size there is none. lengths[i] gets its length: 0 for absent,
 * BID_LENGTH_NO_BUILD_ID for "known to have no build ID". The n answers are no snapshot: each key is looked up for
 * itself. Keys are 8-byte aligned. The three arrays do not overlap.
 * Context: any. Progress: wait-free, n times the bound of a lookup. Memory: none.
 * Returns: the number of keys that have a build ID. */
BID_PUBLIC size_t bid_lookup_many(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *ids,
                                  size_t id_size, uint8_t *lengths);

/* Counts the entries; exact when no update is under way.
 * Context: any. Progress: wait-free. Memory: none. Returns: the number of entries. */
BID_PUBLIC uint64_t bid_count(const struct bid_table *table);

/* Tells whether a resize is half done, at some moment during the call.
 * Context: any. Progress: wait-free. Memory: none. Returns: 1 or 0. */
BID_PUBLIC int bid_resizing(const struct bid_table *table);

/* Counts the resizes that were finished.
 * Context: any. Progress: wait-free. Memory: none. Returns: their number. */
BID_PUBLIC uint64_t bid_resizes(const struct bid_table *table);

/* ---------------------------------------------------------- updates for NMI context: they never allocate -- */

/* Inserts an entry if the key has none. length 0 (id may then be NULL) means "known to have no build ID".
 * Context: any. Progress: lock-free. Memory: none: the room must be there already (see bid_reserve()).
 * Returns: BID_OK, BID_EXISTS (whatever its generation), BID_E_NULL, BID_E_ID_LENGTH, BID_E_MAX_ENTRIES,
 * BID_E_COLLISIONS, BID_E_WOULD_ALLOCATE. */
BID_PUBLIC int bid_insert_nmi(struct bid_table *table, uint64_t key, uint32_t generation, const void *id,
                              size_t length);

/* Removes an entry. Outside of a resize this needs no memory. During a resize it may have to copy the record first.
 * Nearly always there is a place for the copy. If there is none, and no record that is present, it takes one of the
 * BID_REMOVES_ASIDE records that the new array sets aside for this. So BID_E_WOULD_ALLOCATE means that
 * BID_REMOVES_ASIDE removes of one resize have needed such a record. bid_remove() takes one where there is no memory.
 * Context: any. Progress: lock-free. Memory: none.
 * Returns: BID_OK, BID_ABSENT, BID_E_NULL, BID_E_COLLISIONS, BID_E_WOULD_ALLOCATE. */
BID_PUBLIC int bid_remove_nmi(struct bid_table *table, uint64_t key);

/* ------------------------------------------------------------------------------ updates: thread context -- */

/* Inserts an entry if the key has none.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno. Returns: BID_OK, BID_EXISTS, or an
 * error of updates. */
BID_PUBLIC int bid_insert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);

/* Replaces the entry of a key, generation included.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno. Returns: BID_OK, BID_ABSENT, or an
 * error of updates. */
BID_PUBLIC int bid_replace(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);

/* Inserts or replaces.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno.
 * Returns: BID_OK if it inserted, BID_EXISTS if it replaced, or an error of updates. */
BID_PUBLIC int bid_upsert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);

/* Removes the entry of a key.
 * Context: thread. Progress: lock-free. Memory: may allocate (to finish or begin a resize; failing to begin one is
 * no error). May change errno. Returns: BID_OK, BID_ABSENT, or an error of updates. */
BID_PUBLIC int bid_remove(struct bid_table *table, uint64_t key);

/* Removes the entry of a key if it is for this generation.
 * Context: thread. Progress: lock-free. Memory: as bid_remove(). May change errno.
 * Returns: BID_OK, BID_ABSENT, BID_STALE, or an error of updates. */
BID_PUBLIC int bid_remove_generation(struct bid_table *table, uint64_t key, uint32_t generation);

/* Inserts n entries of generation 0 from rows of id_size bytes. lengths may be NULL: every ID then is id_size long;
 * a length of BID_LENGTH_NO_BUILD_ID or 0 means "known to have no build ID". Keys that have an entry are left alone.
 * Stops at the first error. Cache misses of keys that come later overlap with the work on a key.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno.
 * Returns: BID_OK or an error; *inserted (may be NULL) is the number of new entries, also after an error. */
BID_PUBLIC int bid_insert_many(struct bid_table *table, const uint64_t *keys, size_t n, const uint8_t *ids,
                               size_t id_size, const uint8_t *lengths, size_t *inserted);

/* Makes room for that many entries in all, so that inserts up to there do not allocate, also from NMI context. Every
 * insert and replace uses up some of the room, also of a key that was there before. The table does not shrink below
 * this by itself. The seed decides where a key may go: near the end of the room an insert may find no slot for its key,
 * at most once in a thousand million inserts.
 * Context: thread. Progress: lock-free. It begins at most BID_REBUILDS_MAX resizes, and before each finishes the resize
 * that it finds under way. If updates of others use up the room of the last array while it is made, the result is
 * BID_OK.
 * Memory: may allocate. May change errno. Returns: BID_OK, BID_E_NULL, BID_E_TOO_MANY, BID_E_MAX_ENTRIES, BID_E_BUSY,
 * or an error of updates. */
BID_PUBLIC int bid_reserve(struct bid_table *table, uint64_t entries);

/* Gives up reserved room. Replaces the array if one made for the present entries takes less memory, or has fewer
 * tombstones or used-up records. Below the start size the table grows again in steps as it is used.
 * Context: thread. Progress: lock-free. It begins one resize at most, and finishes those that it finds under way before
 * and after.
 * Memory: may allocate (the new array). May change errno.
 * Returns: BID_OK if the array was replaced, BID_UNCHANGED if there was nothing to gain, BID_E_NULL, or an error of
 * updates. */
BID_PUBLIC int bid_shrink(struct bid_table *table);

/* Frees retired memory whose grace period has passed, without waiting. Updates do this by themselves now and then.
 * Context: thread. Progress: lock-free. Memory: frees. May change errno.
 * Returns: the number of bytes retired and not freed; 0 if nothing waits for a reader. */
BID_PUBLIC uint64_t bid_reclaim(struct bid_table *table);

/*
 * Grace periods of readers elsewhere (bid_flavor_shared). A thread of the caller's observes them, again and again:
 *
 *     number = bid_grace_begin(table);
 *     if (number) {
 *         wait until every reader elsewhere that was in a lookup when bid_grace_begin() returned has left it;
 *         bid_grace_end(table, number);
 *     }
 *
 * How to wait depends on the readers. For BPF programs it is a grace period of RCU, for which
 * membarrier(MEMBARRIER_CMD_GLOBAL) waits: milliseconds at least. For others it is what they have agreed on. While
 * nobody observes, nothing is freed: updates that need a new array fail in the end, with BID_E_RETIRED or
 * BID_E_NO_MEMORY.
 */

/* The number of the grace period that begins now.
 * Context: thread. Progress: lock-free. Memory: none.
 * Returns: 0 if nothing is retired, or the table is of another flavor. */
BID_PUBLIC uint64_t bid_grace_begin(struct bid_table *table);

/* Says that the readers elsewhere that were there when `number` was given have all left. What was retired before is
 * freed by an update or bid_reclaim() to come. Numbers of several threads may come in any order.
 * Context: any. Progress: lock-free. Memory: none. */
BID_PUBLIC void bid_grace_end(struct bid_table *table, uint64_t number);

typedef int (*bid_visit)(void *argument, uint64_t key, int status, const struct bid_build_id *id);

/* Calls visit for each entry, until it returns non-zero. An entry that stays throughout is seen exactly once. One that
 * comes, goes or changes meanwhile is seen at most once. visit gets the entry as it is at that moment, and may use the
 * table. The thread is a reader throughout: memory retired meanwhile is freed afterwards. Visits of one thread must
 * nest: the last bid_iterate() to begin must be the first to end. At most 65,535 iterations and lookups nest in one
 * thread.
 * Context: any (but visit runs in the caller's context). Progress: wait-free but for visit, in the number of slots.
 * Memory: none. Returns: BID_OK, BID_E_NULL, or what visit returned. */
BID_PUBLIC int bid_iterate(const struct bid_table *table, bid_visit visit, void *argument);

/* Writes the keys of at most `capacity` entries.
 * Context: any. Progress: as bid_iterate(). Memory: none.
 * Returns: the number of entries seen, which may be more than capacity: call again with a larger array. */
BID_PUBLIC size_t bid_keys(const struct bid_table *table, uint64_t *keys, size_t capacity);

/* ------------------------------------------------------------------------------------------- statistics -- */

enum bid_resize_cause {
    BID_RESIZE_GROW = 0,       /* too few empty slots for the live entries */
    BID_RESIZE_SHRINK = 1,     /* few live entries, or bid_shrink() */
    BID_RESIZE_TOMBSTONES = 2, /* tombstones or used-up records, same size */
    BID_RESIZE_RESEED = 3,     /* a probe sequence was full at a low load: another seed, same size */
    BID_RESIZE_RESERVE = 4,    /* bid_reserve() */
    BID_RESIZE_CAUSES = 5,
};

#define BID_HISTOGRAM 33 /* bins 0 to 31 count exactly that many, bin 32 all above */

struct bid_stats {
    uint64_t size;                            /* set by the caller, as that of struct bid_options */
    uint64_t entries;                         /* live entries, as counted by visiting them */
    uint64_t tombstones;                      /* slots of removed keys, not yet dropped by a resize */
    uint64_t slots;                           /* in the current array */
    uint64_t bytes_slots;                     /* of buckets with the records in them, all arrays that are not retired */
    uint64_t bytes_records;                   /* of records elsewhere, populated, all arrays that are not retired */
    uint64_t bytes_retired;                   /* waiting for a grace period */
    uint64_t bytes_pins;                      /* of the process, shared by all tables */
    uint64_t retired_arrays;                  /* waiting for a grace period */
    uint64_t resizes;                         /* finished */
    uint64_t resize_begun[BID_RESIZE_CAUSES]; /* by enum bid_resize_cause */
    uint64_t seed;                            /* of the current array */
    uint64_t slots_read[BID_HISTOGRAM];       /* live keys by the looks at buckets of eight slots that find them */
    uint64_t records_read[BID_HISTOGRAM];     /* live keys by the records that a lookup of them reads */
    uint32_t max_slots_read;
    uint32_t max_records_read;
    uint32_t membarrier;     /* 1: pins without a fence, the updater uses membarrier(); 0: fenced pins */
    uint32_t pin_slots;      /* in the process's pin table */
    uint32_t pin_slots_used; /* threads, living and dead, that have one */
    uint32_t resizing;       /* as bid_resizing() */
};

/* Visits every entry and fills *stats, as many bytes as stats->size says. Exact when no update is under way.
 * Context: thread. Progress: wait-free, in the number of slots. Memory: none.
 * Returns: BID_OK, BID_E_NULL, BID_E_OPTIONS (stats->size is below 8 or over 4,096). */
BID_PUBLIC int bid_statistics(const struct bid_table *table, struct bid_stats *stats);

/* Checks a table against its own invariants, slot by slot. Each key has one slot, and a lookup finds it. Record
 * indexes, lengths and counts are possible. A half-done resize is in a possible state. For tests, and for suspected
 * stray writes. No update may run meanwhile. `unfinished` is the number of updates that will never finish, as those of
 * threads that a fork left behind; usually 0.
 * Context: thread. Progress: wait-free, in the number of slots. Memory: none.
 * Returns: NULL if all is well, else a constant sentence that says what is not. */
BID_PUBLIC const char *bid_audit(const struct bid_table *table, uint64_t unfinished);

#ifdef __cplusplus
}
#endif
#endif
