# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The libraries of elfutils, as far as symbols need them: libelf, libdw and libdebuginfod. Loaded when first used."""

from __future__ import annotations

from functools import cache
from typing import Any

from cffi import FFI


class MissingLibraryError(ImportError):
    """A library is not installed; says how to install it."""


ELF_C_READ, EV_CURRENT = 1, 1

ffi = FFI()
ffi.cdef(
    """
    typedef struct Elf Elf;
    typedef struct Elf_Scn Elf_Scn;
    typedef struct { void *d_buf; int d_type; unsigned int d_version; size_t d_size; int64_t d_off; size_t d_align; }
        Elf_Data;
    typedef struct { uint32_t sh_name, sh_type; uint64_t sh_flags, sh_addr, sh_offset, sh_size;
                     uint32_t sh_link, sh_info; uint64_t sh_addralign, sh_entsize; } GElf_Shdr;
    typedef struct { uint32_t p_type, p_flags; uint64_t p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align; }
        GElf_Phdr;
    typedef struct { unsigned char e_ident[16]; uint16_t e_type, e_machine; uint32_t e_version;
                     uint64_t e_entry, e_phoff, e_shoff; uint32_t e_flags;
                     uint16_t e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx; } GElf_Ehdr;
    unsigned int elf_version(unsigned int version);
    Elf *elf_begin(int fd, int command, Elf *archive);
    Elf *elf_memory(char *image, size_t size);
    int elf_end(Elf *elf);
    GElf_Ehdr *gelf_getehdr(Elf *elf, GElf_Ehdr *header);
    int elf_getphdrnum(Elf *elf, size_t *count);
    GElf_Phdr *gelf_getphdr(Elf *elf, int at, GElf_Phdr *header);
    int elf_getshdrstrndx(Elf *elf, size_t *section);
    Elf_Scn *elf_nextscn(Elf *elf, Elf_Scn *section);
    GElf_Shdr *gelf_getshdr(Elf_Scn *section, GElf_Shdr *header);
    char *elf_strptr(Elf *elf, size_t section, size_t offset);
    Elf_Data *elf_getdata(Elf_Scn *section, Elf_Data *previous);
    Elf_Data *elf_rawdata(Elf_Scn *section, Elf_Data *previous);

    typedef struct Dwarf Dwarf;
    typedef struct Dwarf_CU Dwarf_CU;
    typedef struct Dwarf_Line Dwarf_Line;
    typedef struct Dwarf_Files Dwarf_Files;
    typedef struct { void *addr; Dwarf_CU *cu; void *abbrev; long padding; } Dwarf_Die;
    typedef struct { unsigned int code, form; unsigned char *value; Dwarf_CU *cu; } Dwarf_Attribute;
    Dwarf *dwarf_begin_elf(Elf *elf, int command, void *group);
    int dwarf_end(Dwarf *dwarf);
    void dwarf_setalt(Dwarf *dwarf, Dwarf *other);
    ssize_t dwelf_dwarf_gnu_debugaltlink(Dwarf *dwarf, const char **name, const void **build_id);
    int dwarf_get_units(Dwarf *dwarf, Dwarf_CU *cu, Dwarf_CU **next, uint16_t *version, uint8_t *type,
                        Dwarf_Die *die, Dwarf_Die *split);
    ptrdiff_t dwarf_ranges(Dwarf_Die *die, ptrdiff_t offset, uint64_t *base, uint64_t *start, uint64_t *end);
    ptrdiff_t dwarf_getfuncs(Dwarf_Die *unit, int (*callback)(Dwarf_Die *, void *), void *argument, ptrdiff_t offset);
    int dwarf_child(Dwarf_Die *die, Dwarf_Die *result);
    int dwarf_siblingof(Dwarf_Die *die, Dwarf_Die *result);
    int dwarf_tag(Dwarf_Die *die);
    const char *dwarf_diename(Dwarf_Die *die);
    Dwarf_Attribute *dwarf_attr(Dwarf_Die *die, unsigned int name, Dwarf_Attribute *result);
    Dwarf_Attribute *dwarf_attr_integrate(Dwarf_Die *die, unsigned int name, Dwarf_Attribute *result);
    const char *dwarf_formstring(Dwarf_Attribute *attribute);
    int dwarf_formudata(Dwarf_Attribute *attribute, uint64_t *value);
    int dwarf_decl_line(Dwarf_Die *declaration, int *line);
    Dwarf_Line *dwarf_getsrc_die(Dwarf_Die *unit, uint64_t address);
    int dwarf_lineno(Dwarf_Line *line, int *number);
    const char *dwarf_linesrc(Dwarf_Line *line, uint64_t *time, uint64_t *length);
    int dwarf_getsrcfiles(Dwarf_Die *unit, Dwarf_Files **files, size_t *count);
    const char *dwarf_filesrc(Dwarf_Files *files, size_t at, uint64_t *time, uint64_t *length);

    typedef struct debuginfod_client debuginfod_client;
    debuginfod_client *debuginfod_begin(void);
    void debuginfod_end(debuginfod_client *client);
    int debuginfod_find_debuginfo(debuginfod_client *client, const char *id, int length, char **path);
    int debuginfod_find_executable(debuginfod_client *client, const char *id, int length, char **path);
    void debuginfod_set_progressfn(debuginfod_client *client, int (*progress)(debuginfod_client *, long, long));

    void free(void *memory);
    char *__cxa_demangle(const char *name, char *buffer, size_t *length, int *status);
    """
)


def _library(name: str, package: str, use: str) -> Any:
    try:
        return ffi.dlopen(name)
    except OSError as error:
        raise MissingLibraryError(f"{use} needs {name}: install elfutils' {package} ({error})", name=name) from None


@cache
def libelf() -> Any:
    library = _library("libelf.so.1", "libelf, such as `apt-get install libelf1`", "reading symbols")
    library.elf_version(EV_CURRENT)
    return library


@cache
def libdw() -> Any:
    return _library("libdw.so.1", "libdw, such as `apt-get install libdw1`", "reading symbols")


@cache
def libdebuginfod() -> Any:
    return _library(
        "libdebuginfod.so.1", "client, such as `apt-get install libdebuginfod1`", "asking a debuginfod server"
    )


@cache
def libc() -> Any:
    return ffi.dlopen(None)


def text(pointer: Any) -> str:
    """A string of C, "" for NULL."""
    return ffi.string(pointer).decode("utf-8", "surrogateescape") if pointer else ""
