/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pybuildid - a build-ID table that may be read from NMI context.
 *
 * A hash table from a 64-bit key (the address of an inode) to a build ID of at most 64 bytes. Lookups are
 * wait-free and may interrupt anything, including an update of the same table on the same thread. Updates are
 * lock-free. The table grows and shrinks without a lock and without a pause.
 *
 * Caveats, before the list of functions
 * -------------------------------------
 * - NMI context is emulated in user space by signal handlers written in C. A handler must return: a
 *   siglongjmp() out of a handler that interrupted a function of this header leaves its pin behind, and memory
 *   retired later is never freed (updates then fail with BID_E_RETIRED; lookups stay right).
 *   So does a longjmp() or an exception out of a visit of bid_iterate(), and visits that end in another order than they
 *   began, as on coroutines of one thread, leave each other's pins unprotected: neither may be.
 *   So does asynchronous cancellation of a thread (PTHREAD_CANCEL_ASYNCHRONOUS), and pthread_exit() in a handler, while
 *   the thread is inside a function of this header: the next thread with its thread pointer has that pin. Deferred
 *   cancellation, the default, is safe: no function here is a cancellation point.
 * - A thread that is stopped inside a lookup delays the freeing of memory, and nothing else, until the limit on that is
 *   reached: then updates that need a new array fail with BID_E_RETIRED. Many threads that insert and remove on few
 *   processors may get there by being preempted: the same call succeeds later, and a higher retired_limit helps.
 * - A process that forbids membarrier() after its first table, as by a seccomp filter, frees nothing any more.
 * - fork(): the child has its own copy of every table and may use it at once. For each
 *   other thread that was inserting at that moment bid_count() may be one too high there; the arrays that other threads
 *   were making or freeing are taken back by the first updates. Memory locks are not inherited (mlock(2)), so BID_MLOCK
 *   ends there. A child made by _Fork() or a bare clone() system call skips the fork handlers: its first pin takes page
 *   faults, and a lookup, update or visit that was under way when it was made is not protected there and must not go
 *   on. After a fork the system copies pages that one side writes, and a lookup that meets an update of another thread
 *   may take a page fault for that.
 * - Two threads with one thread pointer (a bare clone() without CLONE_SETTLS) may not use a table at once.
 * - A thread must not run while its stack or its thread pointer is being set up or torn down by hand.
 *
 * Contexts
 * --------
 *   any      thread context, signal handlers (nested, on an alternate stack), a child after fork(); in a kernel
 *            build also interrupt and NMI context
 *   thread   where memory may be allocated: not in a signal handler
 *
 * Every function states four things: Context (where it may be called), Progress (wait-free: a constant number of
 * its own steps; lock-free: some thread's operation finishes, whatever the others do, stopped ones included;
 * blocking), Memory (what it allocates) and Returns.
 *
 * It needs a 64-bit system. Lengths and sizes are in bytes. Functions that return int return one of enum bid_status;
 * none touches errno unless it says so.
 */
#ifndef PYBUILDID_H
#define PYBUILDID_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------- constants -- */

#define BID_ID_MAX 64    /* the longest build ID that an entry can hold */
#define BID_ID_NARROW 20 /* the usual length (SHA-1), and the default of options.id_size: records of 32 bytes */

/* The bound of a lookup (guarantee G1): a key's path in one bucket array has BID_PATH_SLOTS slots, in buckets of eight.
 * A lookup looks at the first bucket, and nearly always that is all. If not, it starts again and follows at most two
 * paths, and in each it may look at the first bucket twice: 8 + 2 * (8 + 64) slots. It reads at most one record for
 * each slot of the paths, and one for each of the three looks at a first bucket. */
#define BID_PATH_SLOTS 64
#define BID_LOOKUP_MAX_SLOTS (2 * BID_PATH_SLOTS + 3 * 8)
#define BID_LOOKUP_MAX_RECORDS (2 * BID_PATH_SLOTS + 3)

/* What bid_lookup_many() writes as the length of an entry that says "known to have no build ID". */
#define BID_LENGTH_NO_BUILD_ID 255

/* bid_reserve() and bid_shrink() put so many new arrays in the head's place at most, whatever handlers and other
 * threads do. */
#define BID_REBUILDS_MAX 4

/* Retired bucket arrays that may wait for their grace period at once, whatever their size. */
#define BID_RETIRED_MAX 125

enum bid_status {
    BID_OK = 0,          /* done; a lookup found the key, and the build ID is in the caller's buffer */
    BID_ABSENT = 1,      /* the table has no entry for this key */
    BID_STALE = 2,       /* there is an entry, but for another generation of the inode */
    BID_NO_BUILD_ID = 3, /* there is an entry, and it says that this file has no build ID */
    BID_EXISTS = 4,      /* insert: the key has an entry already, which is unchanged */
    BID_UNCHANGED = 5,   /* shrink: there was nothing to gain, and the array is the one that was there */

