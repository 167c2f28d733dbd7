/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The integrity walk, over tables that are as they should be, and over one word after the other that is not. */
#include "scenarios.h"

#include "../../tests/c/check.h"
#include "table/update.h" /* what to spoil */

static struct bid_table *audited; /* a third table, which no handler looks at */

#define KEPT inode_key(0) /* its record is elsewhere, for it was replaced */
#define ENTRIES 20        /* in a table of 128 slots */
#define EARLY 9000ull     /* inserted beside a resize, in NMI context: a few of them, into the future array */

static void prepare_audited(void)
{
    uint8_t id[BID_ID_MAX];
    audited =
        make_table((struct bid_options){.expected_entries = 1, .id_size = 50, .flags = BID_FIXED_SEED, .seed = SEED});
    for (uint64_t i = 0; i < ENTRIES; i++)
        CHECK_STATUS(insert(audited, inode_key(i), 1, 20), BID_OK);
    make_id(KEPT, 2, id, 50);
    CHECK_STATUS(bid_replace(audited, KEPT, 2, id, 50), BID_OK);
}

static void prepare_audited_in_resize(void)
{
    prepare_audited();
    for (uint64_t i = ENTRIES; !bid_resizing(audited); i++)
        CHECK_STATUS(insert(audited, inode_key(i), 1, 20), BID_OK);
    CHECK_STATUS(bid_remove(audited, EARLY), BID_ABSENT); /* helps with one chunk */
    for (uint64_t i = 0; i < ENTRIES; i++) /* so that more of the future array is claimed than is copied */
        CHECK(bid_insert_nmi(audited, EARLY + i, 1, NULL, 0) != BID_E_NO_MEMORY);
}

static int is_sound(void)
{
    return bid_audit(audited, 0) ? BID_E_NULL : BID_OK;
}

/* Whether the audit says `what` while this word has another value. */
static int says(const char *what, void *word, uint64_t value)
{
    uint64_t volatile *spoilt = word;
    uint64_t before = *spoilt;
    *spoilt = value;
    const char *said = bid_audit(audited, 0);
    *spoilt = before;
    return said && strstr(said, what) != NULL;
}

static bid_word *slot_of(const struct bid_array *array, uint64_t key)
{
    struct bid_deciding at;
    bid_deciding_find(audited, array, key, &at);
    return at.own ? at.slot : NULL;
}

/* The last slot of a bucket whose first slot is EMPTY. */
static bid_word *last_slot(const struct bid_array *array)
{
    for (uint64_t i = 0; i < array->buckets; i++)
        if (bid_word_is_empty(bid_bucket(array->base, i)[0]))
            return &bid_bucket(array->base, i)[BID_BUCKET_SLOTS - 1];
    return NULL;
}

static uint64_t with_index(uint64_t word, uint64_t index)
{
    const uint64_t mask = ((1ull << BID_INDEX_BITS) - 1) << BID_INDEX_SHIFT;
    return (word & ~mask) | index << BID_INDEX_SHIFT;
}

#define NOT_TAKEN "a record that was not taken"

static int finds_slots(const struct bid_array *head)
{
    bid_word *slot = slot_of(head, KEPT), *last = last_slot(head);
    uint64_t word = *slot, index = bid_word_index(word);
    return says("of no state", slot, word & ~BID_TAG_ONE) && says("of no state", slot, word | BID_STATE_MASK) &&
           says(NOT_TAKEN, slot, with_index(word, index + 1)) &&                   /* between two of them */
           says(NOT_TAKEN, slot, with_index(word, head->record_next + 2)) &&       /* not handed out */
           says(NOT_TAKEN, slot, with_index(word, head->record_capacity + 200)) && /* nor there */
           says(NOT_TAKEN, slot, with_index(word, 1)) &&                           /* among the words of a bucket */
           says(NOT_TAKEN, slot, with_index(word, BID_WORDS_UNITS + 1)) &&         /* in the middle of a place */
           says(NOT_TAKEN, slot,
                with_index(word, (uint64_t)(last - (bid_word *)(void *)head->base) / (BID_BUCKET_BYTES / sizeof *last) *
                                         BID_BUCKET_UNITS +
                                     BID_WORDS_UNITS)) && /* a place of an EMPTY slot */
           says("longer than id_size", slot, word | BID_LENGTH_MASK << BID_LENGTH_SHIFT) &&
           says("has another tag", slot, word ^ 1ull << BID_TAG_SHIFT) && says("behind an EMPTY one", last, word);
}

