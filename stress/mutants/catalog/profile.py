# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of csrc/profile: the profiler, what it counts, and what it leaves alone."""

from __future__ import annotations

from stress.mutants.checks import Mutant, Program
from stress.mutants.edits import Edit

FRAMES = Program("test_profile_frames")
SAMPLE, SIGNALS = Program("test_profile_sample"), Program("test_profile_signals")
VIEWS, SERVER = Program("test_profile_views"), Program("test_profile_server")


def _mutant(name: str, fault: str, file: str, old: str, new: str, *checks: Program) -> Mutant:
    """With one edit; all of them break what G12 promises, or what is counted."""
    return Mutant(f"profile-{name}", "G12", fault, (Edit(file, old, new),), checks)


_COUNTS = [
    _mutant(
        "end-is-inside",
        "an address right behind a range is counted as of its file",
        "profile/sample.c",
        "first->start <= ip && ip < first->end ?",
        "first->start <= ip && ip <= first->end ?",
        SAMPLE,
    ),
    _mutant(
        "offset-of-the-range",
        "a sample has the offset in the range instead of that in the file",
        "profile/sample.c",
        "ip - range->start + range->offset",
        "ip - range->start",
        SAMPLE,
    ),
    _mutant(
        "lost-in-silence",
        "a sample for which no count is free is not counted as lost",
        "profile/sample.c",
        "bid_add(count ? &count->count : &recording->lost, 1, BID_RELAXED);",
        "if (count)\n        bid_add(&count->count, 1, BID_RELAXED);",
        SAMPLE,
    ),
    _mutant(
        "system-call-in-the-handler",
        "each sample makes a system call, which ends a program in a sandbox",
        "profile/sample.c",
        "    bid_add(&recording->samples, 1, BID_RELAXED);\n",
        "    bid_add(&recording->samples, 1, BID_RELAXED);\n    mincore((void *)recording, 0, NULL);\n",
        SAMPLE,
    ),
]

_STACKS = [
    _mutant(
        "frames-of-any-stack",
        "frames are read of any stack above a guard, also if the thread's descriptor is not in it",
        "profile/frames.c",
        "return stack && at->sp < at->thread && at->thread < stack->end ?",
        "return stack ?",
        FRAMES,
    ),
    _mutant(
        "frames-of-a-new-thread",
        "the stack of a thread that started after the last look is taken for the one that was there before",
        "profile/frames.c",
        "return confirmed >= first.look;",
        "return 1 || confirmed;",
        FRAMES,
    ),
    _mutant(
        "look-that-has-begun",
        "a look at the mappings that began before the thread was seen counts",
        "profile/frames.c",
        "bid_load(&slot->looks, memory_order_seq_cst) + 1;",
        "bid_load(&slot->looks, memory_order_seq_cst);",
        FRAMES,
    ),
    _mutant(
        "frame-over-the-end",
        "a frame is read that begins on the stack and ends outside",
        "profile/frames.c",
        " || walk->top - fp < FRAME_BYTES)",
        ")",
        FRAMES,
    ),
    _mutant(
        "frames-go-down",
        "a frame pointer that leads down or to itself is followed",
        "profile/frames.c",
        "fp % sizeof fp || fp < walk->low || ",
        "fp % sizeof fp || ",
        FRAMES,
    ),
    _mutant(
        "return-address-as-it-is",
        "the address of a caller is that behind the call, which may be in the next function",
        "profile/frames.c",
        "(frame[1] & ADDRESS_MASK) - 1;",
        "frame[1] & ADDRESS_MASK;",
        FRAMES,
    ),
    _mutant(
        "any-return-address",
        "a return address that is in no code makes a frame",
        "profile/frames.c",
        "return code ? bid_agent_key(code, address) : 0;",
        "return bid_agent_key(code, address);",
        FRAMES,
    ),
    _mutant(
        "ends-are-alike",
        "stacks that differ in why they end are counted as one",
        "profile/frames.c",
        "    found.hash = mix(found.hash, found.end);\n    found.hash +=",
        "    found.hash +=",
        FRAMES,
    ),
    _mutant(
        "frames-without-room",
        "frames are written behind the end of their memory",
        "profile/frames.c",
        "+ found.count > BID_FRAMES)\n        return; /* so it stays near the limit */\n",
        "+ found.count > BID_FRAMES + 3)\n        return; /* so it stays near the limit */\n",
        FRAMES,
    ),
    _mutant(
        "no-guard",
        "memory without a guard below it is taken for a thread's stack",
        "profile/stacks.c",
        "guard_end && line.start == guard_end && ",
        "",
        FRAMES,
    ),
]

_VIEWS = [
    _mutant(
        "handler-stays-inside",
        "a handler does not say that it has left the view (N)",
        "profile/sample.c",
        "    bid_sub(&slot->inside, 1, memory_order_release); /* (N) the view is not read any more */\n",
        "",
        SAMPLE,
    ),
    _mutant(
        "view-used-again-under-a-reader",
        "the old view is written over while a handler may be reading it (N)",
        "profile/views.c",
        "if (!bid_load(&target->slot->inside, memory_order_seq_cst)) {",
        "if (1) {",
        VIEWS,
    ),
    _mutant(
        "views-leak",
        "old views are not used again",
        "profile/views.c",
        "            view_free(server, target->old);\n",
        "",
        VIEWS,
    ),
    _mutant(
        "number-used-again",
        "a process that got the PID of one that has ended is taken for it",
        "profile/views.c",
        "bid_process_start_time(target->pid) != target->start_time || ",
        "",
        VIEWS,
    ),
    _mutant(
        "another-program",
        "a process that runs another program by now keeps its slot and its view",
        "profile/views.c",
        "    if (!server->inode)\n        return 1;\n",
        "    return 1;\n",
        VIEWS,
        SERVER,
    ),
    Mutant(
        "profile-id-by-path",
        "G12",
        "the build ID is that of the file that has the path, not of the one that is mapped",
        (
            Edit("profile/process.c", "    if (file->header)\n", "    if (0)\n"),
            Edit("profile/process.c", "open_of(pid, name, O_RDONLY | O_NOCTTY | O_NONBLOCK);\n    if", "-1;\n    if"),
            Edit("profile/process.c", "status.st_ino == inode->number &&", "inode->number &&"),
        ),
        (VIEWS,),
    ),
    _mutant(
        "names-again-and-again",
        "each process writes down the names of its files, until there is no room",
        "profile/modules.c",
        "return module->reason == reason && ",
        "return module->reason == reason + 1 && ",
        VIEWS,
    ),
]

