/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The profiler's part outside of the profiled processes: a thread that answers the agents of a recording, opens their
 * perf events, and keeps their views and the names in the recording current.
 *
 * The thread has a table of descriptors of its own, and all signals blocked. So it can also run within a process that
 * profiles itself: nothing that the program does with descriptors meets those of the thread, and none of them is left
 * to a child.
 */
#ifndef BID_SERVER_H
#define BID_SERVER_H

#include "recording.h"

#include "../resolve/guest.h"
#include "../resolve/snapshot.h"

#include <pthread.h>
#include <sched.h>
#include <sys/types.h>

struct bid_server;

/* A recording in memory of this process, or in a file that is made at `path`, which other
 * processes of this user can map.
 * Context: thread. Returns: NULL with errno EINVAL, EEXIST, or what the system said. */
BID_EXPORTED struct bid_recording *bid_recording_create(const char *path, uint32_t frequency, uint32_t follow_ms,
                                                        uint32_t flags);
/* Unmaps it; the file is the caller's to remove. Context: thread. */
BID_EXPORTED void bid_recording_destroy(struct bid_recording *recording);

/* `path`: of the recording, or NULL. 0 or an errno. Context: thread. Memory: allocates. */
BID_EXPORTED int bid_server_start(struct bid_server **server, struct bid_recording *recording, const char *path);
/* Ends the thread, closes all events, frees it. In the child of a fork, which has no such thread, it frees it only.
 * Context: thread. Progress: blocking, for as long as a look at all mappings takes. */
BID_EXPORTED void bid_server_stop(struct bid_server *server);

/* ------------------------------------------------------------------------------------------ the parts of it -- */

#define BID_SIZES 24 /* classes of views: 64 bytes << 0.. */

struct bid_server {
    struct bid_recording *recording;
    struct bid_target *targets[BID_SLOTS]; /* as the slots */
    uint32_t modules[BID_MODULE_LAST + 1]; /* modules.c: a hash table of numbers; 0: free */
    uint32_t module_offsets[BID_MODULE_LAST + 1];
    uint32_t module_count;
    uint64_t view_end, view_free[BID_SIZES]; /* views.c: offsets in the recording */
    uint64_t device, inode;                  /* of the recording's file; 0: it is in this process's memory */
    pthread_t thread;
    pid_t process, thread_id;
    struct bid_guest guest;  /* that the thread is, in a process that profiles itself */
    _Atomic(uint32_t) state; /* a futex: 0 until the thread is ready, 1 ready, 2 is to end */
    int error;
};

/* A process that is being profiled. */
struct bid_target {
    struct bid_slot *slot;
    pid_t pid;
    uint64_t start_time; /* with the PID, which process it is */
    int *events, event_count, event_room;
    uint64_t view, old; /* offsets; `old` may still be read: see (N) */
    uint32_t compiled;  /* the number of its module of bid_module_compiled(); 0: none */
};

/* ---- process.c */
/* The process of a slot: its own PID if it is in our namespace, else the one that NSpid of /proc/PID/status leads
 * to; it is the one that has slot->claim at slot->proof. 0: there is none that may be looked into. */
pid_t bid_process_find(const struct bid_slot *slot);
/* When the process started, in ticks since boot; 0: there is none. */
uint64_t bid_process_start_time(pid_t pid);
/* AT_RANDOM of the process, as the kernel gave it; 0: not known. */
uint64_t bid_process_random(pid_t pid);
/* Whether the file whose first byte is mapped at `header` is the program that the process runs. */
int bid_process_is_program(pid_t pid, uint64_t header);
/* Whether another process traces it. */
int bid_process_is_traced(pid_t pid);
/* /proc/PID/maps, whole. 0 or an errno. */
int bid_process_maps(pid_t pid, struct bid_maps_text *text);
/* Fills in status, ID and its offset of a file that the process has mapped: from its memory, or from the file if the
 * kernel shows that it is the same. `memory`: a descriptor of /proc/PID/mem. */
void bid_process_file(pid_t pid, int memory, const struct bid_range *range);
int bid_process_memory(pid_t pid);

/* ---- events.c: perf events of every thread of a process, threads to come included; none in
 * the children of its forks. */
/* 0 or an errno; then none is open. `but`: a thread that gets none, or 0. */
int bid_events_open(struct bid_target *target, uint32_t frequency, pid_t but);
void bid_events_close(struct bid_target *target);

/* ---- views.c */
/* Reads the process's mappings and publishes a view of them if they have changed. 0, ESRCH if it is another
 * program by now, or an errno. */
int bid_view_refresh(struct bid_server *server, struct bid_target *target);
void bid_view_release(struct bid_server *server, struct bid_target *target);
/* BID_PROFILE_EVICT. */
void bid_view_evict(struct bid_server *server, struct bid_target *target);

/* ---- stacks.c */
/* Adds the stacks that /proc/PID/maps shows to a view that has its ranges, and room for BID_VIEW_STACKS after them. */
void bid_view_stacks(struct bid_view *view, const struct bid_maps_text *text);

/* ---- modules.c */
/* The number of a range's file, which is written down when it is first seen; below
 * BID_MODULE_FIRST: there is no room. */
uint32_t bid_module_number(struct bid_server *server, pid_t pid, const struct bid_range *range, uint32_t reason);
/* The same for code without a file, which the process made at run time: all of it is one module, whose offsets are
 * addresses, and whose path is that of the names that the process writes for perf, /tmp/perf-PID.map.
 * BID_SAMPLE_NO_FILE: the process writes none. */
uint32_t bid_module_compiled(struct bid_server *server, struct bid_target *target, const struct bid_range *range);
/* Of the module with this number; "": there is none. */
const char *bid_module_path(const struct bid_server *server, uint32_t number);

#endif
