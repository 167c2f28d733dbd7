/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The build ID of an ELF file, from the bytes that hold it: a few KiB, whatever the size of the file. The parser is a
 * state machine without I/O: it is given bytes, and says which bytes it wants next.
 *
 *     struct bid_elf elf;
 *     bid_elf_begin(&elf, BID_ELF_FILE);
 *     while ((status = bid_elf_feed(&elf, offset, buffer, n)) == BID_ELF_MORE)
 *         n = pread(fd, buffer, sizeof buffer, offset = elf.want_offset);   (first time: n and offset are 0)
 *
 * bid_elf_read_fd() and bid_elf_read_files() do that for files. bid.h explains the words Context, Progress, Memory and
 * Returns.
 *
 * The parser reads ELF files of 32 and 64 bits, in both byte orders, and of every type.
 * - It looks for notes in the PT_NOTE segments first, then in the SHT_NOTE sections. The first GNU build ID wins.
 *   Without one the first Go build ID does.
 * - Notes are aligned to 8 where their segment or section says so, else to 4. If a part that says 8 has no GNU build
 *   ID, it is read once more with 4: some linkers lay notes out so, and Linux reads all notes so.
 * - A malformed part is passed over. It is reported only if the rest of the file has no build ID.
 * - A build ID longer than BID_ID_MAX (the Go linker writes one of 83 bytes) is passed over as well, and reported as
 *   BID_ELF_LONG_ID if there is no other.
 */
#ifndef BID_PUBLIC_ELF_H
#define BID_PUBLIC_ELF_H

#include "build_id.h"
#include "version.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bounds that hold for any input: the parser examines at most BID_ELF_MAX_STEPS program headers, section headers and
 * notes, and wants at most BID_ELF_MAX_WANT bytes for each, once. It allocates nothing. */
#define BID_ELF_MAX_STEPS (1u << 20)
#define BID_ELF_MAX_WANT 80

enum bid_elf_mode {
    BID_ELF_FILE = 0,   /* an ELF file, or a file that is notes and nothing else (/sys/kernel/notes) */
    BID_ELF_IMAGE = 1,  /* ELF as it lies in memory (the vDSO): segments are found by their address */
    BID_ELF_NOTES = 2,  /* notes and nothing else, 4-byte aligned */
    BID_ELF_KERNEL = 3, /* an ELF file; the answer is what Linux 6.12 and later find: PT_NOTE segments within the
                           first 4 GiB, only for ET_EXEC and ET_DYN, in native byte order, the first
                           BID_ELF_KERNEL_PHDRS program headers, GNU build IDs of at most BID_ID_NARROW bytes; all
                           else is BID_ELF_NO_BUILD_ID */
    BID_ELF_MODES = 4,
};
#define BID_ELF_KERNEL_PHDRS 256

enum bid_elf_status {
    BID_ELF_OK = 0,          /* the build ID is in .id */
    BID_ELF_MORE = 1,        /* feed the bytes at .want_offset next, at least .want_length of them */
    BID_ELF_NO_BUILD_ID = 2, /* well-formed as far as it was read, and without a build ID */
    BID_ELF_NOT_ELF = 3,     /* neither ELF nor notes */
    BID_ELF_LONG_ID = 4,     /* well-formed, but the build ID has .long_length bytes, more than BID_ID_MAX */
    BID_ELF_COMPRESSED = 5,  /* begins as gzip, xz and zstd do: to be decompressed first. BID_ELF_FILE only */

    /* Malformed: .error_offset is the offset of what is wrong. */
    BID_ELF_E_TRUNCATED = -1, /* a header, note or build ID lies past the end of the file */
    BID_ELF_E_CLASS = -2,     /* e_ident says neither 32 nor 64 bits */
    BID_ELF_E_DATA = -3,      /* e_ident says neither little nor big endian */
    BID_ELF_E_VERSION = -4,   /* e_ident says another version than 1 */
    BID_ELF_E_PHENTSIZE = -5, /* e_phentsize is not the size of a program header */
    BID_ELF_E_SHENTSIZE = -6, /* e_shentsize is not the size of a section header */
    BID_ELF_E_NOTE = -7,      /* a note is longer than its segment or section */
    BID_ELF_E_ID_LENGTH = -8, /* a GNU build ID is empty */
    BID_ELF_E_TOO_MANY = -9,  /* BID_ELF_MAX_STEPS reached */

    BID_ELF_E_MODE = -10, /* the mode is none of enum bid_elf_mode */
    BID_ELF_E_IO = -11,   /* reading failed, see errno (functions that do I/O only) */
};

enum bid_elf_owner {
    BID_ELF_OWNER_NONE = 0,
    BID_ELF_OWNER_GNU = 1, /* NT_GNU_BUILD_ID, name "GNU" */
    BID_ELF_OWNER_GO = 2,  /* type 4, name "Go" */
};

