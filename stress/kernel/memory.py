# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What an entry takes in a kernel: the pages that vmalloc() gave to a table."""

from __future__ import annotations

import re

from stress.kernel import vm
from stress.kernel.build import KernelError, Modules
from stress.kernel.torture import BOOT_SECONDS

#: Just before the table grows, and right after: it does at 5/8 of its slots.
BEFORE, AFTER = 81_500, 83_000


def bytes_an_entry(modules: Modules) -> dict[str, float]:
    """Bytes of vmalloc() for each entry, by when."""
    lines = "".join(
        f"busybox insmod /bid_fill.ko entries={entries}; echo @entries {entries}\n"
        "busybox grep 'bid_table]' /proc/vmallocinfo; busybox rmmod bid_fill\n"
        for entries in (BEFORE, AFTER)
    )
    files = {f"{name}.ko": modules[name] for name in ("bid_table", "bid_fill")}
    run = vm.boot(vm.Machine("memory", f"busybox insmod /bid_table.ko\n{lines}", files, limit=BOOT_SECONDS))
    parts = re.split(r"@entries (\d+)", run.text)[1:]
    if len(parts) != 4:
        raise KernelError(f"the tables were not filled: see {run.log}")
    found = {}
    for when, entries, text in zip(("before_a_grow", "after_a_grow"), parts[::2], parts[1::2]):
        pages = sum(map(int, re.findall(r"pages=(\d+)", text)))
        found[when] = round(pages * 4096 / int(entries), 1)
    return found