    /* Rejected arguments and options: nothing was done. */
    BID_E_NULL = -1,      /* a required pointer is NULL */
    BID_E_ID_LENGTH = -2, /* the build ID is longer than the table's id_size */
    BID_E_OPTIONS = -3,   /* an option is none of those that struct bid_options allows, or a size field is too small or
                                  has something beyond what this version knows */
    BID_E_TOO_MANY = -9,  /* expected, reserved or most entries are more than a table can hold (2^32) */

    /* Updates that could not be done: the table is unchanged, and the same call may succeed later. */
    BID_E_NO_MEMORY = -11,   /* the system has no memory for a new bucket array or for records; or an array of 64 MiB or
                                   more is larger than MemAvailable and free swap of /proc/meminfo, or than what a memory
                                   cgroup of the process leaves: then none of it was made present */
    BID_E_MAX_ENTRIES = -12, /* the table has options.max_entries entries, or is to reserve more */
    BID_E_RETIRED = -13,     /* too much retired memory waits for a stalled reader or update; see retired_limit */
    BID_E_WOULD_ALLOCATE = -14, /* the form for NMI context would have to allocate */
    BID_E_COLLISIONS = -15,     /* keys made for this table's seeds fill a path; needs knowledge of the seeds */
    BID_E_MLOCK = -16,          /* memory could not be locked (RLIMIT_MEMLOCK); what needs none, as removing, goes on */

    /* Creation only. */
    BID_E_UNSUPPORTED = -17, /* this system lacks what the table needs (anonymous memory that a fork wipes) */

    /* The protocol on inodes. */
    BID_E_EVICTED = -18, /* the inode is being evicted or has been: nothing may be associated with it */

    /* An update that could not be done, as above. */
    BID_E_BUSY = -19, /* reserve: other threads put smaller arrays in place each time, as by bid_shrink(): try again */

    /* Memory that others read, too. */
    BID_E_REGION = -20, /* no region of this layout; or an update by the child of the process that has the table */
};

/* A sentence for a status, in English, without a full stop.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
const char *bid_status_text(int status);

/* A name for a status, as in this header ("BID_E_NULL"), or "BID_E_?" for a number that is none.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
const char *bid_status_name(int status);

/* ----------------------------------------------------------------------------------- create and destroy -- */

enum bid_flags {
    BID_FIXED_SEED = 1u << 0, /* use options.seed, and derive later seeds from it: for tests, not against adversaries */
    BID_MLOCK = 1u << 1,      /* lock the table's memory, and the process's pins for good: nothing is swapped out */
    BID_FENCED_PINS = 1u << 2, /* pins with a full fence even where membarrier() is there */
};

/*
 * Where a table's memory comes from, that of the table itself included. The functions are called in thread context only,
 * and by several threads at once. They must not call a function of the same table.
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
 * The child of a fork shares such a table with its parent, and the parent does not see the child's pins. So in the child
 * updates fail with BID_E_REGION, bid_destroy() does nothing, and lookups are those of bid/region.h.
 */
struct bid_flavor;
extern const struct bid_flavor bid_flavor_shared;

/* As open_how of openat2(): of a caller's larger struct what this version does not know must be zero, and a smaller one
 * is filled up with zeros. So fields can be added at the end. Anything else is BID_E_OPTIONS. */
struct bid_options {
    uint64_t size;             /* sizeof(struct bid_options), as the caller knows it: 8 to 4,096 */
    uint64_t expected_entries; /* room for that many without growing, at most max_entries; 0: 2,048 slots, for 1,280
                                  entries */
    uint64_t max_entries;      /* an insert beyond it fails with BID_E_MAX_ENTRIES; 0: 2^32. Nothing else is refused
                                  for it. Inserts that are under way count as entries. See BID_ARRAY_BYTES_MAX() */
    uint64_t retired_limit;    /* for memory retired and not yet freed, but for one array, which may always wait;
                                  0: four times the largest array + 16 MiB */
    uint64_t seed;             /* with BID_FIXED_SEED; otherwise 0 */
    uint32_t
        id_size; /* the longest build ID that this table accepts, at most BID_ID_MAX; 0: BID_ID_NARROW. All entries take
                                  the memory of one that long */
    uint32_t flags;                        /* enum bid_flags */
    const struct bid_allocator *allocator; /* NULL: memory of this process (of this kernel). Copied by bid_create() */
    const struct bid_flavor *flavor;       /* NULL: only threads of this process (of this kernel) read the table */
};

/*
 * The most bytes that a table takes with max_entries and id_size, beside some 50 KiB for itself. It has at most one
 * array that it uses, one that takes the place of that, and retired ones: these take retired_limit, or one array if
 * that is more. So it is three arrays if retired_limit is at most one, and with the default of that seven and 16 MiB.
 * Each thread that makes an array while another does the same may have one more for that moment.
 *
 * These are bounds for the worst moment of the worst use: each slot claimed, each record used up. Right after a resize
 * a table takes about 61 bytes an entry, and about 45 right before one, with IDs of up to 20 bytes.
 */
#define BID_RECORD_BYTES_MAX(id_size) ((12ull + (id_size) + 31) / 32 * 32)
/* Fewer than five slots for each entry; at least 2,048, and twice that for each 16 retired arrays that wait, 125 at
 * most. */
