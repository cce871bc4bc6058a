import CMayflyTestSupport
import Glibc

/// A time stamp, in order of time.
struct PosixTime: Sendable, Comparable, CustomStringConvertible {
    var seconds: Int64
    var nanoseconds: Int64

    init(_ seconds: Int64, _ nanoseconds: Int64 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    fileprivate init(_ raw: cps_time) { self.init(raw.seconds, raw.nanoseconds) }

    /// The time of the call; `UTIME_NOW`.
    static var now: PosixTime { PosixTime(0, CPS_UTIME_NOW) }
    /// No change; `UTIME_OMIT`.
    static var omit: PosixTime { PosixTime(0, CPS_UTIME_OMIT) }

    var raw: cps_time { cps_time(seconds: seconds, nanoseconds: nanoseconds) }

    static func < (a: PosixTime, b: PosixTime) -> Bool {
        (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
    }

    var description: String { "\(seconds)s+\(nanoseconds)ns" }
}

/// What statx(2) tells.
struct PosixStatus: Sendable {
    let inode: UInt64
    let size: Int64
    /// Units of 512 bytes.
    let blocks: Int
    let mode: UInt32
    let links: Int
    let uid: UInt32
    let gid: UInt32
    let blockSize: Int
    let device: UInt64
    let deviceMajor: UInt32
    let deviceMinor: UInt32
    let access: PosixTime
    let change: PosixTime
    let modification: PosixTime
    /// nil when the file system does not tell.
    let birth: PosixTime?

    init(_ raw: cps_stat) {
        inode = raw.inode
        size = Int64(raw.size)
        blocks = Int(raw.blocks)
        mode = raw.mode
        links = Int(raw.links)
        uid = raw.uid
        gid = raw.gid
        blockSize = Int(raw.block_size)
        device = raw.device
        deviceMajor = raw.device_major
        deviceMinor = raw.device_minor
        access = PosixTime(raw.access)
        change = PosixTime(raw.change)
        modification = PosixTime(raw.modification)
        birth = raw.mask & CPS_STATX_BTIME == 0 ? nil : PosixTime(raw.birth)
    }

    /// The type bits.
    var type: UInt32 { mode & S_IFMT }
    /// Permissions with set-id and sticky bits.
    var permissions: UInt32 { mode & 0o7777 }
}

/// What statfs(2) tells.
struct PosixFileSystemStatus: Sendable {
    let type: UInt64
    let blockSize: Int
    let blocks: Int
    let blocksFree: Int
    let blocksAvailable: Int
    let files: Int
    let filesFree: Int
    let nameMax: Int

    init(_ raw: cps_statfs) {
        type = raw.type
        blockSize = Int(raw.block_size)
        blocks = Int(raw.blocks)
        blocksFree = Int(raw.blocks_free)
        blocksAvailable = Int(raw.blocks_available)
        files = Int(raw.files)
        filesFree = Int(raw.files_free)
        nameMax = Int(raw.name_max)
    }
}
