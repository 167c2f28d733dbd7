/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A recording: the memory that the profiler shares with the processes it profiles, and all that the two sides know of
 * each other. A process has an *agent* (agent.h): a signal handler, and what registers the process. The profiler has a
 * *server* (server.h): a thread outside of all the profiled processes, which does everything that takes a descriptor, a
 * thread or a look at a file.
 *
 *     head | counts | stacks | frames | slots | views | modules
 *
 * - counts: how often each address was sampled; every handler of every process adds to them.
 * - stacks: how often each call stack was sampled; frames: what they consist of. A sample is in counts as well, also if
 *   there was no room for its stack.
 * - slots: one for each process that is being profiled. The agent claims one and waits in it until the server has
 *   opened the process's events, or has said why not.
 * - views: for each slot the executable ranges of its process, sorted, and its stacks. The server writes them, the
 *   handler searches them. Modules: the names of the ranges, for whoever reads the recording; no agent looks at them.
 *
 * Ordering edges:
 *   (R) register   slot->state WAITING, release, by the agent  -> acquire, by the server: the fields of the agent
 *   (A) answer     slot->state, release, by the server         -> acquire, by the agent: error, the first view
 *   (V) view       slot->view, seq_cst, by the server          -> seq_cst, by a handler: the contents of the view
 *   (N) inside     slot->inside up, then the load of the view, both seq_cst, by a handler; the store of a new view,
 *                  then the load of slot->inside, both seq_cst, by the server: either the server sees the handler,
 *                  or the handler sees the new view. slot->inside down, release -> that load: the handler's reads
 *                  are done.
 *   (L) look       slot->looks, seq_cst, by the server before it reads the mappings; slot->confirmed, release, when a
 *                  view says what it read -> acquire, by a handler before it loads the view: see frames.c
 *   (F) frames     stack->frames, release, by the handler that wrote them -> acquire, by whoever reads the recording
 */
#ifndef BID_RECORDING_H
#define BID_RECORDING_H

#include "../table/bid_atomic.h"
#include "bid/elf.h"
#include "bid/resolve.h"

#include <stddef.h>

/* What the library for Python shows; the one for LD_PRELOAD shows the functions that it
 * stands in for, and no others. */
#ifndef BID_EXPORTED
#define BID_EXPORTED
#endif

#define BID_RECORDING_MAGIC "BIDPROF3"
#define BID_COUNTS 65536u       /* a power of two */
#define BID_STACKS 16384u       /* a power of two */
#define BID_FRAMES (256u << 10) /* of all stacks */
#define BID_FRAMES_MAX 127u     /* of a stack */
#define BID_SLOTS 512u
#define BID_VIEW_BYTES (2u << 20)
#define BID_MODULE_BYTES (4u << 20)

enum bid_recording_flags {
    BID_PROFILE_PARSE = 1u << 0,  /* for comparison, parse the file's first page at each sample, if it is in memory */
    BID_PROFILE_EVICT = 1u << 1,  /* from time to time, ask the kernel to drop the first page of each mapped file */
    BID_PROFILE_TIMER = 1u << 2,  /* a timer of the process, even where perf events are to be had */
    BID_PROFILE_STACKS = 1u << 3, /* call stacks */
};

enum bid_profile_source { BID_PROFILE_BY_PERF = 1, BID_PROFILE_BY_TIMER = 2 }; /* as bits */

/* What came of a sample: enum bid_resolve_reason has the same words for the resolver. */
enum bid_sample_reason {
    BID_SAMPLE_RESOLVED,
    BID_SAMPLE_NO_MAPPING,
    BID_SAMPLE_NO_FILE,
    BID_SAMPLE_UNKNOWN_FILE,
    BID_SAMPLE_NO_BUILD_ID,
    BID_SAMPLE_NO_ROOM, /* in the recording, for the name of the file */
    BID_SAMPLE_REASONS,
};

/* Why a call stack has no more frames. */
enum bid_stack_end {
    BID_STACK_COMPLETE,      /* the frame pointer is 0, as it is in a thread's first function */
    BID_STACK_NOT_A_FRAME,   /* the frame pointer does not lead up this stack: code without frame pointers */
    BID_STACK_NOT_CODE,      /* the return address is in no executable mapping that is known */
    BID_STACK_DEEP,          /* there are BID_FRAMES_MAX, or more */
    BID_STACK_UNKNOWN,       /* the stack pointer is in memory that is not known to be the thread's stack */
    BID_STACK_NEW_THREAD,    /* the mappings have not been looked at since the thread was first sampled */
    BID_STACK_NOT_SUPPORTED, /* on this processor */
};

/* Why a process is not sampled, or no longer. */
enum bid_refusal {
    BID_REFUSED_NO_SLOT,  /* more than BID_SLOTS processes at a time */
    BID_REFUSED_GO,       /* a program in Go */
    BID_REFUSED_SILENT,   /* the server did not answer in time */
    BID_REFUSED_UNSEEN,   /* the kernel does not let the server look into the process */
    BID_REFUSED_TRACED,   /* a debugger or tracer would get the signals */
    BID_REFUSED_NO_EVENT, /* neither perf events nor a timer: bid_recording.error says what the kernel said */
    BID_REFUSED_IGNORED,  /* it ignores the signal */
    BID_REFUSED_EMULATED, /* an emulator runs the program (valgrind, QEMU), and would get the signals */
    BID_REFUSED_LIMITED,  /* its address space is limited, and the recording would take a part */
    BID_REFUSED_SANDBOX,  /* it has a filter of system calls, which may forbid the return from a signal handler */
    BID_REFUSED_SIGNALFD, /* it reads the signal from a descriptor, which cannot tell whose it is */
    BID_REFUSALS,
};

