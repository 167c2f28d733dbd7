/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A build ID is never another file's: files that are removed and written anew, get the inode number of the last one,
 * and are mapped at its address; that are rewritten in place, also while they are read; of which the system tells less.
 * On the file system of the working directory, and, for root, on tmpfs, ext4, btrfs and overlayfs. All of it with files
 * found by /proc/self/map_files, and by their paths.
 */
#define _GNU_SOURCE
#include "mapped_code.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* ------------------------------------------------------------------------------------ what the system tells -- */

/* In the place of libc's functions: a clock, and changes, of our choosing; no handles; no /proc/self/map_files, as
 * without capabilities; a write after a read. */
static struct {
    long change; /* seconds: when every file was changed, and 0: let stat() say it */
    long now;
    int no_handles, no_map_files;
    int reads_until_written; /* counts down; at 0 the file `written` is rewritten, each time if it stays there */
    int again;
    uint8_t first;
    const char *written;
} system_says;

static void rewrite(const char *path, uint8_t first);

static int changed_then(int status, struct stat *file)
{
    if (status == 0 && system_says.change)
        file->st_ctim = (struct timespec){system_says.change, 1};
    return status;
}

int stat(const char *restrict path, struct stat *restrict file)
{
    if (system_says.no_map_files && strncmp(path, "/proc/self/map_files/", 21) == 0) {
        errno = EPERM;
        return -1;
    }
    return changed_then(fstatat(AT_FDCWD, path, file, 0), file);
}

int fstat(int fd, struct stat *file)
{
    return changed_then(fstatat(fd, "", file, AT_EMPTY_PATH), file);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock == CLOCK_REALTIME_COARSE && system_says.now) {
        *time = (struct timespec){system_says.now, 1};
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, time);
}

int name_to_handle_at(int directory, const char *path, struct file_handle *handle, int *mount, int flags)
{
    if (!system_says.no_handles)
        return (int)syscall(SYS_name_to_handle_at, directory, path, handle, mount, flags);
    errno = EOPNOTSUPP;
    return -1;
}

ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    ssize_t n = (ssize_t)syscall(SYS_pread64, fd, buffer, bytes, offset);
    char link[32], path[256] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (!system_says.written || readlink(link, path, sizeof path - 1) < 0 || strcmp(path, system_says.written) != 0)
        return n;
    if (system_says.reads_until_written-- > 0)
        return n;
    system_says.reads_until_written = system_says.again ? 0 : 1 << 30;
    usleep(5000); /* so that the clock of changes moves on */
    rewrite(system_says.written, ++system_says.first);
    return n;
}

/* ----------------------------------------------------------------------------------------------- the tests -- */

/* Its ID changes, and nothing else: neither its inode nor its size. */
static void rewrite(const char *path, uint8_t first)
{
    uint8_t id[20];
    for (unsigned i = 0; i < sizeof id; i++)
        id[i] = (uint8_t)(first + i);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, id, sizeof id, 256 + sizeof(Elf64_Nhdr) + 4) == sizeof id && close(fd) == 0);
}

static ino_t inode_of(const char *path)
{
    struct stat status;
    CHECK(stat(path, &status) == 0);
    return status.st_ino;
}

/* Unlinks the file and writes another one, with the same inode number if the file system gives it again. */
static int replace(const char *path, uint8_t first)
{
    ino_t before = inode_of(path);
    char other[300];
    snprintf(other, sizeof other, "%s.other", path);
    CHECK(unlink(path) == 0);
    for (int i = 0; i < 8; i++) {
        make_elf(path, first, 20);
        if (inode_of(path) == before)
            return 1;
        CHECK(rename(path, other) == 0 && unlink(other) == 0);
    }
    make_elf(path, first, 20);
    return 0;
}

/* Rounds of unmapping, replacing and mapping at the same address. Returns in how many the inode number was the same. */
static int reloaded(const char *path)
{
    int same = 0;
    make_elf(path, 1, 20);
    uint64_t code = map_code(path, NULL);
    refresh();
    for (uint8_t round = 2; round < 14; round++) {
        check_code(code, (uint8_t)(round - 1), 20);
        unmap_code(code);
        same += replace(path, round);
        CHECK(map_code(path, (void *)(code - PAGE)) == code);
        refresh();
        check_code(code, round, 20);
        CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
    }
    unmap_code(code);
    refresh();
    return same;
}

