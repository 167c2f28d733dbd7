/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The stacks of profiles as one tree of functions: stacks are sorted, so those with the same callers stand together,
 * and each one's nodes are those that the stack before does not have. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

struct bid_tree *bid_tree_create(void)
{
    return calloc(1, sizeof(struct bid_tree));
}

void bid_tree_destroy(struct bid_tree *tree)
{
    bid_bytes_free(&tree->stacks);
    bid_bytes_free(&tree->path);
    free(tree->rows);
    free(tree->depths);
    free(tree->functions);
    free(tree->nodes);
    free(tree->threads);
    free(tree->missing);
    free(tree->counts);
    free(tree);
}

static int append_functions(struct bid_bytes *to, const uint32_t *functions, size_t count)
{
    return bid_bytes_append(to, functions, count * sizeof *functions);
}

/* The functions of a row, the outermost first, behind those of the rows before. row: thread and missing are set. */
static int add_stack(struct bid_tree *tree, const struct bid_pprof *profile, const struct bid_row *from,
                     const struct bid_tree_places *places, struct bid_tree_row *row)
{
    uint64_t id = 0;
    uint32_t reason = places->reasons[from->labels], nameless = 0;
    int error = BID_PPROF_OK;
    tree->path.size = 0;
    for (struct wire wire = wire_of(&profile->samples.keys, from->key, from->size); !error && wire.at < wire.end;) {
        wire_number(&wire, &id);
        uint32_t location = bid_pprof_number(profile, id) - 1;
        nameless = nameless ? nameless : places->nameless[location];
        error = append_functions(&tree->path, &location, 1);
    }
    size_t count = tree->path.size / sizeof(uint32_t);
    const uint32_t *path = (const uint32_t *)(const void *)tree->path.bytes;
    int is_replaced = reason && count && places->is_bare[path[0]];
    for (size_t i = count; !error && i > (size_t)is_replaced; i--) {
        uint64_t begin = path[i - 1] ? places->ends[path[i - 1] - 1] : 0;
        error = append_functions(&tree->stacks, places->functions + begin, places->ends[path[i - 1]] - begin);
    }
    if (!error && is_replaced)
        error = append_functions(&tree->stacks, &places->reason_functions[from->labels], 1);
    row->thread = places->threads[from->labels];
    row->missing = reason ? reason : nameless;
    return error;
}

int bid_tree_add(struct bid_tree *tree, const struct bid_pprof *profile, size_t value,
                 const struct bid_tree_places *places)
{
    const struct bid_sums *samples = &profile->samples;
    struct bid_tree_row *rows = realloc(tree->rows, (tree->row_count + samples->count + 1) * sizeof *rows);
    int error = rows ? BID_PPROF_OK : BID_PPROF_E_MEMORY;
    tree->rows = rows ? rows : tree->rows;
    for (size_t i = 0; !error && i < samples->count; i++) {
        struct bid_tree_row *row = &tree->rows[tree->row_count++];
        row->begin = tree->stacks.size / sizeof(uint32_t);
        error = add_stack(tree, profile, &samples->rows[i], places, row);
        row->size = (uint32_t)(tree->stacks.size / sizeof(uint32_t) - row->begin);
        row->profile = tree->profiles;
        row->count = (double)(int64_t)samples->values[i * samples->width + value];
    }
    tree->profiles++;
    return error;
}

/* ------------------------------------------------------------------------------------------------ the nodes -- */

/* Functions that two stacks share, from the outermost on. */
static uint32_t shared(const struct bid_tree_row *one, const struct bid_tree_row *other)
{
    uint32_t least = one->size < other->size ? one->size : other->size, at = 0;
    const uint32_t *a = one->stack, *b = other->stack;
    while (at < least && a[at] == b[at])
        at++;
    return at;
}

static int order(uint32_t one, uint32_t other)
{
    return (one > other) - (one < other);
}

static int compare_rows(const void *one, const void *other)
{
    const struct bid_tree_row *a = one, *b = other;
    uint32_t same = shared(a, b);
    if (same < a->size && same < b->size)
        return order(a->stack[same], b->stack[same]);
    if (a->size != b->size)
        return order(a->size, b->size);
    return a->thread != b->thread ? order(a->thread, b->thread) : order(a->missing, b->missing);
}

/* Room for the most that there can be. */
static int allocate(struct bid_tree *tree)
{
    size_t rows = tree->row_count + 1, nodes = tree->stacks.size / sizeof(uint32_t) + 1;
    tree->depths = malloc(nodes * sizeof *tree->depths);
    tree->functions = malloc(nodes * sizeof *tree->functions);
    tree->nodes = malloc(rows * sizeof *tree->nodes);
    tree->threads = malloc(rows * sizeof *tree->threads);
    tree->missing = malloc(rows * sizeof *tree->missing);
    tree->counts = calloc(rows * tree->profiles, sizeof *tree->counts);
    int has_all = tree->depths && tree->functions && tree->nodes && tree->threads && tree->missing && tree->counts;
    return has_all ? BID_PPROF_OK : BID_PPROF_E_MEMORY;
}

int bid_tree_finish(struct bid_tree *tree)
{
    static const struct bid_tree_row none;
    const struct bid_tree_row *before = &none;
    if (tree->stacks.size / sizeof(uint32_t) >= UINT32_MAX || allocate(tree))
        return BID_PPROF_E_MEMORY;
    const uint32_t *stacks = (const uint32_t *)(const void *)tree->stacks.bytes;
    for (size_t i = 0; i < tree->row_count; i++)
        tree->rows[i].stack = tree->rows[i].size ? stacks + tree->rows[i].begin : NULL;
    if (tree->row_count)
        qsort(tree->rows, tree->row_count, sizeof *tree->rows, compare_rows);
    for (const struct bid_tree_row *row = tree->rows; row < tree->rows + tree->row_count; before = row++) {
        if (row == tree->rows || compare_rows(before, row) != 0) {
            for (uint32_t at = shared(before, row); at < row->size; at++) {
                tree->depths[tree->node_count] = at + 1;
                tree->functions[tree->node_count++] = row->stack[at];
                tree->deepest = at + 1 > tree->deepest ? at + 1 : tree->deepest;
            }
            tree->nodes[tree->count] = row->size ? (uint32_t)tree->node_count : 0;
            tree->threads[tree->count] = row->thread;
            tree->missing[tree->count++] = row->missing;
        }
        tree->counts[row->profile * (tree->row_count + 1) + tree->count - 1] += row->count;
    }
    return BID_PPROF_OK;
}
