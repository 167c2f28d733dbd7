/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Programs for another processor, or for 32 bits, are started without the library, since their loader would complain on
 * their standard error. All others get the environment that they are given.
 *
 * Called also by the child of a vfork(), and by handlers: what is built here is on the stack, and nothing is looked up
 * or allocated. What cannot be read is left to the kernel to judge.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTERPRETERS 5  /* how many the kernel follows, one being the script of the next */
#define VARIABLES 10000 /* of a larger environment the stack may not have a copy */
#define PRELOAD "LD_PRELOAD="
#define RECORDING "PYBUILDID_PROFILE="

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden"))); /* of this library, by the linker */

typedef int (*exec_function)(const char *path, char *const *arguments, char *const *environment);
typedef int (*spawn_function)(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                              const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment);

static struct {
    _Atomic(void *) execve, execvpe, posix_spawn, posix_spawnp;
} known;
static const char *library; /* as LD_PRELOAD names it */

__attribute__((constructor)) static void look_up(void)
{
    Dl_info self;
    library = dladdr(&known, &self) ? self.dli_fname : NULL;
    bid_next(&known.execve, "execve");
    bid_next(&known.execvpe, "execvpe");
    bid_next(&known.posix_spawn, "posix_spawn");
    bid_next(&known.posix_spawnp, "posix_spawnp");
}

/* ----------------------------------------------------------------------------------------- which program -- */

/* Of a regular file: to open a pipe or a device may have effects. */
static ssize_t read_start(const char *path, char *start, size_t room)
{
    struct stat status;
    int regular = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    int fd = regular ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    ssize_t n = fd < 0 ? -1 : pread(fd, start, room - 1, 0);
    if (fd >= 0)
        close(fd);
    start[n < 0 ? 0 : n] = 0;
    return n;
}

/* Whether the kernel runs an ELF file of another kind than this process's for it, itself or
 * as a script's interpreter. */
static int is_foreign(const char *path)
{
    char start[512];
    ElfW(Ehdr) header;
    for (int i = 0; i < INTERPRETERS; i++) {
        ssize_t n = read_start(path, start, sizeof start);
        if (n >= (ssize_t)sizeof header && memcmp(start, ELFMAG, SELFMAG) == 0) {
            memcpy(&header, start, sizeof header);
            return header.e_ident[EI_CLASS] != __ehdr_start.e_ident[EI_CLASS] ||
                   header.e_ident[EI_DATA] != __ehdr_start.e_ident[EI_DATA] ||
                   header.e_machine != __ehdr_start.e_machine;
        }
        if (n < 2 || memcmp(start, "#!", 2) != 0)
            return 0;
        char *name = start + 2 + strspn(start + 2, " \t");
        name[strcspn(name, " \t\n")] = 0;
        memmove(start, name, strlen(name) + 1);
        path = start;
    }
    return 0;
}

/* As execvp() finds it; `path` is for PATH_MAX bytes. */
static const char *search(const char *file, char *path)
{
    struct stat status;
    const char *folders = getenv("PATH");
    if (strchr(file, '/') || !folders)
        return file;
    for (size_t length; *folders; folders += length + (folders[length] == ':')) {
        length = strcspn(folders, ":");
        int n = snprintf(path, PATH_MAX, "%.*s/%s", length ? (int)length : 1, length ? folders : ".", file);
        if (n < PATH_MAX && stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0)
            return path;
    }
    return file;
}

/* ------------------------------------------------------------------------------------------- environments -- */

/* What LD_PRELOAD has besides this library, which is its first word; NULL: this is another variable. */
static const char *other_libraries(const char *variable)
{
    size_t length = library ? strlen(library) : 0;
    if (!length || strncmp(variable, PRELOAD, sizeof PRELOAD - 1) != 0)
        return NULL;
    const char *list = variable + sizeof PRELOAD - 1;
    if (strncmp(list, library, length) != 0 || !strchr(" :", list[length]))
        return NULL;
    return list + length + (list[length] != 0);
}

struct call {
    const char *program, *judged; /* a name, and the path that is looked at */
    char *const *arguments, *const *environment;
    _Atomic(void *) *function;
    const char *name; /* of the function */
    int spawns;       /* the rest is for posix_spawn() alone */
    pid_t *child;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
};

