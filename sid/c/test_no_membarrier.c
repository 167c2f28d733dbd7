/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* membarrier() is taken away after a table was made with it: then nothing is freed any more, and lookups stay right. */
#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int forbid_membarrier(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static uint64_t reclaim_after(struct bid_table *table, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        CHECK_STATUS(insert(table, inode_key(i), 1, 20), BID_OK);
    return bid_reclaim(table);
}

int main(void)
{
    struct bid_table *table = make_table((struct bid_options){.id_size = 20});
    if (!statistics(table).membarrier) {
        printf("this kernel has no membarrier(): what becomes of pins without it was not checked\n");
        return 77;
    }
    CHECK(reclaim_after(table, 0, 5000) == 0);
    if (!forbid_membarrier()) {
        printf("this kernel has no seccomp filters: membarrier() could not be forbidden\n");
        return 77;
    }
    CHECK(reclaim_after(table, 5000, 50000) > 0);
    for (uint64_t i = 0; i < 50000; i++) {
        struct bid_build_id id;
        CHECK_STATUS(bid_lookup(table, inode_key(i), &id), BID_OK);
    }
    bid_destroy(table);
    return 0;
}
