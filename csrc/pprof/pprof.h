/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Profiles in the format of pprof (profile.proto), read into columns, their samples added up, and trees of functions
 * for pictures: what the Python package calls. No code is generated, since the messages are few and stable.
 *
 * A sample's stack is kept as the format has it: varints of locations, the innermost first. So a stack takes about two
 * bytes a frame in memory, is compared as bytes, and is copied when it is written. Samples of the same stack and labels
 * are one row, with the sums of their values: memory is that of what is distinct.
 *
 * Context: thread, for all functions here; one thread at a time for one object. Progress: blocking (malloc()).
 * Functions that return int return one of enum bid_pprof_status. After an error an object may only be destroyed.
 */
#ifndef BID_PPROF_H
#define BID_PPROF_H

#include <stddef.h>
#include <stdint.h>

enum bid_pprof_status {
    BID_PPROF_OK = 0,
    BID_PPROF_E_MEMORY = -1,
    BID_PPROF_E_CUT = -2,      /* a message ends in the midst of a field */
    BID_PPROF_E_NUMBER = -3,   /* a number has more than ten bytes */
    BID_PPROF_E_WIRE = -4,     /* an unknown wire type, or one that is wrong for the field */
    BID_PPROF_E_LARGE = -5,    /* a field, or all those in no table, have more than BID_PPROF_FIELD_MAX bytes */
    BID_PPROF_E_MESSAGE = -6,  /* a number stands where a message should */
    BID_PPROF_E_VALUES = -7,   /* samples differ in how many values they have, or have more than BID_PPROF_VALUES_MAX */
    BID_PPROF_E_LOCATION = -8, /* a sample is of a location that there is not */
    BID_PPROF_E_FIELD = -9,    /* a field has the number 0 */
    BID_PPROF_E_ID = -10,      /* two locations have the same id, or one has none */
};

#define BID_PPROF_FIELD_MAX (64u << 20)
#define BID_PPROF_VALUES_MAX 1024u /* of a sample: memory is taken for some rows at once */

struct bid_bytes {
    uint8_t *bytes;
    size_t size, room;
};

struct bid_numbers {
    uint64_t *items;
    size_t count, room;
};

struct bid_row {
    uint64_t key;    /* where its bytes begin in keys */
    uint32_t size;   /* bytes */
    uint32_t labels; /* the number of its set of labels */
    uint64_t hash;
};

/* Distinct keys in the order in which they came, each with the sums of `width` values. */
struct bid_sums {
    size_t width, count, room;
    struct bid_row *rows;
    uint64_t *values; /* int64_t in two's complement: sums wrap around */
    struct bid_bytes keys;
    uint32_t *slots; /* an open hash table: row + 1; 0: free */
    size_t slot_count;
    uint64_t seed; /* so that nobody can choose stacks that collide */
};

/* A message of the format. Columns with several numbers an item have them one after the other. */
struct bid_pprof {
    struct bid_sums samples;       /* keys: stacks */
    struct bid_sums labels;        /* keys: sets of labels, as a message with the label's fields of Sample */
    struct bid_numbers strings;    /* where each ends in text */
    struct bid_bytes text;         /* of all strings */
    struct bid_numbers locations;  /* BID_PPROF_LOCATION each: id, mapping, address, lines up to its last, is folded */
    struct bid_numbers lines;      /* BID_PPROF_LINE each: function, line */
    struct bid_numbers functions;  /* BID_PPROF_FUNCTION each: id, name, system name, file, first line */
    struct bid_bytes others;       /* the other fields that the format has, as they are in the message */
    struct bid_numbers ids;        /* after bid_pprof_finish(): id, number of each location, sorted; or empty: ids are
                                    * 1, 2, 3 ... */
    struct bid_bytes stack, marks; /* of the sample that is being read */
    struct bid_numbers sums;
    uint64_t mark_count;  /* labels of that sample */
    uint64_t label_count; /* of all sets */
    uint64_t frames;      /* after bid_pprof_finish(): of all stacks, a line each, or one for a location without */
};

#define BID_PPROF_LOCATION 5
#define BID_PPROF_LINE 2
#define BID_PPROF_FUNCTION 5

/* An empty one. Returns: NULL: no memory. */
struct bid_pprof *bid_pprof_create(uint64_t seed);
void bid_pprof_destroy(struct bid_pprof *profile);

/* Reads the fields of a piece of the message, as many as are whole.
 * Returns: bytes of them, which the next piece begins after; or an error. */
