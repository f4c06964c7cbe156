/* Faults inside one node process, without a change to the node: loaded with LD_PRELOAD, switched from outside.
 *
 * A disk that fails to sync cannot be had from the system without a block device of our own, and nodes learn each other's real
 * addresses whatever they are told at first; so both are done where the process asks the system. The first bytes of the file
 * named by CHAOS_CONTROL, which is mapped into memory, say what happens from now on. CHAOS_REDIRECT names, as
 * "port=relay,port=relay", the loopback ports at which nobody but a relay may be reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    int32_t syncs_left; /* negative: every sync succeeds; else so many more do, and then none */
    int32_t full;       /* not zero: nothing more fits into files */
};

#define MAX_REDIRECTS 64
static struct control healthy = {-1, 0};
static struct control *control = &healthy;
static uint16_t real_port[MAX_REDIRECTS], relay_port[MAX_REDIRECTS];
static int redirects;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("CHAOS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (mapped != MAP_FAILED) control = mapped;
        close(fd);
    }
    for (const char *at = getenv("CHAOS_REDIRECT"); at && *at && redirects < MAX_REDIRECTS; at++) {
        char *end;
        real_port[redirects] = (uint16_t)strtoul(at, &end, 10);
        if (*end != '=') break;
        relay_port[redirects++] = (uint16_t)strtoul(end + 1, &end, 10);
        at = end;
        if (*at != ',') break;
    }
}

static int sync_fails(void) {
    int32_t left = __atomic_load_n(&control->syncs_left, __ATOMIC_SEQ_CST);
    while (left > 0)
        if (__atomic_compare_exchange_n(&control->syncs_left, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return 0;
    return left == 0;
}

static int is_full(int fd) {
    struct stat about;
    if (!__atomic_load_n(&control->full, __ATOMIC_SEQ_CST) || fd <= 2) return 0;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(condition, error) do { if (condition) { errno = error; return -1; } } while (0)

int fsync(int fd) { FAIL_IF(sync_fails(), EIO); return REAL(fsync)(fd); }
int fdatasync(int fd) { FAIL_IF(sync_fails(), EIO); return REAL(fdatasync)(fd); }
int sync_file_range(int fd, off64_t at, off64_t count, unsigned flags) {
    FAIL_IF(sync_fails(), EIO);
    return REAL(sync_file_range)(fd, at, count, flags);
}
ssize_t write(int fd, const void *bytes, size_t count) { FAIL_IF(is_full(fd), ENOSPC); return REAL(write)(fd, bytes, count); }
ssize_t writev(int fd, const struct iovec *parts, int count) { FAIL_IF(is_full(fd), ENOSPC); return REAL(writev)(fd, parts, count); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { FAIL_IF(is_full(fd), ENOSPC); return REAL(pwrite)(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { FAIL_IF(is_full(fd), ENOSPC); return REAL(pwrite64)(fd, bytes, count, at); }
int fallocate(int fd, int mode, off_t at, off_t count) { FAIL_IF(is_full(fd), ENOSPC); return REAL(fallocate)(fd, mode, at, count); }

int connect(int fd, const struct sockaddr *address, socklen_t length) {
    struct sockaddr_in other;
    if (address && length >= sizeof other && address->sa_family == AF_INET) {
        memcpy(&other, address, sizeof other);
        for (int i = 0; i < redirects; i++)
            if (other.sin_port == htons(real_port[i])) {
                other.sin_port = htons(relay_port[i]);
                return REAL(connect)(fd, (const struct sockaddr *)&other, sizeof other);
            }
    }
    return REAL(connect)(fd, address, length);
}