#define BID_ARRAY_SLOTS_MAX(max_entries) ((max_entries) < 52429 ? 262144ull : 5ull * (max_entries))
/* A slot is 8 bytes; for eight slots there are at most 14 records, and 1,024 more; each section ends with its page or
 * step. */
#define BID_ARRAY_BYTES_MAX(max_entries, id_size)                                                                      \
    (BID_ARRAY_SLOTS_MAX(max_entries) * 9 +                                                                            \
     (BID_ARRAY_SLOTS_MAX(max_entries) * 7 / 4 + 1024) * BID_RECORD_BYTES_MAX(id_size) + (4ull << 20))

struct bid_table;

/* Creates a table. options may be NULL: all zero but for the size.
 * Context: thread. Progress: blocking (system calls). Memory: allocates. May change errno.
 * Returns: BID_OK and the table in *table; BID_E_NULL, BID_E_OPTIONS, BID_E_TOO_MANY, BID_E_NO_MEMORY,
 * BID_E_MLOCK or BID_E_UNSUPPORTED, and *table is NULL. */
int bid_create(struct bid_table **table, const struct bid_options *options);

/* Destroys a table; NULL is allowed. No other call on this table may be running or come later, in any thread or
 * handler: the caller sees to that, as for any object in C.
 * Context: thread. Progress: wait-free but for system calls. Memory: frees everything. May change errno. */
void bid_destroy(struct bid_table *table);

/* ------------------------------------------------------------------------------------- lookup: any context -- */

struct bid_build_id {
    uint32_t generation; /* of the inode, as given to insert */
    uint8_t length;      /* of the build ID; 0 with BID_NO_BUILD_ID */
    uint8_t reserved[3];
    uint8_t bytes[BID_ID_MAX]; /* the first `length` are set, and zeros up to a multiple that is not specified */
};

/* What one lookup read. */
struct bid_probe_cost {
    uint32_t slots;   /* at most BID_LOOKUP_MAX_SLOTS; read eight at a time */
    uint32_t records; /* at most BID_LOOKUP_MAX_RECORDS */
};

/* Copies the build ID of a key into *id.
 * Context: any. Progress: wait-free, at most BID_LOOKUP_MAX_SLOTS slots and BID_LOOKUP_MAX_RECORDS records.
 * Memory: none. Returns: BID_OK, BID_ABSENT or BID_NO_BUILD_ID; *id is written for BID_OK, and generation and
 * length also for BID_NO_BUILD_ID. */
int bid_lookup(const struct bid_table *table, uint64_t key, struct bid_build_id *id);

/* As bid_lookup(), for one generation of the inode only.
 * Context: any. Progress: wait-free, same bound. Memory: none.
 * Returns: BID_OK, BID_ABSENT, BID_NO_BUILD_ID, or BID_STALE if the entry is for another generation (then *id is
 * unchanged). */
int bid_lookup_generation(const struct bid_table *table, uint64_t key, uint32_t generation, struct bid_build_id *id);

/* As bid_lookup(), in the same form, and says what it read.
 * Context: any. Progress: wait-free, same bound. Memory: none. Returns: as bid_lookup(). */
int bid_lookup_cost(const struct bid_table *table, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost);

/* Looks up n keys. Row i of ids, id_size bytes wide, gets the build ID of keys[i], zero-padded (a longer one is cut
 * off: give the table's id_size to rule that out), and lengths[i] its length: 0 for absent, BID_LENGTH_NO_BUILD_ID
 * for "known to have no build ID". Each key is looked up for itself: the n answers are no snapshot. Keys are 8-byte
 * aligned; the three arrays do not overlap. id_size is 1 to BID_ID_MAX.
 * Context: any. Progress: wait-free, n times the bound of a lookup. Memory: none.
 * Returns: the number of keys that have a build ID. */
size_t bid_lookup_many(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                       uint8_t *lengths);

/* The number of entries; exact when no update is under way.
 * Context: any. Progress: wait-free. Memory: none. */
uint64_t bid_count(const struct bid_table *table);

/* Whether a resize stands half done: 1 or 0, at some moment during the call.
 * Context: any. Progress: wait-free. Memory: none. */
int bid_resizing(const struct bid_table *table);

/* The number of resizes that were finished.
 * Context: any. Progress: wait-free. Memory: none. */
uint64_t bid_resizes(const struct bid_table *table);

/* ---------------------------------------------------------- updates for NMI context: they never allocate -- */

/* Inserts an entry. length 0 (id may then be NULL) means "known to have no build ID".
 * Context: any. Progress: lock-free. Memory: none: what is needed must be there already (see bid_reserve()).
 * Returns: BID_OK, BID_EXISTS (whatever its generation), BID_E_NULL, BID_E_ID_LENGTH, BID_E_MAX_ENTRIES,
 * BID_E_WOULD_ALLOCATE. */
int bid_insert_nmi(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);

/* Removes an entry. Outside of a resize this needs no memory; during one it may have to copy a record first.
 * Context: any. Progress: lock-free. Memory: none.
 * Returns: BID_OK, BID_ABSENT, BID_E_NULL, BID_E_WOULD_ALLOCATE. */
