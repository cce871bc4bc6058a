import CMayflyTestSupport
import Glibc

/// Makes the history of a seed.
///
/// Each history draws its own weights, so that some have hardly a directory and others no
/// descriptor at all (swarm testing).
struct DifferentialGenerator {
    private var random: SeededGenerator
    /// Each kind as often as it weighs.
    private let kinds: [DifferentialOperation.Kind]
    private let identityWeight: Int
    private let isRootAlone: Bool
    private let hasRights: Bool
    private var umask: UInt32 = 0o022

    static let offsets: [Int64] = [
        0, 0, 1, 63, 64, 65, 100, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 12_288, 65_537,
        (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 1 << 30, (1 << 40) + 3,
    ]
    private static let lengths = [
        0, 1, 7, 63, 64, 65, 100, 1000, 2047, 2048, 2049, 4095, 4096, 4097, 5000, 8192, 12_289,
        20_000, 65_536, 100_001, 300_000, (2 << 20) + 1,
    ]

    /// - Parameters:
    ///   - isRootAlone: nobody else makes a call.
    ///   - hasRights: three users and root call as often, and some of them with one capability more
    ///     or less.
    init(seed: UInt64, isRootAlone: Bool = false, hasRights: Bool = false) {
        self.isRootAlone = isRootAlone
        self.hasRights = hasRights
        random = SeededGenerator(seed: seed)
        var kinds: [DifferentialOperation.Kind] = []
        for kind in DifferentialOperation.Kind.allCases {
            var weight = random.pick([0, 1, 1, 2, 4])
            switch kind {
            case .open: weight += 4
            case .makeDirectory, .writeAt: weight += 2
            case .rename, .unlink, .read, .write: weight += 1
            case .setFlags, .statfs, .list, .close: weight = min(weight, 1)
            default: break
            }
            kinds += Array(repeating: kind, count: weight)
        }
        self.kinds = kinds
        identityWeight = random.pick([2, 3, 10])
    }

    mutating func history(_ count: Int) -> [DifferentialOperation] {
        (0..<count).map { _ in next() }
    }

    private mutating func next() -> DifferentialOperation {
        var operation = DifferentialOperation(random.pick(kinds))
        if random.oneIn(40) { umask = random.pick([0, 0o022, 0o022, 0o022, 0o077, 0o027]) }
        operation.umask = umask
        operation.identity = random.oneIn(identityWeight) ? 1 + random.below(2) : 0
        operation.path = path()
        operation.other = path()
        operation.slot = random.below(DifferentialOperation.slotCount)
        operation.otherSlot = random.below(DifferentialOperation.slotCount)
        operation.offset = offset()
        operation.length = length()
        operation.value = UInt32(truncatingIfNeeded: random.next() >> 40)
        operation.mode = random.pick([0o644, 0o600, 0o755, 0o777, 0o666, 0o700, 0o2775, 0o1777])
        complete(&operation)
        if hasRights { addRights(&operation) }
        if isRootAlone {
            operation.identity = 0
            // The kernel heeds no sticky bit where it checks no permissions, and root feels that of
            // folders in fs.protected_regular and its like: proc_sys_fs(5).
            operation.mode &= ~0o1000
        }
        return operation
    }

    /// Few paths, so that several meet at one file, and more of what depends on who calls: set-id,
    /// capabilities of files and removed access lists.
    private mutating func addRights(_ operation: inout DifferentialOperation) {
        operation.identity = random.below(DifferentialOperation.identities.count)
        if random.oneIn(3) {
            operation.capability = random.below(DifferentialOperation.capabilities.count)
        }
        if !random.oneIn(4) { operation.path %= 6 }
        switch operation.kind {
        case .chmod, .chmodDescriptor:
            if random.oneIn(2) {
                operation.mode = random.pick([0o2755, 0o2744, 0o2777, 0o6755, 0o6644, 0o4711])
            }
        case .setAttribute, .removeAttribute, .getAttribute:
            let count = UInt32(DifferentialOperation.attributeNames.count)
            if random.oneIn(3) { operation.value = operation.value / count * count + count - 1 }
        case .setAccessList:
            if random.oneIn(3) { operation.value = operation.value / 5 * 5 }
        default: break
        }
    }

    private mutating func path() -> Int {
        let all = DifferentialPaths.all.count
        return random.below(random.oneIn(12) ? all : DifferentialPaths.plainCount)
    }

    private mutating func offset() -> Int64 {
        let near = random.oneIn(4) ? Self.offsets.count : 16
        var offset = Self.offsets[random.below(near)]
        if random.oneIn(8) { offset += Int64(random.below(9000)) }
        if random.oneIn(400) { offset = random.pick([-1, .max, .max - 100_000, 1 << 62]) }
        return offset
    }

    private mutating func length() -> Int {
        let length = Self.lengths[random.below(random.oneIn(12) ? Self.lengths.count : 18)]
        return random.oneIn(8) ? length + random.below(3000) : length
    }

    private mutating func complete(_ operation: inout DifferentialOperation) {
        switch operation.kind {
        case .open:
            operation.flags = random.pick([O_RDONLY, O_WRONLY, O_RDWR, O_RDWR, O_RDWR])
            if !random.oneIn(3) { operation.flags |= O_CREAT }
            if random.oneIn(8) { operation.flags |= O_EXCL }
            if random.oneIn(5) { operation.flags |= O_TRUNC }
            if random.oneIn(6) { operation.flags |= O_APPEND }
            if random.oneIn(8) { operation.flags |= CPS_O_DIRECT }
            if random.oneIn(12) { operation.flags |= O_NOFOLLOW }
            if random.oneIn(20) { operation.flags |= O_DIRECTORY }
        case .temporary: if random.oneIn(4) { operation.flags = O_EXCL }
        case .allocate:
            operation.flags = random.pick([0, 0, 1, 1, 3, 3, 3, 2, 8, 0x20, 0x40])
        case .seek:
            operation.flags = random.pick([0, 1, 2, 3, 3, 4, 4])
            if operation.flags == 2 { operation.offset = -(operation.offset & 0xFFFF) }
        case .rename: operation.flags = random.pick([0, 0, 0, 1, 2, 2, 4, 5, 3, 6, 8])
        case .access: operation.flags = Int32(random.below(8))
        case .link, .chown: operation.flags = random.oneIn(3) ? 1 : 0
        case .setTimes: operation.flags = Int32(random.below(6))
        case .setAttribute:
            operation.flags = random.pick([0, 0, 0, 1, 2, 3])
            if operation.length % 8 > 5 && !random.oneIn(8) { operation.length = 3 }
        case .setAccessList: operation.flags = random.oneIn(2) ? 1 : 0
        case .setFlags: operation.mode = random.pick([0, 0, 0, 0, 0x40, 0x80, 0x10, 0x20, 4])
        case .chmod, .chmodDescriptor:
            operation.mode = random.pick([
                0, 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o2644, 0o6777, 0o1777, 0o070,
            ])
        case .makeNode:
            operation.mode |= random.pick([S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG, 0])
        default: break
        }
    }
}
