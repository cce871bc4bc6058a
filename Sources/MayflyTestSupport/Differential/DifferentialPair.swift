import CMayflyTestSupport
import Glibc

/// Where the two file systems differ.
package struct DifferentialDivergence: Error, CustomStringConvertible {
    /// The operation after which it was seen.
    let step: Int
    let text: String
    package var description: String { "after operation \(step): \(text)" }
}

/// tmpfs and Mayfly under the same history.
///
/// After each operation the result is compared, and what it touched: attributes of the inode and
/// its directory, whether their times moved, the content around it. `DifferentialTree` compares
/// everything.
///
/// Access times are left out: the kernel answers a cached read of a FUSE file itself and moves no
/// access time then (fs/fuse/inode.c, `fuse_iget()` sets S_NOATIME). Docs/Deviations.md.
final class DifferentialPair {
    let tmpfs: DifferentialSide
    let mayfly: DifferentialSide
    /// Whether others use the mounts too, so that what is free is not ours to compare.
    let isShared: Bool
    let mounts: (tmpfs: PosixPath, mayfly: PosixPath)
    let outer: (tmpfs: PosixPath, mayfly: PosixPath)
    /// What was in use before, so that what one history lost does not fail the next.
    let before: (tmpfs: DifferentialUsage, mayfly: DifferentialUsage)
    var step = 0
    /// Off where the second file system is a tmpfs, whose clock ticks.
    var comparesTimes = true
    private var seen: [UInt64: Seen] = [:]

    /// What was last seen of an inode; the key is tmpfs's number, which is never used again.
    private struct Seen {
        var mayflyInode: UInt64
        var tmpfs: Times
        var mayfly: Times
    }
    private struct Times: Equatable {
        var modification: PosixTime
        var change: PosixTime
        init(_ status: cps_stat) {
            modification = PosixTime(status.modification.seconds, status.modification.nanoseconds)
            change = PosixTime(status.change.seconds, status.change.nanoseconds)
        }
    }

    /// - Parameter name: the folder of this history below both roots; it must not exist.
    ///
    /// The paths begin one folder deeper, as symbolic links to "../a" lead out of it.
    init(tmpfs: PosixPath, mayfly: PosixPath, name: String, isShared: Bool) throws {
        self.isShared = isShared
        mounts = (tmpfs, mayfly)
        before = (DifferentialSide.usage(tmpfs), DifferentialSide.usage(mayfly))
        for root in [tmpfs / name, mayfly / name, tmpfs / name / "r", mayfly / name / "r"] {
            try root.mkdir(0o777)
            try root.chmod(0o777)
        }
        outer = (tmpfs / name, mayfly / name)
        self.tmpfs = DifferentialSide(root: tmpfs / name / "r")
        self.mayfly = DifferentialSide(root: mayfly / name / "r")
    }

    func fail(_ text: String) -> DifferentialDivergence {
        DifferentialDivergence(step: step, text: text)
    }

    // MARK: one operation

    func perform(_ operation: DifferentialOperation) throws(DifferentialDivergence) {
        let reference = tmpfs.perform(operation)
        let result = mayfly.perform(operation)
        if !isSame(reference.result, result.result, operation) {
            throw fail(
                "result \(Self.shown(reference.result)) on tmpfs, "
                    + "\(Self.shown(result.result)) on mayfly"
            )
        }
        if reference.bytes > 0,
            unsafe memcmp(tmpfs.buffer, mayfly.buffer, reference.bytes) != 0
        {
            throw fail("\(operation.kind) reads other bytes: \(difference(reference.bytes))")
        }
        try compareTouched(operation)
    }

    /// The same result; where flags forbid changes, the kernel finds other errors of a FUSE inode
    /// first, as it does not know these flags: any of them is as good as EPERM then.
    /// So it is for flags of what can have none.
    private func isSame(_ a: Int64, _ b: Int64, _ operation: DifferentialOperation) -> Bool {
        if a == b { return true }
        if operation.kind == .setFlags && a < 0 && b < 0 { return true }
        guard tmpfs.hasGuards, a == -Int64(EPERM) else { return false }
        // No default ACL of a file is the kernel's own answer too; what follows is compared.
        return b < 0 || b == 0 && operation.kind == .setAccessList && operation.flags != 0
    }

    static func shown(_ result: Int64) -> String {
        guard result < 0, let text = unsafe cpd_error_name(Int32(-result)) else {
            return "\(result)"
        }
        return unsafe String(cString: text)
    }

    /// Where the two buffers differ first.
    func difference(_ count: Int) -> String {
        var index = 0
        while index < count {
            let a = unsafe tmpfs.buffer.load(fromByteOffset: index, as: UInt8.self)
            let b = unsafe mayfly.buffer.load(fromByteOffset: index, as: UInt8.self)
            if a != b { return "byte \(index) of \(count): \(a) on tmpfs, \(b) on mayfly" }
            index += 1
        }
        return "none"
    }

