/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Everything that a process has mapped, with the build IDs of the files: for symbolizing addresses of another process.
 * For addresses of this process in a signal handler there is resolve.h.
 *
 *     status = bid_process_maps_read(&maps, pid, BID_PROCESS_AUTO);
 *     mapping = bid_process_maps_find(maps, address);      then address - mapping->start + mapping->offset in the file
 *     bid_process_maps_free(maps);
 *
 * bid.h explains the words Context, Progress, Memory and Returns.
 *
 * Caveats
 * -------
 * - The list is no snapshot: a process that runs may map and unmap while it is read.
 * - Files are opened by /proc/PID/map_files, which needs CAP_CHECKPOINT_RESTORE. Otherwise they are opened by their
 *   path, and believed only if the file shows the same device and inode as the mapping. On btrfs and overlayfs two
 *   files may show the same; there a build ID in the memory of the process comes first.
 * - While the list is made descriptors are taken. They are read by pread() only.
 */
#ifndef BID_PUBLIC_PROCESS_H
#define BID_PUBLIC_PROCESS_H

#include "build_id.h"
#include "version.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bid_process_source {
    BID_PROCESS_AUTO = 0,  /* by the request if the kernel has it, else by the text */
    BID_PROCESS_QUERY = 1, /* asks the kernel for each mapping and its build ID: PROCMAP_QUERY, Linux 6.11 */
    BID_PROCESS_TEXT = 2,  /* parses /proc/PID/maps, and reads the files */
    BID_PROCESS_SOURCES = 3,
};

enum bid_process_status {
    BID_PROCESS_OK = 0,
    BID_PROCESS_E_GONE = -1,      /* there is no such process, or it ended meanwhile */
    BID_PROCESS_E_ENDED = -2,     /* it has ended, and waits for its parent */
    BID_PROCESS_E_ACCESS = -3,    /* its mappings may not be read: see ptrace(2), "Ptrace access mode checking" */
    BID_PROCESS_E_NO_QUERY = -4,  /* BID_PROCESS_QUERY, and the kernel has no such request */
    BID_PROCESS_E_NO_MEMORY = -5, /* malloc() or mmap() failed */
    BID_PROCESS_E_IO = -6,        /* reading failed: errno says why */
    BID_PROCESS_E_SOURCE = -7,    /* the source is none of enum bid_process_source */
    BID_PROCESS_E_NULL = -8,      /* the pointer for the list is NULL */
};

/* One mapping. */
struct bid_process_mapping {
    uint64_t start, end; /* addresses, end excluded */
    uint64_t offset;     /* of the file, at start */
    uint64_t device;     /* as /proc/PID/maps shows it: major << 32 | minor; 0 without a file */
    uint64_t inode;      /* 0 without a file */
    const char *path;    /* as the process sees it, without " (deleted)"; "" or a name in brackets without a file */
    char permissions[8]; /* such as "r-xp" */
    int32_t deleted;     /* 1: the path has been removed since */
    int32_t generation_known;
    int32_t elf_status;     /* BID_ELF_OK: the build ID is in id; BID_ELF_NO_BUILD_ID or BID_ELF_NOT_ELF: there is none;
                                 else why it is not known */
    int32_t errnum;         /* with BID_ELF_E_IO: errno. ESTALE: the path leads to another file now; EAGAIN: the file
                                 changed while it was read; ENOTSUP: it is no regular file */
    uint64_t elf_offset;    /* with another error: where in the file; with BID_ELF_LONG_ID: where the build ID stands */
    uint32_t long_length;   /* with BID_ELF_LONG_ID: its bytes */
    struct bid_build_id id; /* its generation is that of the inode, if it is known */
};

struct bid_process_maps;

/* Reads what a process has mapped. source is one of enum bid_process_source. A kernel thread has no mappings.
 * Context: thread. Progress: blocking (system calls). Memory: allocates. May change errno.
 * Returns: BID_PROCESS_OK and the list in *maps; or another of enum bid_process_status, and *maps is NULL. */
BID_PUBLIC int bid_process_maps_read(struct bid_process_maps **maps, int pid, int source);

/* Frees a list; NULL is allowed.
 * Context: thread. Progress: wait-free but for free(). Memory: frees everything. */
BID_PUBLIC void bid_process_maps_free(struct bid_process_maps *maps);

/* Counts the mappings of a list.
 * Context: any. Progress: wait-free. Memory: none. Returns: their number; 0 if maps is NULL. */
BID_PUBLIC size_t bid_process_maps_count(const struct bid_process_maps *maps);

/* Gives one mapping, by its place in the order of addresses. It is valid until the list is freed.
 * Context: any. Progress: wait-free. Memory: none. Returns: the mapping, or NULL from count on. */
BID_PUBLIC const struct bid_process_mapping *bid_process_maps_at(const struct bid_process_maps *maps, size_t index);

/* Finds the mapping of an address, by binary search. It is valid until the list is freed.
 * Context: any. Progress: wait-free. Memory: none. Returns: the mapping, or NULL if nothing is mapped there. */
BID_PUBLIC const struct bid_process_mapping *bid_process_maps_find(const struct bid_process_maps *maps,
                                                                   uint64_t address);

/* Gives a phrase for the reason why the build ID of a mapping is not known, in English.
 * Context: any. Progress: wait-free. Memory: none.
 * Returns: a constant string. NULL if there is nothing to say, or if errnum alone says it: strerror(3). */
BID_PUBLIC const char *bid_process_maps_problem(const struct bid_process_mapping *mapping);

/* Gives a sentence for one of enum bid_process_status, in English, without a full stop.
 * Context: any. Progress: wait-free. Memory: none. Returns: a constant string, never NULL. */
BID_PUBLIC const char *bid_process_status_text(int status);

#ifdef __cplusplus
}
#endif
#endif
