/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Agents and the server together: registering, leaving, ending, forks, and what is left of it in either. */
#define _GNU_SOURCE
#include "profiled.h"

#include "../../csrc/profile/futex.h"
#include "../../csrc/profile/server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#define SECOND 1000

static char path_of_file[64];
static struct bid_recording *recording;
static struct bid_server *server;

static void begin(const char *path, uint32_t follow_ms, uint32_t flags)
{
    unlink(path_of_file);
    recording = bid_recording_create(path, 1000, follow_ms, flags);
    CHECK(recording);
    CHECK(bid_server_start(&server, recording, path) == 0);
}

static void end(void)
{
    bid_server_stop(server);
    bid_recording_destroy(recording);
    unlink(path_of_file);
}

static unsigned slots_in_use(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < BID_SLOTS; i++)
        n += bid_load(&recording->slots[i].state, memory_order_acquire) != BID_SLOT_FREE;
    return n;
}

/* Within ten seconds. */
static void wait_for_slots(unsigned n)
{
    for (int i = 0; i < 10 * SECOND && slots_in_use() != n; i++)
        usleep(1000);
    CHECK(slots_in_use() == n);
}

static void burn(clock_t milliseconds)
{
    static volatile unsigned n;
    for (clock_t until = clock() + milliseconds * (CLOCKS_PER_SEC / SECOND); clock() < until;)
        for (int i = 0; i < 10000; i++)
            n++;
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static int first_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY);
    CHECK(fd >= 0 && close(fd) == 0);
    return fd;
}

/* ------------------------------------------------------------------------------------------ one process -- */

static void test_this_process(void)
{
    unsigned before = descriptors();
    int first = first_descriptor();
    begin(NULL, 10, 0);
    CHECK(bid_agent_start(recording) == 0);
    CHECK(bid_agent_start(recording) == EBUSY);
    CHECK(descriptors() == before && slots_in_use() == 1 && recording->processes == 1);
    CHECK(first_descriptor() == first);
    burn(100);
    CHECK(recording->samples > 20 && recording->reasons[BID_SAMPLE_RESOLVED] == recording->samples);
    bid_server_stop(server);
    server = NULL;
    CHECK(bid_agent_stop() == 1);
    CHECK(descriptors() == before);
    uint64_t samples = recording->samples;
    burn(20);
    CHECK(recording->samples == samples && kernel_action(SIGTRAP).handler > 1); /* ours stays: it may be on its way */
    bid_recording_destroy(recording);
}

/* Whatever it does with descriptors, the samples go on. */
static void closes_everything(void)
{
    begin(NULL, 10, 0);
    CHECK(bid_agent_start(recording) == 0);
    for (int i = 3; i < 1024; i++)
        close(i);
    int pipes[2];
    char bytes[9] = {0};
    CHECK(pipe(pipes) == 0 && pipes[0] == 3 && write(pipes[1], "12345678", 8) == 8);
    burn(100);
    CHECK(read(pipes[0], bytes, 8) == 8 && strcmp(bytes, "12345678") == 0);
    CHECK(recording->samples > 20);
    end();
}

/* ------------------------------------------------------------------------------------------- processes -- */

static struct bid_recording *mapped(void)
{
    struct bid_recording *own;
    CHECK(bid_agent_map(path_of_file, &own) == 0);
    return own;
}

static void registers(void)
{
    CHECK(bid_agent_start(mapped()) == 0);
    burn(30);
}

/* Slots come back when processes end: many more than there are slots, some at a time. */
static void test_many_processes(void)
{
    unsigned before = descriptors();
    begin(path_of_file, 5, 0);
    CHECK(descriptors() == before);
    for (unsigned i = 0; i < 40; i++)
        CHECK(in_child(registers) == 0);
    CHECK(recording->processes == 40);
    CHECK(recording->samples > 100);
    wait_for_slots(0);
    CHECK(recording->refused[BID_REFUSED_UNSEEN] == 0 && recording->refused[BID_REFUSED_NO_SLOT] == 0);
    end();
}

