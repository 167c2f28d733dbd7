/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The server: answers agents when the bell rings, and looks at all mappings from time to time.
 *
 * A slot belongs to its agent until it is WAITING, then to the server until the answer, which is one compare-and-swap:
 * an agent that has lost patience has made it LEFT, and then what was opened is closed again. A slot is free again once
 * its process has left it, has ended, or runs another program.
 */
#define _GNU_SOURCE
#include "server.h"

#include "futex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9 */
#endif
#define UNSHARE 2u /* CLOSE_RANGE_UNSHARE */

enum { STARTING, READY, ENDING };

/* ------------------------------------------------------------------------------------------- one process -- */

static void forget(struct bid_server *server, unsigned i)
{
    struct bid_target *target = server->targets[i];
    if (target) {
        bid_events_close(target);
        bid_view_release(server, target);
        free(target);
        server->targets[i] = NULL;
    }
}

static void release(struct bid_server *server, unsigned i)
{
    struct bid_slot *slot = &server->recording->slots[i];
    forget(server, i);
    slot->pid = 0;
    bid_store(&slot->state, BID_SLOT_FREE, memory_order_release); /* pairs with claim_slot(), wait_for_release() */
    bid_futex_wake(&slot->state);
}

/* The process has another slot since it began to run another program. */
static void release_older(struct bid_server *server, unsigned but, pid_t pid)
{
    for (unsigned i = 0; i < BID_SLOTS; i++)
        if (i != but && server->targets[i] && server->targets[i]->pid == pid)
            release(server, i);
}

/* The server is not sampled where it is a thread of the process that is. */
static uint32_t open_source(struct bid_server *server, struct bid_target *target)
{
    struct bid_recording *recording = server->recording;
    if (recording->flags & BID_PROFILE_TIMER || target->slot->ignores_trap)
        return BID_SLOT_TIMER;
    int error = bid_events_open(target, recording->frequency, target->pid == server->process ? server->thread_id : 0);
    if (!error) {
        bid_or(&recording->sources, BID_PROFILE_BY_PERF, BID_RELAXED);
        return BID_SLOT_PERF;
    }
    recording->perf_error = error;
    return BID_SLOT_TIMER;
}

static int make_target(struct bid_server *server, unsigned i)
{
    struct bid_slot *slot = &server->recording->slots[i];
    struct bid_target *target = server->targets[i] = calloc(1, sizeof *target);
    if (!target)
        return BID_REFUSED_UNSEEN;
    target->slot = slot;
    target->pid = bid_process_find(slot);
    target->start_time = target->pid ? bid_process_start_time(target->pid) : 0;
    if (!target->start_time)
        return BID_REFUSED_UNSEEN;
    if (bid_process_is_traced(target->pid))
        return BID_REFUSED_TRACED;
    if (bid_process_random(target->pid) != slot->random)
        return BID_REFUSED_EMULATED;
    release_older(server, i, target->pid);
    slot->pid = (uint32_t)target->pid;
    return -1;
}

/* The view comes first: the threads of a process that profiles itself are running. A slot that was refused stays its
 * agent's, who gives it back; so one that is killed before it reads the answer keeps it. */
static void answer(struct bid_server *server, unsigned i)
{
    struct bid_slot *slot = &server->recording->slots[i];
    uint32_t waiting = BID_SLOT_WAITING, state = BID_SLOT_REFUSED;
    int refusal = make_target(server, i);
    if (refusal < 0) {
        bid_view_refresh(server, server->targets[i]);
        state = open_source(server, server->targets[i]);
    } else {
        forget(server, i);
        bid_add(&server->recording->refused[refusal], 1, BID_RELAXED);
    }
    if (!bid_cas(&slot->state, &waiting, state, memory_order_release)) /* (A) pairs with wait_for_answer() */
        release(server, i);
    else
        bid_futex_wake(&slot->state);
}

