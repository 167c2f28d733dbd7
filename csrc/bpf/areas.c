/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whether the iterator over mappings is repaired: then what it keeps has a field for the mm. Linux 6.2, and stable
 * releases of older ones. */
#include "areas.h"

#include "libbpf.h"

#include <linux/btf.h>
#include <string.h>

static int bid_btf_has_field(const struct bid_libbpf *libbpf, const struct btf *types, const char *structure,
                             const char *field)
{
    int number = libbpf->btf__find_by_name_kind(types, structure, BTF_KIND_STRUCT);
    const struct btf_type *type = number < 0 ? NULL : libbpf->btf__type_by_id(types, (uint32_t)number);
    if (!type)
        return 0;
    const struct btf_member *members = (const struct btf_member *)(type + 1);
    for (uint32_t i = 0; i < BTF_INFO_VLEN(type->info); i++) {
        const char *name = libbpf->btf__name_by_offset(types, members[i].name_off);
        if (name && strcmp(name, field) == 0)
            return 1;
    }
    return 0;
}

int bid_areas_are_safe(const struct bid_libbpf *libbpf)
{
    struct btf *types = libbpf->btf__load_vmlinux_btf();
    int safe = types && bid_btf_has_field(libbpf, types, "bpf_iter_seq_task_vma_info", "mm");
    libbpf->btf__free(types); /* NULL is allowed */
    return safe;
}
