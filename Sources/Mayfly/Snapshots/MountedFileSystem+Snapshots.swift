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
    /// This process writes it, with its own rights.
    ///
    /// - Parameters:
    ///   - path: a regular file, which is replaced when the image is whole, or a free name.
    ///   - umask: takes permission bits from 0666 for a file that is new; nil for this process's umask.
    ///   - isNew: whether it is an error that something has the name.
    /// - Returns: bytes of the image.
    public func save(
        to path: String, umask: UInt32? = nil, isNew: Bool = false
    ) throws(MountError) -> UInt64 {
        let snapshot = try onShelf { shelf, parts throws(MountError) in try take(&shelf, parts) }
        return try ReplacedFile.write(path, umask: umask, isNew: isNew) { descriptor throws(Errno) in
            let store = try InodeStore(
                snapshot: snapshot, pageLimit: 1, inodeLimit: 1, workerCount: 1)
            defer { store.unmap() }
            let failure: Errno?
            do throws(Errno) {
                try store.writeImage(to: descriptor)
                failure = nil
            } catch { failure = error }
            // What was written of a changed image may be anything, and the failure only follows.
            if snapshot.base.isChanged { throw .ioError }
            if let failure { throw failure }
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
        if let image, image.isChanged {
            throw MountError(
                .system,
                "the image \(image.name) was changed, and with it what the mount holds: copy what is "
                    + "still read, and mount the image anew")
        }
        writeBack(parts)
        do throws(Errno) {
            let base = shelf.base
            let snapshot = try FileSignals.held { () throws(Errno) in
                try parts.store.snapshot(base: base)
            }
            shelf.base = snapshot.base
            return snapshot
        } catch .fileTooLarge {
            throw MountError(
                .system,
                "a snapshot takes a file in memory that is larger than the server's limit of file "
                    + "sizes: start the mount with a higher `ulimit -f`")
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