static void leaves(void)
{
    CHECK(bid_agent_start(mapped()) == 0);
    CHECK(bid_agent_stop() == 1);
    CHECK(kernel_action(SIGTRAP).handler > 1);
    CHECK(bid_agent_start(recording) == 0); /* and again */
    CHECK(bid_agent_stop() == 1);
}

static void test_leaving(void)
{
    begin(path_of_file, 5, 0);
    CHECK(in_child(leaves) == 0);
    wait_for_slots(0);
    end();
}

static void runs_another_program(void)
{
    CHECK(bid_agent_start(mapped()) == 0);
    execl("/bin/sleep", "sleep", "20", (char *)NULL);
    _exit(9);
}

/* The other program has no recording: its slot is free long before it ends. */
static void checks_early_end_of_slot(void)
{
    pid_t child = fork();
    if (!child)
        runs_another_program();
    for (int i = 0; i < 10 * SECOND && !recording->processes; i++)
        usleep(1000);
    wait_for_slots(0);
    CHECK(waitpid(child, NULL, WNOHANG) == 0); /* it still runs */
    kill(child, SIGKILL);
}

static void test_exec(void)
{
    begin(path_of_file, 5, 0);
    CHECK(in_child(checks_early_end_of_slot) == 0);
    end();
}

/* ------------------------------------------------------------------------------------------------ forks -- */

/* The child has a slot of its own; what it counts is found by its own view. */
static void forks(void)
{
    struct bid_recording *own = mapped();
    CHECK(bid_agent_start(own) == 0);
    pid_t child = fork();
    if (!child) {
        bid_agent_forked();
        CHECK(slots_in_use() == 2);
        burn(50);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(own->processes == 2 && own->samples > 20 && own->reasons[BID_SAMPLE_RESOLVED] == own->samples);
}

/* Without the fork handler the child has nothing, and what it takes back is not its parent's. */
static void forks_unnoticed(void)
{
    struct bid_recording *own = mapped();
    CHECK(bid_agent_start(own) == 0);
    pid_t child = fork();
    if (!child) {
        burn(20);
        CHECK(bid_agent_stop() == 0);
        CHECK(kernel_action(SIGTRAP).handler == (uintptr_t)SIG_DFL);
        burn(50); /* no event of its parent's is its own: it would end it */
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    usleep(50000);
    CHECK(slots_in_use() == 1);
    uint64_t before = own->samples;
    burn(50);
    CHECK(own->samples > before + 10);
}

static void test_forks(void)
{
    begin(path_of_file, 5, 0);
    CHECK(in_child(forks) == 0);
    wait_for_slots(0);
    CHECK(in_child(forks_unnoticed) == 0);
    end();
}

/* ------------------------------------------------------------------------------------- nobody answers -- */

/* As after a profiler was killed: one process waits, the others do not. */
static void test_no_server(void)
{
    unlink(path_of_file);
    recording = bid_recording_create(path_of_file, 1000, 100, 0);
    CHECK(recording);
    CHECK(bid_agent_start(recording) == ECONNREFUSED);
    recording->serving = 1;
    uint64_t start = bid_now_ms();
    CHECK(bid_agent_start(recording) == ETIMEDOUT);
    CHECK(bid_now_ms() - start >= BID_AGENT_PATIENCE_MS - 100);
    CHECK(recording->serving == 0 && recording->refused[BID_REFUSED_SILENT] == 1);
    CHECK(bid_agent_start(recording) == ECONNREFUSED);
    CHECK(bid_server_start(&server, recording, path_of_file) == 0); /* who takes back what was left */
    wait_for_slots(0);
    CHECK(bid_agent_start(recording) == 0 && bid_agent_stop() == 1);
    end();
}

/* A process that names another as itself, or claims a slot with a wrong number, is not what the server watches. */
static void test_false_names(void)
{
    begin(path_of_file, 5, 0);
    struct bid_slot *slot = &recording->slots[7];
    uint64_t claim = 1234;
    slot->process = (uint32_t)getpid();
    slot->claim = 4321;
    slot->proof = (uintptr_t)&claim;
    slot->state = BID_SLOT_WAITING;
    bid_add(&recording->bell, 1, memory_order_release);
    bid_futex_wake(&recording->bell);
    for (int i = 0; i < 10 * SECOND && slot->state == BID_SLOT_WAITING; i++)
        usleep(1000);
    CHECK(slot->state == BID_SLOT_REFUSED && recording->refused[BID_REFUSED_UNSEEN] == 1);
    slot->state = BID_SLOT_LEFT;
    wait_for_slots(0);
    end();
}

/* No slot is free: the process is told, and counted. */
static void test_no_slot(void)
{
    begin(path_of_file, 3600000, 0);
    for (unsigned i = 0; i < BID_SLOTS; i++)
        recording->slots[i].state = BID_SLOT_CLAIMED;
    CHECK(bid_agent_start(recording) == EAGAIN);
    CHECK(recording->refused[BID_REFUSED_NO_SLOT] == 1);
    for (unsigned i = 0; i < BID_SLOTS; i++)
        recording->slots[i].state = BID_SLOT_FREE;
    CHECK(bid_agent_start(recording) == 0 && bid_agent_stop() == 1);
    end();
}

/* Once it is back no signal comes any more, also none that would be pending; the server, which sleeps, was woken.
 * The child of a vfork() has its parent's memory, but is another process. */
static void spoiled(void)
{
    sigset_t trap, pending;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    CHECK(bid_agent_start(mapped()) == 0);
    pid_t child = vfork();
    if (child == 0) {
        bid_agent_leave(BID_REFUSED_TRACED);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child && recording->refused[BID_REFUSED_TRACED] == 0);
    burn(50);
    CHECK(recording->samples > 5);
    errno = 17;
    bid_agent_leave(BID_REFUSED_SANDBOX);
    CHECK(errno == 17 && slots_in_use() == 0 && recording->refused[BID_REFUSED_SANDBOX] == 1);
    CHECK(sigprocmask(SIG_BLOCK, &trap, NULL) == 0);
    uint64_t samples = recording->samples;
    burn(50);
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGTRAP) && recording->samples == samples);
    bid_agent_leave(BID_REFUSED_SANDBOX);
    CHECK(recording->refused[BID_REFUSED_SANDBOX] == 1);
}

