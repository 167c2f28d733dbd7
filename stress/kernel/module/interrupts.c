/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where the NMIs of the torture come from, and their handler.
 *
 *   hpet=1  timer 2 of the HPET, whose interrupt is a message to a local APIC with delivery mode NMI. Under QEMU's
 *           -icount it comes after an exact number of instructions. The handler sets the timer for the next NMI. In
 *           code that few NMIs have reached the next one follows closely, so that every instruction gets some.
 *   hpet=0  each processor sends one to the other after an update, if the last one is over. Some handlers stay until
 *           the other processor has resized twice: a lookup or an update that they interrupted is then a slow reader.
 */
#include <linux/ktime.h>
#include <linux/nmi.h>
#include <linux/sched/clock.h>

#include <asm/nmi.h>

#include "hpet.h"
#include "torture.h"

#define CLOSE_TICKS 64
#define SOON_TICKS 256
#define DWELL_NS 20000000ull
#define DOUBLED 14 /* times at most */

/* An NMI may come before the thread has executed anything since the last one, if the way out of the handler takes
 * longer than the timer allows for. Without this function that went on for ever once. Each NMI in a row that finds the
 * thread where it was doubles the thread's time. */
static void notice_row(struct cpu *cpu, const struct pt_regs *regs)
{
    int here = regs->ip == cpu->ip && regs->sp == cpu->sp;
    cpu->ip = regs->ip;
    cpu->sp = regs->sp;
    cpu->row = here ? cpu->row + 1 : 0;
    cpu->again += here;
    cpu->most_row = max(cpu->most_row, cpu->row);
}

static void timer_set(struct cpu *cpu, int close)
{
    cpu->sent++;
    hpet_set(0, (least << min_t(u64, cpu->row, DOUBLED)) + draw(&cpu->random) % (close ? CLOSE_TICKS : period));
}

/* With a rival that blocks only one processor is interrupted, so that the other can tell. */
void interrupt_other(int number)
{
    struct cpu *to = &cpus[!number];
    if (hpet || ncpus < 2 || (rival && number == 0) || !READ_ONCE(armed) || READ_ONCE(to->left) != to->sent)
        return;
    to->sent++;
    apic->send_IPI_mask(cpumask_of(!number), NMI_VECTOR);
}

/* A thread calls this before an operation that it does seldom, so that an NMI comes early or late in the operation. */
void interrupt_soon(int number)
{
    u32 r = draw(&cpus[number].random);
    if (hpet && READ_ONCE(armed))
        hpet_set(number, (r >> 8) % (SOON_TICKS << r % 8));
}

static void stay(struct cpu *cpu)
{
    u64 resizes = table ? bid_resizes(table) : 0, until = local_clock() + DWELL_NS;
    cpu->dwelt++;
    while (table && bid_resizes(table) < resizes + 2 && local_clock() < until)
        cpu_relax();
}

static int in_update(int number)
{
    int i;
    for (i = 0; i < ncpus * UPDATERS; i++)
        if (updaters[i].task == current)
            return updaters[i].cpu == number && READ_ONCE(updaters[i].in_update);
    return 0;
}

static int nmi_handler(unsigned int command, struct pt_regs *regs)
{
    int number = smp_processor_id(), close = 0;
    unsigned long offset = regs->ip - text;
    struct cpu *cpu = &cpus[number % CPUS];
    if (!READ_ONCE(armed) || number >= ncpus)
        return NMI_DONE;
    WRITE_ONCE(cpu->entered, cpu->entered + 1);
    notice_row(cpu, regs);
    if (offset < text_size) {
        cpu->in_text++;
        cpu->in_update += in_update(number);
        cpu->in_resize += table && bid_resizing(table);
        close = hits[offset]++ < rare;
    }
    oracle(cpu, number);
    if (dwell && offset < text_size && draw(&cpu->random) % dwell == 0)
        stay(cpu);
    if (hpet && !READ_ONCE(stop))
        timer_set(cpu, close);
    WRITE_ONCE(cpu->left, cpu->entered);
    return NMI_HANDLED;
}

int interrupts_start(void)
{
    int status = register_nmi_handler(NMI_LOCAL, nmi_handler, 0, "bid_torture");
    if (status)
        return status;
    WRITE_ONCE(armed, 1);
    if (!hpet)
        return 0;
    status = hpet_map();
    if (!status)
        timer_set(&cpus[0], 0);
    return status;
}

void interrupts_stop(void)
{
    WRITE_ONCE(armed, 0);
    hpet_unmap();
    unregister_nmi_handler(NMI_LOCAL, "bid_torture");
}