static int finds_counts(struct bid_array *head)
{
    return says("claimed slots", &head->claimed, head->claimed + 1) &&
           says("claimed slots", &head->claimed, head->claimed - 1) &&
           says("another seed", &audited->seed, audited->seed + 1) &&
           says("the count of entries", &audited->count, audited->count + 1) &&
           says("the count of entries", &audited->count, audited->count - 1) &&
           says("more entries than max_entries", &audited->options.max_entries, 1);
}

/* Writes the word of a key once more, to the first EMPTY slot of its bucket. */
static int finds_a_second_slot(const struct bid_array *head)
{
    bid_word *slot = slot_of(head, KEPT), *free = slot;
    while (!bid_word_is_empty(*free))
        free++;
    return says("two slots", free, *slot);
}

static int finds_what_is_wrong(void)
{
    struct bid_array *head = bid_head(audited);
    bid_word *slot = slot_of(head, KEPT);
    int finds = bid_audit(NULL, 0) && finds_slots(head) && finds_a_second_slot(head) && finds_counts(head) &&
                says("a word is FROZEN", slot, *slot | BID_FROZEN);
    return finds ? BID_OK : BID_E_NULL;
}

/* The slot in the future array of a key of the first chunk, which has been copied. */
static bid_word *moved_slot(const struct bid_array *head, const struct bid_array *future)
{
    for (uint64_t i = 0; i < BID_CHUNK_BUCKETS * BID_BUCKET_SLOTS; i++) {
        uint64_t word = bid_bucket(head->base, i / BID_BUCKET_SLOTS)[i % BID_BUCKET_SLOTS];
        if (bid_word_is_live(word))
            return slot_of(future, bid_record_of(head->base, word)->key);
    }
    return NULL;
}

static int finds_what_is_wrong_in_resize(void)
{
    struct bid_array *head = bid_head(audited), *future = bid_future(audited, head);
    bid_word *moved = moved_slot(head, future);
    uint64_t live = head->live_limit;
    int finds = says("a word is FROZEN", &audited->head, audited->head & ~BID_HEAD_LEFT) &&
                says("a word of it is not FROZEN", &head->done[0], ~0ull) &&
                says("no slot in the future array", moved, BID_EMPTY) &&
                says("claimed slots", &future->claimed, future->claimed + 1) &&
                says("more entries than its limit", &head->live_limit, 1) &&
                says("than its future has room for", &head->live_limit, future->buckets * BID_BUCKET_SLOTS) &&
                says("more of a future array", &future->early_limit, (uint64_t)0 - live);
    return finds ? BID_OK : BID_E_NULL;
}

static const struct bid_options least = {.expected_entries = 1};

const struct scenario audit_scenarios[] = {
    {"audit", "the integrity walk", LONG_ONES, &least, prepare_audited, is_sound, ABSENT, ABSENT, BID_OK},
    {"audit-resizing", "the same in a resize", LONG_ONES, &least, prepare_audited_in_resize, is_sound, ABSENT, ABSENT,
     BID_OK},
    {"audit-unsound", "what it says about a table with one wrong word", LONG_ONES, &least, prepare_audited,
     finds_what_is_wrong, ABSENT, ABSENT, BID_OK},
    {"audit-unsound-resizing", "the same in a resize", LONG_ONES, &least, prepare_audited_in_resize,
     finds_what_is_wrong_in_resize, ABSENT, ABSENT, BID_OK},
    {0},
};