static void test_a_program_that_samples_would_spoil(void)
{
    begin(path_of_file, 3600000, 0);
    CHECK(in_child(spoiled) == 0);
    end();
}

static void timer(void)
{
    CHECK(bid_agent_start(mapped()) == 0);
    CHECK(kernel_action(SIGPROF).handler > 1);
    burn(200);
    CHECK(recording->samples > 5);
    recording->serving = 0; /* the profile has ended, and the process goes on */
    burn(100);
    uint64_t samples = recording->samples;
    burn(100);
    CHECK(recording->samples == samples);
    int error = 0;
    for (int i = 0; i < 100; i++)
        error |= syscall(SYS_timer_delete, i) == 0;
    CHECK(!error); /* its timer is gone */
}

static void test_timer(void)
{
    begin(path_of_file, 3600000, BID_PROFILE_TIMER); /* the server sleeps */
    CHECK(in_child(timer) == 0);
    end();
}

int main(void)
{
    snprintf(path_of_file, sizeof path_of_file, "%spybuildid.%d", access("/dev/shm", W_OK) ? "" : "/dev/shm/",
             getpid());
    test_this_process();
    CHECK(in_child(closes_everything) == 0);
    test_many_processes();
    test_leaving();
    test_exec();
    test_forks();
    test_no_server();
    test_false_names();
    test_no_slot();
    test_a_program_that_samples_would_spoil();
    test_timer();
    printf("ok\n");
    return 0;
}
