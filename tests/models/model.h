/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef BID_MODEL_H
#define BID_MODEL_H

#include <assert.h>
#include <pthread.h>

#include "pybuildid.h"

#undef BID_ID_NARROW
#define BID_ID_NARROW 1
static void model_copy(uint8_t *to, const uint8_t *from, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = from[i];
}
#define __builtin_memcpy(to, from, bytes) model_copy((to), (from), (bytes))

#define BID_PLATFORM_MODEL
#define BID_BUCKET_SLOTS 2
#define BID_ARRAYS 4
#define BID_PIN_SLOTS 4
#define BID_PIN_WINDOW 4
#define BID_PIN_TEMPORARY 1

#include "array.c"
#include "create.c"
#include "lookup.c"
#include "move.c"
#include "place.c"
#include "reclaim.c"
#include "record.c"
#include "resize.c"
#include "update.c"

#include "platform_model.h"
#endif
