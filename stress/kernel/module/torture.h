/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The torture of the table in a kernel: what its files share.
 *
 * On each processor two kernel threads update the table, each with keys of its own, so that it knows what each of them
 * is. NMIs interrupt them; the handler looks up, inserts and removes, and judges every answer (oracle.c). NMIs come
 * from timer 2 of the HPET, or each processor sends them to the other (interrupts.c).
 */
#ifndef BID_TORTURE_H
#define BID_TORTURE_H

#include <linux/kernel.h>
#include <linux/sched.h>

#include <bid.h>

#define CPUS 2
#define UPDATERS 2 /* on each processor */
#define STABLE 64  /* keys that are always there */
#define OWN 16     /* keys that only the handler inserts and removes, for each processor */
#define SECOND 32  /* keys of the second table, which is made and destroyed again and again */
#define KEYS 2048  /* of an updater, at most */
#define ABSENT 0u  /* the version of a key that has no entry */
#define GARBAGE U32_MAX
#define ID_SIZE 20

/* The operation of an updater that is under way: written by it, and by the handlers of its processor. */
struct under_way {
    u64 key;
    u32 before, after; /* versions */
    int active;        /* an operation on this key */
    int seen_after;    /* by a handler */
};

enum kind { INSERT, REPLACE, UPSERT, REMOVE, MANY, RESERVE, SHRINK, WALK, TABLE, KINDS };

struct updater {
    struct task_struct *task;
    int number, cpu;
    u32 random, next; /* of its choices; the next version */
    u64 turn;
    struct under_way op;
    int in_update, doing; /* of any kind; what is asked for seldom */
    u32 version[KEYS];    /* what each of its keys is, but for the one under way */
    u64 done, of[KINDS];  /* updates; turns of each kind */
    u64 errors[32];       /* by status */
};

enum wrong {
    NOT_STABLE,
    NEITHER,
    BACK,
    NOT_AS_LEFT,
    OLDER,
    NOT_ABSENT,
    NOT_OWN,
    STATUS,
    NOT_SECOND,
    OVER_BOUND,
    WRONGS
};

struct cpu {
    u32 random;
    u32 seen[CPUS * UPDATERS][KEYS]; /* the newest version that a handler here saw of each updater's keys */
    u32 own[OWN];
    u64 sent, entered, left; /* NMIs; entered and not left: the handler hangs */
    u64 in_text, in_update, in_resize, lookups, updates, refused, before, after, second, most_slots, most_records;
    u64 dwelt;                /* NMIs that stayed while the other processor resized */
    unsigned long ip, sp;     /* where the last NMI came */
    u64 row, again, most_row; /* NMIs in a row that came there, too; all of these; the longest row */
    u64 wrong[WRONGS], wrongs;
    int quiet; /* no more messages */
};

struct design {
    const char *name;
    int (*lookup)(u64 key, struct bid_build_id *id);
    int (*insert)(u64 key, u32 generation, const void *id);
    int (*insert_nmi)(u64 key, u32 generation, const void *id);
    int (*replace)(u64 key, u32 generation, const void *id);
    int (*upsert)(u64 key, u32 generation, const void *id);
    int (*remove)(u64 key);
    int (*remove_nmi)(u64 key);
};

extern struct updater updaters[CPUS * UPDATERS];
extern struct cpu cpus[CPUS];
extern struct bid_table *table;  /* the table under torture; NULL with a rival */
extern struct bid_table *second; /* read by handlers; NULL while there is none */
extern const struct design *design, ours, spinlock;

extern unsigned long text, text_size;
extern u32 *hits; /* NMIs at each byte of the table's text */
extern int armed, stop;

extern int ncpus, most, swing, period, least, dwell, hpet, rare;
extern uint seed;
extern bool rival;

static inline u32 draw(u32 *state)
{
    u32 x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

static inline u64 key_at(u64 base, int i)
{
    return 0xffff888000000000ull + base + (u64)i * 680; /* as inodes lie in memory */
}

static inline u64 key_stable(int i)
{
    return key_at(0x100000, i);
}

static inline u64 key_of(int updater, int i)
{
    return key_at(0x10000000 + ((u64)updater << 24), i);
}

static inline u64 key_own(int cpu, int i)
{
    return key_at(0x40000000 + ((u64)cpu << 20), i);
}

static inline u64 key_never(u32 r)
{
    return key_at(0x80000000, r & 0xffff);
}

static inline u64 key_second(int i)
{
    return key_at(0x60000000, i);
}

/* Of an entry with this version. Those that come by bid_insert_many() have none. */
static inline u32 generation_of(u32 version)
{
    return version % 8 == 7 ? 0 : version;
}

static inline void count_most(u64 *most_so_far, u64 value)
{
    if (value > *most_so_far)
        *most_so_far = value;
}

/* oracle.c */
void id_make(u8 *id, u64 key, u32 version);
u32 id_version(int status, u64 key, const struct bid_build_id *id);
u32 look(struct cpu *cpu, u64 key);
void wrong(struct cpu *cpu, enum wrong kind, u64 key, u32 got, u32 want);
void oracle(struct cpu *cpu, int number);

/* updater.c */
int updater_run(void *argument);

/* interrupts.c */
int interrupts_start(void);
void interrupts_stop(void);
void interrupt_other(int number);
void interrupt_soon(int number);

/* rival.c */
int rival_make(void);
void rival_free(void);

#endif
