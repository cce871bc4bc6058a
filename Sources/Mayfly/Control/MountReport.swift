// MountReport: everything that a server tells of its mount, as `mayfly stat --json` prints it.
//
// The names are those of the JSON and part of the interface (Docs/Control.md): fields are added and
// never renamed. Bytes and nanoseconds are whole numbers.

/// What a mount is, holds and has done, at one moment.
public struct MountReport: Codable, Sendable, Equatable {
    /// An amount with its limit.
    public struct Usage: Codable, Sendable, Equatable {
        public var used: UInt64
        /// The most that `used` has been.
        public var peak: UInt64
        public var limit: UInt64
    }

    /// Memory of the server.
    public struct Memory: Codable, Sendable, Equatable {
        /// Chunks of the arena that are in use: content, metadata and what is not given back yet.
        public var arenaBytes: UInt64
        /// Buffers of the ring or of /dev/fuse.
        public var ringBytes: UInt64
        /// What the whole process has in memory.
        public var residentBytes: UInt64
        /// The most that arena and ring can ever take with the limits as they are.
        public var maximumBytes: UInt64
    }

    /// Service times of a sample, about one request in 16: from its being taken to its answer, in
    /// nanoseconds. What the kernel and the wake-up of the server take is not in them.
    public struct Latency: Codable, Sendable, Equatable {
        /// How many were timed.
        public var count: UInt64
        /// All times together.
        public var total: UInt64
        public var mean: UInt64
        public var p50: UInt64
        public var p90: UInt64
        public var p99: UInt64
        public var p999: UInt64

        init(_ histogram: LatencyHistogram) {
            count = histogram.count
            total = histogram.nanoseconds
            mean = count == 0 ? 0 : histogram.nanoseconds / count
            p50 = histogram.percentile(0.5)
            p90 = histogram.percentile(0.9)
            p99 = histogram.percentile(0.99)
            p999 = histogram.percentile(0.999)
        }
    }

    /// Requests of one opcode.
    public struct Operation: Codable, Sendable, Equatable {
        /// The opcode's name as Mayfly spells it, "readdirplus" for instance.
        public var name: String
        public var opcode: UInt32
        public var count: UInt64
        /// Those answered by an errno; a name that is not there is none.
        public var errors: UInt64
        public var latency: Latency
    }

    /// One way that requests come.
    public struct Queue: Codable, Sendable, Equatable {
        /// "ring-" and the CPU, or "dev-" and the reader of /dev/fuse.
        public var name: String
        public var requests: UInt64
    }

    /// What went wrong on the wire; all 0 in a healthy mount.
    public struct Faults: Codable, Sendable, Equatable {
        public var droppedEntries: Int
        public var rejectedReplies: Int
        public var strayCompletions: Int
        public var malformedRequests: Int

        public init(
            droppedEntries: Int = 0, rejectedReplies: Int = 0, strayCompletions: Int = 0,
            malformedRequests: Int = 0
        ) {
            self.droppedEntries = droppedEntries
            self.rejectedReplies = rejectedReplies
            self.strayCompletions = strayCompletions
            self.malformedRequests = malformedRequests
        }
    }

    /// Of the server, which is `MayflyVersion.text`.
    public var version: String
    public var mountpoint: String
    /// Minor number of the mount's device: the FUSE connection's.
    public var connection: UInt32
    public var processID: Int32
    /// "ring" or "device".
    public var transport: String
    public var queueDepth: Int
    public var payloadBytes: Int
    public var uptimeNanoseconds: UInt64
    public var bytes: Usage
    public var inodes: Usage
    public var memory: Memory
    /// Requests answered since mounting.
    public var requests: UInt64
    public var readBytes: UInt64
    public var writtenBytes: UInt64
    public var latency: Latency
    /// Bounds of the histogram's buckets in nanoseconds, with how many requests took less than
    /// that and no less than the bound before.
    public var latencyBuckets: [[UInt64]]
    /// Those of which there were any, by opcode.
    public var operations: [Operation]
    public var queues: [Queue]
    public var faults: Faults
}

/// An inode that many of the last requests were about.
public struct HotNode: Codable, Sendable, Equatable {
    public var nodeID: UInt64
    /// "file", "directory", "link" or "other".
    public var kind: String
    /// From the mount's root; missing where the tree is too large to look for it.
    public var path: String?
    /// The part of the sampled requests, 0 to 1.
    public var share: Double
}

/// What a check of everything that a mount holds has found.
public struct CheckSummary: Codable, Sendable, Equatable {
    /// One line for each thing that is not as it must be, at most a hundred.
    public var problems: [String]
    public var inodes: UInt64
    /// Inodes without names among them: removed or unnamed files that somebody has open.
    public var orphans: UInt64
    public var directories: UInt64
    public var entries: UInt64
    public var contentBytes: UInt64
    /// For so long no request was answered.
    public var nanoseconds: UInt64
}

/// What the limits are to be; what is missing stays.
public struct LimitChange: Codable, Sendable, Equatable {
    /// Whole pages of 4 KiB.
    public var sizeBytes: UInt64?
    public var inodes: UInt64?

    public init(sizeBytes: UInt64? = nil, inodes: UInt64? = nil) {
        self.sizeBytes = sizeBytes
        self.inodes = inodes
    }
}
