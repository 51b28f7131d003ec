/* A disk that keeps only what was synced, as far as a process can play one: preloaded into a server, it notes what every
   fsync and fdatasync promises, and does not do it. lossy_disk.py makes from the notes what a loss of power leaves.

   LOSSY_ROOT    directory whose files count
   LOSSY_NOTES   directory of the notes:
     files/KEY   content of a file at its last sync
     names/KEY   entries of a directory at its last sync, a line each: kind (d or f), key, name
     hold        while this file is there, syncs wait
     fail        while this file is there, the operations that it names fail: the errno, a blank, w (writes), s (syncs)
   KEY           inode and time of birth: inodes are used again
   LOSSY_IGNORED name of directories that are never synced, as if the server had left that out */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define KEY_SIZE 64
#define SELF_SIZE 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what) {
    perror(what);
    abort();
}

static int key_of(int fd, const char *name, char *key, char *kind) {
    struct statx about;
    if (statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME | STATX_TYPE, &about) != 0)
        return -1;
    snprintf(key, KEY_SIZE, "%llu-%lld.%09u", (unsigned long long)about.stx_ino, (long long)about.stx_btime.tv_sec,
             about.stx_btime.tv_nsec);
    *kind = S_ISDIR(about.stx_mode) ? 'd' : 'f';
    return 0;
}

static FILE *begin_note(const char *kind, const char *key, char *path, char *temporary) {
    snprintf(path, PATH_MAX, "%s/%s/%s", getenv("LOSSY_NOTES"), kind, key);
    snprintf(temporary, PATH_MAX, "%s/new", getenv("LOSSY_NOTES"));
    FILE *note = fopen(temporary, "w");
    if (note == NULL)
        fail(temporary);
    return note;
}

static void end_note(FILE *note, const char *path, const char *temporary) {
    if (fclose(note) != 0 || rename(temporary, path) != 0)
        fail(path);
}

static void note_names(const char *self, const char *key) {
    char path[PATH_MAX], temporary[PATH_MAX], entry_key[KEY_SIZE], kind;
    FILE *note = begin_note("names", key, path, temporary);
    DIR *directory = opendir(self);
    if (directory == NULL)
        fail(self);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            key_of(dirfd(directory), entry->d_name, entry_key, &kind) == 0)
            fprintf(note, "%c %s %s\n", kind, entry_key, entry->d_name);
    closedir(directory);
    end_note(note, path, temporary);
}

static void note_content(const char *self, const char *key) {
    char path[PATH_MAX], temporary[PATH_MAX], buffer[65536];
    FILE *note = begin_note("files", key, path, temporary);
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail(self);
    for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) != 0;)
        if (count < 0 || fwrite(buffer, 1, count, note) != (size_t)count)
            fail(path);
    close(fd);
    end_note(note, path, temporary);
}

static void wait_while_held(void) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/hold", getenv("LOSSY_NOTES"));
    while (access(path, F_OK) == 0)
        usleep(1000);
}

static int is_ignored(const char *directory) {
    const char *ignored = getenv("LOSSY_IGNORED"), *name = strrchr(directory, '/');
    return ignored != NULL && name != NULL && strcmp(name + 1, ignored) == 0;
}

/* Whether the open file is one whose fate counts, and its path. */
static int counts(int fd, char *self, char *path) {
    const char *root = getenv("LOSSY_ROOT");
    snprintf(self, SELF_SIZE, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(self, path, PATH_MAX - 1);
    if (root == NULL || length < 0 || strncmp(path, root, strlen(root)) != 0)
        return 0;
    path[length] = '\0';
    return 1;
}

/* The errno with which an operation of this kind fails at present, or 0. */
static int failure(int fd, char kind) {
    char self[SELF_SIZE], path[PATH_MAX], about[32] = "";
    const char *notes = getenv("LOSSY_NOTES");
    if (notes == NULL)
        return 0;
    snprintf(path, sizeof path, "%s/fail", notes);
    if (access(path, F_OK) != 0)
        return 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    char *read = fgets(about, sizeof about, file);
    fclose(file);
    char *kinds = read == NULL ? NULL : strchr(about, ' ');
    return kinds != NULL && strchr(kinds, kind) != NULL && counts(fd, self, path) ? atoi(about) : 0;
}

static int note(int fd) {
    char self[SELF_SIZE], path[PATH_MAX], key[KEY_SIZE], kind;
    if (!counts(fd, self, path))
        return 0;
    if ((errno = failure(fd, 's')) != 0)
        return -1;
    wait_while_held();
    pthread_mutex_lock(&lock);
    if (key_of(fd, "", key, &kind) != 0)
        fail("statx");
    if (kind == 'd' && !is_ignored(path))
        note_names(self, key);
    if (kind == 'f')
        note_content(self, key);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return note(fd); }

int fdatasync(int fd) { return note(fd); }

/* A write that finds the disk full has written a part before. */
#define WRITE(name, last, ...)                                                                                        \
    static ssize_t (*next)(int, __VA_ARGS__) = NULL;                                                                  \
    if (next == NULL)                                                                                                 \
        next = (ssize_t(*)(int, __VA_ARGS__))dlsym(RTLD_NEXT, name);                                                  \
    int code = failure(fd, 'w');                                                                                      \
    if (code == ENOSPC && last > 1)                                                                                   \
        last /= 2;                                                                                                    \
    else if (code != 0)                                                                                               \
        return errno = code, -1;

ssize_t write(int fd, const void *data, size_t count) {
    WRITE("write", count, const void *, size_t)
    return next(fd, data, count);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    WRITE("pwrite", count, const void *, size_t, off_t)
    return next(fd, data, count, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    WRITE("pwrite64", count, const void *, size_t, off64_t)
    return next(fd, data, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    WRITE("writev", count, const struct iovec *, int)
    return next(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    WRITE("pwritev", count, const struct iovec *, int, off_t)
    return next(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    WRITE("pwritev64", count, const struct iovec *, int, off64_t)
    return next(fd, parts, count, offset);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    WRITE("pwritev2", count, const struct iovec *, int, off_t, int)
    return next(fd, parts, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
    WRITE("pwritev64v2", count, const struct iovec *, int, off64_t, int)
    return next(fd, parts, count, offset, flags);
}
