/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The list of designs. */
#include "rivals.h"

const struct bid_design *bid_design_number(unsigned i)
{
    static const struct bid_design *const designs[] = {
        &bid_design_ours,     &bid_design_spinlock, &bid_design_trylock, &bid_design_fixed,   &bid_design_rwlock,
        &bid_design_seqcount, &bid_design_file,     &bid_design_inode,   &bid_design_reparse,
    };
    return i < sizeof designs / sizeof *designs ? designs[i] : NULL;
}