int64_t bid_pprof_read(struct bid_pprof *profile, const void *data, size_t size);

/* Memory that it takes, in bytes. */
size_t bid_pprof_bytes(const struct bid_pprof *profile);

/* Work that its tables are for whoever makes objects of them: bytes of labels and of what is in no table,
 * BID_PPROF_MARK for each label, and BID_PPROF_ITEM for each row, string, location, line and function. */
uint64_t bid_pprof_work(const struct bid_pprof *profile);
#define BID_PPROF_MARK 4
#define BID_PPROF_ITEM 16

/* After the last piece: checks that locations have ids of their own, and that those of each sample are there. Counts
 * frames. */
int bid_pprof_finish(struct bid_pprof *profile);

/* The stacks of the rows from begin to end: numbers of locations, counted from 1 in their order in the file. profile:
 * whose samples they are; NULL: rows of sums. numbers: room for one a byte of these keys. ends: of each row in numbers.
 * labels: of each row. */
void bid_sums_stacks(const struct bid_sums *sums, const struct bid_pprof *profile, size_t begin, size_t end,
                     uint32_t *numbers, uint32_t *ends, uint32_t *labels);

/* ---- sums over several profiles */
struct bid_sums *bid_sums_create(size_t width, uint64_t seed);
void bid_sums_destroy(struct bid_sums *sums);

/* Adds a profile that was read to its end, of as many values. locations: for each of its locations, the number that it
 * has in the sums; labels: for each of its sets of labels. Returns: BID_PPROF_OK, BID_PPROF_E_MEMORY. */
int bid_sums_add(struct bid_sums *sums, const struct bid_pprof *profile, const uint32_t *locations,
                 const uint32_t *labels);

/* Appends the rows from begin to end as fields of a profile. labels: sets of labels as they stand in a Sample, one
 * after the other; label_ends: where each ends. Returns: BID_PPROF_OK, BID_PPROF_E_MEMORY. */
int bid_sums_write(const struct bid_sums *sums, size_t begin, size_t end, const uint8_t *labels,
                   const uint64_t *label_ends, struct bid_bytes *out);
void bid_bytes_free(struct bid_bytes *bytes);

/* ---- a tree of functions, which pictures are drawn from */
/* What the caller knows of a profile's locations, by their numbers less one, and of its sets of labels. Functions have
 * numbers; so have threads, and reasons why something is missing: 0 is none. */
struct bid_tree_places {
    const uint32_t *functions;        /* of all locations, the outermost first */
    const uint32_t *ends;             /* of each location in functions */
    const uint32_t *nameless;         /* of each location: the reason, if one of its functions has no name */
    const uint8_t *is_bare;           /* of each location: whether it has neither a name nor a file */
    const uint32_t *threads;          /* of each set of labels */
    const uint32_t *reasons;          /* of each set of labels: what it says itself */
    const uint32_t *reason_functions; /* of each set with a reason: the function in place of an innermost bare one */
};

struct bid_tree_row {
    const uint32_t *stack;
    size_t begin; /* in the functions of all stacks */
    uint32_t size, thread, missing, profile;
    double count;
};

/* Nodes are numbered: the root is 0, and a node is followed by all that are below it, then by the one beside it. */
struct bid_tree {
    size_t node_count;             /* without the root */
    uint32_t *depths, *functions;  /* of each node but the root */
    uint32_t deepest;              /* the largest of depths */
    size_t count;                  /* of places where something was counted */
    uint32_t *nodes;               /* of each place, as threads and missing */
    uint32_t *threads, *missing;   /* numbers */
    double *counts;                /* of each profile row_count + 1: what was counted in the node itself */
    size_t row_count, profiles;    /* that were added */
    struct bid_tree_row *rows;     /* of all profiles */
    struct bid_bytes stacks, path; /* uint32_t: functions of all rows; locations of one */
};

/* An empty one. Returns: NULL: no memory. */
struct bid_tree *bid_tree_create(void);
void bid_tree_destroy(struct bid_tree *tree);

/* Adds a profile that was read to its end, beside those before. value: which of its values counts.
 * Returns: BID_PPROF_OK, BID_PPROF_E_MEMORY. */
int bid_tree_add(struct bid_tree *tree, const struct bid_pprof *profile, size_t value,
                 const struct bid_tree_places *places);

/* Makes the nodes, after the last profile, once. Returns: BID_PPROF_OK, BID_PPROF_E_MEMORY. */
int bid_tree_finish(struct bid_tree *tree);

#endif
