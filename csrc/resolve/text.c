/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the reasons are called. */
#include "bid/resolve.h"

const char *bid_resolve_text(int reason)
{
    static const char *const texts[] = {
        [BID_RESOLVED] = "resolved",
        [BID_RESOLVE_NO_MAPPING] = "no mapping",
        [BID_RESOLVE_NO_FILE] = "memory without a file",
        [BID_RESOLVE_UNKNOWN_FILE] = "file not known",
        [BID_RESOLVE_STALE] = "stale",
        [BID_RESOLVE_NO_BUILD_ID] = "no build ID",
        [BID_RESOLVE_LONG_ID] = "build ID over 20 bytes",
    };
    return reason >= 0 && reason < BID_RESOLVE_REASONS ? texts[reason] : "?";
}
