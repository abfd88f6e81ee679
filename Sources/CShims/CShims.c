#define _GNU_SOURCE
#include "CShims.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int cshims_o_direct(void) { return O_DIRECT; }

int cshims_o_tmpfile(void) { return O_TMPFILE; }

const void *cshims_memmem(
    const void *haystack, size_t haystack_count, const void *needle, size_t needle_count)
{
    return memmem(haystack, haystack_count, needle, needle_count);
}

int cshims_fallocate(int descriptor, off_t offset, off_t count)
{
    return fallocate(descriptor, 0, offset, count) == 0 ? 0 : errno;
}

int cshims_link_unnamed(int descriptor, const char *path)
{
    char source[32];
    snprintf(source, sizeof source, "/proc/self/fd/%d", descriptor);
    return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

void cshims_tune_malloc(size_t mmap_threshold, size_t trim_threshold, int arena_count)
{
    mallopt(M_MMAP_THRESHOLD, (int)mmap_threshold);
    mallopt(M_TRIM_THRESHOLD, (int)trim_threshold);
    mallopt(M_ARENA_MAX, arena_count);
}

void cshims_trim_malloc(void) { malloc_trim(0); }

void cshims_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int cshims_processor_count(void)
{
    cpu_set_t processors;
    if (sched_getaffinity(0, sizeof processors, &processors) != 0) return 1;
    int count = CPU_COUNT(&processors);
    return count > 0 ? count : 1;
}

int cshims_spawn(const char *path, char *const arguments[], int output)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child != 0) return child > 0 ? child : -errno;
    // Only calls that are safe after fork() in a process with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    int input = open("/dev/null", O_RDONLY);
    dup2(input, 0);
    dup2(output, 1);
    dup2(output, 2);
    // Sockets of the parent would stay open with the child, and listening when the parent is gone.
    close_range(3, ~0U, 0);
    execv(path, arguments);
    _exit(127);
}
