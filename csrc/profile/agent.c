/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Registering a process: claim a slot, say so, and wait for the answer.
 *
 * While it waits no code of the program runs, for it is in a constructor or a fork handler. The wait has a limit: if
 * the profiler has been killed, the first process that finds out says so in the recording, and no other waits again.
 */
#define _GNU_SOURCE
#include "agent.h"

#include "futex.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct {
    _Atomic(struct bid_recording *) recording; /* NULL: handlers count nothing */
    _Atomic(struct bid_slot *) slot;           /* NULL: the process is not registered */
    bid_word handlers;                         /* that are running */
    uint64_t claim;                            /* slot->claim, for the server to see that this is the process */
    int signal;                                /* that is taken; 0: none */
    pid_t process;                             /* whose slot it is: not that of a child that a fork made since */
} agent;

static void on_sample(const struct bid_interrupted *at, uint64_t ticks, int late)
{
    bid_add(&agent.handlers, 1, memory_order_seq_cst); /* with let_go(): it sees this, or this sees NULL */
    struct bid_recording *recording = bid_load(&agent.recording, memory_order_seq_cst);
    struct bid_slot *slot = bid_load(&agent.slot, BID_RELAXED);
    if (recording && !bid_load(&recording->serving, BID_RELAXED)) {
        if (agent.signal == SIGPROF)
            bid_timer_stop(); /* the profile has ended, and the process goes on */
    } else if (recording && late)
        bid_add(&recording->late, 1, BID_RELAXED);
    else if (recording && slot)
        bid_agent_sample(recording, slot, at, ticks);
    bid_sub(&agent.handlers, 1, memory_order_release); /* pairs with let_go() */
}

void bid_agent_refuse(struct bid_recording *recording, enum bid_refusal why)
{
    bid_add(&recording->refused[why], 1, BID_RELAXED);
}

void bid_agent_ignored(void)
{
    struct bid_recording *recording = bid_load(&agent.recording, BID_RELAXED);
    if (recording)
        bid_agent_refuse(recording, BID_REFUSED_IGNORED);
}

/* ------------------------------------------------------------------------------------------------- the slot -- */

static struct bid_slot *claim_slot(struct bid_recording *recording)
{
    agent.claim = bid_add(&recording->claims, 1, BID_RELAXED) + 1;
    for (unsigned i = 0; i < BID_SLOTS; i++) {
        struct bid_slot *slot = &recording->slots[(agent.claim + i) % BID_SLOTS];
        uint32_t state = BID_SLOT_FREE;
        /* acquire: what the server wrote when it freed the slot comes before what is written now */
        if (bid_load(&slot->state, BID_RELAXED) == state &&
            bid_cas(&slot->state, &state, BID_SLOT_CLAIMED, memory_order_acquire))
            return slot;
    }
    bid_agent_refuse(recording, BID_REFUSED_NO_SLOT);
    return NULL;
}

static void ring(struct bid_recording *recording)
{
    bid_add(&recording->bell, 1, memory_order_release); /* pairs with the server's load before it looks at the slots */
    bid_futex_wake(&recording->bell);
}

/* The server's answer, or BID_SLOT_WAITING if there is none in time. */
static uint32_t wait_for_answer(struct bid_recording *recording, struct bid_slot *slot)
{
    uint64_t now = bid_now_ms(), end = now + BID_AGENT_PATIENCE_MS;
    uint32_t state;
    while ((state = bid_load(&slot->state, memory_order_acquire)) == BID_SLOT_WAITING && now < end) { /* (A) */
        bid_futex_wait(&slot->state, BID_SLOT_WAITING, end - now);
        now = bid_now_ms();
    }
    if (state != BID_SLOT_WAITING)
        return state;
    bid_store(&recording->serving, 0, BID_RELAXED); /* the server, if there still is one, sets it again */
    bid_agent_refuse(recording, BID_REFUSED_SILENT);
    return state;
}

static uint32_t enlist(struct bid_recording *recording, struct bid_slot *slot, int ignores_trap)
{
    slot->process = (uint32_t)getpid();
    slot->claim = agent.claim;
    slot->proof = (uintptr_t)&agent.claim;
    slot->random = getauxval(AT_RANDOM);
    slot->ignores_trap = (uint32_t)ignores_trap;
    slot->pid = 0;
    bid_store(&slot->view, 0, BID_RELAXED);
    bid_store(&slot->inside, 0, BID_RELAXED);
    bid_store(&slot->looks, 0, BID_RELAXED);
    bid_store(&slot->confirmed, 0, BID_RELAXED);
    bid_store(&slot->state, BID_SLOT_WAITING, memory_order_release); /* (R) pairs with the server's scan */
    ring(recording);
    return wait_for_answer(recording, slot);
}

/* ---------------------------------------------------------------------------------------- the two sources -- */

static int take(int signal)
{
    int error = bid_signals_take(signal, on_sample);
    agent.signal = error ? 0 : signal;
    return error;
}

static void give_back(int pending)
{
    if (agent.signal)
        bid_signals_give_back(agent.signal, pending);
    agent.signal = 0;
}

/* No handler uses the slot any more. They end soon, unless their thread is stopped: then nothing of it is given back.
 * Returns whether that is so. */