static void answer_all(struct bid_server *server)
{
    for (unsigned i = 0; i < BID_SLOTS; i++) {
        uint32_t state = bid_load(&server->recording->slots[i].state, memory_order_acquire); /* (R) */
        if (state == BID_SLOT_WAITING)
            answer(server, i);
        else if (state == BID_SLOT_LEFT)
            release(server, i);
    }
}

/* A process whose mappings cannot be read keeps the view that it has, unless it is gone. */
static void follow_all(struct bid_server *server)
{
    for (unsigned i = 0; i < BID_SLOTS; i++) {
        struct bid_target *target = server->targets[i];
        if (!target)
            continue;
        int error = bid_view_refresh(server, target);
        if (target->event_count && bid_process_is_traced(target->pid)) {
            bid_events_close(target); /* a debugger that has come meanwhile would get the signals */
            bid_add(&server->recording->refused[BID_REFUSED_TRACED], 1, BID_RELAXED);
        }
        if ((error == ESRCH || error == ENOENT) && target->pid != server->process)
            release(server, i);
        else if (server->recording->flags & BID_PROFILE_EVICT)
            bid_view_evict(server, target);
    }
}

/* ------------------------------------------------------------------------------------------- descriptors -- */

/* Before Linux 5.9: a copy of the table, of which all is closed. */
static int close_copies(void)
{
    DIR *copies;
    struct dirent *copy;
    if (unshare(CLONE_FILES) != 0 || !(copies = opendir("/proc/thread-self/fd")))
        return errno;
    while ((copy = readdir(copies)))
        if (copy->d_name[0] != '.' && atoi(copy->d_name) != dirfd(copies))
            close(atoi(copy->d_name));
    closedir(copies);
    return 0;
}

static int own_descriptors(void)
{
    return syscall(SYS_close_range, 0, ~0u, UNSHARE) == 0 ? 0
           : errno == ENOSYS || errno == EINVAL           ? close_copies()
                                                          : errno;
}

/* Held for as long as the thread lives, so that whoever finds the file can tell whether anybody still serves it. */
static int lock_file(struct bid_server *server, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno;
    server->device = (uint64_t)major(status.st_dev) << 32 | minor(status.st_dev);
    server->inode = status.st_ino;
    return 0;
}

/* ------------------------------------------------------------------------------------------- the thread -- */

struct start {
    struct bid_server *server;
    const char *path;
};

static int has_targets(const struct bid_server *server)
{
    for (unsigned i = 0; i < BID_SLOTS; i++)
        if (server->targets[i])
            return 1;
    return 0;
}

static void serve(struct bid_server *server)
{
    struct bid_recording *recording = server->recording;
    uint64_t now = bid_now_ms(), due = now + recording->follow_ms;
    while (bid_load(&server->state, memory_order_acquire) != ENDING) {
        uint32_t bell = bid_load(&recording->bell, memory_order_acquire); /* before the look at the slots: see ring() */
        bid_store(&recording->serving, 1, BID_RELAXED);
        answer_all(server);
        now = bid_now_ms();
        if (now >= due) {
            follow_all(server);
            now = bid_now_ms();
            due = now + recording->follow_ms;
        }
        bid_futex_wait(&recording->bell, bell, due - now);
    }
}

/* In a process that profiles itself the thread is a guest, which changes its ids with the
 * program's. No other agent comes. */
static void serve_here(struct bid_server *server)
{
    struct bid_recording *recording = server->recording;
    while (bid_load(&server->state, memory_order_acquire) != ENDING && !has_targets(server)) {
        uint32_t bell = bid_load(&recording->bell, memory_order_acquire); /* before the look at the slots: see ring() */
        answer_all(server);
        if (!has_targets(server))
            bid_futex_wait(&recording->bell, bell, recording->follow_ms);
    }
    while (!bid_guest_wait(&server->guest, recording->follow_ms))
        follow_all(server);
}

