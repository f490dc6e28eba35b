/* Stands between the server and its disk: loaded with LD_PRELOAD, it sees every change of the
 * files below the working directory.
 *
 * DISK_JOURNAL names a file. Every change goes to it, with its data, in the order in which it
 * was done, and the begin and the end of every sync. From that a test knows what a power cut
 * may leave. sync_file_range is not in it: it asks no disk to keep anything.
 *
 * DISK_RULES names a file that a test may write and remove at any time. Each line is a rule:
 *
 *     ACTION OPERATION PATTERN SKIP COUNT
 *
 * Of the operations on files whose path below the working directory fits the pattern (as a
 * shell's, * includes /), SKIP pass, and the next COUNT are met by the action: the name of an
 * error, or "short" (half of a write is done), or "lie" (a sync says that it is done and does
 * nothing), or the process kills itself "before" or "after" it, or "amid" a write. Operations: create, open (of a file that would be made otherwise), write,
 * truncate, sync, rename, unlink, mkdir.
 *
 * What changes files in a way that is not known here is put down as unknown, and fails the test. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX (1 << 16)
#define RULES_MAX 8
#define EXPORT __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static const char *rules_path;
static int journal = -1;
static uint64_t syncs;
/* The file that each descriptor below the root stands for; 0: not ours. */
static ino_t inode[FDS_MAX];

/* ---- the functions that stand behind */

#define REAL(type, name, ...) static type (*real_##name)(__VA_ARGS__)
REAL(int, openat64, int, const char *, int, ...);
REAL(int, close, int);
REAL(int, closedir, DIR *);
REAL(int, dup, int);
REAL(int, fcntl, int, int, ...);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, writev, int, const struct iovec *, int);
REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t);
REAL(int, ftruncate64, int, off64_t);
REAL(int, fallocate64, int, int, off64_t, off64_t);
REAL(int, posix_fallocate64, int, off64_t, off64_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, renameat, int, const char *, int, const char *);
REAL(int, unlinkat, int, const char *, int);
REAL(int, mkdirat, int, const char *, mode_t);
REAL(int, linkat, int, const char *, int, const char *, int);
REAL(int, symlinkat, const char *, int, const char *);
REAL(int, truncate64, const char *, off64_t);
REAL(void *, mmap64, void *, size_t, int, int, int, off64_t);
REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
REAL(ssize_t, splice, int, off64_t *, int, off64_t *, size_t, unsigned);

#define FIND(name) if (!(real_##name = dlsym(RTLD_NEXT, #name))) abort()

/* Others may call before it is our turn. */
static void prepare(void) {
    if (real_close) return;
    FIND(openat64); FIND(closedir); FIND(dup); FIND(fcntl); FIND(write); FIND(writev);
    FIND(pwrite64); FIND(pwritev64); FIND(ftruncate64); FIND(fallocate64);
    FIND(posix_fallocate64); FIND(fsync); FIND(fdatasync); FIND(renameat); FIND(unlinkat);
    FIND(mkdirat); FIND(linkat); FIND(symlinkat); FIND(truncate64); FIND(mmap64);
    FIND(copy_file_range); FIND(sendfile64); FIND(splice); FIND(close);
}

