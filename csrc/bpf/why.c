/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int bid_why(struct bid_why *why, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (why && why->size)
        vsnprintf(why->text, why->size, format, arguments);
    va_end(arguments);
    errno = error;
    return -1;
}
