/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The version of the library, for who was compiled with the headers of another. */
#include "bid/version.h"

unsigned bid_version(void)
{
    return BID_VERSION;
}
