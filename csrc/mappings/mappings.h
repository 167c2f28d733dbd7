/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the parts of csrc/mappings share.
 *
 * Everything about a process is read through one descriptor of /proc/PID. So if its number is given to another process
 * meanwhile, that one is not mistaken for it.
 */
#ifndef BID_MAPPINGS_H
#define BID_MAPPINGS_H

#include "bid/elf.h"
#include "bid/process.h"

#include "../note/descriptor.h"
#include "../resolve/identity.h"

struct bid_process {
    struct bid_descriptor directory; /* /proc/PID */
    struct bid_descriptor maps;      /* /proc/PID/maps; number -1: a kernel thread, which has no mappings */
    char *path;                      /* see bid_process_path() */
    size_t room;                     /* bytes of path */
};

/* A mapping, and what tells whether another mapping is of the same file: see bid_area_add(). */
struct bid_area {
    struct bid_process_mapping shown;
    char *name;                /* as the kernel shows it; shown.path is in it */
    uint64_t beginning;        /* address of offset 0 of the file: of this mapping, or of the last one with this name */
    uint8_t asked_length;      /* of the build ID that the kernel gives; 0: none */
    uint8_t asked[BID_ID_MAX]; /* this build ID */
    struct bid_identity state; /* of the file when it was read */
};

struct bid_process_maps {
    size_t count, room;
    struct bid_area *areas;
};

/* process.c. Both return enum bid_process_status, with errno. */
int bid_process_open(struct bid_process *process, int pid);
int bid_process_failed(void); /* what errno means for the process as a whole */
void bid_process_close(struct bid_process *process);

/* Makes room for paths with a part of that many bytes. Returns BID_PROCESS_OK or BID_PROCESS_E_NO_MEMORY. */
int bid_process_make_room(struct bid_process *process, size_t length);
/* A path in the directory of the process, which stays the same process's. It is valid until the next one is made. */
const char *bid_process_path(const struct bid_process *process, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* areas.c: adds all mappings to the list. Return enum bid_process_status, with errno. */
int bid_process_query(struct bid_process *process, struct bid_process_maps *maps);
int bid_process_text(struct bid_process *process, struct bid_process_maps *maps);
int bid_process_has_query(const struct bid_process *process);

/* file.c: puts a mapping at the end of the list, with what is known of its file. Takes area->name over, also after an
 * error. Returns BID_PROCESS_OK or BID_PROCESS_E_NO_MEMORY. */
int bid_area_add(struct bid_process *process, struct bid_process_maps *maps, const struct bid_area *area);

#endif