__attribute__((constructor)) static void begin(void) {
    prepare();
    if (!getcwd(root, sizeof root)) abort();
    root_len = strlen(root);
    rules_path = getenv("DISK_RULES");
    const char *path = getenv("DISK_JOURNAL");
    if (path) journal = real_openat64(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (path && journal < 0) abort();
}

/* ---- the journal: a head, then a bytes and b bytes of text or data */

struct entry {
    uint32_t kind, a, b, reserved;
    uint64_t x, y, z;
};

static void put(char kind, uint64_t x, uint64_t y, uint64_t z,
                const struct iovec *data, int count, size_t a, size_t b) {
    if (journal < 0) return;
    struct entry entry = {(uint32_t)kind, (uint32_t)a, (uint32_t)b, 0, x, y, z};
    struct iovec all[18] = {{&entry, sizeof entry}};
    size_t left = a + b, used = 1;
    for (int i = 0; i < count && left > 0; i++) {
        if (used == 18) abort();
        size_t len = data[i].iov_len < left ? data[i].iov_len : left;
        all[used++] = (struct iovec){data[i].iov_base, len};
        left -= len;
    }
    for (size_t i = 0; i < used; i++) {
        const char *from = all[i].iov_base;
        size_t len = all[i].iov_len;
        while (len > 0) {
            ssize_t done = real_write(journal, from, len);
            if (done <= 0) abort();
            from += done;
            len -= (size_t)done;
        }
    }
}

static void put_names(char kind, uint64_t x, uint64_t y, const char *a, const char *b) {
    struct iovec names[2] = {{(void *)a, strlen(a)}, {(void *)b, strlen(b)}};
    put(kind, x, y, 0, names, 2, strlen(a), strlen(b));
}

static void unknown(const char *what) { put_names('X', 0, 0, what, ""); }

/* ---- rules */

struct rule {
    char action[16], operation[16], pattern[PATH_MAX];
    long skip, count, met;
};
static struct rule rules[RULES_MAX];
static int rule_count;
static char rules_text[4096];

static void read_rules(void) {
    char text[sizeof rules_text] = "";
    int fd = real_openat64(AT_FDCWD, rules_path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t len = read(fd, text, sizeof text - 1);
        text[len > 0 ? len : 0] = 0;
        real_close(fd);
    }
    if (strcmp(text, rules_text) == 0) return;
    strcpy(rules_text, text);
    rule_count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        struct rule rule = {0};
        if (rule_count == RULES_MAX) abort();
        if (sscanf(line, "%15s %15s %4095s %ld %ld", rule.action, rule.operation, rule.pattern,
                   &rule.skip, &rule.count) != 5) abort();
        rules[rule_count++] = rule;
    }
}

/* The action that meets this operation; "" for none. */
static const char *action(const char *operation, const char *path) {
    if (!rules_path) return "";
    read_rules();
    const char *found = "";
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->operation, operation) != 0) continue;
        if (fnmatch(rule->pattern, path, 0) != 0) continue;
        long met = rule->met++;
        if (met >= rule->skip && met - rule->skip < rule->count && !*found) found = rule->action;
    }
    return found;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int is(const char *action, const char *name) { return strcmp(action, name) == 0; }

/* Whether the operation fails, with errno set. */
static int fails(const char *action) {
    if (is(action, "before")) die();
    if (is(action, "ENOSPC")) return errno = ENOSPC, 1;
    if (is(action, "EIO")) return errno = EIO, 1;
    if (is(action, "EROFS")) return errno = EROFS, 1;
    return 0;
}

static void done(const char *action) {
    if (is(action, "after")) die();
}

/* ---- which file it is */

/* The part of an absolute path below the root; NULL if it is not there. */
static const char *below(const char *path) {
    if (strncmp(path, root, root_len) != 0) return NULL;
    if (path[root_len] == 0) return ".";
    return path[root_len] == '/' ? path + root_len + 1 : NULL;
}

static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    path[len > 0 ? len : 0] = 0;
    return len > 0;
}

/* A name in a folder below the root. */
struct place {
    int ours;
    ino_t folder;
    char path[PATH_MAX], name[NAME_MAX + 1];
};

static struct place place_of(int folder, const char *path) {
    struct place place = {0};
    char whole[2 * PATH_MAX] = "", real[PATH_MAX];
    if (path[0] != '/') {
        char at[PATH_MAX];
        if (folder == AT_FDCWD ? !getcwd(at, sizeof at) : !path_of(folder, at)) return place;
        snprintf(whole, sizeof whole, "%s/", at);
    }
    strncat(whole, path, sizeof whole - strlen(whole) - 1);
    size_t len = strlen(whole);
    while (len > 1 && whole[len - 1] == '/') whole[--len] = 0;
    char *slash = strrchr(whole, '/');
    if (!slash || strlen(slash + 1) > NAME_MAX) return place;
    strcpy(place.name, slash + 1);
    if (is(place.name, ".") || is(place.name, "..")) return place;
    *slash = 0;
    if (!realpath(*whole ? whole : "/", real)) return place;
    const char *inside = below(real);
    struct stat stat_;
    if (!inside || stat(real, &stat_) != 0) return place;
    place.ours = 1;
    place.folder = stat_.st_ino;
    if (is(inside, ".")) inside = "";
    snprintf(place.path, sizeof place.path, "%s%s%s", inside, *inside ? "/" : "", place.name);
    return place;
}

