/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Whether the main program is one of Go, by the note that its linker writes (cmd/internal/buildid: name "Go", type 4).
 * Go's run time sets its own action for every signal by the system call, and ends the program at a SIGTRAP that it does
 * not expect (runtime/sigtab_linux_generic.go).
 */
#define _GNU_SOURCE
#include "agent.h"

#include <link.h>
#include <string.h>

#define GO_BUILD_ID 4

static int has_go_note(const char *notes, size_t length)
{
    ElfW(Nhdr) note;
    while (length >= sizeof note) {
        memcpy(&note, notes, sizeof note);
        size_t name = (note.n_namesz + 3ul) & ~3ul, bytes = sizeof note + name + ((note.n_descsz + 3ul) & ~3ul);
        if (bytes > length)
            return 0;
        if (note.n_type == GO_BUILD_ID && note.n_namesz == 4 && memcmp(notes + sizeof note, "Go\0", 4) == 0)
            return 1;
        notes += bytes;
        length -= bytes;
    }
    return 0;
}

/* The first object is the program: not 0, so that no other is asked for. */
static int look(struct dl_phdr_info *object, size_t size, void *go)
{
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type == PT_NOTE &&
            has_go_note((const char *)(object->dlpi_addr + segment->p_vaddr), segment->p_memsz))
            *(int *)go = 1;
    }
    return 1;
}

int bid_agent_is_go(void)
{
    int go = 0;
    dl_iterate_phdr(look, &go);
    return go;
}
