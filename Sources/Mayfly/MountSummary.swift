/// What a mount turned out to be: the transport it took and the memory it can ever take.
public struct MountSummary: Sendable, Equatable {
    /// The way that requests take.
    public enum Transport: Sendable {
        /// FUSE over io_uring.
        case ring
        /// /dev/fuse, read and written once per request.
        case device
    }

    /// Why a mount goes without the ring.
    public enum RingAbsence: Sendable, Equatable {
        /// The configuration said `.device`.
        case notAsked
        /// The kernel's parameter enable_uring is off.
        case switchedOff
        /// The kernel has none: it is older than 6.14, or built without.
        case notInKernel
        /// Setting it up failed; the text says where and with which errno.
        case failed(String)

        /// The absence that the kernel's parameter alone explains; nil when it is on.
        package static func fromSwitch() -> RingAbsence? {
            switch RingSwitch.current() {
            case .on: nil
            case .off: .switchedOff
            case .absent: .notInKernel
            }
        }
    }

    /// Absolute.
    public var mountpoint: String
    /// The way that was taken.
    public var transport: Transport
    /// Set when `transport` is `.device`.
    public var ringAbsence: RingAbsence?
    /// Ring queues, one for each CPU; 0 without the ring.
    public var queueCount: Int
    /// Entries per queue.
    public var queueDepth: Int
    /// Bytes one entry carries.
    public var payloadBytes: Int
    /// Headers and payloads of all entries, or the buffers of /dev/fuse.
    public var ringMemoryBytes: UInt64
    /// The limit of content that users see.
    public var sizeBytes: UInt64
    /// The limit of files, directories and further links.
    public var inodes: UInt64
    /// The most that content, metadata, what is lost between them, and ring can ever take together.
    public var maximumMemoryBytes: UInt64

    /// A summary of what is given.
    public init(
        mountpoint: String, transport: Transport, ringAbsence: RingAbsence? = nil, queueCount: Int,
        queueDepth: Int, payloadBytes: Int, ringMemoryBytes: UInt64, sizeBytes: UInt64,
        inodes: UInt64, maximumMemoryBytes: UInt64
    ) {
        self.mountpoint = mountpoint
        self.transport = transport
        self.ringAbsence = ringAbsence
        self.queueCount = queueCount
        self.queueDepth = queueDepth
        self.payloadBytes = payloadBytes
        self.ringMemoryBytes = ringMemoryBytes
        self.sizeBytes = sizeBytes
        self.inodes = inodes
        self.maximumMemoryBytes = maximumMemoryBytes
    }
}

extension MountSummary {
    /// Which transport was taken, what it costs, and what would turn the ring on. One line.
    public var transportLine: String {
        let memory = SizeText.described(bytes: ringMemoryBytes)
        switch transport {
        case .ring:
            let payload = SizeText.described(bytes: UInt64(payloadBytes))
            let queues = queueCount == 1 ? "1 queue" : "\(queueCount) queues"
            let entries = queueDepth == 1 ? "1 entry" : "\(queueDepth) entries"
            return "\(mountpoint) is mounted over io_uring: \(queues), \(entries) of \(payload) "
                + "each, \(memory) of ring memory"
        case .device:
            return "\(mountpoint) is mounted over /dev/fuse, \(memory) of buffers: \(ringAdvice)"
        }
    }

    /// What memory it takes now, and the most that it can ever take, and for what. One line.
    public var memoryLine: String {
        let parts = sizeBytes.addingReportingOverflow(ringMemoryBytes)
        let metadata =
            parts.overflow || maximumMemoryBytes < parts.partialValue
            ? 0 : maximumMemoryBytes - parts.partialValue
        let now = SizeText.described(bytes: ringMemoryBytes)
        return "it takes \(now) of memory now, and more as it is filled, at most "
            + "\(SizeText.described(bytes: maximumMemoryBytes)): "
            + "\(SizeText.described(bytes: sizeBytes)) size, "
            + "\(SizeText.described(bytes: metadata)) metadata of \(inodes) "
            + "inode\(inodes == 1 ? "" : "s") and fragments, "
            + "\(SizeText.described(bytes: ringMemoryBytes)) "
            + (transport == .ring ? "ring" : "buffers")
    }

    /// What a mount with durability does not do. One line.
    public var durabilityLine: String {
        "sync(2) and syncfs(2) sync nothing there, as the kernel does not pass them on: "
            + "`mayfly sync DIR` does"
    }

    /// Why there is no ring and what to do about it.
    public var ringAdvice: String {
        switch ringAbsence {
        case nil: "the ring was not taken"
        case .notAsked: "the ring was not asked for"
        case .switchedOff: "the ring is off, turn it on with `\(MountError.ringSwitchCommand)`"
        case .notInKernel: "this kernel has no ring, it takes Linux 6.14 or later"
        case .failed(let reason): "the ring could not be set up (\(reason))"
        }
    }
}