static int make(const struct call *call, char *const *environment)
{
    exec_function exec;
    spawn_function spawn;
    if (call->spawns) {
        *(void **)&spawn = bid_next(call->function, call->name);
        return spawn(call->child, call->program, call->actions, call->attributes, call->arguments, environment);
    }
    *(void **)&exec = bid_next(call->function, call->name);
    return exec(call->program, call->arguments, environment);
}

/* `others` are the libraries that stay, `n` variables are there. */
static int make_without(const struct call *call, const char *others, size_t n)
{
    char list[sizeof PRELOAD + PATH_MAX], *environment[n + 1];
    size_t kept = 0;
    snprintf(list, sizeof list, PRELOAD "%s", others);
    for (size_t i = 0; i < n; i++) {
        if (other_libraries(call->environment[i])) {
            if (*others)
                environment[kept++] = list;
        } else if (strncmp(call->environment[i], RECORDING, sizeof RECORDING - 1) != 0) {
            environment[kept++] = call->environment[i];
        }
    }
    environment[kept] = NULL;
    return make(call, environment);
}

static int start(const struct call *call)
{
    const char *others = NULL;
    int before = errno;
    size_t n = 0;
    for (; call->environment && call->environment[n]; n++)
        others = others ? others : other_libraries(call->environment[n]);
    int foreign = others && n <= VARIABLES && strlen(others) < PATH_MAX && is_foreign(call->judged);
    errno = before;
    return foreign ? make_without(call, others, n) : make(call, call->environment);
}

/* -------------------------------------------------------------------------------------- the functions -- */

EXPORTED int execve(const char *path, char *const arguments[], char *const environment[])
{
    return start(&(struct call){path, path, arguments, environment, &known.execve, "execve", 0, NULL, NULL, NULL});
}

EXPORTED int execv(const char *path, char *const arguments[])
{
    return execve(path, arguments, environ);
}

EXPORTED int execvpe(const char *file, char *const arguments[], char *const environment[])
{
    char path[PATH_MAX];
    return start(&(struct call){file, search(file, path), arguments, environment, &known.execvpe, "execvpe", 0, NULL,
                                NULL, NULL});
}

EXPORTED int execvp(const char *file, char *const arguments[])
{
    return execvpe(file, arguments, environ);
}

/* The words of a list up to its NULL, which is not among them; copied if there is room for them. */
static size_t take_words(const char *first, va_list more, char **words)
{
    size_t n = 0;
    for (const char *word = first; word; word = va_arg(more, const char *), n++)
        if (words)
            words[n] = (char *)(uintptr_t)word;
    return n;
}

#define COUNT_WORDS(first, n)                                                                                          \
    va_list more;                                                                                                      \
    va_start(more, first);                                                                                             \
    size_t n = take_words(first, more, NULL);                                                                          \
    va_end(more)

EXPORTED int execl(const char *path, const char *first, ...)
{
    COUNT_WORDS(first, n);
    char *arguments[n + 1];
    va_start(more, first);
    arguments[take_words(first, more, arguments)] = NULL;
    va_end(more);
    return execv(path, arguments);
}

EXPORTED int execlp(const char *file, const char *first, ...)
{
    COUNT_WORDS(first, n);
    char *arguments[n + 1];
    va_start(more, first);
    arguments[take_words(first, more, arguments)] = NULL;
    va_end(more);
    return execvp(file, arguments);
}

EXPORTED int execle(const char *path, const char *first, ...)
{
    COUNT_WORDS(first, n);
    char *arguments[n + 1];
    va_start(more, first);
    arguments[take_words(first, more, arguments)] = NULL;
    char *const *environment = va_arg(more, char *const *);
    va_end(more);
    return execve(path, arguments, environment);
}

EXPORTED int posix_spawn(pid_t *restrict child, const char *restrict path, const posix_spawn_file_actions_t *actions,
                         const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                         char *const environment[restrict])
{
    return start(&(struct call){path, path, arguments, environment, &known.posix_spawn, "posix_spawn", 1, child,
                                actions, attributes});
}

EXPORTED int posix_spawnp(pid_t *restrict child, const char *restrict file, const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                          char *const environment[restrict])
{
    char path[PATH_MAX];
    return start(&(struct call){file, search(file, path), arguments, environment, &known.posix_spawnp, "posix_spawnp",
                                1, child, actions, attributes});
}