int bid_remove_nmi(struct bid_table *table, uint64_t key);

/* ------------------------------------------------------------------------------ updates: thread context -- */
/* All of these may allocate a bucket array or records, help with a resize that is under way, and free memory whose
 * grace period has passed. They fail with BID_E_NO_MEMORY, BID_E_RETIRED, BID_E_COLLISIONS or BID_E_MLOCK, and those
 * that insert also with BID_E_MAX_ENTRIES; the table is then as it was. Those that take an ID fail with BID_E_NULL and
 * BID_E_ID_LENGTH. */

/* Inserts an entry if the key has none.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno. Returns: BID_OK, BID_EXISTS, errors. */
int bid_insert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);

/* Replaces the entry of a key, generation included.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno. Returns: BID_OK, BID_ABSENT, errors. */
int bid_replace(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);

/* Inserts or replaces.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno.
 * Returns: BID_OK if it inserted, BID_EXISTS if it replaced, errors. */
int bid_upsert(struct bid_table *table, uint64_t key, uint32_t generation, const void *id, size_t length);

/* Removes the entry of a key.
 * Context: thread. Progress: lock-free. Memory: may allocate (to finish or begin a resize; failing to begin one is
 * no error). May change errno. Returns: BID_OK, BID_ABSENT, errors. */
int bid_remove(struct bid_table *table, uint64_t key);

/* Removes the entry of a key if it is for this generation.
 * Context: thread. Progress: lock-free. Memory: as bid_remove(). May change errno.
 * Returns: BID_OK, BID_ABSENT, BID_STALE, errors. */
int bid_remove_generation(struct bid_table *table, uint64_t key, uint32_t generation);

/* Inserts n entries of generation 0 from rows of id_size bytes. lengths may be NULL: every ID then is id_size long;
 * a length of BID_LENGTH_NO_BUILD_ID or 0 means "known to have no build ID". Keys that have an entry are left alone.
 * Stops at the first error. Cache misses of keys that come later overlap with the work on a key.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno.
 * Returns: BID_OK or an error; *inserted (may be NULL) is the number of new entries, also after an error. */
int bid_insert_many(struct bid_table *table, const uint64_t *keys, size_t n, const uint8_t *ids, size_t id_size,
                    const uint8_t *lengths, size_t *inserted);

/* Makes room for that many entries in all, records included, so that inserts up to there do not allocate, also from
 * NMI context, as long as nothing else consumes the room (every insert and replace consumes a record, also of a key
 * that was there before). An insert may still find its key's path full, by accident and rarely: at most once in a
 * million inserts, near the end of the room. The table does not shrink below this by itself.
 * Context: thread. Progress: lock-free; it begins at most BID_REBUILDS_MAX resizes, and finishes those that it finds
 * under way before each. If updates of others use up the room of the last array while it is made, that counts as
 * consumed: BID_OK.
 * Memory: may allocate. May change errno. Returns: BID_OK, BID_E_NULL, BID_E_TOO_MANY, BID_E_MAX_ENTRIES, BID_E_BUSY,
 * errors. */
int bid_reserve(struct bid_table *table, uint64_t entries);

/* Gives up reserved room, and replaces the array if one made for the entries there are takes less memory, or has fewer
 * tombstones or used-up records. Below the start size the table grows again in steps as it is used.
 * Context: thread. Progress: lock-free; it begins one resize at most, and finishes those that it finds under way before
 * and after.
 * Memory: may allocate (the new array). May change errno.
 * Returns: BID_OK if the array was replaced, BID_UNCHANGED if there was nothing to gain, BID_E_NULL, errors. */
int bid_shrink(struct bid_table *table);

/* Frees retired memory whose grace period has passed, without waiting. Updates do this by themselves now and then.
 * Context: thread. Progress: lock-free. Memory: frees. May change errno.
 * Returns: the number of bytes retired and not freed; 0 if nothing waits for a reader. */
uint64_t bid_reclaim(struct bid_table *table);

/*
 * Grace periods of readers elsewhere (bid_flavor_shared). A thread of the caller's observes them, again and again:
 *
 *     number = bid_grace_begin(table);
 *     if (number) {
 *         wait until every reader elsewhere that was in a lookup when bid_grace_begin() returned has left it;
 *         bid_grace_end(table, number);
 *     }
 *
 * How to wait depends on the readers. For BPF programs it is a grace period of RCU, as membarrier(MEMBARRIER_CMD_GLOBAL)
 * waits for, in 8 to 50 ms. For others it is what they have agreed on. While nobody observes, nothing is freed: updates
 * that need a new array fail in the end, with BID_E_RETIRED or BID_E_NO_MEMORY.
 */

/* The number of the grace period that begins now.
 * Context: thread. Progress: lock-free. Memory: none.
 * Returns: 0 if nothing is retired, or the table is of another flavor. */
uint64_t bid_grace_begin(struct bid_table *table);

/* Says that the readers elsewhere that were there when `number` was given have all left. What was retired before is
 * freed by an update or bid_reclaim() to come. Numbers of several threads may come in any order.
 * Context: any. Progress: lock-free. Memory: none. */
