// Snapshots of a mount: taking them, going back, forking and saving (Docs/Fixtures.md). All of it on
// a thread that answers no request.

internal import CMemory
internal import FuseTransport
internal import Glibc
internal import InodeStore
internal import Synchronization
internal import SystemPackage

extension MountedFileSystem {
    /// Keeps what the mount holds at this moment, to go back to.
    ///
    /// Requests wait meanwhile: for as long as it takes to copy what differs from the base, and the
    /// first time, for a mount that began empty, all that there is.
    ///
    /// - Parameters:
    ///   - name: nil for the next free number.
    ///   - replacing: whether one of that name may be given up.
    /// - Throws: `.usage` for a name that is taken; `.system` when there is no memory for it.
    @discardableResult
    public func snapshot(
        _ name: String? = nil, replacing: Bool = false
    ) throws(MountError) -> SnapshotRecord {
        try onShelf { shelf, parts throws(MountError) in
            let name = try shelf.freeName(name, replacing: replacing)
            return shelf.add(name, try take(&shelf, parts))
        }
    }

    /// What it can go back to, and how much memory is shared and its own.
    public func snapshots() throws(MountError) -> SnapshotList {
        try onShelf { shelf, parts throws(MountError) in
            SnapshotList(
                snapshots: shelf.items.map(\.record), sharedBytes: shelf.base?.bytes,
                privateBytes: parts.store.privateBytes)
        }
    }

    /// Gives a snapshot up.
    public func removeSnapshot(_ name: String) throws(MountError) {
        try onShelf { shelf, _ throws(MountError) in try shelf.remove(name) }
    }

    /// A mount of its own on another directory that begins as this one is now, and shares its memory.
    ///
    /// - Parameters:
    ///   - mountpoint: an existing directory.
    ///   - change: makes whatever is to be different from this mount's configuration.
    /// - Throws: as mounting does.
    public func fork(
        at mountpoint: String, change: (inout MountConfiguration) -> Void = { _ in }
    ) throws(MountError) -> MountedFileSystem {
        let fork = try makeFork(at: mountpoint, change: change)
        fork.askForNoFlush()
        return fork
    }

    /// The same for a process that opens no files in its own mounts.
    func makeFork(
        at mountpoint: String, change: (inout MountConfiguration) -> Void = { _ in }
    ) throws(MountError) -> MountedFileSystem {
        let snapshot = try onShelf { shelf, parts throws(MountError) in try take(&shelf, parts) }
        var configuration = configuration
        configuration.mountpoint = mountpoint
        configuration.from = nil
        change(&configuration)
        return try MountedFileSystem(
            configuration, origin: .snapshot(snapshot), beforeServing: { () throws(MountError) in })
    }

    /// Writes what the mount holds at this moment to an image.
    ///
    /// Requests wait as for a snapshot; the writing is done afterwards.
    ///
    /// - Parameter path: replaced when the image is whole.
    /// - Returns: bytes of the image.
    public func save(to path: String) throws(MountError) -> UInt64 {
        let snapshot = try onShelf { shelf, parts throws(MountError) in try take(&shelf, parts) }
        return try ReplacedFile.write(path) { descriptor throws(Errno) in
            let store = try InodeStore(
                snapshot: snapshot, pageLimit: 1, inodeLimit: 1, workerCount: 1)
            defer { store.unmap() }
            try store.writeImage(to: descriptor)
        }
    }

    /// A snapshot that there is, and one of this moment.
    func snapshotPair(
        _ name: String?
    ) throws(MountError) -> (then: StoreSnapshot, now: StoreSnapshot) {
        try onShelf { shelf, parts throws(MountError) in
            (try shelf.item(name).snapshot, try take(&shelf, parts))
        }
    }

    // MARK: parts

    func onShelf<Result: Sendable>(
        _ body: (inout SnapshotShelf, Parts) throws(MountError) -> Result
    ) throws(MountError) -> Result {
        try whileHooked { parts throws(MountError) in
            try shelf.withLock { shelf throws(MountError) in try body(&shelf, parts) }
        }
    }

    private func take(
        _ shelf: inout SnapshotShelf, _ parts: Parts
    ) throws(MountError) -> StoreSnapshot {
        writeBack(parts)
        do throws(Errno) {
            let snapshot = try parts.store.snapshot(base: shelf.base)
            shelf.base = snapshot.base
            return snapshot
        } catch {
            throw MountError(
                .system, "there is no memory for a snapshot (\(error)): free some, or raise limits")
        }
    }

    /// What programs have stored in mappings is in the kernel's pages until now.
    func writeBack(_ parts: Parts) {
        // Where the mountpoint is not reachable, nobody can have mapped much of it since.
        guard let identity, let place = identity.place else { return }
        _ = unsafe PathBytes(bytes: place).withCString {
            unsafe cmem_sync_mount($0, identity.connection)
        }
    }
}