/* Remembers what a new descriptor stands for. */
static void opened(int fd) {
    char path[PATH_MAX];
    struct stat stat_;
    if (fd < 0 || fd >= FDS_MAX) return;
    int ours = path_of(fd, path) && below(path) && fstat(fd, &stat_) == 0;
    int kept = ours && (S_ISREG(stat_.st_mode) || S_ISDIR(stat_.st_mode));
    inode[fd] = kept ? stat_.st_ino : 0;
}

/* The file behind a descriptor, with its path; 0 if it is not ours. The lock must be held. */
static ino_t file_of(int fd, char path[PATH_MAX]) {
    struct stat stat_;
    if (fstat(fd, &stat_) != 0 || stat_.st_ino != inode[fd]) return inode[fd] = 0;
    char whole[PATH_MAX];
    const char *inside = path_of(fd, whole) ? below(whole) : NULL;
    snprintf(path, PATH_MAX, "%s", inside ? inside : "");
    return inode[fd];
}

static int may_be_ours(int fd) {
    prepare();
    return fd >= 0 && fd < FDS_MAX && inode[fd] != 0;
}

/* ---- opening and closing */

static int do_open(int folder, const char *path, int flags, mode_t mode) {
    prepare();
    if ((flags & O_TMPFILE) == O_TMPFILE) unknown("O_TMPFILE");
    pthread_mutex_lock(&lock);
    struct place place = {0};
    struct stat before;
    int existed = 1;
    if (flags & (O_CREAT | O_TRUNC)) place = place_of(folder, path);
    if (place.ours) existed = fstatat(folder, path, &before, 0) == 0;
    const char *operation = existed ? "open" : "create";
    const char *met = place.ours && flags & O_CREAT ? action(operation, place.path) : "";
    int fd = fails(met) ? -1 : real_openat64(folder, path, flags, mode);
    int kept = errno;
    if (fd >= 0) {
        opened(fd);
        if (place.ours && !existed) put_names('C', place.folder, inode[fd], place.name, "");
        else if (place.ours && flags & O_TRUNC && before.st_size > 0) put('T', inode[fd], 0, 0, NULL, 0, 0, 0);
        done(met);
    }
    pthread_mutex_unlock(&lock);
    errno = kept;
    return fd;
}

static mode_t mode_of(int flags, va_list *rest) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(*rest, mode_t) : 0;
}

#define OPEN(name, folder_parameter, folder)                     \
    EXPORT int name(folder_parameter const char *path, int flags, ...) { \
        va_list rest;                                            \
        va_start(rest, flags);                                   \
        mode_t mode = mode_of(flags, &rest);                     \
        va_end(rest);                                            \
        return do_open(folder, path, flags, mode);               \
    }
#define FOLDER int folder,
OPEN(open, , AT_FDCWD)
OPEN(open64, , AT_FDCWD)
OPEN(openat, FOLDER, folder)
OPEN(openat64, FOLDER, folder)

EXPORT int close(int fd) {
    prepare();
    if (fd >= 0 && fd < FDS_MAX) inode[fd] = 0;
    return real_close(fd);
}

EXPORT int closedir(DIR *dir) {
    prepare();
    int fd = dirfd(dir);
    if (fd >= 0 && fd < FDS_MAX) inode[fd] = 0;
    return real_closedir(dir);
}

static int copied(int from, int to) {
    if (may_be_ours(from) && to >= 0 && to < FDS_MAX) inode[to] = inode[from];
    return to;
}

EXPORT int dup(int fd) {
    prepare();
    return copied(fd, real_dup(fd));
}

static int do_fcntl(int fd, int command, void *argument) {
    prepare();
    int result = real_fcntl(fd, command, argument);
    int copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return copies ? copied(fd, result) : result;
}

