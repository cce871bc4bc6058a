// The store that a mount begins with: empty, an image, a snapshot, or what a server has left that died.

internal import CMayflySystem
internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import SystemPackage

extension MountedFileSystem {
    /// - Throws: `.system` when there is not even memory for an empty mount: a chunk of each kind.
    static func checkMemory() throws(MountError) {
        let least: UInt64 = 8 << 20
        do throws(Errno) { try MemoryClaim(bytes: least).end() } catch {
            throw MountError.shortage(
                "a mount", least, "unmount others, free some, or raise the memory limit")
        }
    }

    /// The store that the mount begins with.
    static func store(
        _ configuration: MountConfiguration, _ origin: TreeOrigin,
        limits: (sizeBytes: UInt64, inodes: UInt64), memory: SystemMemory, workerCount: Int
    ) throws(MountError) -> InodeStore {
        let pages = max(1, limits.sizeBytes / SizeText.pageBytes)
        let inodes = max(1, limits.inodes)
        guard InodeStore.accepts(pageLimit: pages, inodeLimit: 1) else {
            throw MountError(
                .usage, code: .badSize,
                "a size of \(SizeText.described(bytes: limits.sizeBytes)) is more than a mount can "
                    + "have: give a \(setting: .size) below 64t")
        }
        guard InodeStore.accepts(pageLimit: 1, inodeLimit: inodes) else {
            throw MountError(
                .usage, code: .badSize,
                "\(inodes) inodes are more than a mount can have: give \(setting: .inodes) below 4g"
            )
        }
        let growth = (memory.usableBytes / SizeText.pageBytes, memory.defaultInodes)
        let options = configuration.storeOptions
        if case .image(let file) = origin { try configuration.checkRoom(for: file) }
        do throws(ImageError) {
            switch origin {
            case .image(let file):
                return try InodeStore(
                    image: file.base, header: file.header, pageLimit: pages, inodeLimit: inodes,
                    workerCount: workerCount, growth: growth, options: options)
            case .snapshot(let snapshot):
                return try ImageError.wrapping { () throws(Errno) in
                    try InodeStore(
                        snapshot: snapshot, pageLimit: pages, inodeLimit: inodes,
                        workerCount: workerCount, growth: growth, options: options)
                }
            case .empty where configuration.isRecovery:
                return try recovered(configuration, workerCount: workerCount, options: options)
            case .empty:
                return try ImageError.wrapping { () throws(Errno) in
                    try InodeStore(
                        pageLimit: pages, inodeLimit: inodes, workerCount: workerCount,
                        growth: growth, shardCount: Geometry.shardCount(workers: workerCount),
                        mode: configuration.mode,
                        owner: Caller(
                            userID: configuration.userID, groupID: configuration.groupID),
                        options: options,
                        backing: configuration.backing)
                }
            }
        } catch {
            if case .image(let file) = origin, error != .system(.noMemory) {
                throw MountError(.usage, code: .damagedImage, error.described(file.path))
            }
            if case .snapshot(let snapshot) = origin, error == .system(.noMemory) {
                throw shortage("a fork", snapshot.privateBytes)
            }
            let reason = if case .system(let errno) = error { "\(errno)" } else { "\(error)" }
            throw MountError(
                .system, code: .noMemory,
                "no memory for a file system of \(SizeText.described(bytes: limits.sizeBytes)) "
                    + "(\(reason)): give a smaller \(setting: .size) or \(setting: .inodes)")
        }
    }

    /// What a server has left that died.
    private static func recovered(
        _ configuration: MountConfiguration, workerCount: Int, options: StoreOptions
    ) throws(ImageError) -> InodeStore {
        let (store, report) = try ImageError.wrapping { () throws(Errno) in
            guard let memory = configuration.survivingMemory else { throw .badFileDescriptor }
            return try InodeStore.recover(
                from: memory, workerCount: workerCount, options: options)
        }
        guard report.problems.isEmpty else {
            for problem in report.problems.prefix(10) { unsafe csys_log(problem) }
            store.unmap()
            throw .damagedHeader
        }
        return store
    }
}
