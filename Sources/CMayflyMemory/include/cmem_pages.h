// Pages of this process and of files: which are private, what they add up to.
#ifndef CMEM_PAGES_H
#define CMEM_PAGES_H

#include <stddef.h>
#include <stdint.h>

// A run of pages, by address: the first byte and the first behind it.
struct cmem_run {
    uint64_t start, end;
};

// Opens /proc/self/pagemap. Returns a descriptor, or -1 with errno.
//
// To be called before the process makes itself undumpable: the file is root's afterwards.
int cmem_pagemap_open(void);

// Finds pages from *at to end that hold memory of this process alone: not a file's, not the zero
// page. Writes up to capacity runs and moves *at to where it stopped.
// Returns the number of runs, or -1 with errno; ENOTTY before Linux 6.7.
//
// Source: Documentation/admin-guide/mm/pagemap.rst, PAGEMAP_SCAN.
int cmem_private_runs(int pagemap, uint64_t *at, uint64_t end, struct cmem_run *runs, int capacity);

// Gives private memory back: madvise(2), DONTNEED, also where it is locked (Linux 5.18). Returns 0, or
// an errno with which all is as it was.
int cmem_release(void *start, size_t count);

// Gives the memory of runs of this process back, given as offsets from base: as cmem_release. Returns
// 0 or an errno, with which some may have been given back.
// In one system call for many, with one flush of the TLBs, where the kernel has that (Linux 6.13
// and 6.16). Source: process_madvise(2); mm/madvise.c, vector_madvise().
int cmem_release_runs(void *base, const struct cmem_run *runs, size_t count);

// A checksum of the 4,096 bytes at page as the number-th page of a file; 0 when all are zero.
uint64_t cmem_page_checksum(const void *page, uint64_t number);

#endif