#define FCNTL(name)                                   \
    EXPORT int name(int fd, int command, ...) {       \
        va_list rest;                                 \
        va_start(rest, command);                      \
        void *argument = va_arg(rest, void *);        \
        va_end(rest);                                 \
        return do_fcntl(fd, command, argument);       \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- bytes */

/* Cuts `data` to half; returns how many pieces are left. */
static int halve(struct iovec *data, int count, size_t total) {
    size_t left = (total + 1) / 2;
    for (int i = 0; i < count; i++) {
        if (data[i].iov_len >= left) {
            data[i].iov_len = left;
            return i + 1;
        }
        left -= data[i].iov_len;
    }
    return count;
}

/* A write where the descriptor stands (at < 0), or at an offset. */
static ssize_t do_write(int fd, const struct iovec *given, int count, off64_t at) {
    char path[PATH_MAX];
    struct iovec data[16];
    if (count > 16) count = 16;
    memcpy(data, given, (size_t)count * sizeof *data);
    pthread_mutex_lock(&lock);
    ino_t file = file_of(fd, path);
    const char *met = file ? action("write", path) : "";
    ssize_t written = -1;
    if (!fails(met)) {
        size_t total = 0;
        for (int i = 0; i < count; i++) total += data[i].iov_len;
        if (is(met, "short") || is(met, "amid")) count = halve(data, count, total);
        written = at < 0 ? real_writev(fd, data, count) : real_pwritev64(fd, data, count, at);
    }
    int kept = errno;
    if (file && written > 0) {
        off64_t begin = at < 0 ? lseek(fd, 0, SEEK_CUR) - written : at;
        put('W', file, (uint64_t)begin, 0, data, count, (size_t)written, 0);
    }
    if (is(met, "amid")) die();
    done(met);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return written;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t len) {
    struct iovec data = {(void *)bytes, len};
    return may_be_ours(fd) ? do_write(fd, &data, 1, -1) : real_write(fd, bytes, len);
}

EXPORT ssize_t writev(int fd, const struct iovec *data, int count) {
    return may_be_ours(fd) ? do_write(fd, data, count, -1) : real_writev(fd, data, count);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    struct iovec data = {(void *)bytes, len};
    return may_be_ours(fd) ? do_write(fd, &data, 1, at) : real_pwrite64(fd, bytes, len, at);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t at) {
    return may_be_ours(fd) ? do_write(fd, data, count, at) : real_pwritev64(fd, data, count, at);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }
EXPORT ssize_t pwritev(int fd, const struct iovec *data, int count, off_t at) { return pwritev64(fd, data, count, at); }

EXPORT int ftruncate64(int fd, off64_t len) {
    if (!may_be_ours(fd)) return real_ftruncate64(fd, len);
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    ino_t file = file_of(fd, path);
    const char *met = file ? action("truncate", path) : "";
    int result = fails(met) ? -1 : real_ftruncate64(fd, len);
    int kept = errno;
    if (file && result == 0) put('T', file, (uint64_t)len, 0, NULL, 0, 0, 0);
    done(met);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return result;
}

EXPORT int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

static int do_sync(int fd, int (*sync)(int)) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    ino_t file = file_of(fd, path);
    uint64_t number = ++syncs;
    const char *met = file ? action("sync", path) : "";
    int refused = fails(met), kept = errno;
    if (file) put('S', file, number, 0, NULL, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    if (refused) return errno = kept, -1;
    if (is(met, "lie")) return 0;
    int result = sync(fd);
    kept = errno;
    pthread_mutex_lock(&lock);
    if (file && result == 0) put('E', file, number, 0, NULL, 0, 0, 0);
    done(met);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return result;
}

EXPORT int fsync(int fd) { return may_be_ours(fd) ? do_sync(fd, real_fsync) : real_fsync(fd); }
EXPORT int fdatasync(int fd) { return may_be_ours(fd) ? do_sync(fd, real_fdatasync) : real_fdatasync(fd); }

/* ---- names */

static int do_rename(int from_folder, const char *from, int to_folder, const char *to) {
    prepare();
    pthread_mutex_lock(&lock);
    struct place old = place_of(from_folder, from), new = place_of(to_folder, to);
    const char *met = new.ours ? action("rename", new.path) : "";
    int result = fails(met) ? -1 : real_renameat(from_folder, from, to_folder, to);
    int kept = errno;
    if (result == 0 && (old.ours || new.ours)) {
        if (old.ours && new.ours && old.folder == new.folder) put_names('R', old.folder, 0, old.name, new.name);
        else unknown("rename between folders");
    }
    done(met);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return result;
}

EXPORT int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to); }
EXPORT int renameat(int a, const char *from, int b, const char *to) { return do_rename(a, from, b, to); }
EXPORT int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    if (flags) return errno = ENOSYS, -1;
    return do_rename(a, from, b, to);
}

