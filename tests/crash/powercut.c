/* Records, below the C library's callers, every change to files under one directory, so that a test can replay what a
 * power cut would have left: everything that was synced, and any part of what was not.
 *
 *   POWERCUT_DIR    directory whose files are recorded
 *   POWERCUT_TRACE  file that the records are appended to
 *
 * One record: kind (1 byte), path length (u16), second length (u32), offset (u64), path, data; integers little-endian.
 * Kinds: w write, t truncate (offset = new length), s sync of a file, d sync of a directory, c create, r rename (data =
 * new path), u unlink, m mkdir. A write is recorded before it is done and a sync after it returned, so that the trace never
 * claims more to be durable than the program was told.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
static char *paths[FDS];
static char root[PATH_MAX];
static size_t root_length;
static int trace = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
    const char *dir = getenv("POWERCUT_DIR"), *out = getenv("POWERCUT_TRACE");
    if (!dir || !out || !realpath(dir, root)) return;
    root_length = strlen(root);
    trace = (int)syscall(SYS_openat, AT_FDCWD, out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void record(char kind, const char *path, uint64_t offset, const void *data, uint32_t length) {
    if (trace < 0) return;
    unsigned char head[15];
    uint16_t path_length = (uint16_t)strlen(path);
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &path_length, 2);
    memcpy(head + 3, &length, 4);
    memcpy(head + 7, &offset, 8);
    struct iovec parts[3] = {{head, 15}, {(void *)path, path_length}, {(void *)data, length}};
    /* One writev with O_APPEND is one piece in the trace, whatever the other threads do. */
    if (syscall(SYS_writev, trace, parts, 3) != (long)(15 + path_length + length)) _exit(97);
}

/* The absolute path when it lies below the directory that is recorded, else NULL. */
static char *below(int dirfd, const char *path, char *out) {
    char full[PATH_MAX * 2];
    if (trace < 0 || !path) return NULL;
    if (path[0] == '/') snprintf(full, sizeof full, "%s", path);
    else {
        char base[PATH_MAX], link[64];
        if (dirfd == AT_FDCWD) { if (!getcwd(base, sizeof base)) return NULL; }
        else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
            ssize_t n = readlink(link, base, sizeof base - 1);
            if (n < 0) return NULL;
            base[n] = 0;
        }
        snprintf(full, sizeof full, "%s/%s", base, path);
    }
    if (strncmp(full, root, root_length) || (full[root_length] != '/' && full[root_length])) return NULL;
    if (strlen(full) >= PATH_MAX) return NULL;
    strcpy(out, full);
    return out;
}

static const char *path_of(int fd) { return fd >= 0 && fd < FDS ? __atomic_load_n(&paths[fd], __ATOMIC_ACQUIRE) : NULL; }

static void opened(int fd, const char *path, int existed) {
    if (fd < 0 || fd >= FDS) return;
    pthread_mutex_lock(&lock);
    __atomic_store_n(&paths[fd], strdup(path), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    if (!existed) record('c', path, 0, NULL, 0);
}

static int open_common(int dirfd, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    struct stat info;
    char *mine = below(dirfd, path, full);
    int existed = mine && stat(full, &info) == 0;
    int fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
    if (fd >= 0 && mine) {
        opened(fd, full, existed);
        if (existed && (flags & O_TRUNC)) record('t', full, 0, NULL, 0);
    }
    return fd;
}

#define OPEN_MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }
int open(const char *path, int flags, ...) { OPEN_MODE return open_common(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE return open_common(AT_FDCWD, path, flags, mode); }
int openat(int dirfd, const char *path, int flags, ...) { OPEN_MODE return open_common(dirfd, path, flags, mode); }
int openat64(int dirfd, const char *path, int flags, ...) { OPEN_MODE return open_common(dirfd, path, flags, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FDS) __atomic_store_n(&paths[fd], NULL, __ATOMIC_RELEASE);
    return (int)syscall(SYS_close, fd);
}

static uint64_t position(int fd) {
    struct stat info;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &info) == 0) return (uint64_t)info.st_size;
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : (uint64_t)at;
}

ssize_t write(int fd, const void *data, size_t length) {
    const char *path = path_of(fd);
    if (path) record('w', path, position(fd), data, (uint32_t)length);
    return syscall(SYS_write, fd, data, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    const char *path = path_of(fd);
    if (path) {
        uint64_t at = position(fd);
        for (int i = 0; i < count; i++) {
            record('w', path, at, parts[i].iov_base, (uint32_t)parts[i].iov_len);
            at += parts[i].iov_len;
        }
    }
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    const char *path = path_of(fd);
    if (path) record('w', path, (uint64_t)offset, data, (uint32_t)length);
    return syscall(SYS_pwrite64, fd, data, length, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite(fd, data, length, offset); }

int ftruncate(int fd, off_t length) {
    const char *path = path_of(fd);
    if (path) record('t', path, (uint64_t)length, NULL, 0);
    return (int)syscall(SYS_ftruncate, fd, length);
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int synced(int fd, int result) {
    const char *path = path_of(fd);
    struct stat info;
    if (result == 0 && path && fstat(fd, &info) == 0) record(S_ISDIR(info.st_mode) ? 'd' : 's', path, 0, NULL, 0);
    return result;
}
int fsync(int fd) { return synced(fd, (int)syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { return synced(fd, (int)syscall(SYS_fdatasync, fd)); }

static int rename_common(int from_dir, const char *from, int to_dir, const char *to, int (*call)(int, const char *, int, const char *)) {
    char a[PATH_MAX], b[PATH_MAX];
    char *source = below(from_dir, from, a), *target = below(to_dir, to, b);
    int result = call(from_dir, from, to_dir, to);
    if (result == 0 && source && target) {
        record('r', a, 0, b, (uint32_t)strlen(b));
        pthread_mutex_lock(&lock);
        for (int fd = 0; fd < FDS; fd++)
            if (paths[fd] && !strcmp(paths[fd], a)) __atomic_store_n(&paths[fd], strdup(b), __ATOMIC_RELEASE);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
static int plain_rename(int a, const char *b, int c, const char *d) { return (int)syscall(SYS_renameat2, a, b, c, d, 0); }
int rename(const char *from, const char *to) { return rename_common(AT_FDCWD, from, AT_FDCWD, to, plain_rename); }
int renameat(int a, const char *b, int c, const char *d) { return rename_common(a, b, c, d, plain_rename); }

int unlinkat(int dirfd, const char *path, int flags) {
    char full[PATH_MAX];
    char *mine = below(dirfd, path, full);
    int result = (int)syscall(SYS_unlinkat, dirfd, path, flags);
    if (result == 0 && mine) record('u', full, 0, NULL, 0);
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdir(const char *path, mode_t mode) {
    char full[PATH_MAX];
    int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (result == 0 && below(AT_FDCWD, path, full)) record('m', full, 0, NULL, 0);
    return result;
}
