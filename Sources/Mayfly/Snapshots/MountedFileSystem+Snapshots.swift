// Snapshots of a mount: taking them, going back, forking and saving (Docs/Fixtures.md). All of it on
// a thread that answers no request.

internal import CMayflySystem
internal import FuseTransport
internal import Glibc
internal import InodeStore
internal import MayflyArena
public import MayflyHost
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
    /// - Throws: `.usage` for a name that is taken; `.system` when there is no memory for it,
    ///   with how much it takes and how much is left.
    @discardableResult
    public func snapshot(
        _ name: String? = nil, replacing: Bool = false
    ) throws(MountError) -> SnapshotRecord {
        try onShelf { shelf, parts throws(MountError) in
            let name = try shelf.freeName(name, replacing: replacing)
            return shelf.add(name, try take(&shelf, parts, for: "a snapshot"))
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
        let fork = try makeFork(at: PathBytes(mountpoint), change: change)
        fork.askForNoFlush()
        return fork
    }

    /// The same for a process that opens no files in its own mounts.
    func makeFork(
        at mountpoint: PathBytes, change: (inout MountConfiguration) -> Void = { _ in }
    ) throws(MountError) -> MountedFileSystem {
        let snapshot = try onShelf { shelf, parts throws(MountError) in
            try take(&shelf, parts, for: "a fork")
        }
        var configuration = configuration
        configuration.mountPath = mountpoint
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
        try save(to: PathBytes(path), umask: umask, isNew: isNew)
    }

    /// The same for a path as it is.
    @discardableResult
    public func save(
        to path: PathBytes, umask: UInt32? = nil, isNew: Bool = false
    ) throws(MountError) -> UInt64 {
        let snapshot = try onShelf { shelf, parts throws(MountError) in
            try take(&shelf, parts, for: "a save")
        }
        let store: InodeStore
        do throws(Errno) {
            store = try InodeStore(snapshot: snapshot, pageLimit: 1, inodeLimit: 1, workerCount: 1)
        } catch {
            throw Self.shortage("a save", snapshot.privateBytes)
        }
        defer { store.unmap() }
        return try ReplacedFile.write(path, umask: umask, isNew: isNew) {
            descriptor throws(Errno) in
            let failure: Errno?
            do throws(Errno) {
                try store.writeImage(to: descriptor, base: snapshot.base.mapping)
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
            (try shelf.item(name).snapshot, try take(&shelf, parts, for: "a comparison"))
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

    static func claim(_ what: String, _ bytes: UInt64) throws(MountError) -> MemoryClaim {
        do throws(Errno) { return try MemoryClaim(bytes: bytes) } catch {
            throw shortage(what, bytes)
        }
    }

    /// - Parameter what: what a refusal says that it is for.
    private func take(
        _ shelf: inout SnapshotShelf, _ parts: Parts, for what: String
    ) throws(MountError) -> StoreSnapshot {
        if let image, image.isChanged {
            throw MountError(
                .system,
                "the image \(image.name) was changed, and with it what the mount holds: copy what is "
                    + "still read, and mount the image anew")
        }
        writeBack(parts)
        // What was promised and is there by now must not be counted twice.
        parts.store.askForMemory()
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
                "\(what) takes a file in memory that is larger than the server's limit of file sizes: "
                    + "start the mount with a higher `ulimit -f`")
        } catch .noMemory {
            throw Self.shortage(what, parts.store.snapshotBytes(base: shelf.base))
        } catch {
            throw MountError(
                .system, "\(what) cannot be made (\(error)): raise `ulimit -n`")
        }
    }

    /// - Parameter what: as the beginning of a sentence.
    static func shortage(_ what: String, _ bytes: UInt64) -> MountError {
        MountError.shortage(
            what, bytes,
            "free some, remove snapshots (`mayfly snapshots DIR --remove NAME`), or raise the memory "
                + "limit")
    }

    /// What programs have stored in mappings is in the kernel's pages until now.
    func writeBack(_ parts: Parts) {
        // Where the mountpoint is not reachable, nobody can have mapped much of it since.
        guard let identity, let place = identity.place else { return }
        _ = unsafe place.withCString {
            unsafe csys_sync_mount($0, identity.connection)
        }
    }
}
