/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A lookup while its key is inserted sees nothing or the whole entry, and does not lose it again. FULL: the key's home
 * bucket is full of other keys, so it goes into the next of its probe sequence. */
#include "model.h"

static inline void fill_home_bucket(void)
{
    uint64_t key = 7;
    for (int i = 0; i < BID_BUCKET_SLOTS; i++) {
        key = model_next_key(key, 1);
        assert(model_insert(key, 2) == BID_OK);
    }
}

static void *writer(void *unused)
{
    model_enter(1);
    int status = model_insert(7, 1);
    assert(status == BID_OK);
    return unused;
}

static void *reader(void *unused)
{
    model_enter(2);
    int first = model_lookup(7), second = model_lookup(7);
    assert(first == MODEL_ABSENT || first == 1);
    assert(second == 1 || (second == MODEL_ABSENT && first == MODEL_ABSENT));
    return unused;
}

int main(void)
{
    struct model_threads threads = {.running = 0};
    model_setup();
#ifdef FULL
    fill_home_bucket();
#endif
    model_start(&threads, writer);
    model_start(&threads, reader);
    model_join(&threads);
    assert(model_lookup(7) == 1);
    return 0;
}
