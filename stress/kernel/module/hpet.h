/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Timer 2 of the HPET, whose interrupt is a message to a local APIC with delivery mode NMI: an NMI after so many
 * ticks. */
#ifndef BID_TORTURE_HPET_H
#define BID_TORTURE_HPET_H

#include <linux/io.h>
#include <linux/smp.h>

#include <asm/apic.h>

#define HPET_BASE 0xfed00000
#define HPET_CONFIG 0x10
#define HPET_COUNTER 0xf0
#define HPET_T2_CONFIG 0x140
#define HPET_T2_COMPARATOR 0x148
#define HPET_T2_MESSAGE 0x150 /* data, then address */
#define MESSAGE_NMI 0x400
#define MESSAGE_ADDRESS 0xfee00000u

static u8 __iomem *hpet_base;

static inline int hpet_map(void)
{
    hpet_base = ioremap(HPET_BASE, 0x400);
    if (!hpet_base)
        return -ENOMEM;
    writel(readl(hpet_base + HPET_CONFIG) | 1, hpet_base + HPET_CONFIG);
    writel(1 << 14 | 1 << 8 | 1 << 2, hpet_base + HPET_T2_CONFIG); /* messages, 32 bits, enabled */
    writel(MESSAGE_NMI, hpet_base + HPET_T2_MESSAGE);
    return 0;
}

static inline void hpet_unmap(void)
{
    if (!hpet_base)
        return;
    writel(0, hpet_base + HPET_T2_CONFIG);
    iounmap(hpet_base);
}

/* In any context. */
static inline void hpet_set(int cpu, u32 ticks)
{
    writel(MESSAGE_ADDRESS | per_cpu(x86_cpu_to_apicid, cpu) << 12, hpet_base + HPET_T2_MESSAGE + 4);
    writel(readl(hpet_base + HPET_COUNTER) + ticks, hpet_base + HPET_T2_COMPARATOR);
}

#endif