struct bid_elf {
    uint64_t want_offset;  /* with BID_ELF_MORE */
    uint32_t want_length;  /* with BID_ELF_MORE: 1 to BID_ELF_MAX_WANT */
    int32_t error;         /* the first thing found malformed, also with BID_ELF_OK; else 0 */
    uint64_t error_offset; /* where */
    uint64_t id_offset;    /* with BID_ELF_OK and BID_ELF_LONG_ID: where the build ID stands */
    uint32_t long_length;  /* with BID_ELF_LONG_ID: its bytes */
    uint8_t id_length;     /* with BID_ELF_OK: 1 to BID_ID_MAX; else 0 */
    uint8_t id_owner;      /* with BID_ELF_OK and BID_ELF_LONG_ID: enum bid_elf_owner */
    uint8_t id[BID_ID_MAX];

    /* Private to csrc/note from here on. */
    uint8_t mode, phase, is64, big_endian, in_sections, again;
    uint16_t shentsize;
    uint32_t steps;
    uint32_t align;
    uint64_t phoff, phnum, shoff, shnum; /* the header tables */
    uint64_t next;                       /* the next program or section header, or the type of the last one */
    uint64_t base;                       /* BID_ELF_IMAGE: the address of the first byte */
    uint64_t notes, note, notes_end;     /* the segment or section at hand; from note on it is still to be read */
};

/* Begins to parse. mode is one of enum bid_elf_mode; bid_elf_feed() reports another.
 * Context: any. Progress: wait-free. Memory: none. */
BID_PUBLIC void bid_elf_begin(struct bid_elf *elf, int mode);

/* Goes on with the `length` bytes of the file that begin at `offset`. They should contain the range wanted. If they do
 * not, the file ends before it. data may be NULL if length is 0. After a return other than BID_ELF_MORE do not call it
 * again.
 * Context: any. Progress: wait-free, at most BID_ELF_MAX_STEPS steps in all calls together. Memory: none.
 * Returns: one of enum bid_elf_status. */
BID_PUBLIC int bid_elf_feed(struct bid_elf *elf, uint64_t offset, const void *data, size_t length);

/* Parses a file or image that is in memory as a whole.
 * Context: any. Progress: wait-free, at most BID_ELF_MAX_STEPS steps. Memory: none.
 * Returns: one of enum bid_elf_status, but not BID_ELF_MORE. */
BID_PUBLIC int bid_elf_parse(struct bid_elf *elf, int mode, const void *data, size_t length);

/* Gives a sentence for one of enum bid_elf_status, in English, without a full stop.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
BID_PUBLIC const char *bid_elf_status_text(int status);

/* Gives the name of one of enum bid_elf_status ("BID_ELF_E_NOTE"), or "BID_ELF_?" for a number that is none.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
BID_PUBLIC const char *bid_elf_status_name(int status);

/* What bid_elf_read_files() says of one file. */
struct bid_elf_answer {
    int32_t status;  /* one of enum bid_elf_status, but not BID_ELF_MORE */
    int32_t errnum;  /* with BID_ELF_E_IO: errno; else 0 */
    uint64_t offset; /* with an error: where; else 0 */
    uint8_t length;  /* with BID_ELF_OK: 1 to BID_ID_MAX; else 0 */
    uint8_t id[BID_ID_MAX];
};

/* Parses an open file with pread(), so its file position stays.
 * Context: thread. Progress: blocking (system calls). Memory: none. May change errno.
 * Returns: one of enum bid_elf_status, but not BID_ELF_MORE. */
BID_PUBLIC int bid_elf_read_fd(struct bid_elf *elf, int mode, int fd);

/* Parses a part of an open file, such as a library in an archive. The part begins at `offset` and has `size` bytes, or
 * fewer if the file ends before. All offsets in *elf count from the beginning of the part.
 * Context: thread. Progress: blocking (system calls). Memory: none. May change errno.
 * Returns: one of enum bid_elf_status, but not BID_ELF_MORE. */
BID_PUBLIC int bid_elf_read_part(struct bid_elf *elf, int mode, int fd, uint64_t offset, uint64_t size);

/* Parses n regular files. paths has their names one after the other, each ended by a NUL. answers has n elements.
 * Anything that is no regular file (directories, devices, pipes) is not opened: its answer is BID_ELF_E_IO with EISDIR
 * or ENOTSUP.
 * Context: thread. Progress: blocking (system calls). Memory: none. May change errno. */
BID_PUBLIC void bid_elf_read_files(struct bid_elf_answer *answers, int mode, const char *paths, size_t n);

#ifdef __cplusplus
}
#endif
#endif