static int count_fresh(void *argument, const struct bid_mapping *mapping)
{
    *(int *)argument += mapping->fresh;
    return 0;
}

/* Private memory that nobody has written to shows what the file has now. */
static void rewritten_in_place(const char *path)
{
    int fresh = 0;
    make_elf(path, 1, 20);
    uint64_t code = map_code(path, NULL);
    refresh();
    check_code(code, 1, 20);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
    for (uint8_t round = 30; round < 40; round++) {
        rewrite(path, round);
        CHECK_STATUS(bid_maps_refresh(maps), BID_OK);
        check_code(code, round, 20);
        fresh = 0;
        CHECK_STATUS(bid_maps_iterate(maps, count_fresh, &fresh, NULL), BID_OK);
        CHECK(fresh == 1);
    }
    unmap_code(code);
    refresh();
}

static int has_handle(const char *path)
{
    struct bid_identity identity;
    make_elf(path, 1, 20);
    bid_identity_of_path(&identity, path);
    return identity.handle_bytes != 0;
}

/* The file handle alone, with the inode's generation in it: all changes have one time, long ago. */
static void by_the_handle(const char *path)
{
    if (!has_handle(path)) {
        printf("%s: the file system has no handles\n", path);
        return;
    }
    system_says.change = 1000, system_says.now = 2000;
    int same = reloaded(path);
    printf("%s: the same inode number in %d of 12 rounds, told apart by the handle\n", path, same);
    system_says.change = system_says.now = 0;
}

/* The time of the change alone; and where the clock has not moved on since, nothing is believed. */
static void by_the_change(const char *path)
{
    system_says.no_handles = 1;
    reloaded(path);
    system_says.change = system_says.now = 1000;
    reloaded(path);
    rewritten_in_place(path);
    system_says.change = system_says.now = system_says.no_handles = 0;
}

/* What is believed: the file is not read again, nor opened, for as long as all of it is the same. Else the
 * tests above show nothing. */
static void inherited(const char *path)
{
    char event[4096];
    system_says.change = 1000, system_says.now = 2000;
    make_elf(path, 1, 20);
    uint64_t code = map_code(path, NULL);
    refresh();
    rewrite(path, 7); /* with a change that is not to be seen */
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(inotify_add_watch(watch, path, IN_ALL_EVENTS) >= 0);
    CHECK_STATUS(bid_maps_refresh(maps), BID_EXISTS);
    CHECK(read(watch, event, sizeof event) == -1 && errno == EAGAIN);
    check_code(code, 1, 20);
    system_says.change++;
    CHECK_STATUS(bid_maps_refresh(maps), BID_OK);
    check_code(code, 7, 20);
    CHECK(read(watch, event, sizeof event) > 0); /* which is seen */
    CHECK(close(watch) == 0);
    system_says.change = system_says.now = 0;
    unmap_code(code);
    refresh();
}

/* Read in the middle of a change: read again. If that never ends it is not known. */
static void rewritten_while_read(const char *path)
{
    make_elf(path, 1, 20);
    uint64_t code = map_code(path, NULL);
    system_says.first = 50, system_says.written = path, system_says.reads_until_written = 0;
    refresh();
    check_code(code, 51, 20);
    CHECK(bid_maps_refresh(maps) >= 0);
    system_says.again = 1, system_says.reads_until_written = 0;
    refresh();
    rewrite(path, 90);
    refresh();
    CHECK(reason_of(code) == BID_RESOLVE_UNKNOWN_FILE);
    system_says.written = NULL, system_says.again = 0;
    refresh();
    check_code(code, system_says.first, 20);
    unmap_code(code);
    refresh();
}

static void each(const char *path)
{
    printf("%s: the same inode number in %d of 12 rounds\n", path, reloaded(path));
    rewritten_in_place(path);
    inherited(path);
    by_the_handle(path);
}

/* ------------------------------------------------------------------------------------------- file systems -- */

static int command(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return system(text) == 0;
}

#define QUIETLY ">/dev/null 2>&1"

static const char *mount_point(const char *name)
{
    char text[64];
    snprintf(text, sizeof text, "on.%s", name);
    const char *path = in_directory(text);
    CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
    return path;
}

