/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where the handler ran: each pair of addresses that followed each other, with how often. A reader with the program's
 * disassembly can tell from it which instructions were reached, and whether one was executed without the handler: then
 * the second of a pair is no successor of the first. In memory that is shared over a fork.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdint.h>

void trace_make(void);
void trace_break(void); /* the next address follows on nothing */
void trace_visit(uint64_t address);
void trace_write(const char *path); /* lines of two addresses in hexadecimal and a count; an address 0: nothing */

#endif
