# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Writes the files named as arguments as one: an #include "..." becomes the text of that file, once.
#
#   awk -v include=csrc/include -f amalgamate.awk csrc/include/bid.h >bid.h
#   awk -v include=csrc/include -v done=bid -f amalgamate.awk csrc/*/*.c >bid.c
#
# done=bid: the public headers are in bid.h, which bid.c includes.

function folder_of(path)
{
    return match(path, /.*\//) ? substr(path, 1, RLENGTH - 1) : "."
}

# The path without "folder/../", so that a file has one name.
function clean(path)
{
    while (match(path, /[^\/.][^\/]*\/\.\.\//))
        path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
    return path
}

function exists(path,    line)
{
    if ((getline line < path) < 0)
        return 0
    close(path)
    return 1
}

function find(name, folder)
{
    if (exists(folder "/" name))
        return clean(folder "/" name)
    return exists(include "/" name) ? clean(include "/" name) : ""
}

function is_public(path)
{
    return index(path, clean(include "/")) == 1
}

function write(path,    folder, line, name, found)
{
    if (path in written)
        return
    written[path] = 1
    folder = folder_of(path)
    while ((getline line < path) > 0) {
        if (line ~ /^#define _GNU_SOURCE/)
            continue
        name = line
        if (line ~ /^# *include "/) {
            sub(/^# *include "/, "", name)
            sub(/".*/, "", name)
            found = find(name, folder)
            if (found == "")
                print line # in a build that this file is not for, as that of a kernel
            else if (!(done && is_public(found)))
                write(found)
        } else {
            print line
        }
    }
    close(path)
}

# What is right for a program's own code may be too strict for these files, which pass -Wall -Wextra.
function allow(warning)
{
    printf "#pragma GCC diagnostic ignored \"-W%s\"\n", warning
}

BEGIN {
    if (done) {
        printf "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n#include \"%s.h\"\n", done
        allow("conversion")
        allow("sign-conversion")
        allow("cast-qual")
        allow("pedantic")
    }
    for (i = 1; i < ARGC; i++)
        write(clean(ARGV[i]))
}
