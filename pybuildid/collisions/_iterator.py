# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A BPF iterator over the files of all tasks: a few instructions, made for this kernel's structures, and bpf(2).

The program reads struct inode behind each mapping or descriptor, and writes a record of it. It changes nothing, and is
gone when its descriptors are closed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from contextlib import ExitStack

from pybuildid.collisions._btf import FUNC, Btf, offsets

SYSCALL = {"x86_64": 321, "s390x": 351}.get(platform.machine(), 280)
PROG_LOAD, LINK_CREATE, ITER_CREATE = 5, 28, 33
TRACING, TRACE_ITER = 26, 28  # the type of the program, and of what it is attached to
SEQ_WRITE = 127  # bpf_seq_write()
LOAD = {8: 0x79, 4: 0x61, 2: 0x69}  # BPF_LDX, by size
STORE = {8: 0x7B, 4: 0x63}  # BPF_STX
MOVE, ADD, MOVE_NUMBER, JUMP_IF, CALL, EXIT = 0xBF, 0x07, 0xB7, 0x15, 0x85, 0x95
#: What the program writes: the address, inode number, generation, device and mode of an inode.
RECORD = struct.Struct("=QQIIII")

ITERATORS = {"mapped": ("bpf_iter_task_vma", "vma"), "open": ("bpf_iter_task_file", "file")}
FIELDS = ("vm_area_struct.vm_file", "file.f_inode", "inode.i_ino", "inode.i_generation", "inode.i_sb", "inode.i_mode")


def _instruction(code: int, to: int = 0, of: int = 0, offset: int = 0, number: int = 0) -> bytes:
    return struct.pack("=BBhi", code, of << 4 | to, offset, number)


def program(btf: Btf, files: str) -> tuple[bytes, int]:
    """The instructions, and the number of the function that they are attached to. Raises LookupError."""
    function, subject = ITERATORS[files]
    context = function.replace("bpf_iter_", "bpf_iter__")
    at = offsets(btf, [*FIELDS, "super_block.s_dev", "bpf_iter_meta.seq", f"{context}.meta", f"{context}.{subject}"])
    chain = [at[f"{context}.{subject}"]] + [at["vm_area_struct.vm_file"]] * (subject == "vma") + [at["file.f_inode"]]
    body = [_instruction(MOVE, to=6, of=1), _instruction(MOVE, to=7, of=1)]  # r6: the context
    tests = []
    for offset in chain:  # r7: the inode in the end
        body.append(_instruction(LOAD[8], to=7, of=7, offset=offset))
        tests.append(len(body))
        body.append(b"")
    store = -RECORD.size
    body.append(_instruction(STORE[8], to=10, of=7, offset=store))
    for field, size, place in (("i_ino", 8, 8), ("i_generation", 4, 16), ("i_mode", 2, 24)):
        body.append(_instruction(LOAD[size], to=1, of=7, offset=at[f"inode.{field}"]))
        body.append(_instruction(STORE[8 if size == 8 else 4], to=10, of=1, offset=store + place))
    body += [
        _instruction(LOAD[8], to=1, of=7, offset=at["inode.i_sb"]),
        _instruction(LOAD[4], to=1, of=1, offset=at["super_block.s_dev"]),
        _instruction(STORE[4], to=10, of=1, offset=store + 20),
        _instruction(MOVE_NUMBER, to=1),
        _instruction(STORE[4], to=10, of=1, offset=store + 28),
        _instruction(LOAD[8], to=1, of=6, offset=at[f"{context}.meta"]),
        _instruction(LOAD[8], to=1, of=1, offset=at["bpf_iter_meta.seq"]),
        _instruction(MOVE, to=2, of=10),
        _instruction(ADD, to=2, number=store),
        _instruction(MOVE_NUMBER, to=3, number=RECORD.size),
        _instruction(CALL, number=SEQ_WRITE),
    ]
    for place in tests:  # no file: to the end
        body[place] = _instruction(JUMP_IF, to=7, offset=len(body) - place - 1)
    body += [_instruction(MOVE_NUMBER, to=0), _instruction(EXIT)]
    return b"".join(body), btf.number(FUNC, function)


def _bpf(command: int, attributes: bytes) -> int:
    """bpf(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    data = ctypes.create_string_buffer(attributes, len(attributes))
    done = libc.syscall(ctypes.c_long(SYSCALL), ctypes.c_long(command), data, ctypes.c_long(len(attributes)))
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    os.set_inheritable(done, False)
    return int(done)


def _load(instructions: bytes, function: int) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Dual BSD/GPL")
    head = struct.pack("=IIQQ", TRACING, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence))
    tail = struct.pack("=IIQII16sII36xII", 0, 0, 0, 0, 0, b"bid_inodes", 0, TRACE_ITER, function, 0)
    return _bpf(PROG_LOAD, head + tail)


def read_records(btf: Btf, files: str) -> bytes:
    """Records of all inodes behind mappings ("mapped") or descriptors ("open") of all tasks; an inode may come often.
    Raises OSError and LookupError."""
    with ExitStack() as stack:
        loaded = _load(*program(btf, files))
        stack.callback(os.close, loaded)
        link = _bpf(LINK_CREATE, struct.pack("=IIIIQQQQ", loaded, 0, TRACE_ITER, 0, 0, 0, 0, 0))
        stack.callback(os.close, link)
        iterator = _bpf(ITER_CREATE, struct.pack("=II", link, 0))
        with open(iterator, "rb", buffering=0) as file:
            return b"".join(iter(lambda: file.read(1 << 16), b""))
