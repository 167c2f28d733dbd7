# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A Python program with handlers of its own for SIGPROF and SIGTRAP."""

import os
import signal
import threading
import time

BOTH = (signal.SIGTRAP, signal.SIGPROF)
counts = dict.fromkeys(BOTH, 0)


def on_signal(number: int, frame: object) -> None:
    counts[signal.Signals(number)] += 1


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(100))


print([signal.getsignal(number) for number in BOTH])
for number in BOTH:
    print(signal.signal(number, on_signal))
burn(0.1)
print(counts)
for number in BOTH:
    os.kill(os.getpid(), number)
    signal.raise_signal(number)
    burn(0.02)
print(counts)
signal.setitimer(signal.ITIMER_PROF, 0.005, 0.005)
burn(0.1)
signal.setitimer(signal.ITIMER_PROF, 0)
print(counts[signal.SIGTRAP], 2 < counts[signal.SIGPROF] < 50)
signal.pthread_sigmask(signal.SIG_BLOCK, BOTH)
burn(0.05)
print(signal.sigpending(), signal.sigtimedwait(BOTH, 0))
threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGTRAP)).start()
print(signal.sigwait(BOTH))
signal.pthread_sigmask(signal.SIG_UNBLOCK, BOTH)
print([signal.signal(number, signal.SIG_DFL) is on_signal for number in BOTH])
burn(0.02)
signal.raise_signal(signal.SIGTRAP)
