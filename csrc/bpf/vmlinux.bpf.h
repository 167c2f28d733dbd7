/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * For programs that include vmlinux.h, which `bpftool btf dump` makes, before the headers here. It has the types of the
 * kernel, as the UAPI headers have some, and names of <stdint.h> for other types than C's. So neither may be included
 * after it: the names of <stdint.h> come from here, as vmlinux.h has them. A name may be declared twice if it is for
 * the same type; of each kernel vmlinux.h has others.
 */
#ifndef BID_VMLINUX_BPF_H
#define BID_VMLINUX_BPF_H

/* <stdint.h> of glibc and of clang have been here, and in <stddef.h> a type that is another in a kernel. */
#define _STDINT_H 1
#define __CLANG_STDINT_H 1
#define _WCHAR_T 1

typedef s8 int8_t;
typedef s16 int16_t;
typedef s32 int32_t;
typedef s64 int64_t;
typedef u8 uint8_t;
typedef u16 uint16_t;
typedef u32 uint32_t;
typedef u64 uint64_t;
typedef long intptr_t;
typedef unsigned long uintptr_t;

/* What <stdatomic.h> needs. */
typedef s8 int_least8_t, int_fast8_t;
typedef s16 int_least16_t, int_fast16_t;
typedef s32 int_least32_t, int_fast32_t;
typedef s64 int_least64_t, int_fast64_t, intmax_t;
typedef u8 uint_least8_t, uint_fast8_t;
typedef u16 uint_least16_t, uint_fast16_t;
typedef u32 uint_least32_t, uint_fast32_t;
typedef u64 uint_least64_t, uint_fast64_t, uintmax_t;

#define UINT32_MAX 0xffffffffu

#endif