    private func compareTouched(
        _ operation: DifferentialOperation
    ) throws(DifferentialDivergence) {
        if operation.usesPath {
            try compareStatus(path: operation.path)
            try compareParent(operation.path)
        }
        if operation.hasOther {
            try compareStatus(path: operation.other)
            try compareParent(operation.other)
        }
        if operation.usesDescriptor { try compareStatus(slot: operation.slot) }
        switch operation.kind {
        case .write, .writeAt, .writeVector, .mapWrite, .truncateDescriptor, .allocate:
            try compareContent(slot: operation.slot, around: operation.offset)
        case .copyRange:
            try compareStatus(slot: operation.otherSlot)
            try compareContent(slot: operation.otherSlot, around: operation.otherOffset)
        case .setAttribute, .removeAttribute, .setAccessList, .chmod, .chown, .listAttributes:
            try compareAttributes(tmpfs.paths[operation.path], mayfly.paths[operation.path])
        case .setTimes:
            if operation.flags == 0 || operation.flags == 2 {
                try compareAccessTime(operation.path)
            }
        case .list: try compareListing(tmpfs.paths[operation.path], mayfly.paths[operation.path])
        case .statfs: try compareUsage()
        default: break
        }
    }

    // MARK: attributes

    private func compareStatus(path index: Int) throws(DifferentialDivergence) {
        let path = DifferentialPaths.shown(index)
        try compareStatus(-100, tmpfs.paths[index], -100, mayfly.paths[index], path)
    }

    private func compareParent(_ index: Int) throws(DifferentialDivergence) {
        try compareStatus(
            -100, tmpfs.parents[index], -100, mayfly.parents[index],
            "parent of \(DifferentialPaths.shown(index))")
    }

    private func compareStatus(slot: Int) throws(DifferentialDivergence) {
        let a = tmpfs.descriptors[slot]
        let b = mayfly.descriptors[slot]
        if (a < 0) != (b < 0) { throw fail("fd\(slot) is open on one side only") }
        if a >= 0 { try compareStatus(a, [0], b, [0], "fd\(slot)") }
    }

    /// Compares what stat(2) tells, and whether it changed since it was last compared.
    func compareStatus(
        _ tmpfsFD: Int32, _ tmpfsPath: [UInt8], _ mayflyFD: Int32, _ mayflyPath: [UInt8],
        _ name: @autoclosure () -> String, forced: Bool = false
    ) throws(DifferentialDivergence) {
        var a = cps_stat()
        var b = cps_stat()
        let first = unsafe cps_stat(tmpfsFD, tmpfsPath, 0, &a)
        let second = unsafe cps_stat(mayflyFD, mayflyPath, forced ? CPS_STAT_FORCED : 0, &b)
        if first != second {
            throw fail(
                "stat(\(name())): \(Self.shown(first)) on tmpfs, \(Self.shown(second)) on mayfly")
        }
        if first < 0 { return }
        let isSame =
            a.mode == b.mode && a.links == b.links && a.uid == b.uid && a.gid == b.gid
            && a.size == b.size && a.blocks == b.blocks && a.device_major == b.device_major
            && a.device_minor == b.device_minor && a.block_size == b.block_size
        if !isSame {
            throw fail("stat(\(name())): \(Self.shown(a)) on tmpfs, \(Self.shown(b)) on mayfly")
        }
        if comparesTimes { try compareTimes(a, b, name) }
    }

    private static func shown(_ s: cps_stat) -> String {
        "mode=0\(String(s.mode, radix: 8)) links=\(s.links) \(s.uid):\(s.gid) size=\(s.size)"
            + " blocks=\(s.blocks) device=\(s.device_major):\(s.device_minor)"
            + " blksize=\(s.block_size)"
    }

    private func compareTimes(
        _ a: cps_stat, _ b: cps_stat, _ name: () -> String
    ) throws(DifferentialDivergence) {
        let now = Seen(mayflyInode: b.inode, tmpfs: Times(a), mayfly: Times(b))
        // Times that utimensat(2) set are the same on both.
        if now.tmpfs.modification.seconds < 1_200_000_000
            || now.mayfly.modification.seconds < 1_200_000_000,
            now.tmpfs.modification != now.mayfly.modification
        {
            throw fail(
                "modification time of \(name()): \(now.tmpfs.modification) on tmpfs, "
                    + "\(now.mayfly.modification) on mayfly")
        }
        guard let old = seen.updateValue(now, forKey: a.inode) else { return }
        if old.mayflyInode != b.inode {
            throw fail("\(name()) is inode \(b.inode) on mayfly and was \(old.mayflyInode)")
        }
        try compareMove(
            old.tmpfs.change, now.tmpfs.change, old.mayfly.change, now.mayfly.change,
            "change time of \(name())")
        try compareMove(
            old.tmpfs.modification, now.tmpfs.modification, old.mayfly.modification,
            now.mayfly.modification, "modification time of \(name())")
    }

