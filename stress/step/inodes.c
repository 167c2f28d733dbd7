/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The protocol on inodes: an inode whose address is the key in question. */
#include "scenarios.h"

#include "../../tests/c/check.h"

#define GENERATION 5

static struct bid_inode inode;

uint64_t inode_address(void)
{
    return (uint64_t)(uintptr_t)&inode;
}

/* As a lookup by the protocol sees it: it asks the flag bit first. */
uint64_t inode_version(uint64_t unused)
{
    struct bid_build_id id;
    (void)unused;
    int status = bid_inode_lookup(stepped, &inode, &id);
    judged->lookups++;
    if (status == BID_ABSENT)
        return ABSENT;
    if (status != BID_OK || !id_is(&id, inode_address(), id.generation, id.length))
        judge_wrong("no answer for the inode, or a torn one", inode_address(), (uint64_t)status);
    return id.generation;
}

void prepare_living_inode(void)
{
    bid_inode_init(&inode, 1, 1, GENERATION);
}

int associate(void)
{
    uint8_t id[20];
    make_id(inode_address(), GENERATION, id, sizeof id);
    return bid_inode_associate(stepped, &inode, id, sizeof id);
}

static void prepare_associated(void)
{
    prepare_living_inode();
    CHECK_STATUS(associate(), BID_OK);
}

int evict(void)
{
    return bid_inode_evict(stepped, &inode);
}

static int lookup_inode(void)
{
    struct bid_build_id id;
    return bid_inode_lookup(stepped, &inode, &id);
}

static void prepare_evicted(void)
{
    prepare_living_inode();
    CHECK_STATUS(evict(), BID_ABSENT);
}

static int init(void)
{
    bid_inode_init(&inode, 1, 1, GENERATION);
    return BID_OK;
}

const struct scenario inode_scenarios[] = {
    {"inode-init", "a new inode", INODES, &roomy, NULL, init, ABSENT, ABSENT, BID_OK},
    {"associate", "a build ID for an inode", INODES, &roomy, prepare_living_inode, associate, ABSENT, 5, BID_OK},
    {"associate-again", "a build ID for an inode that has it", INODES, &roomy, prepare_associated, associate, 5, 5,
     BID_EXISTS},
    {"associate-evicted", "a build ID for an inode that is gone", INODES, &roomy, prepare_evicted, associate, ABSENT,
     ABSENT, BID_E_EVICTED},
    {"evict", "eviction of an inode", INODES, &roomy, prepare_associated, evict, 5, ABSENT, BID_OK},
    {"evict-unknown", "eviction of an inode without an entry", INODES, &roomy, prepare_living_inode, evict, ABSENT,
     ABSENT, BID_ABSENT},
    {"inode-lookup", "lookup of an inode", INODES, &roomy, prepare_associated, lookup_inode, 5, 5, BID_OK},
    {"inode-lookup-unknown", "lookup of an inode without an entry", INODES, &roomy, prepare_living_inode, lookup_inode,
     ABSENT, ABSENT, BID_ABSENT},
    {0},
};
