// PrivatePages: in which pages a private mapping differs from the file that it maps, as the kernel
// knows it. It is asked where asserts are on, to see that WrittenPages.swift misses nothing.

internal import CMayflyMemory
internal import Glibc
internal import SystemPackage

package enum PrivatePages {
    /// /proc/self/pagemap; -1 where it cannot be opened.
    ///
    /// Opened with the first arena: a server that may not be traced cannot open it later.
    static let pagemap = cmem_pagemap_open()

    /// Has the file opened; always true, so that it can be asserted.
    package static func prepare() -> Bool { pagemap >= -1 }
}

extension Arena {
    /// Pages of the private mapping of a file that are the process's own; nil where the system does
    /// not tell (before Linux 6.7, or no /proc).
    ///
    /// - Complexity: O(page tables of the range).
    func privateRuns() -> [PageRun]? {
        let end = baseBytes
        guard end > 0 else { return [] }
        guard PrivatePages.pagemap >= 0 else { return nil }
        let base = unsafe UInt64(UInt(bitPattern: region.base))
        var runs: [PageRun] = []
        var found = [cmem_run](repeating: cmem_run(), count: 256)
        var at = base
        while at < base + end {
            let count = unsafe cmem_private_runs(
                PrivatePages.pagemap, &at, base + end, &found, 256)
            guard count >= 0 else { return nil }
            for index in 0..<Int(count) {
                runs.append(found[index].start - base..<found[index].end - base)
            }
        }
        return runs
    }
}
