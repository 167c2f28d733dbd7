/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The perf events that interrupt each CPU and run the program that takes samples. */
#define _GNU_SOURCE
#include "recording.h"

#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct perf_event_attr bid_event_attribute(const struct bid_recorder_options *options, int hardware)
{
    struct perf_event_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.size = sizeof attribute;
    attribute.disabled = 1;
    attribute.type = hardware ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE;
    attribute.config = hardware ? (uint64_t)PERF_COUNT_HW_CPU_CYCLES : (uint64_t)PERF_COUNT_SW_CPU_CLOCK;
    attribute.freq = 1;
    attribute.sample_freq = options->frequency;
    if (options->breakpoint) {
        attribute.type = PERF_TYPE_BREAKPOINT;
        attribute.config = 0;
        attribute.freq = 0;
        attribute.sample_period = 1;
        attribute.bp_type = HW_BREAKPOINT_W;
        attribute.bp_addr = options->breakpoint;
        attribute.bp_len = 8;
    }
    return attribute;
}

static int bid_event_open(struct perf_event_attr *attribute, int cpu)
{
    return (int)syscall(SYS_perf_event_open, attribute, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Whether there is a hardware counter of cycles that any CPU lets us use. */
static int bid_has_cycles(const struct bid_recorder_options *options, int cpus)
{
    struct perf_event_attr attribute = bid_event_attribute(options, 1);
    int fd = -1;
    for (int cpu = 0; cpu < cpus && fd < 0; cpu++)
        fd = bid_event_open(&attribute, cpu);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int bid_sampling_refused(struct bid_why *why, int error)
{
    if (error == EACCES || error == EPERM)
        return bid_why(why, error,
                       "the kernel does not let this user sample all CPUs: run as root, or with CAP_PERFMON");
    if (error == EINVAL)
        return bid_why(why, error,
                       "the kernel refuses this frequency: sysctl kernel.perf_event_max_sample_rate has the "
                       "highest that it takes");
    return bid_why(why, error, "the kernel gives no perf events (%s)", strerror(error));
}

static int bid_sampling_attach(struct bid_sampling *sampling, int event, int program, struct bid_why *why)
{
    sampling->events[sampling->count++] = event;
    if (ioctl(event, PERF_EVENT_IOC_SET_BPF, program) || ioctl(event, PERF_EVENT_IOC_ENABLE, 0))
        return bid_why(why, errno, "the program that takes samples cannot be attached (%s)", strerror(errno));
    return 0;
}

int bid_sampling_open(struct bid_sampling *sampling, const struct bid_recorder_options *options, int program,
                      struct bid_why *why)
{
    int cpus = (int)sysconf(_SC_NPROCESSORS_CONF);
    *sampling = (struct bid_sampling){.events = calloc((size_t)cpus, sizeof(int))};
    if (!sampling->events)
        return bid_why(why, ENOMEM, "out of memory");
    sampling->hardware = !options->clock && !options->breakpoint && bid_has_cycles(options, cpus);
    struct perf_event_attr attribute = bid_event_attribute(options, sampling->hardware);
    for (int cpu = 0; cpu < cpus; cpu++) {
        int event = bid_event_open(&attribute, cpu);
        if (event < 0 && errno == ENODEV)
            continue; /* a CPU that is off */
        if (event < 0)
            return bid_sampling_refused(why, errno);
        if (bid_sampling_attach(sampling, event, program, why))
            return -1;
    }
    sampling->cpus = sampling->count;
    return sampling->count ? 0 : bid_why(why, ENODEV, "no CPU is to be sampled");
}

void bid_sampling_close(struct bid_sampling *sampling)
{
    while (sampling->count)
        close(sampling->events[--sampling->count]);
    free(sampling->events);
    sampling->events = NULL;
}