static int let_go(struct bid_slot *slot)
{
    bid_store(&agent.recording, NULL, memory_order_seq_cst); /* pairs with on_sample() */
    for (int i = 0; i < 1000 && bid_load(&agent.handlers, memory_order_seq_cst); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (bid_load(&agent.handlers, memory_order_seq_cst))
        return 0;
    bid_store(&agent.slot, NULL, BID_RELAXED);
    bid_store(&slot->state, BID_SLOT_LEFT, memory_order_release); /* pairs with the server's scan */
    return 1;
}

static int use_timer(struct bid_recording *recording, struct bid_slot *slot)
{
    give_back(0);
    int error = take(SIGPROF);
    if (!error)
        error = bid_timer_start(recording->frequency);
    if (error) {
        give_back(0);
        recording->error = error;
        bid_agent_refuse(recording, error == EALREADY ? BID_REFUSED_IGNORED : BID_REFUSED_NO_EVENT);
        return error;
    }
    bid_or(&recording->sources, BID_PROFILE_BY_TIMER, BID_RELAXED);
    bid_store(&slot->state, BID_SLOT_RUNNING, memory_order_release);
    return 0;
}

/* The handler is there before the events are, for the first may come at once. */
static int enroll(struct bid_recording *recording)
{
    if (!bid_load(&recording->serving, memory_order_acquire)) /* pairs with the server's start */
        return ECONNREFUSED;
    struct bid_slot *slot = claim_slot(recording);
    if (!slot)
        return EAGAIN;
    bid_store(&agent.slot, slot, BID_RELAXED);
    bid_store(&agent.recording, recording, memory_order_seq_cst);
    int error = recording->flags & BID_PROFILE_TIMER ? 0 : take(SIGTRAP);
    uint32_t state = enlist(recording, slot, error != 0);
    if (state == BID_SLOT_PERF)
        return 0;
    error = state == BID_SLOT_TIMER ? use_timer(recording, slot) : state == BID_SLOT_WAITING ? ETIMEDOUT : EPERM;
    if (!error)
        return 0;
    give_back(state == BID_SLOT_WAITING); /* the server may have opened the events after all */
    if (let_go(slot))
        ring(recording);
    return error;
}

/* The child of a fork has its parent's mapping and handler, but no events, no timer, no slot,
 * and no handler that runs. */
static void forget(void)
{
    bid_timer_forget();
    bid_store(&agent.handlers, 0, BID_RELAXED);
    bid_store(&agent.recording, NULL, BID_RELAXED);
    bid_store(&agent.slot, NULL, BID_RELAXED);
}

int bid_agent_start(struct bid_recording *recording)
{
    if (bid_load(&agent.slot, BID_RELAXED))
        return EBUSY;
    int error = enroll(recording);
    agent.process = getpid();
    if (!error)
        bid_add(&recording->processes, 1, BID_RELAXED);
    return error;
}

int bid_agent_stop(void)
{
    struct bid_slot *slot = bid_load(&agent.slot, BID_RELAXED);
    if (!slot)
        return 1;
    if (agent.process == getpid()) {
        bid_timer_stop();
        give_back(1);
        return let_go(slot);
    }
    give_back(0);
    forget();
    return 0;
}

/* The server closes the events before it frees the slot, which may be another process's at once. */
static void wait_for_release(struct bid_recording *recording, struct bid_slot *slot)
{
    uint64_t now = bid_now_ms(), end = now + BID_AGENT_PATIENCE_MS;
    ring(recording);
    while (bid_load(&slot->state, memory_order_acquire) == BID_SLOT_LEFT && now < end) { /* pairs with release() */
        bid_futex_wait(&slot->state, BID_SLOT_LEFT, 10); /* another waiter may have been woken */
        now = bid_now_ms();
    }
}

void bid_agent_leave(enum bid_refusal why)
{
    int before = errno;
    struct bid_recording *recording = bid_load(&agent.recording, BID_RELAXED);
    struct bid_slot *slot = bid_load(&agent.slot, BID_RELAXED);
    if (recording && slot && agent.process == getpid()) {
        bid_agent_refuse(recording, why);
        bid_timer_stop();
        if (let_go(slot))
            wait_for_release(recording, slot);
    }
    errno = before;
}

void bid_agent_forked(void)
{
    int before = errno;
    struct bid_recording *recording = bid_load(&agent.recording, BID_RELAXED);
    if (recording) {
        give_back(0);
        forget();
        bid_agent_start(recording);
    }
    errno = before;
}

/* ------------------------------------------------------------------------------------------- the recording -- */

static int is_recording(const struct bid_recording *recording)
{
    return memcmp(recording->magic, BID_RECORDING_MAGIC, sizeof recording->magic) == 0 &&
           recording->bytes == sizeof *recording && recording->shared == offsetof(struct bid_recording, modules) &&
           recording->frequency && recording->frequency <= 100000 && recording->follow_ms;
}

/* Maps the head alone, to say that the rest would take what is limited: such a program ends
 * when it has less than alone. */
static int is_limited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/* Mapped and closed at once: nothing of it is open when the program begins. */
int bid_agent_map(const char *path, struct bid_recording **recording)
{
    size_t shared = offsetof(struct bid_recording, modules);
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), error = 0;
    if (fd < 0)
        return errno;
    if (fstat(fd, &status) != 0 || status.st_size != (off_t)sizeof **recording)
        error = EINVAL;
    size_t bytes = is_limited() ? offsetof(struct bid_recording, counts) : shared;
    void *memory = error ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!error && memory == MAP_FAILED)
        error = errno;
    close(fd);
    if (error)
        return error;
    *recording = memory;
    if (!is_recording(memory))
        error = EINVAL;
    else if (bytes < shared) {
        bid_agent_refuse(memory, BID_REFUSED_LIMITED);
        error = ENOMEM;
    }
    if (error)
        munmap(memory, bytes);
    return error;
}