    /// A time must have moved on both or on neither.
    ///
    /// tmpfs takes some times from a clock that ticks every few milliseconds, Mayfly all from an
    /// exact one: within a tick Mayfly alone may move.
    private func compareMove(
        _ old: PosixTime, _ new: PosixTime, _ oldHere: PosixTime, _ newHere: PosixTime,
        _ name: @autoclosure () -> String
    ) throws(DifferentialDivergence) {
        let moved = old != new
        let movedHere = oldHere != newHere
        if moved == movedHere { return }
        let apart =
            (newHere.seconds - new.seconds) * 1_000_000_000
            + newHere.nanoseconds - new.nanoseconds
        if movedHere && apart < Self.tickNanoseconds { return }
        throw fail(
            "\(name()) \(moved ? "moved" : "stood still") on tmpfs (\(new)), "
                + "\(movedHere ? "moved" : "stood still") on mayfly (\(newHere))")
    }

    private static let tickNanoseconds: Int64 = 20_000_000

    private func compareAccessTime(_ index: Int) throws(DifferentialDivergence) {
        var a = cps_stat()
        var b = cps_stat()
        guard unsafe cps_stat(CPS_AT_FDCWD, tmpfs.paths[index], 0, &a) == 0,
            unsafe cps_stat(CPS_AT_FDCWD, mayfly.paths[index], 0, &b) == 0
        else { return }
        guard a.access.seconds < 1_200_000_000 else { return }
        if a.access.seconds != b.access.seconds || a.access.nanoseconds != b.access.nanoseconds {
            throw fail("access time: \(a.access) on tmpfs, \(b.access) on mayfly")
        }
    }

    // MARK: contents

    private func compareContent(
        slot: Int, around offset: Int64
    ) throws(DifferentialDivergence) {
        guard tmpfs.descriptors[slot] >= 0 else { return }
        let from = max(0, (offset & ~4095) - 8192)
        try compareContent(
            tmpfs.descriptors[slot], mayfly.descriptors[slot], from: from, count: 32_768,
            "fd\(slot)")
    }

    func compareContent(
        _ tmpfsFD: Int32, _ mayflyFD: Int32, from: Int64, count: Int,
        _ name: @autoclosure () -> String
    ) throws(DifferentialDivergence) {
        let first = unsafe cps_pread(tmpfsFD, tmpfs.buffer, count, from)
        let second = unsafe cps_pread(mayflyFD, mayfly.buffer, count, from)
        if first != second {
            throw fail(
                "read(\(name()), \(from)): \(Self.shown(first)) on tmpfs, "
                    + "\(Self.shown(second)) on mayfly")
        }
        if first > 0, unsafe memcmp(tmpfs.buffer, mayfly.buffer, Int(first)) != 0 {
            throw fail("content of \(name()) from \(from): \(difference(Int(first)))")
        }
    }

    // MARK: extended attributes

    /// Compares names and values.
    func compareAttributes(
        _ tmpfsPath: [UInt8], _ mayflyPath: [UInt8]
    ) throws(DifferentialDivergence) {
        let first = unsafe cps_listxattr(tmpfsPath, tmpfs.buffer, 65_536, 0)
        let second = unsafe cps_listxattr(mayflyPath, mayfly.buffer, 65_536, 0)
        if first != second {
            throw fail(
                "listxattr: \(Self.shown(first)) on tmpfs, \(Self.shown(second)) on mayfly: "
                    + "\(tmpfs.names(first)), \(mayfly.names(second))")
        }
        if first <= 0 { return }
        let names = tmpfs.names(first)
        if Set(names) != Set(mayfly.names(second)) {
            throw fail("listxattr: \(names) on tmpfs, \(mayfly.names(second)) on mayfly")
        }
        for name in names {
            let terminated = Array(name.utf8) + [0]
            let a = unsafe cps_getxattr(tmpfsPath, terminated, tmpfs.buffer, 100_000, 0)
            let b = unsafe cps_getxattr(mayflyPath, terminated, mayfly.buffer, 100_000, 0)
            if unsafe a != b || a > 0 && memcmp(tmpfs.buffer, mayfly.buffer, Int(a)) != 0 {
                throw fail("value of \(name): \(Self.shown(a)), \(Self.shown(b)), or its bytes")
            }
        }
    }

    // MARK: directories

