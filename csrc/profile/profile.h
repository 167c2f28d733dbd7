/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A sampling profiler whose signal handler resolves: what is counted is (build ID, file offset), the same in every
 * process and after it, not an address that means something only as long as the mappings last.
 *
 * The counts are in a file that every profiled process maps. So they are there however a process ends, and a program
 * and the ones it starts count into one profile. Whoever wants one makes the file (pybuildid/profile.py), and either
 * calls bid_profile_start(), or starts a program with this library in LD_PRELOAD and the path in PYBUILDID_PROFILE.
 */
#ifndef BID_PROFILE_H
#define BID_PROFILE_H

#include "../table/bid_atomic.h"
#include "pybuildid.h"

#include <signal.h>

#define BID_PROFILE_MAGIC "BIDPROF1"

enum bid_profile_flags {
    BID_PROFILE_PARSE = 1u << 0, /* for comparison, parse the file's first page at each sample, if it is in memory */
    BID_PROFILE_EVICT = 1u << 1, /* from time to time, ask the kernel to drop the first page of each mapped file */
    BID_PROFILE_TIMER = 1u << 2, /* a timer of the process, even where perf events are to be had */
};

enum bid_profile_source { BID_PROFILE_BY_PERF = 1, BID_PROFILE_BY_TIMER = 2 }; /* as bits */

/* One thing that was sampled, and how often. Claimed by its key, which stands for all the rest. */
struct bid_profile_entry {
    bid_word key;    /* 0: free */
    bid_word count;  /* samples */
    bid_word filled; /* 1: what follows is there */
    int32_t reason;  /* enum bid_resolve_reason */
    uint32_t id_length;
    uint64_t address; /* with a build ID: the offset in the file; else the instruction pointer */
    uint8_t id[BID_ID_MAX];
};

/* An executable range of a process that counts here. */
struct bid_profile_module {
    uint32_t bytes; /* of this record, path included; a multiple of 8 */
    uint32_t process;
    uint64_t start, end, offset, header, id_offset; /* as in struct bid_mapping */
    uint32_t id_length;                             /* 0: none is known */
    uint8_t id[BID_ID_MAX];
    char path[]; /* ends with a NUL, or several */
};

/* The head of the file; entries follow, then modules. What comes before `processes` is set by its maker. */
struct bid_profile {
    char magic[8];
    uint64_t entries; /* a power of two */
    uint64_t module_bytes;
    uint32_t frequency; /* samples a second of CPU time, of each thread */
    uint32_t follow_ms; /* how often mappings are looked at */
    uint32_t flags;     /* enum bid_profile_flags */
    uint32_t unused;
    bid_word processes; /* that have counted here */
    bid_word sources;   /* enum bid_profile_source */
    bid_word samples;
    bid_word ticks; /* periods of CPU time that they stand for: a timer of the process may be coarser than asked for */
    bid_word lost;  /* no entry was free */
    bid_word reasons[BID_RESOLVE_REASONS]; /* of all samples */
    bid_word parsed;                       /* with BID_PROFILE_PARSE: the build ID was found on the spot */
    bid_word not_in_memory;                /* likewise: the page was not in memory */
    bid_word not_parsed;                   /* likewise: anything else */
    bid_word module_used;                  /* bytes */
    bid_word modules_lost;
    bid_word late;    /* not samples: the signal was blocked when it was due */
    bid_word refused; /* programs that are not profiled: Go's */
    struct bid_profile_entry table[];
};

/* Starts to profile this process, into the file at `path`. One at a time.
 * Context: thread. Progress: blocking. Memory: allocates. May change errno.
 * Returns: 0, or an errno: EBUSY (one is running), EINVAL (not such a file), or what a system call said. */
int bid_profile_start(const char *path);

/* Ends it; the counts stay in the file. Context: thread. Progress: blocking, until handlers that run are done. */
void bid_profile_stop(void);

/* ---- sample.c */
/* Resolves ip and counts it, for so many periods. Context: any. Progress: wait-free. Memory: none. Keeps errno. */
void bid_profile_sample(struct bid_profile *profile, const struct bid_maps *maps, uint64_t ip, uint64_t ticks);

/* ---- modules.c */
/* Writes down the executable ranges that are new to the current snapshot, or all. Context: thread. */
void bid_profile_modules(struct bid_profile *profile, const struct bid_maps *maps, int all);
/* BID_PROFILE_EVICT. Context: thread. */
void bid_profile_evict(const struct bid_maps *maps);

/* ---- program.c */
/* Whether the main program is written in Go. Context: thread. */
int bid_profile_is_go(void);

/* What a signal calls. `ticks`: periods of CPU time since the last one. `late`: the signal was blocked when it was due, so
 * that ip is not what was interrupted then. */
typedef void (*bid_profile_handler)(uint64_t ip, uint64_t ticks, int late);

/* ---- sources.c */
/* Has `handler` called for every thread of this process but the caller, those to come included, each time it has used so
 * much CPU time, or `ticks` times that. Context: thread. Returns: 0 or an errno. */
int bid_profile_arm(struct bid_profile *profile, bid_profile_handler handler);
void bid_profile_disarm(void);

/* ---- signals.c */
/* What perf events and the timer of the profiler send along, to be told from others. */
#define BID_PROFILE_COOKIE ((void *)(uintptr_t)0x424944)

/* From now on `handler` gets the profiler's SIGTRAP or SIGPROF; the program's action for it gets all others, also where
 * the program changes it by sigaction() or signal(), if this library is preloaded. Context: thread.
 * Returns: 0 or an errno. */
int bid_profile_take(int signal, bid_profile_handler handler);
/* The program's action is in force again. Context: thread. */
void bid_profile_give_back(int signal);

#endif