void bid_grace_end(struct bid_table *table, uint64_t number);

/* Calls visit for each entry. Weakly consistent: an entry that stays throughout is seen exactly once, one that comes,
 * goes or changes meanwhile at most once; none is seen twice. What visit gets is the entry at the moment of the
 * visit. visit may use the table. It stops the iteration by returning non-zero. The caller's thread is a reader
 * throughout: memory retired meanwhile is freed after it. Visits of one thread must nest: the last bid_iterate() to
 * begin must be the first to end. At most 65,535 iterations and lookups nest in one thread.
 * Context: any (but visit runs in the caller's context). Progress: wait-free but for visit, in the number of slots.
 * Memory: none. Returns: BID_OK, BID_E_NULL, or what visit returned. */
typedef int (*bid_visit)(void *argument, uint64_t key, int status, const struct bid_build_id *id);
int bid_iterate(const struct bid_table *table, bid_visit visit, void *argument);

/* Writes the keys of at most `capacity` entries.
 * Context: any. Progress: as bid_iterate(). Memory: none.
 * Returns: the number of entries seen, which may be more than capacity: call again with a larger array. */
size_t bid_keys(const struct bid_table *table, uint64_t *keys, size_t capacity);

/* ------------------------------------------------------------------------------------------- statistics -- */

enum bid_resize_cause {
    BID_RESIZE_GROW = 0,       /* too few empty slots for the live entries */
    BID_RESIZE_SHRINK = 1,     /* few live entries, or bid_shrink() */
    BID_RESIZE_TOMBSTONES = 2, /* tombstones or used-up records, same size */
    BID_RESIZE_RESEED = 3,     /* a path was full at a low load: another seed, same size */
    BID_RESIZE_RESERVE = 4,    /* bid_reserve() */
    BID_RESIZE_CAUSES = 5,
};

#define BID_HISTOGRAM 33 /* bins 0 to 31 count exactly that many, bin 32 all above */

