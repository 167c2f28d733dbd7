/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where a signal interrupted the thread: the registers that a handler finds in its third argument. */
#ifndef PROGRAM_COUNTER_H
#define PROGRAM_COUNTER_H

#include <stdint.h>
#include <ucontext.h>

struct registers {
    uint64_t pc, frame; /* the instruction; the frame pointer, if the code keeps one */
};

static inline struct registers registers_of(const void *context)
{
    const ucontext_t *at = (const ucontext_t *)context;
    struct registers found;
#if defined(__x86_64__)
    found.pc = (uint64_t)at->uc_mcontext.gregs[REG_RIP];
    found.frame = (uint64_t)at->uc_mcontext.gregs[REG_RBP];
#elif defined(__aarch64__)
    found.pc = at->uc_mcontext.pc;
    found.frame = at->uc_mcontext.regs[29];
#else
#error "add the registers of this processor"
#endif
    return found;
}

#endif
