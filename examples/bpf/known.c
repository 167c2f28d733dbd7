/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A resizable hash map for tracing programs: this process updates it, a BPF program reads it. See README.md. */
#include <bid/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    struct bid_bpf_region *region;
    struct bpf_object *object = bpf_object__open_file("known.bpf.o", NULL);
    if (!object || bid_bpf_region_create(&region, 0) != BID_OK)
        return perror("not as root, or no BPF"), 1;
    bpf_map__reuse_fd(bpf_object__find_map_by_name(object, "bid_region"), bid_bpf_region_fd(region));
    if (bpf_object__load(object) || !bpf_program__attach(bpf_object__next_program(object, NULL)))
        return perror("the kernel refuses the program"), 1;
    struct bid_table *table = bid_bpf_region_table(region);
    bid_upsert(table, (uint64_t)getpid(), 0, "this process", 12);
    for (uint64_t key = 1ull << 32; key < (1ull << 32) + 50000; key++)
        bid_insert(table, key, 0, "some other", 10); /* several resizes, while the program looks up */
    for (int i = 0; i < 100; i++)
        usleep(1000);
    unsigned long long counts[2];
    unsigned zero = 0;
    bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, ".bss"), &zero, counts);
    printf("switches to this process: %llu; to others: %llu\n", counts[0], counts[1]);
    bpf_object__close(object);
    bid_bpf_region_destroy(region);
    return 0;
}