struct bid_stats {
    uint64_t size;                            /* set by the caller, as that of struct bid_options */
    uint64_t entries;                         /* live entries, as counted by visiting them */
    uint64_t tombstones;                      /* slots of removed keys, not yet dropped by a resize */
    uint64_t slots;                           /* in the current array */
    uint64_t bytes_slots;                     /* mapped and populated, all arrays that are not retired */
    uint64_t bytes_records;                   /* populated, all arrays that are not retired */
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
int bid_statistics(const struct bid_table *table, struct bid_stats *stats);

/* Checks a table against its own invariants, slot by slot: one slot for each key, where a lookup finds it; records and
 * lengths that can be; counts; what a resize may leave half done. For tests and for whoever suspects a stray write. No
 * update may run meanwhile; `unfinished` is how many stand half done for good, as those of threads that a fork left
 * behind: 0 if none.
 * Context: thread. Progress: wait-free, in the number of slots. Memory: none.
 * Returns: NULL if all is well, else a constant sentence that says what is not. */
const char *bid_audit(const struct bid_table *table, uint64_t unfinished);

/* ------------------------------------------------------------------- the protocol on inodes (csrc/inode) -- */
/*
 * As Al Viro proposed it: a bit in the inode's flags says whether the table, keyed by the inode's address, has an
 * entry; lookups and eviction check the bit first, so that a file without an entry costs one load. Embed struct
 * bid_inode in the object, or use it as it is.
 *
 * Who wins: of several associates the first (the others get BID_EXISTS); of an associate and an evict always the
 * evict: whatever the order, once both have returned the table has no entry for the inode, and the associate
 * returned BID_OK if it came before or BID_E_EVICTED; but for an associate that returns an error of bid_remove(), see
 * there. The caller keeps the inode alive during each call.
 */
struct bid_inode {
    uint64_t device;
    uint64_t number;
    uint32_t generation;
    uint32_t flags; /* accessed atomically by the functions below only */
};

/* Makes *inode a living inode with nothing associated; also for an address that is used again after bid_inode_evict().
 * Context: any. Progress: wait-free. Memory: none. */
void bid_inode_init(struct bid_inode *inode, uint64_t device, uint64_t number, uint32_t generation);

/* Inserts the build ID (length 0: known to have none), then sets the bit.
 * Context: thread. Progress: lock-free. Memory: may allocate. May change errno.
 * Returns: BID_OK, BID_EXISTS, BID_E_EVICTED, or as bid_insert(); an error also if an evict came first and the entry
 * could not be removed again: call bid_inode_evict() once more then, which removes it. */
int bid_inode_associate(struct bid_table *table, struct bid_inode *inode, const void *id, size_t length);

/* Marks the inode as dying, and removes its entry if the bit is set. May be called again.
 * Context: thread. Progress: lock-free. Memory: as bid_remove(). May change errno.
 * Returns: BID_OK if there was an entry, BID_ABSENT if not, or an error of bid_remove() (call it again then). */
int bid_inode_evict(struct bid_table *table, struct bid_inode *inode);

/* The build ID of an inode.
 * Context: any. Progress: wait-free: one load if the bit is clear, else as bid_lookup_generation(). Memory: none.
 * Returns: as bid_lookup_generation(); BID_ABSENT if the bit is clear. */
int bid_inode_lookup(const struct bid_table *table, const struct bid_inode *inode, struct bid_build_id *id);

/* --------------------------------------------------------- addresses in NMI context (csrc/resolve) -- */
/*
 * From an instruction pointer of this process to (build ID, file offset), where a profiler's signal handler needs it.
 *
 *     thread context:  bid_maps_create(&maps, NULL); bid_maps_refresh(maps); perhaps bid_maps_follow(maps, 100);
 *     any context:     reason = bid_resolve(maps, ip, &record, NULL);
 *
 * A refresh reads /proc/self/maps, gives each mapped file a struct bid_inode whose build ID it associates in a table,
 * and publishes the executable ranges as one sorted snapshot, replaced whole. A lookup pins the snapshot, searches it,
 * and asks the table by the inode's flag bit. G1 to G9 hold for it as for the table.
 *
 * Caveats
 * -------
 * - What the process maps after a refresh is "no mapping" until the next one. Where code was unmapped and other code
 *   mapped in its place, the lookup answers for the old code until the next refresh: an address does not say when it was
 *   mapped. Refresh after dlopen() and dlclose(), or follow, and know that following looks from time to time only.
 * - Between two refreshes a file that is replaced or rewritten keeps the build ID it had. A refresh compares what
 *   stat() says of the file (device, inode, size, ctime) and its file handle, which has the inode's generation, before it
 *   takes over an ID. On overlayfs and btrfs, where two files may show the same device and number, the ID in memory comes
 *   first; of a file there whose beginning is not mapped, it may be that of the copy (docs/addresses.md).
 * - Refreshing opens files: for some microseconds descriptors are taken. They are read by pread() only, and closed only if
 *   they still are of the file that was opened, so that a thread which closes or dup2()s over numbers that it did not open
 *   loses nothing; the time between that question and close() is some hundred nanoseconds. The thread of
 *   bid_maps_follow() has a table of descriptors of its own, where none of that can happen.
 * - fork(): the child has its own copy and may look up and refresh at once; the thread of bid_maps_follow() is not
 *   there, follow again.
 */

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

/* What a lookup found. All but BID_RESOLVED are reasons why the record has no build ID. */
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

/* Resolves an instruction pointer. Fills *record, whatever the result; id may be NULL, else it gets the whole build ID
 * with BID_RESOLVED and BID_RESOLVE_LONG_ID.
 * Context: any. Progress: wait-free: a pin, at most BID_RESOLVE_MAX_STEPS steps and one bid_inode_lookup(). Memory:
 * none.
 * Returns: enum bid_resolve_reason. */
int bid_resolve(const struct bid_maps *maps, uint64_t ip, struct bid_stack_build_id *record, struct bid_build_id *id);

/* A phrase for one of enum bid_resolve_reason, in English; "?" for a number that is none.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
const char *bid_resolve_text(int reason);

/* Creates the mappings of this process, empty at first. The build IDs go into `table`, which must outlive them; NULL:
 * into a table of their own.
 * Context: thread. Progress: blocking (system calls). Memory: allocates. May change errno.
 * Returns: BID_OK and the mappings in *maps; BID_E_NULL or as bid_create(), and *maps is NULL. */
int bid_maps_create(struct bid_maps **maps, struct bid_table *table);

/* Destroys them, and ends the thread that follows; NULL is allowed. No other call on them may be running or come later.
 * Context: thread. Progress: blocking. Memory: frees everything. May change errno. */
void bid_maps_destroy(struct bid_maps *maps);

/* Reads what is mapped now. On return the published snapshot was read after this call began, by whichever thread; after
 * an error it is the one that was there before. Build IDs are read from files that it has not seen mapped at that address,
 * or that may have changed since.
 * Context: thread. Progress: lock-free but for system calls. Memory: may allocate, and free. May change errno.
 * Returns: BID_OK if a new snapshot was published, BID_EXISTS if nothing had changed; BID_E_NULL, BID_E_NO_MEMORY,
 * BID_E_UNSUPPORTED (/proc/self/maps cannot be read, or other threads go on taking its descriptor away), BID_E_TOO_MANY
 * (over BID_MAPS_MAX_RANGES), BID_E_RETIRED (a stalled reader keeps BID_MAPS_RETIRED_MAX snapshots), or as bid_insert(). */
int bid_maps_refresh(struct bid_maps *maps);

/* Starts a thread that refreshes every so many milliseconds; 0 ends it. Not noticed: what is mapped and unmapped between two
 * looks; and see the caveats. The thread has no descriptor in the program's table and runs no handler of the program's. In
 * setuid() and the like it does as the program's threads do, with no capability that none of them has, but for the
 * moments after they gave one up. What a process may do only while it has one thread (unshare(CLONE_NEWUSER)) fails.
 * Context: thread, one at a time. Progress: blocking. Memory: may allocate. May change errno.
 * Returns: BID_OK, BID_E_NULL, BID_E_NO_MEMORY (no thread to be had), BID_E_UNSUPPORTED (no table of descriptors of its own
 * is to be had: close_range() and unshare() are both refused, as by a seccomp filter). */
int bid_maps_follow(struct bid_maps *maps, unsigned milliseconds);

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
    int32_t fresh;       /* 1 if the snapshot before this one did not have it, or had another state of the file */
    const char *path;    /* as in /proc/self/maps, "" without a name */
    const struct bid_build_id *id; /* with BID_OK */
};

