# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds small ELF files, valid and broken ones, and says which build ID a reader should find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PT_LOAD, PT_NOTE = 1, 4
SHT_PROGBITS, SHT_NOTE = 1, 7
NT_GNU_BUILD_ID, GO_BUILD_ID = 3, 4
SHF_COMPRESSED = 0x800
PN_XNUM = 0xFFFF


def number(value: int, size: int, order: str) -> bytes:
    return (value % (1 << 8 * size)).to_bytes(size, "little" if order == "little" else "big")


def align_up(n: int, align: int) -> int:
    return -(-n // align) * align


@dataclass(frozen=True)
class Note:
    name: bytes  # with its NUL
    type: int
    desc: bytes

    def encode(self, order: str, align: int = 4) -> bytes:
        """The note with the padding of a segment or section of this alignment (4 or 8)."""
        header = b"".join(number(n, 4, order) for n in (len(self.name), len(self.desc), self.type))
        named = (header + self.name).ljust(align_up(12 + len(self.name), align), b"\0")
        return (named + self.desc).ljust(align_up(len(named) + len(self.desc), align), b"\0")


def gnu(build_id: bytes) -> Note:
    return Note(b"GNU\0", NT_GNU_BUILD_ID, build_id)


def go(build_id: bytes) -> Note:
    return Note(b"Go\0\0", GO_BUILD_ID, build_id)


ABI_TAG = Note(b"GNU\0", 1, bytes(16))
PROPERTY = Note(b"GNU\0", 5, bytes(16))
CORE = Note(b"CORE\0", NT_GNU_BUILD_ID, bytes(136))  # NT_PRPSINFO, which has the type of a GNU build ID


@dataclass(frozen=True)
class Part:
    """A segment or a section: its notes, or other bytes."""

    content: Sequence[Note] | bytes
    type: int = PT_NOTE
    align: int = 4  # as the header says it; notes are laid out for 8 if it is 8, else for 4
    offset: int | None = None  # what the header says, if not the truth
    size: int | None = None
    vaddr: int | None = None  # if not the address of the file's first byte + offset
    flags: int = 0
    layout: int | None = None  # for which alignment notes are laid out, if not as the header says

    def encode(self, order: str) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        layout = self.layout or (8 if self.align == 8 else 4)
        return b"".join(note.encode(order, layout) for note in self.content)


@dataclass(frozen=True)
class Elf:
    segments: Sequence[Part] = ()
    sections: Sequence[Part] = ()  # the null section comes on top
    bits: int = 64
    order: str = "little"
    type: int = ET_DYN
    address: int = 0  # of the first byte in memory
    xnum: bool = False  # counts in section header 0
    gap: int = 0  # bytes before the notes, to put them out of a reader's first window
    header: dict[str, int] = field(default_factory=dict)  # fields of the ELF header that lie

    @property
    def layout(self) -> tuple[int, int, int, int]:
        """Sizes of a word, the ELF header, a program header and a section header."""
        return (8, 64, 56, 64) if self.bits == 64 else (4, 52, 32, 40)

    def number(self, value: int, size: int) -> bytes:
        return number(value, size, self.order)

    def phdr(self, part: Part, offset: int, size: int) -> bytes:
        word = self.layout[0]
        offset = offset if part.offset is None else part.offset
        size = size if part.size is None else part.size
        vaddr = self.address + offset if part.vaddr is None else part.vaddr
        words = [offset, vaddr, vaddr, size, size]
        body = b"".join(self.number(n, word) for n in words)
        kind, flags, align = self.number(part.type, 4), self.number(part.flags or 4, 4), self.number(part.align, word)
        return kind + flags + body + align if word == 8 else kind + body + flags + align

    def shdr(self, part: Part, offset: int, size: int, info: int = 0) -> bytes:
        word = self.layout[0]
        offset = offset if part.offset is None else part.offset
        size = size if part.size is None else part.size
        words = b"".join(self.number(n, word) for n in (part.flags, 0, offset, size))
        tail = self.number(0, 4) + self.number(info, 4) + self.number(part.align, word) + self.number(0, word)
        return self.number(0, 4) + self.number(part.type, 4) + words + tail

    def ehdr(self, phoff: int, shoff: int, phnum: int, shnum: int) -> bytes:
        word, ehsize, phentsize, shentsize = self.layout
        values = {"class": self.bits // 32, "data": 1 if self.order == "little" else 2, "ident_version": 1}
        values |= {"type": self.type, "machine": 62, "version": 1, "entry": 0, "phoff": phoff, "shoff": shoff}
        values |= {"flags": 0, "ehsize": ehsize, "phentsize": phentsize, "phnum": phnum, "shentsize": shentsize}
        values |= {"shnum": shnum, "shstrndx": 0}
        values |= self.header
        sizes = [1, 1, 1, 2, 2, 4, word, word, word, 4, 2, 2, 2, 2, 2, 2]
        fields = [self.number(value, size) for value, size in zip(values.values(), sizes)]
        return b"\x7fELF" + b"".join(fields[:3]) + bytes(9) + b"".join(fields[3:])

    def build(self) -> bytes:
        """ELF header, program headers, gap, segments, sections, section headers."""
        _, ehsize, phentsize, _ = self.layout
        body = bytearray(ehsize + phentsize * len(self.segments) + self.gap)
        headers: dict[str, list[bytes]] = {"phdr": [], "shdr": []}
        for part, kind in [(p, "phdr") for p in self.segments] + [(p, "shdr") for p in self.sections]:
            body.extend(bytes(-len(body) % 8))
            content = part.encode(self.order)
            headers[kind].append(getattr(self, kind)(part, len(body), len(content)))
            body += content
        body.extend(bytes(-len(body) % 8))
        phnum, shnum = len(self.segments), len(self.sections) + 1
        shoff = len(body) if self.sections or self.xnum else 0
        if shoff:
            null = Part(b"", type=0, align=0, offset=0, size=shnum if self.xnum else 0)
            body += self.shdr(null, 0, 0, phnum if self.xnum else 0) + b"".join(headers["shdr"])
        if self.xnum:
            phnum, shnum = PN_XNUM, 0
        ehdr = self.ehdr(ehsize if self.segments else 0, shoff, phnum, shnum if shoff else 0)
        body[:ehsize] = ehdr
        body[ehsize : ehsize + phentsize * len(self.segments)] = b"".join(headers["phdr"])
        return bytes(body)

    def build_id(self) -> bytes | None:
        """What a reader should find: the first GNU build ID, else the first of Go; segments before sections."""
        parts = [p for p in self.segments if p.type == PT_NOTE]
        parts += [p for p in self.sections if p.type == SHT_NOTE and not p.flags & SHF_COMPRESSED]
        notes = [note for part in parts if not isinstance(part.content, bytes) for note in part.content]
        for name, kind in ((b"GNU\0", NT_GNU_BUILD_ID), (b"Go\0\0", GO_BUILD_ID)):
            for note in notes:
                if (note.name, note.type) == (name, kind) and 1 <= len(note.desc) <= 64:
                    return note.desc
        return None


# ------------------------------------------------------------------------------------------------- strategies

_ids = st.binary(min_size=1, max_size=64)
_others = st.builds(
    Note,
    st.sampled_from([b"", b"\0", b"GNU", b"CORE\0", b"Linux\0", b"stapsdt\0", b"GNU\0\0"]),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
)
_notes = st.one_of(st.builds(gnu, _ids), st.builds(go, _ids), _others, st.just(ABI_TAG), st.just(CORE))
_aligns = st.sampled_from([4, 8, 0, 1, 2, 3, 16, 4096, 2**31])
_note_lists = st.lists(_notes, max_size=4)

segments = st.lists(
    st.one_of(
        st.builds(Part, _note_lists, st.just(PT_NOTE), _aligns),
        st.builds(Part, st.binary(max_size=64), st.just(PT_LOAD), st.just(4096)),
    ),
    max_size=5,
)
sections = st.lists(
    st.one_of(
        st.builds(Part, _note_lists, st.just(SHT_NOTE), _aligns),
        st.builds(Part, st.binary(max_size=64), st.just(SHT_PROGBITS), st.just(16)),
    ),
    max_size=5,
)
elfs = st.builds(
    Elf,
    segments,
    sections,
    bits=st.sampled_from([32, 64]),
    order=st.sampled_from(["little", "big"]),
    type=st.sampled_from([ET_REL, ET_EXEC, ET_DYN, ET_CORE]),
    xnum=st.booleans(),
    gap=st.sampled_from([0, 0, 4, 4096, 9000]),
)


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    """A valid file with some numbers replaced, mostly by telling ones, or cut off, or both."""
    elf = draw(elfs)
    data = bytearray(replace(elf, gap=min(elf.gap, 4)).build())
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.sampled_from([1, 2, 4, 8]))
        at = draw(st.integers(0, len(data) - size))
        telling = [0, 1, 3, 4, 8, 12, 16, len(data), 2**31, 2**32 - 4, 2**32 - 1, 2**63, 2**64 - 16, 2**64 - 1]
        value = draw(st.one_of(st.sampled_from(telling), st.integers(0, 2**64 - 1)))
        order = draw(st.sampled_from(["little", "big"]))
        data[at : at + size] = number(value, size, order)
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


any_bytes = st.one_of(broken_files(), st.binary(max_size=200), st.binary(max_size=200).map(lambda b: b"\x7fELF" + b))