static int mount_image(const char *name, const char *size, const char *options)
{
    const char *image = in_directory(name), *top = mount_point(name);
    if (command("rm -f '%s' && truncate -s %s '%s' && mkfs.%s -q %s '%s' " QUIETLY
                " && mount -o loop '%s' '%s' " QUIETLY,
                image, size, image, name, options, image, image, top))
        return 1;
    printf("skipped: %s, which needs loop devices and mkfs.%s (apt-get install btrfs-progs e2fsprogs)\n", name, name);
    return 0;
}

static void on_image(const char *name, const char *size, const char *options)
{
    char path[300];
    if (!mount_image(name, size, options))
        return;
    snprintf(path, sizeof path, "%s/file", mount_point(name));
    each(path);
}

static void on_tmpfs(void)
{
    char path[300];
    const char *top = mount_point("tmpfs");
    CHECK(mount("none", top, "tmpfs", 0, NULL) == 0);
    snprintf(path, sizeof path, "%s/file", top);
    each(path);
}

/* On btrfs a file and its copy in a snapshot have one inode number, and maps shows one device for both. */
static void on_btrfs_snapshot(void)
{
    char top[256], file[300], other[300];
    snprintf(top, sizeof top, "%s", mount_point("btrfs"));
    snprintf(file, sizeof file, "%s/a/file", top);
    snprintf(other, sizeof other, "%s/b/file", top);
    if (!command("btrfs subvolume create '%s/a' " QUIETLY, top)) {
        printf("skipped: snapshots of btrfs (apt-get install btrfs-progs)\n");
        return;
    }
    make_elf(file, 1, 20);
    CHECK(command("btrfs subvolume snapshot '%s/a' '%s/b' " QUIETLY, top, top));
    rewrite(other, 60);
    uint64_t code = map_code(file, NULL);
    refresh();
    check_code(code, 1, 20);
    CHECK(command("mount --bind '%s/b' '%s/a'", top, top));
    CHECK(inode_of(file) == inode_of(other));
    refresh();
    check_code(code, 1, 20);
    uint64_t covering = map_code(file, NULL);
    refresh();
    check_code(covering, 60, 20);
    check_code(code, 1, 20);
    unmap_code(code), unmap_code(covering);
    refresh();
}

/* What is mapped stays the file below when somebody writes to it, for that makes a copy. */
static void copied_up(const char *path)
{
    uint64_t code = map_code(path, NULL);
    refresh();
    check_code(code, 80, 20);
    rewrite(path, 90);
    refresh();
    check_code(code, 80, 20);
    uint64_t copy = map_code(path, NULL);
    refresh();
    check_code(copy, 90, 20);
    check_code(code, 80, 20);
    unmap_code(code), unmap_code(copy);
    refresh();
}

static void on_overlay(void)
{
    char path[300], base[256], top[256];
    snprintf(base, sizeof base, "%s", mount_point("layers"));
    snprintf(top, sizeof top, "%s", mount_point("overlay"));
    CHECK(command("rm -rf '%s'/* && mkdir '%s/lower' '%s/upper' '%s/work'", base, base, base, base));
    snprintf(path, sizeof path, "%s/lower/below", base);
    make_elf(path, 80, 20);
    if (!command("mount -t overlay overlay -o 'lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work' '%s' " QUIETLY,
                 base, base, base, top)) {
        printf("skipped: overlayfs, which cannot be mounted over this file system\n");
        return;
    }
    snprintf(path, sizeof path, "%s/file", top);
    each(path);
    snprintf(path, sizeof path, "%s/below", top);
    copied_up(path);
}

static void file_systems(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        printf("skipped: tmpfs, ext4, btrfs and overlayfs, which root can mount\n");
        return;
    }
    on_tmpfs();
    on_overlay();
    on_image("ext4", "16M", "");
    on_image("btrfs", "120M", "");
    on_btrfs_snapshot();
}

/* --------------------------------------------------------------------------------------------------- main -- */

static void everything(void)
{
    static char path[256];
    snprintf(path, sizeof path, "%s", in_directory("file"));
    each(path);
    by_the_change(path);
    rewritten_while_read(path);
    file_systems();
}

/* In a child, whose mounts end with it. */
static void run(int by_path)
{
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        system_says.no_map_files = by_path;
        everything();
        fflush(stdout);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void)
{
    begin_mapping();
    run(0);
    run(1);
    bid_maps_destroy(maps);
    CHECK(command("rm -rf '%s'", directory));
    return 0;
}
