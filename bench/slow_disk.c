/* Makes a good disk a slow one: what is to be on stable storage gets there so many microseconds later.
 *
 *     SLOW_DISK_US=5000 LD_PRELOAD=./slow_disk.so PROGRAM
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int fd) {
    const char *wait = getenv("SLOW_DISK_US");
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    usleep(wait ? (useconds_t)atoi(wait) : 0);
    return real(fd);
}

int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
