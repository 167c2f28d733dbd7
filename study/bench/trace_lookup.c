/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Prints, for a hit of each slot of one home bucket, the address where the answer goes, and then each instruction of
 * bid_lookup(): its offset in the function, and the registers before it. See waits.py.
 */
#include "../../tests/c/check.h"

#include "table/hash.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static struct bid_table *table;
static struct bid_build_id found;
static uint64_t keys[BID_BUCKET_SLOTS];

static void fill_a_bucket(void)
{
    const struct bid_array *head = bid_head(table);
    uint64_t home = bid_sequence(head, 1).bucket;
    unsigned n = 0;
    for (uint64_t key = 1; n < BID_BUCKET_SLOTS; key++)
        if (bid_sequence(head, key).bucket == home) {
            keys[n++] = key;
            CHECK_STATUS(insert(table, key, 1, 20), BID_OK);
        }
}

static void look_up(void)
{
    for (unsigned i = 0; i < BID_BUCKET_SLOTS; i++)
        CHECK_STATUS(bid_lookup(table, keys[i], &found), BID_OK);
}

static void print(const struct user_regs_struct *r)
{
    uint64_t offset = r->rip - (uintptr_t)bid_lookup;
    if (!offset)
        printf("lookup %#lx %#lx\n", (unsigned long)(uintptr_t)&found, sizeof found);
    printf("%#lx rax=%llx rbx=%llx rcx=%llx rdx=%llx rsi=%llx rdi=%llx rbp=%llx rsp=%llx ", (unsigned long)offset,
           r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp);
    printf("r8=%llx r9=%llx r10=%llx r11=%llx r12=%llx r13=%llx r14=%llx r15=%llx\n", r->r8, r->r9, r->r10, r->r11,
           r->r12, r->r13, r->r14, r->r15);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    uint64_t size = strtoull(argv[1], NULL, 0); /* of bid_lookup() */
    table = make_table((struct bid_options){.flags = BID_FIXED_SEED, .seed = 1});
    fill_a_bucket();
    look_up(); /* from now on this thread has a pin, which is plain */
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        look_up();
        raise(SIGSTOP);
        look_up();
        _exit(0);
    }
    int status;
    struct user_regs_struct registers;
    CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    for (;;) {
        CHECK(ptrace(PTRACE_SINGLESTEP, child, 0, 0) == 0 && waitpid(child, &status, 0) == child);
        if (!WIFSTOPPED(status))
            break;
        CHECK(ptrace(PTRACE_GETREGS, child, 0, &registers) == 0);
        if (registers.rip - (uintptr_t)bid_lookup < size)
            print(&registers);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}
