// Calls that glibc hides without _GNU_SOURCE, and constants Swift's importer leaves out.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// Flags for open(2) that the Glibc module does not show.
int cshims_o_direct(void);
int cshims_o_tmpfile(void);

/// memmem(3): first occurrence of `needle` in `haystack`, or NULL.
const void *cshims_memmem(
    const void *haystack, size_t haystack_count, const void *needle, size_t needle_count);

/// fallocate(2) with mode 0: reserves and zero-fills [offset, offset + count). 0, or an errno value.
int cshims_fallocate(int descriptor, off_t offset, off_t count);

/// linkat(2) of an unnamed file (O_TMPFILE) to `path`. 0, or an errno value.
int cshims_link_unnamed(int descriptor, const char *path);

/// Sets malloc's mmap, trim and arena thresholds so that large receive buffers are reused
/// instead of being mapped and unmapped at every read.
void cshims_tune_malloc(size_t mmap_threshold, size_t trim_threshold, int arena_count);

/// Gives memory held by malloc back to the system.
void cshims_trim_malloc(void);

/// Names the calling thread (at most 15 characters) for ps, perf and debuggers.
void cshims_name_thread(const char *name);

/// Processors this process may run on, at least 1.
int cshims_processor_count(void);

/// Starts a program that is killed when the calling thread ends, so that it cannot outlive this process.
/// It reads nothing, writes to `output`, and is no part of the terminal's group of processes. Its process
/// ID, or a negative errno value. Status 127 tells that the program could not be executed.
int cshims_spawn(const char *path, char *const arguments[], int output);
