// MountReport: everything that a server tells of its mount, as `mayfly stat --json` prints it.
//
// The names are those of the JSON and part of the interface (Docs/Control.md): fields are added and
// never renamed. Bytes and nanoseconds are whole numbers.

internal import MayflyServing

/// What a mount is, holds and has done, at one moment.
public struct MountReport: Codable, Sendable, Equatable {
    /// An amount with its limit.
    public struct Usage: Codable, Sendable, Equatable {
        /// Now.
        public var used: UInt64
        /// The most that `used` has been.
        public var peak: UInt64
        /// What it cannot exceed.
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
        /// What `residentBytes` is made of; missing where the server is older.
        public var parts: Parts?

        /// Parts of the memory that the process has, in bytes. Their sum is what it has in all.
        public struct Parts: Codable, Sendable, Equatable {
            /// Of the arena, as much as is in memory.
            public var arena: UInt64
            /// Tables beside the arena: 32 bytes for each inode, and a mark for each page.
            public var tables: UInt64
            /// Buffers that requests have used so far.
            public var ring: UInt64
            /// Copies of pages that snapshots keep.
            public var snapshots: UInt64
            /// The rest: the program with its libraries and heap, and other mounts that it serves.
            public var program: UInt64

            init(
                arena: UInt64, tables: UInt64, ring: UInt64, snapshots: UInt64, of resident: UInt64
            ) {
                // The parts are looked at one after another while the mount is in use.
                var left = resident
                func take(_ bytes: UInt64) -> UInt64 {
                    let taken = min(bytes, left)
                    left -= taken
                    return taken
                }
                self.arena = take(arena)
                self.tables = take(tables)
                self.ring = take(ring)
                self.snapshots = take(snapshots)
                program = left
            }
        }
    }

    /// Service times of a sample, about one request in 16: from its being taken to its answer, in
    /// nanoseconds. What the kernel and the wake-up of the server take is not in them.
    public struct Latency: Codable, Sendable, Equatable {
        /// How many were timed.
        public var count: UInt64
        /// All times together.
        public var total: UInt64
        /// The mean of all.
        public var mean: UInt64
        /// The median.
        public var p50: UInt64
        /// Nine of ten take no longer.
        public var p90: UInt64
        /// 99 of 100 take no longer.
        public var p99: UInt64
        /// 999 of 1,000 take no longer.
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
        /// The kernel's number of it.
        public var opcode: UInt32
        /// Requests answered.
        public var count: UInt64
        /// Those answered by an errno; a name that is not there is none.
        public var errors: UInt64
        /// How long they took.
        public var latency: Latency
    }

    /// Requests answered by one errno.
    public struct ErrorCount: Codable, Sendable, Equatable {
        /// Its name, "ENOSPC" for instance, or its number where it has none here.
        public var errno: String
        /// How many.
        public var count: UInt64
    }

    /// One way that requests come.
    public struct Queue: Codable, Sendable, Equatable {
        /// "ring-" and the CPU, or "dev-" and the reader of /dev/fuse.
        public var name: String
        /// Requests that came this way.
        public var requests: UInt64
    }

    /// What went wrong on the wire; all 0 in a healthy mount.
    public struct Faults: Codable, Sendable, Equatable {
        /// Ring entries that were given up after the kernel had refused them.
        public var droppedEntries: Int
        /// Answers that the kernel did not take.
        public var rejectedReplies: Int
        /// Completions that belong to no entry.
        public var strayCompletions: Int
        /// Requests that say something impossible of themselves.
        public var malformedRequests: Int

        /// Nothing went wrong, but for what is named.
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

    /// The image that a mount began with.
    public struct Image: Codable, Sendable, Equatable {
        /// As it was given.
        public var path: String
        /// Whether its file is another than it was then: content that the mount has not got of its own
        /// answers EIO.
        public var isChanged: Bool
        /// Of a mount that was made before all of the image was here ("mount --lazy"): how much is.
        public var arrival: Arrival?
    }

    /// How much is here of an image that was mounted before all of it was.
    public struct Arrival: Codable, Sendable, Equatable {
        /// "coming"; "away": the last request for content has failed, and is made again; "complete"; or "ended": the
        /// process that brings the image was killed.
        public var state: String
        /// Bytes of its files that are here.
        public var hereBytes: UInt64
        /// Bytes of its files that were not in the store when it was mounted.
        public var totalBytes: UInt64
        /// While it is "away": why.
        public var reason: String?
    }

    /// How a mount outlives its servers ("mount --survive").
    public struct Survival: Codable, Sendable, Equatable {
        /// The process that holds the memory and starts the next server; missing where it was killed: the
        /// content ends with this server then.
        public var guardian: Int32?
        /// Servers of this mount that have died so far.
        public var deaths: Int
    }

    /// Of the server, which is `MayflyVersion.text`.
    public var version: String
    /// Absolute.
    public var mountpoint: String
    /// Minor number of the mount's device: the FUSE connection's.
    public var connection: UInt32
    /// Of the server.
    public var processID: Int32
    /// "ring" or "device".
    public var transport: String
    /// Ring entries per queue.
    public var queueDepth: Int
    /// Bytes that one request carries at most.
    public var payloadBytes: Int
    /// Since it was mounted.
    public var uptimeNanoseconds: UInt64
    /// Content in whole pages, in bytes.
    public var bytes: Usage
    /// Files, directories and further links.
    public var inodes: Usage
    /// What the server takes.
    public var memory: Memory
    /// Requests answered since mounting.
    public var requests: UInt64
    /// Content in answers to READ.
    public var readBytes: UInt64
    /// Content taken from WRITE.
    public var writtenBytes: UInt64
    /// Of all opcodes together.
    public var latency: Latency
    /// Bounds of the histogram's buckets in nanoseconds, with how many requests took less than
    /// that and no less than the bound before.
    public var latencyBuckets: [[UInt64]]
    /// Those of which there were any, by opcode.
    public var operations: [Operation]
    /// The ring's in order of their CPUs, then the readers of /dev/fuse.
    public var queues: [Queue]
    /// What went wrong on the wire.
    public var faults: Faults
    /// Missing where the mount began empty.
    public var image: Image?
    /// What it was mounted with, as options of mount(8) and without its limits; missing where the server is
    /// older.
    public var options: [String]?
    /// Answers by errno, those of which there were any. Most are no fault: ENOSYS keeps the kernel from asking
    /// again, and ENODATA says that a file has no such attribute. Missing where the server is older.
    public var errors: [ErrorCount]?
    /// Missing where the content ends with the server.
    public var survival: Survival?
}

/// An inode that many of the last requests were about.
public struct HotNode: Codable, Sendable, Equatable {
    /// Its number, as `ls -i` shows it.
    public var nodeID: UInt64
    /// "file", "directory", "link" or "other".
    public var kind: String
    /// From the mount's root. Of a path of more than 4,096 bytes the last components are told, after
    /// ".../"; a file without a name has none.
    public var path: String?

    /// Bytes of a path that is told whole.
    static let pathBytes = 4096
    /// The part of the sampled requests, 0 to 1.
    public var share: Double
}

/// What the limits are to be; what is missing stays.
public struct LimitChange: Codable, Sendable, Equatable {
    /// Whole pages of 4 KiB.
    public var sizeBytes: UInt64?
    /// Files, directories and further links.
    public var inodes: UInt64?

    /// Changes what is not nil.
    public init(sizeBytes: UInt64? = nil, inodes: UInt64? = nil) {
        self.sizeBytes = sizeBytes
        self.inodes = inodes
    }
}
