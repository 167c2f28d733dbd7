// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only

// A profiler of its own process, as sigprof.c, of Go code. No Go code may run in a signal handler, so the handler is in
// C. Go's runtime asks for SA_ONSTACK.
//
// Build: go build -ldflags "-extldflags '-Wl,--build-id,-z,now'" -o sigprof sigprof.go
package main

/*
#cgo pkg-config: bid
#cgo CFLAGS: -D_GNU_SOURCE
#include "program_counter.h"
#include <bid.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define SAMPLES 1000

static struct bid_maps *maps;
static struct bid_stack_build_id samples[SAMPLES];
static unsigned claimed;

// Any thread of Go's may be interrupted.
static void on_sample(int number, siginfo_t *info, void *context)
{
	unsigned mine = __atomic_fetch_add(&claimed, 1, __ATOMIC_RELAXED);
	if (mine < SAMPLES)
		bid_resolve(maps, registers_of(context).pc, &samples[mine], NULL);
}

static int start(void)
{
	struct sigaction action = {.sa_sigaction = on_sample, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
	struct itimerval every = {{0, 1000}, {0, 1000}};
	int status = bid_maps_create(&maps, NULL);
	if (status == BID_OK)
		status = bid_maps_refresh(maps);
	if (status < 0)
		return status;
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
	return BID_OK;
}

static unsigned stop(void)
{
	struct itimerval never = {{0, 0}, {0, 0}};
	setitimer(ITIMER_PROF, &never, NULL);
	signal(SIGPROF, SIG_IGN);
	unsigned taken = __atomic_load_n(&claimed, __ATOMIC_RELAXED);
	return taken < SAMPLES ? taken : SAMPLES;
}

static struct bid_stack_build_id sample(unsigned i)
{
	return samples[i];
}

static uint64_t offset_of(struct bid_stack_build_id sample)
{
	return sample.status == BID_STACK_VALID ? sample.offset : 0;
}

// Of the process, on a processor.
static double seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

static void end(void)
{
	bid_maps_destroy(maps);
}
*/
import "C"

import (
	"fmt"
	"os"
)

// The work that is profiled.
//
//go:noinline
func burn(seconds C.double) uint64 {
	spun := uint64(1)
	for end := C.seconds() + seconds; C.seconds() < end; {
		for i := 0; i < 1000000; i++ {
			spun = spun*7 + 1
		}
	}
	return spun
}

func main() {
	if status := C.start(); status < 0 {
		fmt.Fprintln(os.Stderr, "sigprof:", C.GoString(C.bid_status_text(status)))
		os.Exit(1)
	}
	burn(0.2)
	taken := C.stop()
	for i := C.uint(0); i < taken; i++ {
		sample := C.sample(i)
		for _, b := range sample.build_id {
			fmt.Printf("%02x", byte(b))
		}
		fmt.Printf(" 0x%x\n", uint64(C.offset_of(sample)))
	}
	C.end()
}
