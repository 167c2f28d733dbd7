/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the BPF programs of the recorder and its process tell each other. */
#ifndef BID_RECORD_H
#define BID_RECORD_H

#include "space.h"

/* One sample, followed by its user frames and then by the addresses of its kernel frames, innermost first. */
struct bid_sample {
    uint64_t mm; /* 0: a thread of the kernel */
    uint32_t tgid, tid;
    uint32_t user, kernel; /* numbers of frames */
    uint32_t cpu, reserved;
    char command[16];
};
_Static_assert(sizeof(struct bid_sample) == 48, "frames follow");

/* The state of an inode that a tag stands for, and where it was mapped. */
struct bid_file_state {
    uint64_t inode; /* its address */
    uint64_t number;
    uint64_t size;
    int64_t mtime;
    uint32_t mtime_ns;
    uint32_t generation;
    uint32_t device;
    uint32_t tag;
};

enum bid_event_kind {
    BID_EVENT_FILE = 1,    /* mapped, and the table does not have this state of it */
    BID_EVENT_SCAN = 2,    /* a process whose space could not be copied or is full: to be scanned */
    BID_EVENT_EVICTED = 3, /* an inode whose entry the BPF program left to the process: BID_BPF_E_BUSY */
};

struct bid_event {
    uint32_t kind, tgid;
    uint64_t start, end; /* of the mapping */
    uint64_t offset;     /* of the file, at start */
    struct bid_file_state file;
};

/* What the programs count, on each CPU. */
enum bid_record_count {
    BID_COUNT_SAMPLES,       /* taken */
    BID_COUNT_LOST,          /* of these: there was no room for them */
    BID_COUNT_NO_STACK,      /* of these: the user stack could not be read */
    BID_COUNT_EVENTS_LOST,   /* events for which there was no room */
    BID_COUNT_STORES,        /* executable ranges entered into spaces */
    BID_COUNT_NO_ROOM,       /* of these: not, for want of room */
    BID_COUNT_OWN_STORES,    /* writes of the recorder's own mappings that came by */
    BID_COUNT_REMOVED,       /* entries of evicted inodes removed by the program */
    BID_COUNT_FRAMES,        /* with BID_RECORD_COMPARE, as all that follow: user frames */
    BID_COUNT_TABLE_VALID,   /* with a build ID by the table */
    BID_COUNT_KERNEL_VALID,  /* with a build ID by the kernel */
    BID_COUNT_KERNEL_ABSURD, /* with a build ID by the kernel, for an address in no mapping: see kernel_answers() */
    BID_COUNT_BOTH_VALID,
    BID_COUNT_WRONG,     /* of these: not the same build ID or offset, and the table's answer afterwards is its first */
    BID_COUNT_TABLE_NS,  /* that the table took */
    BID_COUNT_KERNEL_NS, /* that the kernel took, its walk of the stack included */
    BID_COUNTS,
};

#define BID_RECORD_COMPARE 1u /* take the kernel's answer for every frame as well, and count */
#define BID_RECORD_RESCAN 4u  /* for tests: enter the mappings of all processes anew, all the time */
#define BID_RECORD_ONLY 2u    /* only the processes that are in the map of targets, and their children */

/* Constants of the programs, set before they are loaded. */
struct bid_record_settings {
    uint32_t flags;  /* BID_RECORD_... */
    uint32_t self;   /* the recorder's own process, which is not sampled */
    uint32_t keeper; /* the process of struct bid_keeper: neither it nor its children, the readers, are sampled */
};

#endif
