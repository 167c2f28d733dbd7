/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The bits of a region's pages: two threads want pages that overlap, of which a third gives some back. What a thread
 * does in its pages races with nobody.
 */
#include "model.h"

#include "../region/region.c"

#define FIRST 62 /* pages on both sides of a word's end */
static bid_word bits[2];
static int pages[4];

static void use(unsigned first, unsigned end)
{
    for (unsigned page = first; page < end; page++)
        pages[page]++;
}

static void *giver(void *unused)
{
    use(1, 3);
    bid_bits_clear(bits, FIRST + 1, FIRST + 3);
    return unused;
}

static void *taker_in_front(void *unused)
{
    if (bid_bits_set(bits, FIRST, FIRST + 3))
        use(0, 3);
    return unused;
}

static void *taker_behind(void *unused)
{
    if (bid_bits_set(bits, FIRST + 1, FIRST + 4)) {
        use(1, 4);
        bid_bits_clear(bits, FIRST + 1, FIRST + 4);
    }
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    assert(bid_bits_set(bits, FIRST + 1, FIRST + 3));
    model_start(&threads, giver);
    model_start(&threads, taker_in_front);
    model_start(&threads, taker_behind);
    model_join(&threads);
    uint64_t first = bid_load(&bits[0], BID_RELAXED) >> FIRST, second = bid_load(&bits[1], BID_RELAXED);
    assert((first == 0 && second == 0) || (first == 3 && second == 1)); /* nobody's, or the front taker's */
    return 0;
}
