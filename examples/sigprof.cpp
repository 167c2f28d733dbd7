// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * A profiler of its own process, as sigprof.c, in C++17: the handler counts, and the samples of a place are added up.
 *
 * Build: c++ -std=c++17 -O2 -Wall -Wextra sigprof.cpp $(pkg-config --cflags --libs bid) -Wl,--build-id,-z,now \
 *        -o sigprof
 */
#include "program_counter.h"

#include <array>
#include <atomic>
#include <bid.h>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/time.h>
#include <utility>

namespace
{

struct Destroy {
    void operator()(bid_maps *maps) const
    {
        bid_maps_destroy(maps);
    }
};
using Maps = std::unique_ptr<bid_maps, Destroy>;

int check(int status)
{
    if (status < 0)
        throw std::runtime_error(bid_status_text(status));
    return status;
}

Maps read_maps()
{
    bid_maps *made = nullptr;
    check(bid_maps_create(&made, nullptr));
    Maps maps(made);
    check(bid_maps_refresh(maps.get())); // again after dlopen(); or bid_maps_follow()
    return maps;
}

// What the handler uses has no constructor and no lock.
const bid_maps *the_maps;
std::array<bid_stack_build_id, 1000> samples;
std::atomic<unsigned> count;

void on_sample(int, siginfo_t *, void *context)
{
    const unsigned next = count.load(std::memory_order_relaxed);
    if (next == samples.size())
        return;
    bid_resolve(the_maps, registers_of(context).pc, &samples[next], nullptr);
    count.store(next + 1, std::memory_order_relaxed);
}

void sample_every(suseconds_t microseconds)
{
    const itimerval timer = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_PROF, &timer, nullptr);
}

std::string hexadecimal(const bid_stack_build_id &sample)
{
    std::string text;
    char digits[3];
    for (const unsigned char byte : sample.build_id) {
        std::snprintf(digits, sizeof digits, "%02x", byte);
        text += digits;
    }
    return sample.status == BID_STACK_VALID ? text : "?";
}

} // namespace

// The work that is profiled.
extern "C" __attribute__((noinline)) unsigned burn(double seconds)
{
    static volatile unsigned spun;
    const auto end = std::clock() + static_cast<std::clock_t>(seconds * CLOCKS_PER_SEC);
    while (std::clock() < end)
        for (int i = 0; i < 1000000; i++)
            spun = spun * 7 + 1;
    return spun;
}

int main()
{
    const Maps maps = read_maps();
    the_maps = maps.get();
    struct sigaction action = {};
    action.sa_sigaction = on_sample;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGPROF, &action, nullptr);
    sample_every(1000);
    burn(0.2);
    sample_every(0);
    std::signal(SIGPROF, SIG_IGN);

    std::map<std::pair<std::string, uint64_t>, unsigned> places;
    for (unsigned i = 0; i < count; i++)
        places[{hexadecimal(samples[i]), samples[i].offset}]++;
    for (const auto &[place, times] : places)
        std::printf("%s 0x%llx %u\n", place.first.c_str(), static_cast<unsigned long long>(place.second), times);
}
