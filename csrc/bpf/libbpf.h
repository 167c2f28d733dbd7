/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * libbpf, loaded at run time: whoever installs the package without it misses `record` and nothing else. What is used of
 * its interface (version 1) is declared here, so a build needs no headers of it.
 */
#ifndef BID_LIBBPF_H
#define BID_LIBBPF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf;
struct btf_type;
struct bpf_object;
struct bpf_map;
struct bpf_program;
struct bpf_link;
typedef int (*bid_libbpf_print)(int level, const char *format, va_list arguments);

/* Result, name, parameters. */
/* clang-format off */
#define BID_LIBBPF(F)                                       \
    F(bid_libbpf_print, libbpf_set_print, (bid_libbpf_print print))                                                \
    F(int, libbpf_find_vmlinux_btf_id, (const char *name, int attach_type))                                        \
    F(int, libbpf_num_possible_cpus, (void))                                                                       \
    F(struct btf *, btf__load_vmlinux_btf, (void))                                                                 \
    F(int, btf__find_by_name_kind, (const struct btf *types, const char *name, uint32_t kind))                     \
    F(const struct btf_type *, btf__type_by_id, (const struct btf *types, uint32_t number))                        \
    F(const char *, btf__name_by_offset, (const struct btf *types, uint32_t offset))                               \
    F(void, btf__free, (struct btf *types))                                                                        \
    F(struct bpf_object *, bpf_object__open_mem, (const void *bytes, size_t size, const void *options))            \
    F(int, bpf_object__load, (struct bpf_object *object))                                                          \
    F(void, bpf_object__close, (struct bpf_object *object))                                                        \
    F(struct bpf_map *, bpf_object__find_map_by_name, (const struct bpf_object *object, const char *name))         \
    F(struct bpf_program *, bpf_object__find_program_by_name, (const struct bpf_object *object, const char *name)) \
    F(int, bpf_map__fd, (const struct bpf_map *map))                                                               \
    F(int, bpf_map__reuse_fd, (struct bpf_map *map, int fd))                                                       \
    F(void *, bpf_map__initial_value, (struct bpf_map *map, size_t *size))                                         \
    F(int, bpf_program__fd, (const struct bpf_program *program))                                                   \
    F(int, bpf_program__set_autoload, (struct bpf_program *program, bool load))                                    \
    F(struct bpf_link *, bpf_program__attach, (const struct bpf_program *program))                                 \
    F(struct bpf_link *, bpf_program__attach_iter, (const struct bpf_program *program, const void *options))       \
    F(int, bpf_link__fd, (const struct bpf_link *link))                                                            \
    F(int, bpf_link__destroy, (struct bpf_link *link))
/* clang-format on */

#define BID_LIBBPF_POINTER(result, name, parameters) result(*name) parameters;
struct bid_libbpf {
    BID_LIBBPF(BID_LIBBPF_POINTER)
};

/* The library's functions.
 * Context: thread. Progress: blocking. Memory: loads a library, for good.
 * Returns: NULL if the system has no libbpf of version 1; *why (may be NULL) is a sentence then. */
const struct bid_libbpf *bid_libbpf_load(const char **why);

#endif