_SIGNALS = [
    _mutant(
        "any-perf-event",
        "a perf event of the program's own is taken for a sample",
        "profile/signals.c",
        "info->si_code == TRAP_PERF_CODE && data == (uintptr_t)BID_PROFILE_COOKIE",
        "info->si_code == TRAP_PERF_CODE",
        SIGNALS,
    ),
    _mutant(
        "late-is-a-sample",
        "a signal that was blocked when it was due is counted at the address where it came",
        "profile/signals.c",
        "return info->si_signo == SIGTRAP && flags & PERF_FLAG_LATE;",
        "return 0 && flags;",
        SIGNALS,
    ),
    _mutant(
        "handler-may-be-left",
        "other signals may interrupt the handler, and leave it by siglongjmp()",
        "profile/signals.c",
        "memset(&action.sa_mask, 0xff, sizeof action.sa_mask);",
        "memset(&action.sa_mask, 0, sizeof action.sa_mask);",
        SIGNALS,
    ),
    _mutant(
        "ignored-is-not-inherited",
        "a signal that the program ignores has a handler, so that the next program does not ignore it",
        "profile/signals.c",
        "error = !ignores ? install(signal)",
        "error = ignores || !ignores ? install(signal)",
        SIGNALS,
    ),
    _mutant(
        "mask-of-the-profiler",
        "the program's handler runs with all signals blocked",
        "profile/signals.c",
        "    as_asked_for(signal, &action, context);\n",
        "    (void)as_asked_for;\n",
        SIGNALS,
    ),
    _mutant(
        "small-stacks",
        "samples are taken on alternate stacks that have no room for them",
        "profile/signals.c",
        "if (!bid_load(&small_stack, BID_RELAXED))",
        "if (1)",
        SIGNALS,
    ),
    _mutant(
        "samples-on-handlers-stacks",
        "samples are taken in handlers that run on an alternate stack, which may have no room for a second frame",
        "profile/signals.c",
        "        sigaddset(&wider.sa_mask, ours);\n",
        "",
        SIGNALS,
    ),
    _mutant(
        "restart",
        "system calls of a program that asked for EINTR go on",
        "profile/signals.c",
        "if (own->sa_flags & SA_RESTART || is_handler(own, SIG_DFL))",
        "if (own)",
        SIGNALS,
    ),
]

_PROCESSES = [
    _mutant(
        "descriptors-of-the-program",
        "the server's thread shares the program's table of descriptors",
        "profile/server.c",
        "        server->error = own_descriptors();\n",
        "        (void)own_descriptors;\n",
        SERVER,
    ),
    _mutant(
        "false-names",
        "a process is taken for the one of a slot by its number alone",
        "profile/process.c",
        "return n == sizeof claim && claim == slot->claim;",
        "return n == sizeof claim;",
        SERVER,
    ),
    _mutant(
        "child-gives-back-its-parents-slot",
        "the child of a fork ends the profile of its parent",
        "profile/agent.c",
        "if (agent.process == getpid()) {",
        "if (agent.process) {",
        SERVER,
    ),
    _mutant(
        "events-of-children",
        "the child of a fork inherits the events, whose signals end it",
        "profile/events.c",
        "flags |= ATTR_INHERIT_THREAD | ",
        "flags |= ",
        SERVER,
    ),
    _mutant(
        "leaves-before-the-events-end",
        "a program that samples would spoil goes on while its events are still there",
        "profile/agent.c",
        "            wait_for_release(recording, slot);\n",
        "            (void)wait_for_release;\n",
        SERVER,
    ),
    _mutant(
        "vfork-child-leaves",
        "the child of a vfork() ends the profile of its parent",
        "profile/agent.c",
        "if (recording && slot && agent.process == getpid()) {",
        "if (recording && slot) {",
        SERVER,
    ),
    _mutant(
        "waits-again-and-again",
        "after the profiler was killed every process waits for an answer",
        "profile/agent.c",
        "    bid_store(&recording->serving, 0, BID_RELAXED); /* the server, if there still is one, sets it again */\n",
        "",
        SERVER,
    ),
    _mutant(
        "timer-goes-on",
        "the timer of a process that outlives the profile goes on",
        "profile/agent.c",
        "            bid_timer_stop(); /* the profile has ended, and the process goes on */\n",
        "            (void)0;\n",
        SERVER,
    ),
    _mutant(
        "slots-leak",
        "the slot of a process that has ended is not given back",
        "profile/server.c",
        "if ((error == ESRCH || error == ENOENT) && target->pid != server->process)",
        "if (0)",
        SERVER,
    ),
]

PROFILE = [*_COUNTS, *_STACKS, *_VIEWS, *_SIGNALS, *_PROCESSES]