/* Nobody is left waiting. */
static void end(struct bid_server *server)
{
    bid_store(&server->recording->serving, 0, memory_order_release);
    for (unsigned i = 0; i < BID_SLOTS; i++) {
        uint32_t waiting = BID_SLOT_WAITING;
        if (server->targets[i])
            release(server, i);
        else if (bid_cas(&server->recording->slots[i].state, &waiting, BID_SLOT_REFUSED,
                         memory_order_release)) /* (A) */
            bid_futex_wake(&server->recording->slots[i].state);
    }
}

static void *run(void *argument)
{
    struct start start = *(struct start *)argument;
    struct bid_server *server = start.server;
    server->thread_id = (pid_t)syscall(SYS_gettid);
    if (start.path)
        server->error = own_descriptors();
    else
        server->error = bid_guest_begin(&server->guest) ? 0 : errno;
    if (!server->error && start.path)
        server->error = lock_file(server, start.path);
    int ready = !server->error;
    bid_store(&server->recording->serving, (uint32_t)ready, memory_order_release); /* pairs with enroll() */
    bid_store(&server->state, READY, memory_order_release); /* pairs with start_thread(), which looks at the error */
    bid_futex_wake(&server->state);
    if (ready) {
        (start.path ? serve : serve_here)(server);
        end(server);
        if (!start.path)
            bid_guest_end(&server->guest);
    }
    return NULL;
}

/* With all signals blocked, so that none of the program's is delivered there. */
static int start_thread(struct bid_server *server, const char *path)
{
    struct start start = {server, path};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&server->thread, NULL, run, &start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    while (!error && bid_load(&server->state, memory_order_acquire) == STARTING)
        bid_futex_wait(&server->state, STARTING, 1000);
    return error;
}

int bid_server_start(struct bid_server **result, struct bid_recording *recording, const char *path)
{
    struct bid_server *server = calloc(1, sizeof *server);
    *result = NULL;
    if (!server)
        return ENOMEM;
    server->recording = recording;
    server->process = getpid();
    int error = start_thread(server, path);
    if (!error && server->error) {
        pthread_join(server->thread, NULL);
        error = server->error;
    }
    if (error)
        free(server);
    else
        *result = server;
    return error;
}

void bid_server_stop(struct bid_server *server)
{
    if (!server)
        return;
    if (server->process == getpid()) {
        bid_store(&server->state, ENDING, memory_order_release); /* pairs with serve() */
        bid_add(&server->recording->bell, 1, memory_order_release);
        bid_futex_wake(&server->recording->bell);
        if (server->guest.thread)
            bid_guest_stop(&server->guest);
        pthread_join(server->thread, NULL);
    }
    free(server);
}

/* -------------------------------------------------------------------------------------------- the recording -- */

static void *map_file(const char *path)
{
    struct bid_recording *recording;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    int error = posix_fallocate(fd, 0, sizeof *recording); /* without the room, a handler would meet SIGBUS */
    recording = error ? MAP_FAILED : mmap(NULL, sizeof *recording, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    error = error ? error : recording == MAP_FAILED ? errno : 0;
    close(fd);
    if (error)
        unlink(path);
    errno = error;
    return error ? NULL : recording;
}

struct bid_recording *bid_recording_create(const char *path, uint32_t frequency, uint32_t follow_ms, uint32_t flags)
{
    struct bid_recording *recording;
    if (!frequency || frequency > 100000 || !follow_ms) {
        errno = EINVAL;
        return NULL;
    }
    if (path)
        recording = map_file(path);
    else
        recording = mmap(NULL, sizeof *recording, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!recording || recording == MAP_FAILED)
        return NULL;
    memcpy(recording->magic, BID_RECORDING_MAGIC, sizeof recording->magic);
    recording->bytes = sizeof *recording;
    recording->shared = offsetof(struct bid_recording, modules);
    recording->frequency = frequency;
    recording->follow_ms = follow_ms;
    recording->flags = flags;
    return recording;
}

void bid_recording_destroy(struct bid_recording *recording)
{
    munmap(recording, sizeof *recording);
}
