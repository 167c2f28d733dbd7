/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One link of a deep stack: a library of its own, with its code far behind its ELF header. */
__attribute__((used)) static void pad(void)
{
    __asm__ volatile(".skip 1048576, 0x90");
}

/* Calls the next link, or, as the last one, spins. */
__attribute__((noinline)) unsigned long link_call(int depth, int last, void **chain, unsigned long spins)
{
    if (depth == last) {
        for (volatile unsigned long i = 0; i < spins; i++)
            ;
        return 1;
    }
    return 1 + ((unsigned long (*)(int, int, void **, unsigned long))chain[depth + 1])(depth + 1, last, chain, spins);
}