/* Calls visit for each range of the current snapshot, by address, until it returns non-zero. What it is given is valid
 * during the call only. *number (may be NULL) tells snapshots apart.
 * Context: any, but visit runs in the caller's. Progress: wait-free but for visit. Memory: none.
 * Returns: BID_OK, BID_E_NULL, or what visit returned. */
typedef int (*bid_maps_visit)(void *argument, const struct bid_mapping *mapping);
int bid_maps_iterate(const struct bid_maps *maps, bid_maps_visit visit, void *argument, uint64_t *number);

/* What became of the snapshots: published, and retired but not freed yet.
 * Context: any. Progress: wait-free. Memory: none. */
uint64_t bid_maps_published(const struct bid_maps *maps);
uint64_t bid_maps_waiting(const struct bid_maps *maps);

/* ------------------------------------------------------------------------- build-ID notes (csrc/note) -- */
/*
 * Reads the build ID of an ELF file from the bytes that hold it, a few KiB whatever the size of the file. The parser
 * is a state machine without I/O: it is given bytes, and says which bytes it wants next.
 *
 *     struct bid_elf elf;
 *     bid_elf_begin(&elf, BID_ELF_FILE);
 *     while ((status = bid_elf_feed(&elf, offset, buffer, n)) == BID_ELF_MORE)
 *         n = pread(fd, buffer, sizeof buffer, offset = elf.want_offset);   (first time: n and offset are 0)
 *
 * It reads ELF files of 32 and 64 bits in both byte orders and of every type. Notes are looked for in the PT_NOTE
 * segments first, then in the SHT_NOTE sections; the first GNU build ID wins, and without one the first Go build ID.
 * Alignment 8 of a segment or section is followed, any other means 4. A part of alignment 8 without a GNU build ID is
 * read once more with alignment 4: some linkers lay notes out so, and Linux reads all notes so. A build ID wins over
 * damage elsewhere in the file: a malformed part is passed over, and reported only if the rest has no build ID. A build
 * ID that is longer than BID_ID_MAX (the Go linker writes one of 83 bytes) is passed over as well, and reported as
 * BID_ELF_LONG_ID if there is no other.
 */

/* Bounds that hold for any input: the parser examines at most BID_ELF_MAX_STEPS program headers, section headers and
 * notes, and wants at most BID_ELF_MAX_WANT bytes for each, once. It allocates nothing. */
#define BID_ELF_MAX_STEPS (1u << 20)
#define BID_ELF_MAX_WANT 80

enum bid_elf_mode {
    BID_ELF_FILE = 0,   /* an ELF file, or a file that is notes and nothing else (/sys/kernel/notes) */
    BID_ELF_IMAGE = 1,  /* ELF as it lies in memory (the vDSO): segments are found by their address */
    BID_ELF_NOTES = 2,  /* notes and nothing else, 4-byte aligned */
    BID_ELF_KERNEL = 3, /* an ELF file; the answer is what Linux 6.12 and later find: PT_NOTE segments within the
                           first 4 GiB, only for ET_EXEC and ET_DYN, in native byte order, the first
                           BID_ELF_KERNEL_PHDRS program headers, GNU build IDs of at most BID_ID_NARROW bytes; all
                           else is BID_ELF_NO_BUILD_ID */
    BID_ELF_MODES = 4,
};
#define BID_ELF_KERNEL_PHDRS 256

enum bid_elf_status {
    BID_ELF_OK = 0,          /* the build ID is in .id */
    BID_ELF_MORE = 1,        /* feed the bytes at .want_offset next, at least .want_length of them */
    BID_ELF_NO_BUILD_ID = 2, /* well-formed as far as it was read, and without a build ID */
    BID_ELF_NOT_ELF = 3,     /* neither ELF nor notes */
    BID_ELF_LONG_ID = 4,     /* well-formed, but the build ID has .long_length bytes, more than BID_ID_MAX */
    BID_ELF_COMPRESSED = 5,  /* begins as gzip, xz and zstd do: to be decompressed first. BID_ELF_FILE only */

    /* Malformed: .error_offset is the offset of what is wrong. */
    BID_ELF_E_TRUNCATED = -1, /* a header, note or build ID lies past the end of the file */
    BID_ELF_E_CLASS = -2,     /* e_ident says neither 32 nor 64 bits */
    BID_ELF_E_DATA = -3,      /* e_ident says neither little nor big endian */
    BID_ELF_E_VERSION = -4,   /* e_ident says another version than 1 */
    BID_ELF_E_PHENTSIZE = -5, /* e_phentsize is not the size of a program header */
    BID_ELF_E_SHENTSIZE = -6, /* e_shentsize is not the size of a section header */
    BID_ELF_E_NOTE = -7,      /* a note is longer than its segment or section */
    BID_ELF_E_ID_LENGTH = -8, /* a GNU build ID is empty */
    BID_ELF_E_TOO_MANY = -9,  /* BID_ELF_MAX_STEPS reached */