/* An address that was sampled or called from, and how often it was sampled. The key is all of it: the number of a module
 * and the offset in its file, or one of the numbers below BID_MODULE_FIRST and an instruction pointer. */
struct bid_count {
    bid_word key; /* number << BID_ADDRESS_BITS | address; 0: free */
    bid_word count;
};
#define BID_ADDRESS_BITS 48

/* A call stack that was sampled, and how often. */
struct bid_stack {
    bid_word hash; /* of the keys of its frames, and of its end; 0: free */
    bid_word count;
    bid_word frames; /* (F) place + 1 << 16 | enum bid_stack_end << 8 | number of frames; 0: there was no room */
};
#define BID_MODULE_FIRST 16u /* below: enum bid_sample_reason of an address in no module */
#define BID_MODULE_LAST 65535u

struct bid_view_range {
    uint64_t start, end, offset; /* as in struct bid_mapping */
    uint64_t header;             /* where offset 0 of the file is mapped; 0: nowhere */
    uint32_t module;             /* its number; below BID_MODULE_FIRST: it has none */
    uint32_t reason;             /* enum bid_sample_reason of samples in it */
};

/* Memory that starts right above a mapping without access: the lower end of a thread's stack, if it has one. */
#define BID_VIEW_STACKS 4096u

struct bid_view {
    uint64_t count;                /* of ranges with code */
    uint64_t stacks;               /* of ranges after them, which are sorted as well: start and end only */
    uint64_t main_start, main_end; /* the stack of the first thread */
    struct bid_view_range ranges[];
};

enum bid_slot_state {
    BID_SLOT_FREE,
    BID_SLOT_CLAIMED, /* the agent is filling it in; if it is killed in these few instructions, the slot is lost */
    BID_SLOT_WAITING, /* (R) the server is to answer */
    BID_SLOT_PERF,    /* (A) perf events are on */
    BID_SLOT_TIMER,   /* (A) the agent is to start a timer */
    BID_SLOT_RUNNING, /* the timer is on */
    BID_SLOT_REFUSED, /* (A) not sampled */
    BID_SLOT_LEFT,    /* the agent wants no more: the server may take the slot back */
};

struct bid_slot {
    _Alignas(128) _Atomic(uint32_t) state; /* enum bid_slot_state; a futex of the agent */
    uint32_t process;                      /* its PID as it knows it, which is another one in a PID namespace */
    uint64_t claim;                        /* a number that no other claim of a slot has */
    uint64_t proof;                        /* where the process has this number in its memory */
    uint64_t random;                       /* AT_RANDOM, as the agent is told: an address that no two have */
    uint32_t ignores_trap;                 /* SIGTRAP is ignored, and stays so: no perf events */
    uint32_t pid;                          /* as the server knows it; 0: not found yet */
    bid_word view;                         /* (V) offset of a struct bid_view from the head */
    bid_word inside;                       /* (N) handlers that are running */
    bid_word looks;                        /* (L) readings of the mappings that have begun */
    bid_word confirmed;                    /* (L) the last one that the view agrees with */
};

/* The executable part of a file, in the first process that had it mapped. */
struct bid_module {
    uint32_t bytes; /* of this record, path included; a multiple of 8 */
    uint32_t process;
    uint64_t start, end, offset, header, id_offset; /* as in struct bid_mapping */
    uint32_t reason;                                /* enum bid_sample_reason of samples in it */
    uint16_t id_length;                             /* 0: none is known */
    uint16_t main;                                  /* whether it is of the program that the process runs */
    uint8_t id[BID_ID_MAX];
    char path[]; /* ends with a NUL, or several */
};

struct bid_recording {
    char magic[8];
    uint32_t bytes;      /* of all of it */
    uint32_t shared;     /* bytes that agents map: all but the modules */
    uint32_t frequency;  /* samples a second of CPU time, of each thread */
    uint32_t follow_ms;  /* how often mappings are looked at */
    uint32_t flags;      /* enum bid_recording_flags */
    int32_t perf_error;  /* an errno: why a process has no perf events, or 0 */
    int32_t error;       /* likewise: why one has no timer either */
    int32_t evict_error; /* likewise: why BID_PROFILE_EVICT does nothing */

    _Alignas(64) _Atomic(uint32_t) bell; /* a futex of the server: counted up by whoever wants something */
    _Atomic(uint32_t) serving;           /* 0: nobody answers */
    bid_word claims;
    bid_word processes; /* that have counted here */
    bid_word sources;   /* enum bid_profile_source */
    bid_word samples;
    bid_word ticks;  /* periods of CPU time that they stand for: a timer of the process may be coarser than asked for */
    bid_word lost;   /* no count was free */
    bid_word late;   /* not samples: the signal was blocked when it was due */
    bid_word parsed; /* with BID_PROFILE_PARSE: the build ID was found on the spot */
    bid_word not_in_memory;               /* likewise: the page was not in memory */
    bid_word not_parsed;                  /* likewise: anything else */
    bid_word module_used;                 /* bytes */
    bid_word modules_lost;                /* files that there was no room for */
    bid_word views_lost;                  /* readings of a process's mappings that there was no room for */
    bid_word reasons[BID_SAMPLE_REASONS]; /* of all samples */
    bid_word refused[BID_REFUSALS];       /* processes */
    bid_word frames_used;

    _Alignas(4096) struct bid_count counts[BID_COUNTS];
    struct bid_stack stacks[BID_STACKS];
    uint16_t frames[BID_FRAMES]; /* indices in counts: the innermost frame of a stack comes first */
    struct bid_slot slots[BID_SLOTS];
    _Alignas(4096) char views[BID_VIEW_BYTES];
    char modules[BID_MODULE_BYTES];
};

#endif
