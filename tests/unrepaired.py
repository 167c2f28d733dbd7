# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A command that takes this kernel for one whose BPF iterator over mappings may crash it: before Linux 6.2."""

from __future__ import annotations

import shlex
import struct
import subprocess
from pathlib import Path

import pytest

TYPES = Path("/sys/kernel/btf/vmlinux")
STRUCTURE, FIELD = b"bpf_iter_seq_task_vma_info", b"mm"  #: the field came with the repair
TYPE, MEMBER = struct.Struct("=III"), struct.Struct("=III")  #: struct btf_type, struct btf_member


def _without_field(types: bytes) -> bytes:
    """The kernel's type information, in which the field of the structure has another name."""
    changed = bytearray(types)
    _, _, _, header, at, _, strings, _ = struct.unpack_from("=HBBIIIII", types)
    strings += header
    name = types.index(b"\0" + STRUCTURE + b"\0", strings) + 1 - strings
    at = types.index(struct.pack("=I", name), header + at)
    for i in range(TYPE.unpack_from(types, at)[1] & 0xFFFF):
        place = at + TYPE.size + i * MEMBER.size
        start = strings + MEMBER.unpack_from(types, place)[0]
        if types[start : types.index(b"\0", start)] == FIELD:
            struct.pack_into("=I", changed, place, name)
    return bytes(changed)


def unrepaired(folder: Path) -> list[str]:
    """What to put before a command. Skips the test if that cannot be had."""
    types = TYPES.read_bytes()
    changed = _without_field(types)
    if changed == types:
        pytest.skip("this kernel's iterator over mappings is not repaired: Linux 6.2 is needed to try both")
    (folder / "types").write_bytes(changed)
    script = f'mount --bind {shlex.quote(str(folder / "types"))} {TYPES} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no mount over {TYPES} here, which takes root and a mount namespace: {tried.stderr}")
    return command
