// What a mount has done and holds, in figures; they stay when it is gone.

internal import CFuseKernel
internal import FuseTransport
internal import InodeStore
internal import MayflyServing
internal import Synchronization

extension MountedFileSystem {
    /// What the mount holds and has done; the last state once it is unmounted.
    public func statistics() -> MountStatistics {
        final.withLock { final in
            if let final { return final }
            let now = store.worker(0).statistics
            let peak = maintenance.peak
            return MountStatistics(
                usedBytes: (now.pages - now.pagesFree) * SizeText.pageBytes,
                peakBytes: peak.pages * SizeText.pageBytes,
                usedInodes: now.inodes - now.inodesFree, peakInodes: peak.inodes,
                requests: counters.reduce(0) { $0 + $1.total })
        }
    }

    /// Requests answered so far, by opcode (the kernel's numbers).
    package func requestCounts() -> [UInt64] {
        final.withLock { final in
            if final != nil { return [] }
            return (0..<RequestCounters.count).map { opcode in
                counters.reduce(0) { $0 + $1[opcode] }
            }
        }
    }

    /// Requests for extended attributes, which `MountConfiguration.Profile.build` has none of. What it spares of
    /// checks of permissions cannot be counted.
    package var attributeRequests: UInt64 {
        let counts = requestCounts()
        return [Opcode.getxattr, .listxattr].reduce(0) { sum, opcode in
            let index = Int(opcode.rawValue)
            return sum + (counts.indices.contains(index) ? counts[index] : 0)
        }
    }

    /// Content that requests have carried, and what was moved for it: each byte of `read` and
    /// `written` is copied once, or for a hole zeroed, and what is more was copied inside.
    package func traffic() -> ContentTraffic {
        final.withLock { final in
            if final != nil { return ContentTraffic() }
            let (copied, zeroed) = store.traffic
            let bytes = counters.map(\.transferred)
            return ContentTraffic(
                read: bytes.reduce(0) { $0 + $1.read },
                written: bytes.reduce(0) { $0 + $1.written }, copied: copied, zeroed: zeroed)
        }
    }
}
