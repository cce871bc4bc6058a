import CMayflyTestSupport
import Glibc

/// One of the two file systems: a root, descriptors, and a buffer that reads fill.
///
/// Used by one thread, whose identity and umask it changes.
@safe
final class DifferentialSide {
    let root: PosixPath
    /// For the fuzz's own test: a link that was made is lost.
    var losesLinks = false
    /// Every path of `DifferentialPaths` and its parent, with the NUL.
    let paths: [[UInt8]]
    let parents: [[UInt8]]
    private(set) var descriptors = [Int32](repeating: -1, count: DifferentialOperation.slotCount)
    /// Whether flags were set that forbid changes.
    private(set) var hasGuards = false
    let buffer: UnsafeMutableRawPointer
    static let bufferBytes = 4 << 20

    init(root: PosixPath) {
        self.root = root
        paths = DifferentialPaths.all.map { (root / $0).terminated }
        parents = DifferentialPaths.all.indices.map {
            (root / DifferentialPaths.parent($0)).terminated
        }
        unsafe buffer = .allocate(byteCount: Self.bufferBytes, alignment: 4096)
        unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0xEE, count: Self.bufferBytes)
    }

    deinit {
        closeAll()
        unsafe buffer.deallocate()
    }

    func closeAll() {
        for slot in descriptors.indices { replace(slot, with: -1) }
    }

    private func replace(_ slot: Int, with fd: Int64) {
        if descriptors[slot] >= 0 { _ = cps_close(descriptors[slot]) }
        descriptors[slot] = Int32(fd)
    }

    /// Makes the call; a value, or minus the errno.
    ///
    /// - Returns: the result and how many bytes of `buffer` belong to it.
    func perform(_ operation: DifferentialOperation) -> (result: Int64, bytes: Int) {
        if isAvoided(operation) { return (Self.avoided, 0) }
        if operation.kind == .setFlags && operation.mode & 0x30 != 0 { hasGuards = true }
        let who = DifferentialOperation.identities[operation.identity]
        if operation.identity != 0 {
            _ = unsafe cpd_become(who.uid, who.gid, who.groups, who.groups.count)
        }
        if operation.capability != 0 {
            let number = DifferentialOperation.capabilities[operation.capability].number
            let result = cpd_change_capability(number)
            precondition(result == 0, "DifferentialSide: capset(2) failed with \(-result)")
        }
        umask(operation.umask)
        let (result, bytes) = call(operation)
        umask(0o022)
        if operation.identity != 0 { _ = cpd_become(0, 0, nil, 0) }
        if operation.capability != 0 { _ = cpd_change_capability(-1) }
        if losesLinks && operation.kind == .link && result == 0 {
            _ = unsafe cps_unlink(paths[operation.other])
        }
        guard operation.makesDescriptor, result >= 0 else { return (result, bytes) }
        replace(operation.slot, with: result)
        return (0, bytes)
    }

    private func call(_ operation: DifferentialOperation) -> (Int64, Int) {
        switch operation.kind {
        case .read, .readAt, .readVector, .getAttribute, .readLink, .getFlags:
            let result = readingCall(operation)
            return (result, max(0, Int(result)))
        case .listAttributes, .list, .statfs:
            // Their results are compared as sets, or against a base, by the comparison.
            return (0, 0)
        case .close:
            let fd = descriptors[operation.slot]
            if fd < 0 { return (-Int64(EBADF), 0) }
            replace(operation.slot, with: -1)
            return (0, 0)
        default: return (changingCall(operation), 0)
        }
    }

    /// The result of a call that is not made because a known deviation would follow from it.
    private static let avoided: Int64 = 1 << 40

    /// Whether the call would meet one of Docs/Deviations.md; both sides say the same.
    private func isAvoided(_ operation: DifferentialOperation) -> Bool {
        switch operation.kind {
        case .copyRange:
            return isGuarded(operation.otherSlot) || losesSetID(operation.otherSlot)
        case .write, .writeAt, .writeVector, .mapWrite, .truncateDescriptor, .allocate:
            return isGuarded(operation.slot) || losesSetID(operation.slot)
                || (status(slot: operation.slot)?.mode ?? 0) & S_IFMT == S_IFIFO
        case .chown, .chownDescriptor: return isChownAvoided(operation)
        case .truncate:
            guard let status = status(paths[operation.path], CPS_STAT_FOLLOW) else { return false }
            return isGuarded(path: operation.path) || operation.offset == 0 && status.size == 0
        case .open:
            return operation.flags & (O_ACCMODE | O_TRUNC) != O_RDONLY
                && isGuarded(path: operation.path)
        case .access: return isGuarded(path: operation.path)
        case .seek:
            guard let status = status(slot: operation.slot) else { return false }
            return status.mode & S_IFMT == S_IFDIR && operation.flags > 1
        default: return false
        }
    }

    /// Where the loss of set-id would refuse a chown(2): -1 and -1 by who is not the owner, and any of a
    /// file with set-id by who may change owners and not modes.
    private func isChownAvoided(_ operation: DifferentialOperation) -> Bool {
        guard operation.isRestricted else { return false }
        if operation.owner == (.max, .max) { return true }
        let name = DifferentialOperation.capabilities[operation.capability].name
        guard name == (operation.identity == 0 ? "FOWNER" : "CHOWN") else { return false }
        let status =
            operation.kind == .chown
            ? status(paths[operation.path], operation.flags != 0 ? CPS_STAT_FOLLOW : 0)
            : status(slot: operation.slot)
        return (status?.mode ?? 0) & 0o6000 != 0
    }

    private func status(_ path: [UInt8], _ how: Int32) -> cps_stat? {
        var status = cps_stat()
        return unsafe cps_stat(CPS_AT_FDCWD, path, how, &status) == 0 ? status : nil
    }

    private func status(slot: Int) -> cps_stat? {
        guard descriptors[slot] >= 0 else { return nil }
        var status = cps_stat()
        return unsafe cps_stat(descriptors[slot], [0], 0, &status) == 0 ? status : nil
    }

    /// Whether a change of content by who may keep set-id takes it with the file's capabilities.
    private func losesSetID(_ slot: Int) -> Bool {
        guard (status(slot: slot)?.mode ?? 0) & 0o6000 != 0 else { return false }
        let name = PosixPath(Self.capabilityName).terminated
        return unsafe cps_fgetxattr(descriptors[slot], name, buffer, 64) >= 0
    }

    /// Immutable or append-only. Asked by root, so the identity is changed afterwards.
    private func isGuarded(_ slot: Int) -> Bool {
        guard hasGuards, descriptors[slot] >= 0 else { return false }
        var flags: UInt32 = 0
        _ = unsafe cps_get_flags(descriptors[slot], &flags)
        return flags & (CPS_FS_IMMUTABLE | CPS_FS_APPEND) != 0
    }

    private func isGuarded(path index: Int) -> Bool {
        guard hasGuards else { return false }
        var flags: UInt32 = 0
        let fd = unsafe cps_open(CPS_AT_FDCWD, paths[index], O_RDONLY | O_NONBLOCK, 0)
        if fd < 0 { return false }
        defer { _ = cps_close(Int32(fd)) }
        _ = unsafe cps_get_flags(Int32(fd), &flags)
        return flags & (CPS_FS_IMMUTABLE | CPS_FS_APPEND) != 0
    }

    private func readingCall(_ operation: DifferentialOperation) -> Int64 {
        let fd = descriptors[operation.slot]
        let path = paths[operation.path]
        switch operation.kind {
        case .read: return unsafe cps_read(fd, buffer, operation.length)
        case .readAt: return unsafe cps_pread(fd, buffer, operation.length, operation.offset)
        case .readVector:
            let pieces = Self.pieces(operation.length)
            return unsafe cps_preadv(fd, buffer, pieces, Int32(pieces.count), operation.offset)
        case .getAttribute:
            let name = PosixPath(operation.attributeName).terminated
            let room = Int(operation.value / 16) % 4 == 0 ? 64 : 100_000
            return unsafe cps_getxattr(path, name, buffer, room, 0)
        case .readLink: return unsafe cps_readlink(path, buffer, 8192)
        default:
            var flags: UInt32 = 0
            let result = unsafe cpd_path_get_flags(path, &flags)
            unsafe buffer.storeBytes(of: flags, as: UInt32.self)
            return result < 0 ? result : 4
        }
    }

    private func changingCall(_ operation: DifferentialOperation) -> Int64 {
        let path = paths[operation.path]
        let other = paths[operation.other]
        switch operation.kind {
        case .open:
            return unsafe cps_open(
                CPS_AT_FDCWD, path, operation.flags | O_NONBLOCK | O_NOCTTY, operation.mode)
        case .temporary:
            let flags = CPS_O_TMPFILE | O_RDWR | operation.flags
            return unsafe cps_open(CPS_AT_FDCWD, path, flags, operation.mode)
        case .truncate: return unsafe cps_truncate(path, operation.offset)
        case .makeDirectory: return unsafe cps_mkdir(path, operation.mode)
        case .removeDirectory: return unsafe cps_rmdir(path)
        case .unlink: return unsafe cps_unlink(path)
        case .rename: return unsafe cps_rename(path, other, UInt32(operation.flags))
        case .link:
            let flags = operation.flags != 0 ? CPS_AT_SYMLINK_FOLLOW : 0
            return unsafe cps_link(CPS_AT_FDCWD, path, other, flags)
        case .symlink:
            return unsafe cps_symlink(DifferentialPaths.target(operation.value) + [0], path)
        case .makeNode:
            return unsafe cps_mknod(
                path, operation.mode, [0, 200, 4095][Int(operation.value % 3)],
                operation.value / 3 % 1000)
        case .chmod: return unsafe cps_chmod(path, operation.mode)
        case .chown:
            return unsafe cps_chown(
                path, operation.owner.uid, operation.owner.gid, operation.flags)
        case .setTimes: return setTimes(operation)
        case .access: return unsafe cps_access(path, operation.flags)
        case .setAttribute:
            let name = PosixPath(operation.attributeName).terminated
            if operation.attributeName == Self.capabilityName && operation.value % 8 != 0 {
                let value = Self.fileCapability
                return unsafe cps_setxattr(path, name, value, value.count, operation.flags, 0)
            }
            return unsafe cps_setxattr(
                path, name, DifferentialPattern.bytes(operation.value), operation.attributeSize,
                operation.flags, 0)
        case .removeAttribute:
            let name = PosixPath(operation.attributeName).terminated
            return unsafe cps_removexattr(path, name, 0)
        case .setAccessList: return setAccessList(operation)
        case .setFlags: return unsafe cpd_path_set_flags(path, operation.mode)
        default: return descriptorCall(operation, descriptors[operation.slot])
        }
    }

    private func descriptorCall(_ operation: DifferentialOperation, _ fd: Int32) -> Int64 {
        let content = unsafe DifferentialPattern.bytes(operation.value)
        switch operation.kind {
        case .linkDescriptor:
            if operation.value % 2 == 0 {
                return unsafe cps_link(fd, [0], paths[operation.path], CPS_AT_EMPTY_PATH)
            }
            let proc = PosixPath("/proc/self/fd/\(fd)").terminated
            return unsafe cps_link(
                CPS_AT_FDCWD, proc, paths[operation.path], CPS_AT_SYMLINK_FOLLOW)
        case .write: return unsafe cps_write(fd, content, operation.length)
        case .writeAt: return unsafe cps_pwrite(fd, content, operation.length, operation.offset)
        case .writeVector:
            let pieces = Self.pieces(operation.length)
            return unsafe cps_pwritev(fd, content, pieces, Int32(pieces.count), operation.offset)
        case .seek: return cps_seek(fd, operation.offset, operation.flags)
        case .mapWrite:
            let count = min(operation.length, 4096) + 1
            return unsafe cpd_map_write(fd, content, count, operation.offset)
        case .synchronize: return cps_fsync(fd, 0)
        case .truncateDescriptor: return cps_ftruncate(fd, operation.offset)
        case .allocate:
            return cps_fallocate(fd, operation.flags, operation.offset, Int64(operation.length))
        case .copyRange:
            return cps_copy_file_range(
                fd, operation.offset, descriptors[operation.otherSlot], operation.otherOffset,
                operation.length)
        case .chmodDescriptor: return cps_fchmod(fd, operation.mode)
        case .chownDescriptor:
            return cps_fchown(fd, operation.owner.uid, operation.owner.gid)
        default: preconditionFailure("DifferentialSide: no call for \(operation.kind)")
        }
    }

    private static let capabilityName = "security.capability"
    /// VFS_CAP_REVISION_2 with CAP_NET_RAW permitted.
    private static let fileCapability: [UInt8] =
        [1, 0, 0, 2] + [0, 0x20, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0]

    private static func pieces(_ length: Int) -> [Int] {
        let first = length / 3
        let second = length / 2 - first
        return [first, 0, second, length - first - second]
    }

    private func setTimes(_ operation: DifferentialOperation) -> Int64 {
        let seconds = Int64(operation.value % 1_000_000_000)
        let set = cps_time(seconds: seconds, nanoseconds: Int64(operation.value % 999_999_999))
        let omit = cps_time(seconds: 0, nanoseconds: CPS_UTIME_OMIT)
        let now = cps_time(seconds: 0, nanoseconds: CPS_UTIME_NOW)
        let forms: [(cps_time, cps_time)] = [
            (set, set), (omit, set), (set, omit), (now, now), (omit, now), (omit, omit),
        ]
        var times = forms[Int(operation.flags)]
        return unsafe cps_utimens(paths[operation.path], &times.0, &times.1, 0)
    }

    private func setAccessList(_ operation: DifferentialOperation) -> Int64 {
        let name = operation.flags == 0 ? PosixAccessList.access : PosixAccessList.inherited
        let path = paths[operation.path]
        let value = Int(operation.value)
        if value % 5 == 0 {
            return unsafe cps_removexattr(path, PosixPath(name).terminated, 0)
        }
        var list = PosixAccessList(UInt16(value / 5 & 0o777))
        if value % 5 > 2 {
            list = PosixAccessList(
                UInt16(value / 5 & 0o777), users: [(1001, UInt16(value >> 14 & 7))],
                groups: [(1004, UInt16(value >> 17 & 7))], mask: UInt16(value >> 20 & 7))
        }
        // Some that are no list.
        if value % 31 == 0 { list.entries.removeLast() }
        if value % 37 == 0 { list.entries.swapAt(0, 1) }
        if value % 41 == 0 { list.entries[0].permissions = 8 }
        let bytes = value % 43 == 0 ? [] : list.bytes
        return unsafe cps_setxattr(path, PosixPath(name).terminated, bytes, bytes.count, 0, 0)
    }
}

/// What writes write: one pattern, from a place that the operation chooses.
enum DifferentialPattern {
    private static let bytes: [UInt8] = {
        var random = SeededGenerator(seed: 1)
        var bytes = [UInt8](repeating: 0, count: 5 << 20)
        var index = 0
        while index < bytes.count {
            bytes[index] = UInt8(truncatingIfNeeded: random.next())
            index += 1
        }
        return bytes
    }()
    private nonisolated(unsafe) static let aligned: UnsafeRawPointer = {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 4096)
        unsafe bytes.withUnsafeBytes {
            unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count)
        }
        return UnsafeRawPointer(memory)
    }()

    /// Up to 4 MiB of bytes, aligned to a page.
    static func bytes(_ value: UInt32) -> UnsafeRawPointer {
        unsafe aligned + Int(value & 255) * 4096
    }
}
