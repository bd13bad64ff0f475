/* A disk that forgets: what no fsync has made durable is not in the image of it that a power loss leaves.
 *
 * Loaded before libc (LD_PRELOAD) into a process that writes below LOSSY_ROOT. Each fsync or fdatasync of a file copies its
 * content to LOSSY_SHADOW/content/<inode>; each fsync of a directory writes the names in it to LOSSY_SHADOW/names/<inode>.
 * `lossy_disk.image` puts both together. This is as strict as POSIX: the name of a new or renamed file is there only when
 * its directory was synced. Inodes that are durable are kept alive by a link, so that no number is used twice.
 */
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
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void give_up(const char *what) {
    fprintf(stderr, "lossy_disk: %s: %s\n", what, strerror(errno));
    abort();
}

static void keep_alive(const char *shadow, const char *path, unsigned long inode) {
    char kept[PATH_MAX];
    snprintf(kept, sizeof kept, "%s/kept/%lu", shadow, inode);
    if (linkat(AT_FDCWD, path, AT_FDCWD, kept, AT_SYMLINK_FOLLOW) && errno != EEXIST && errno != ENOENT)
        give_up(kept);
}

static void copy_content(int from, FILE *to) {
    char buffer[65536];
    ssize_t size;
    while ((size = read(from, buffer, sizeof buffer)) > 0)
        if (fwrite(buffer, 1, (size_t)size, to) != (size_t)size) give_up("copying");
    if (size < 0) give_up("reading");
}

static void copy_names(const char *shadow, const char *path, FILE *to) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    struct stat found;
    char child[PATH_MAX + NAME_MAX + 2];
    if (!directory) give_up(path);
    while ((entry = readdir(directory))) {
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (lstat(child, &found) || !S_ISREG(found.st_mode)) continue;
        keep_alive(shadow, child, found.st_ino);
        fprintf(to, "%lu %s\n", (unsigned long)found.st_ino, entry->d_name);
    }
    closedir(directory);
}

static void remember(int descriptor) {
    const char *root = getenv("LOSSY_ROOT"), *shadow = getenv("LOSSY_SHADOW");
    char link[64], path[PATH_MAX], name[PATH_MAX], fresh[PATH_MAX + 8];
    struct stat found;
    if (!root || !shadow || fstat(descriptor, &found)) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || strncmp(path, root, strlen(root)) || !strncmp(path, shadow, strlen(shadow))) return;
    path[length] = 0;
    int is_directory = S_ISDIR(found.st_mode);
    snprintf(name, sizeof name, "%s/%s/%lu", shadow, is_directory ? "names" : "content", (unsigned long)found.st_ino);
    snprintf(fresh, sizeof fresh, "%s.new", name);
    FILE *to = fopen(fresh, "w");
    if (!to) give_up(fresh);
    if (is_directory) {
        copy_names(shadow, path, to);
    } else {
        int from = open(link, O_RDONLY);
        if (from < 0) give_up(path);
        if (found.st_nlink) keep_alive(shadow, link, found.st_ino);
        copy_content(from, to);
        close(from);
    }
    if (fclose(to) || rename(fresh, name)) give_up(name);
}

static int synced(const char *what, int descriptor) {
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, what);
    pthread_mutex_lock(&one_at_a_time);
    remember(descriptor);
    pthread_mutex_unlock(&one_at_a_time);
    return sync(descriptor);
}

int fsync(int descriptor) { return synced("fsync", descriptor); }
int fdatasync(int descriptor) { return synced("fdatasync", descriptor); }
