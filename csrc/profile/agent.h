/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The profiler's part in a process that is profiled. It is a guest there: memory, a signal handler, and nothing else.
 * No thread, no descriptor that stays open, no signal but the one that takes samples, no system call in the handler.
 *
 * Processes get it by LD_PRELOAD (csrc/preload), or start it themselves.
 */
#ifndef BID_AGENT_H
#define BID_AGENT_H

#include "recording.h"

#include <signal.h>

/* ---- agent.c */
/* Registers this process with the server of the recording, which must be serving, and waits until its events are on.
 * One at a time. Context: thread. Progress: blocking, at most BID_AGENT_PATIENCE_MS. Memory: none. May change errno.
 * Returns: 0, or an errno: EBUSY (one is running), else why no samples can be taken; the slot is given back. */
BID_EXPORTED int bid_agent_start(struct bid_recording *recording);
#define BID_AGENT_PATIENCE_MS 2000

/* Gives the signal and the slot back, after the server has closed the events. The child of a fork has no slot and no
 * events, so there it gives back the signal only.
 * Context: thread. Progress: blocking, until handlers that run are done, at most a second.
 * Returns: whether they are done; otherwise the recording must stay mapped. */
BID_EXPORTED int bid_agent_stop(void);

/* Ends the sampling of this process, because the program is about to do something that it could not do as usual while
 * it is sampled. After the return no signal of the profiler comes any more, except one that is pending for a thread
 * that blocks it. The handler stays, to hide such signals from the program. Does nothing if the process is not
 * registered, or is the child of a vfork().
 * Context: thread. Progress: blocking, at most BID_AGENT_PATIENCE_MS. Memory: none. Keeps errno. */
void bid_agent_leave(enum bid_refusal why);

/* Maps the recording at `path`, as agents map it. 0 or an errno; nothing stays open. Context: thread. */
BID_EXPORTED int bid_agent_map(const char *path, struct bid_recording **recording);

/* In the child of a fork: registers it, if its parent was. Context: fork handler. Keeps errno. */
void bid_agent_forked(void);

/* Counts this process among those that are not sampled. Context: any. */
void bid_agent_refuse(struct bid_recording *recording, enum bid_refusal why);

/* The program has begun to ignore the signal that takes samples. Context: any. */
void bid_agent_ignored(void);

/* ---- sample.c */
/* What a signal has interrupted, from its registers. */
struct bid_interrupted {
    uint64_t ip, sp, fp; /* instruction, stack and frame pointer */
    uint64_t thread;     /* the thread pointer, which is above the frames of a thread that libc made; 0: not known */
};

/* Finds ip in the slot's view and counts it, for so many periods, with its callers. Context: any. Progress: wait-free.
 * Memory: none. Makes no system call, unless BID_PROFILE_PARSE asks for the comparison. Keeps errno. */
void bid_agent_sample(struct bid_recording *recording, struct bid_slot *slot, const struct bid_interrupted *at,
                      uint64_t ticks);

/* The one of so many ranges, sorted, that has the address; NULL: none. Context: any. */
const struct bid_view_range *bid_view_find(const struct bid_view_range *ranges, uint64_t count, uint64_t address);

/* The key of an address in the range (NULL: in none), as in struct bid_count. */
uint64_t bid_agent_key(const struct bid_view_range *range, uint64_t address);

/* The count of an address with this key, which may be a new one; NULL: there is no room. Context: any. */
struct bid_count *bid_agent_count(struct bid_recording *recording, uint64_t key);

/* ---- frames.c */
/* Counts the stack whose innermost frame has this key. `confirmed`: slot->confirmed before the view was loaded.
 * Context: a signal handler of the thread, or the thread itself. Progress: wait-free. Memory: none. */
void bid_agent_stack(struct bid_recording *recording, const struct bid_slot *slot, const struct bid_view *view,
                     uint64_t confirmed, const struct bid_interrupted *at, uint64_t key);

/* ---- program.c */
/* Whether the main program is written in Go. Context: thread. */
int bid_agent_is_go(void);

/* ---- timer.c: a timer of the CPU time of the process, which sends SIGPROF. It needs no descriptor. */
/* 0 or an errno. Context: thread. */
int bid_timer_start(uint32_t frequency);
/* Context: any: one system call. */
void bid_timer_stop(void);
/* The timer is not inherited by the child of a fork. */
void bid_timer_forget(void);

/* ---- signals.c */
/* What perf events and the timer of the profiler send along, to be told from others. */
#define BID_PROFILE_COOKIE ((void *)(uintptr_t)0x424944)

/* What a signal calls. `ticks`: periods of CPU time since the last one. `late`: the signal was blocked when it was
 * due, so that *at is not what was interrupted then. */
typedef void (*bid_agent_handler)(const struct bid_interrupted *at, uint64_t ticks, int late);

/* From now on `handler` gets the profiler's SIGTRAP or SIGPROF; the program's action for it gets all others, also where
 * the program changes it by bid_signals_action(). An ignored signal stays ignored: EALREADY. Context: thread.
 * Returns: 0 or an errno. */
int bid_signals_take(int signal, bid_agent_handler handler);

/* The program's action is in force again. `pending`: some of the profiler's signals may be on their way; where they
 * would end the program its action stays away, for they still have to find a handler. Context: thread. */
void bid_signals_give_back(int signal, int pending);

/* sigaction() as the program sees it. Context: any. */
int bid_signals_action(int signal, const struct sigaction *action, struct sigaction *before);

/* The program has an alternate stack of so many bytes. If a sample does not fit there, samples are no longer taken on
 * alternate stacks. Context: any. */
void bid_signals_stack(size_t bytes);

/* The signal that is taken; 0: none. Context: any. */
int bid_signals_taken(void);

/* Whether a signal with this siginfo_t comes from the profiler. Context: any. */
int bid_signals_is_ours(const siginfo_t *info);

#endif
