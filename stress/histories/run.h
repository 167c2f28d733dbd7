/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Inside the recorder: the history that is being recorded, what its threads do, and the processor's trap flag, by which
 * they interrupt themselves after an exact number of instructions.
 */
#ifndef RUN_H
#define RUN_H

#include "recorder.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <ucontext.h>

#define LEVELS 3 /* a thread, and nested in it a handler of each signal */

/* What a thread and its handlers write; nobody else does, so it is counted without atomic additions. */
struct worker {
    _Alignas(64) unsigned number;
    pid_t tid;
    sem_t go;         /* posted for each history that it takes part in */
    atomic_int armed; /* handlers may do operations */
    atomic_int level; /* so many handlers are nested now */
    atomic_int inside[LEVELS];
    atomic_uint used, handled; /* of ops, and of the handlers' script */
    uint32_t trap_left, trap_stand;
    struct recorder_tally tally;
    struct history_op ops[(PLAN_STEPS + PLAN_HANDLER_STEPS) * PLAN_KEYS];
};

/* The history that is being recorded. */
struct run {
    struct worker worker[PLAN_THREADS];
    const struct plan *plan;
    struct bid_table *table;
    _Alignas(64) _Atomic(uint64_t) clock;
    _Alignas(64) atomic_uint ready, running; /* threads that are at the start of a history, or are in it */
    atomic_uint stepping;                    /* threads that go to their trap, an instruction at a time */
    sem_t gone;                              /* posted by each that has done its part */
    _Atomic(uint64_t) filled, drained; /* background keys: those from `drained` to `filled` are in the table, or are on
                                          their way in or out */
    _Atomic(int64_t) background;       /* how many are */
};

extern struct run run;

/* Does an operation on one key, and fills in what it answered and when. */
void operation_record(struct history_op *op, int trap, struct recorder_tally *tally);

/* The same of a thread or its handler, also of operations on all keys. trap: steps. */
void operation_perform(struct worker *worker, const struct history_op *planned, unsigned level, int trap);

/* --------------------------------------------------------------------------------------------- trap flag -- */

/* ThreadSanitizer delivers every signal late, so a trap would not interrupt what it was set for. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define TRAP_FLAG 0x100

/* Each of these skips the red zone, which the interrupted function may be using. */
static inline void trap_on(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(TRAP_FLAG)
                     : "memory", "cc");
}

static inline void trap_off(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(~TRAP_FLAG)
                     : "memory", "cc");
}

static inline void trap_leave(void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}
#else
static inline void trap_on(void)
{
}

static inline void trap_off(void)
{
}

static inline void trap_leave(void *context)
{
    (void)context;
}
#endif

#endif
