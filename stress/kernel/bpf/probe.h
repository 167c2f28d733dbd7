/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the BPF programs count, and their loader reads. */
#ifndef BID_PROBE_BPF_H
#define BID_PROBE_BPF_H

struct seen {
    unsigned long long calls, found, absent, other;
    unsigned char last[24]; /* the build ID found last */
};

#endif