    /// Compares a listing as a set, and gives its names.
    @discardableResult
    func compareListing(
        _ tmpfsPath: [UInt8], _ mayflyPath: [UInt8]
    ) throws(DifferentialDivergence) -> [DifferentialEntry] {
        let first = tmpfs.list(tmpfsPath)
        let second = mayfly.list(mayflyPath)
        if first.result != second.result {
            throw fail(
                "listing: \(Self.shown(first.result)) on tmpfs, "
                    + "\(Self.shown(second.result)) on mayfly"
            )
        }
        let a = Set(first.entries)
        if a != Set(second.entries) || first.entries.count != second.entries.count {
            throw fail("listing: \(first.entries) on tmpfs, \(second.entries) on mayfly")
        }
        return first.entries
    }

    // MARK: statfs(2)

    func compareUsage() throws(DifferentialDivergence) {
        if isShared { return }
        let used = settledUsage { $0 == $1 }
        if used.tmpfs != used.mayfly {
            throw fail("used (pages, inodes): \(used.tmpfs) on tmpfs, \(used.mayfly) on mayfly")
        }
    }

    /// What is in use since the beginning, looked at again for a moment until it is as expected:
    /// a server's other thread may have a FORGET in its hands. Docs/Deviations.md.
    func settledUsage(
        _ isExpected: (DifferentialUsage, DifferentialUsage) -> Bool
    ) -> (tmpfs: DifferentialUsage, mayfly: DifferentialUsage) {
        var used: (tmpfs: DifferentialUsage, mayfly: DifferentialUsage)
        var tries = 0
        repeat {
            if tries > 0 { usleep(10_000) }
            used = (
                DifferentialSide.usage(mounts.tmpfs).since(before.tmpfs),
                DifferentialSide.usage(mounts.mayfly).since(before.mayfly)
            )
            tries += 1
        } while tries < 20 && !isExpected(used.tmpfs, used.mayfly)
        return used
    }
}

/// An entry of a listing.
struct DifferentialEntry: Hashable, CustomStringConvertible {
    let name: [UInt8]
    let type: UInt8
    var description: String { String(decoding: name.prefix(12), as: UTF8.self) + ":\(type)" }
    var isDots: Bool { name == [0x2E] || name == [0x2E, 0x2E] }
}

/// What statfs(2) says is in use.
struct DifferentialUsage: Equatable, CustomStringConvertible {
    let pages: UInt64
    let inodes: UInt64
    let pageLimit: UInt64
    let inodeLimit: UInt64

    func since(_ before: DifferentialUsage) -> DifferentialUsage {
        DifferentialUsage(
            pages: pages &- before.pages, inodes: inodes &- before.inodes, pageLimit: pageLimit,
            inodeLimit: inodeLimit)
    }

    var isNothing: Bool { pages == 0 && inodes == 0 }

    var description: String {
        "(\(Int64(bitPattern: pages)) of \(pageLimit), "
            + "\(Int64(bitPattern: inodes)) of \(inodeLimit))"
    }
}

extension DifferentialSide {
    /// The names that listxattr(2) put into the buffer.
    func names(_ count: Int64) -> [String] {
        guard count > 0 else { return [] }
        let bytes = unsafe UnsafeRawBufferPointer(start: buffer, count: Int(count))
        return unsafe bytes.split(separator: 0).map { unsafe String(decoding: $0, as: UTF8.self) }
    }

    /// All entries of a directory, or minus the errno of opening it.
    func list(_ path: [UInt8]) -> (result: Int64, entries: [DifferentialEntry]) {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
        let fd = unsafe cps_open(CPS_AT_FDCWD, path, flags, 0)
        if fd < 0 { return (fd, []) }
        defer { _ = cps_close(Int32(fd)) }
        var entries: [DifferentialEntry] = []
        while true {
            let count = unsafe cps_getdents(Int32(fd), buffer, 8192)
            if count <= 0 { return (count, entries) }
            var at = 0
            while at < Int(count) {
                let bytes = unsafe buffer.loadUnaligned(fromByteOffset: at + 16, as: UInt16.self)
                let type = unsafe buffer.load(fromByteOffset: at + 18, as: UInt8.self)
                let start = unsafe (buffer + at + 19).assumingMemoryBound(to: CChar.self)
                let name = unsafe UnsafeRawBufferPointer(
                    start: buffer + at + 19, count: strlen(start))
                entries.append(unsafe DifferentialEntry(name: Array(name), type: type))
                at += Int(bytes)
            }
        }
    }

    static func usage(_ root: PosixPath) -> DifferentialUsage {
        var all = CMayflyTestSupport.cps_statfs()
        _ = unsafe cps_statfs(root.terminated, &all)
        return DifferentialUsage(
            pages: all.blocks - all.blocks_free, inodes: all.files - all.files_free,
            pageLimit: all.blocks, inodeLimit: all.files)
    }
}