static int do_unlink(int folder, const char *path, int flags) {
    prepare();
    pthread_mutex_lock(&lock);
    struct place place = place_of(folder, path);
    const char *met = place.ours ? action("unlink", place.path) : "";
    int result = fails(met) ? -1 : real_unlinkat(folder, path, flags);
    int kept = errno;
    if (place.ours && result == 0) put_names('U', place.folder, 0, place.name, "");
    done(met);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return result;
}

EXPORT int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
EXPORT int rmdir(const char *path) { return do_unlink(AT_FDCWD, path, AT_REMOVEDIR); }
EXPORT int unlinkat(int folder, const char *path, int flags) { return do_unlink(folder, path, flags); }

static int do_mkdir(int folder, const char *path, mode_t mode) {
    prepare();
    pthread_mutex_lock(&lock);
    struct place place = place_of(folder, path);
    const char *met = place.ours ? action("mkdir", place.path) : "";
    int result = fails(met) ? -1 : real_mkdirat(folder, path, mode);
    int kept = errno;
    struct stat stat_;
    if (place.ours && result == 0 && fstatat(folder, path, &stat_, 0) == 0)
        put_names('D', place.folder, stat_.st_ino, place.name, "");
    done(met);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return result;
}

EXPORT int mkdir(const char *path, mode_t mode) { return do_mkdir(AT_FDCWD, path, mode); }
EXPORT int mkdirat(int folder, const char *path, mode_t mode) { return do_mkdir(folder, path, mode); }

EXPORT int linkat(int a, const char *from, int b, const char *to, int flags) {
    prepare();
    pthread_mutex_lock(&lock);
    struct place place = place_of(b, to);
    int result = real_linkat(a, from, b, to, flags), kept = errno;
    struct stat stat_;
    if (place.ours && result == 0 && fstatat(b, to, &stat_, AT_SYMLINK_NOFOLLOW) == 0)
        put_names('L', place.folder, stat_.st_ino, place.name, "");
    pthread_mutex_unlock(&lock);
    errno = kept;
    return result;
}

EXPORT int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* ---- what nobody has called so far */

#define NOT_OURS(fd, name) if (may_be_ours(fd)) unknown(name)

EXPORT int symlinkat(const char *target, int folder, const char *path) {
    prepare();
    if (place_of(folder, path).ours) unknown("symlink");
    return real_symlinkat(target, folder, path);
}
EXPORT int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
EXPORT int truncate64(const char *path, off64_t len) {
    prepare();
    if (place_of(AT_FDCWD, path).ours) unknown("truncate");
    return real_truncate64(path, len);
}
EXPORT int truncate(const char *path, off_t len) { return truncate64(path, len); }
EXPORT int fallocate64(int fd, int mode, off64_t at, off64_t len) {
    NOT_OURS(fd, "fallocate");
    return real_fallocate64(fd, mode, at, len);
}
EXPORT int fallocate(int fd, int mode, off_t at, off_t len) { return fallocate64(fd, mode, at, len); }
EXPORT int posix_fallocate64(int fd, off64_t at, off64_t len) {
    NOT_OURS(fd, "posix_fallocate");
    return real_posix_fallocate64(fd, at, len);
}
EXPORT int posix_fallocate(int fd, off_t at, off_t len) { return posix_fallocate64(fd, at, len); }
EXPORT void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t offset) {
    prepare();
    if (flags & MAP_SHARED && protection & PROT_WRITE) NOT_OURS(fd, "mmap");
    return real_mmap64(at, len, protection, flags, fd, offset);
}
EXPORT void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, len, protection, flags, fd, offset);
}
EXPORT ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t len, unsigned flags) {
    prepare();
    NOT_OURS(to, "copy_file_range");
    return real_copy_file_range(from, a, to, b, len, flags);
}
EXPORT ssize_t sendfile64(int to, int from, off64_t *at, size_t len) {
    prepare();
    NOT_OURS(to, "sendfile");
    return real_sendfile64(to, from, at, len);
}
EXPORT ssize_t sendfile(int to, int from, off_t *at, size_t len) { return sendfile64(to, from, at, len); }
EXPORT ssize_t splice(int from, off64_t *a, int to, off64_t *b, size_t len, unsigned flags) {
    prepare();
    NOT_OURS(to, "splice");
    return real_splice(from, a, to, b, len, flags);
}