    BID_ELF_E_MODE = -10, /* the mode is none of enum bid_elf_mode */
    BID_ELF_E_IO = -11,   /* reading failed, see errno (functions that do I/O only) */
};

enum bid_elf_owner {
    BID_ELF_OWNER_NONE = 0,
    BID_ELF_OWNER_GNU = 1, /* NT_GNU_BUILD_ID, name "GNU" */
    BID_ELF_OWNER_GO = 2,  /* type 4, name "Go" */
};

struct bid_elf {
    uint64_t want_offset;  /* with BID_ELF_MORE */
    uint32_t want_length;  /* with BID_ELF_MORE: 1 to BID_ELF_MAX_WANT */
    int32_t error;         /* the first thing found malformed, also with BID_ELF_OK; else 0 */
    uint64_t error_offset; /* where */
    uint64_t id_offset;    /* with BID_ELF_OK and BID_ELF_LONG_ID: where the build ID stands */
    uint32_t long_length;  /* with BID_ELF_LONG_ID: its bytes */
    uint8_t id_length;     /* with BID_ELF_OK: 1 to BID_ID_MAX; else 0 */
    uint8_t id_owner;      /* with BID_ELF_OK and BID_ELF_LONG_ID: enum bid_elf_owner */
    uint8_t id[BID_ID_MAX];

    /* Private to csrc/note from here on. */
    uint8_t mode, phase, is64, big_endian, in_sections, again;
    uint16_t shentsize;
    uint32_t steps;
    uint32_t align;
    uint64_t phoff, phnum, shoff, shnum; /* the header tables */
    uint64_t next;                       /* the next program or section header, or the type of the last one */
    uint64_t base;                       /* BID_ELF_IMAGE: the address of the first byte */
    uint64_t notes, note, notes_end;     /* the segment or section at hand; from note on it is still to be read */
};

/* Begins to parse. mode is one of enum bid_elf_mode.
 * Context: any. Progress: wait-free. Memory: none. */
void bid_elf_begin(struct bid_elf *elf, int mode);

/* Goes on with the `length` bytes of the file that begin at `offset`. They should contain the range wanted; that they
 * do not means that the file ends before it. data may be NULL if length is 0. Not to be called again after a return
 * other than BID_ELF_MORE.
 * Context: any. Progress: wait-free, at most BID_ELF_MAX_STEPS steps in all calls together. Memory: none.
 * Returns: one of enum bid_elf_status. */
int bid_elf_feed(struct bid_elf *elf, uint64_t offset, const void *data, size_t length);

/* Parses a file or image that is in memory as a whole: begin and feed in one.
 * Context: any. Progress: wait-free, at most BID_ELF_MAX_STEPS steps. Memory: none.
 * Returns: one of enum bid_elf_status, but not BID_ELF_MORE. */
int bid_elf_parse(struct bid_elf *elf, int mode, const void *data, size_t length);

/* A sentence for one of enum bid_elf_status, in English, without a full stop.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
const char *bid_elf_status_text(int status);

/* Its name, as in this header ("BID_ELF_E_NOTE"), or "BID_ELF_?" for a number that is none.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
const char *bid_elf_status_name(int status);

/* What bid_elf_read_files() says of one file. */
struct bid_elf_answer {
    int32_t status;  /* one of enum bid_elf_status, but not BID_ELF_MORE */
    int32_t errnum;  /* with BID_ELF_E_IO: errno; else 0 */
    uint64_t offset; /* with an error: where; else 0 */
    uint8_t length;  /* with BID_ELF_OK: 1 to BID_ID_MAX; else 0 */
    uint8_t id[BID_ID_MAX];
};

/* Parses an open file with pread(), so its file position stays.
 * Context: thread. Progress: blocking (system calls). Memory: none. May change errno.
 * Returns: one of enum bid_elf_status, but not BID_ELF_MORE. */
int bid_elf_read_fd(struct bid_elf *elf, int mode, int fd);

/* Parses what begins at `offset` of an open file and has at most `size` bytes, such as a library in an archive. All
 * offsets in *elf count from there. size may be larger than what the file has from there on.
 * Context: thread. Progress: blocking (system calls). Memory: none. May change errno.
 * Returns: one of enum bid_elf_status, but not BID_ELF_MORE. */
int bid_elf_read_part(struct bid_elf *elf, int mode, int fd, uint64_t offset, uint64_t size);

/* Parses regular files; anything else (directories, devices, pipes) is not opened, but answered with EISDIR or
 * ENOTSUP. paths is n strings, each ended by a NUL, one after the other; answers has n elements.
 * Context: thread. Progress: blocking (system calls). Memory: none. May change errno. */
void bid_elf_read_files(struct bid_elf_answer *answers, int mode, const char *paths, size_t n);

#ifdef __cplusplus
}
#endif
#endif
