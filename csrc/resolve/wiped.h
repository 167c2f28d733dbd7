/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Memory of this process alone: the child of a fork finds it zeroed, by whatever call it was made. */
#ifndef BID_WIPED_H
#define BID_WIPED_H

#include "../process/memory.h"

#include <sys/mman.h>

/* NULL: no memory. Freed by bid_platform_unmap(). */
static inline void *bid_wiped_map(size_t bytes)
{
    void *memory = bid_platform_map(bytes, 0);
    if (memory && madvise(memory, bytes, MADV_WIPEONFORK) != 0) {
        bid_platform_unmap(memory, bytes);
        memory = NULL;
    }
    return memory;
}

#endif
