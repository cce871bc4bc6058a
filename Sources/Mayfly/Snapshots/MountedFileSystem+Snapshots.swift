// Snapshots of a mount: taking them, going back, forking and saving (Docs/Fixtures.md). All of it on
// a thread that answers no request.

internal import CMayflySystem
internal import FuseTransport
internal import Glibc
internal import InodeStore
internal import MayflyArena
public import MayflyHost
internal import MayflyServing
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
        let record = try onShelf { shelf, parts throws(MountError) in
            let name = try shelf.freeName(name, replacing: replacing)
            return shelf.add(name, try take(&shelf, parts, for: "a snapshot"))
        }
        note(.snapshot) { $0.snapshot = record }
        return record
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
        let save = try beginSave()
        defer { save.store.unmap() }
        return try ReplacedFile.write(
            path, umask: umask, isNew: isNew,
            filling: { descriptor throws(MountError) in try save.writeImage(to: descriptor) })
    }

    /// Writes the pages in which the mount differs at this moment from an image to a layer.
    ///
    /// - Parameters:
    ///   - path: a regular file, which is replaced when the layer is whole, or a free name.
    ///   - base: an image, or a layer, which whoever mounts the new one must have.
    ///   - umask: takes permission bits from 0666 for a file that is new; nil for this process's umask.
    ///   - isNew: whether it is an error that something has the name.
    /// - Returns: what was written.
    /// - Throws: as the other; `.usage` for a base that is damaged.
    /// - Complexity: O(pages that differ), where the mount began with the base or with a layer on it
    ///   and the base is known; O(bytes in use and of the base) otherwise.
    @discardableResult
    public func save(
        to path: PathBytes, on base: PathBytes, umask: UInt32? = nil, isNew: Bool = false
    ) throws(MountError) -> SaveSummary {
        let image = try ImageFile(path: base)
        try KnownImages.prove(image)
        let save = try beginSave()
        defer { save.store.unmap() }
        var written: WrittenLayer?
        let bytes = try ReplacedFile.write(
            path, umask: umask, isNew: isNew,
            filling: { descriptor throws(MountError) in
                written = try save.writeLayer(
                    to: descriptor, on: image, named: ImageChain.name(of: base))
            })
        if let written { KnownImages.add(path, written.digest) }
        return SaveSummary(
            path: path.text, bytes: bytes, base: image.pages.digests[0].text,
            pageBytes: written?.pageBytes)
    }

    /// A moment of the mount that is to be written.
    func beginSave() throws(MountError) -> TreeSave {
        let snapshot = try onShelf { shelf, parts throws(MountError) in
            try takeWhole(&shelf, parts, for: "a save")
        }
        do throws(Errno) {
            let store = try InodeStore(
                snapshot: snapshot, pageLimit: 1, inodeLimit: 1, workerCount: 1)
            return TreeSave(base: snapshot.base, store: store)
        } catch {
            throw Self.shortage("a save", snapshot.privateBytes)
        }
    }

    /// A snapshot that there is, and one of this moment.
    func snapshotPair(
        _ name: String?
    ) throws(MountError) -> (then: StoreSnapshot, now: StoreSnapshot) {
        try onShelf { shelf, parts throws(MountError) in
            (try shelf.item(name).snapshot, try takeWhole(&shelf, parts, for: "a comparison"))
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

    /// The same where content is read that a request would wait for.
    private func takeWhole(
        _ shelf: inout SnapshotShelf, _ parts: Parts, for what: String
    ) throws(MountError) -> StoreSnapshot {
        try checkAllHere(for: what)
        return try take(&shelf, parts, for: what)
    }

    /// - Throws: `.busy` as long as not all of the image is here.
    func checkAllHere(for what: String) throws(MountError) {
        guard let image, let report = image.mapping.pages?.arrival?.report, report.state != .all
        else { return }
        throw MountError(
            .mount, code: .notAllHere,
            "\(what) takes all content, and \(report.hereBytes >> 20) of \(report.totalBytes >> 20) MiB of "
                + "\(image.name) are here: try again when `mayfly stat` says that all is")
    }

    /// - Parameter what: what a refusal says that it is for.
    private func take(
        _ shelf: inout SnapshotShelf, _ parts: Parts, for what: String
    ) throws(MountError) -> StoreSnapshot {
        if configuration.survives {
            throw MountError(
                .usage, code: .unsupported,
                "\(what) cannot be had of a mount with \(setting: .survives), whose memory is a file already: mount "
                    + "without it")
        }
        if let image, image.isChanged {
            throw MountError(
                .system, code: .changedImage,
                "the image \(image.name) was changed, and with it what the mount holds: copy what is "
                    + "still read, and mount the image anew")
        }
        writeBack(parts.session)
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
                .system, code: .noDescriptors,
                "\(what) cannot be made (\(error)): raise `ulimit -n`")
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
    ///
    /// A log of what was synced knows which files may be mapped: the kernel writes each back before it
    /// forgets it. Otherwise syncfs(2) asks for all of them. Most kernels do not wait for the answers, so this waits
    /// until the threads that serve have nothing to do.
    ///
    /// Only Linux 6.16, 6.17 and the first of 6.18 wait for the answers themselves. That is not asked for once
    /// at mount: nothing tells it to user space, distributions take the change back to kernels of other numbers, and
    /// to try it takes a file in the user's tree and an answer that is held back. Little is lost: a mount at rest
    /// passes at the first look, which is one read of /proc for each thread.
    ///
    /// - Source: fs/fuse/file.c before Linux 6.16, `fuse_writepage_locked()`: a page is done when it is copied to
    ///   another; fs/fs-writeback.c, `wait_sb_inodes()`: AS_NO_DATA_INTEGRITY, which FUSE has since 6.19, and
    ///   `sync_inodes_sb()`: SB_I_NO_DATA_INTEGRITY, since 7.0; both went to 6.18.y.
    func writeBack(_ session: FuseSession) {
        if let log = hooks.durability {
            session.forget(log.whileHeld { $0.mappable.keys.sorted() })
            return
        }
        // Where the mountpoint is not reachable, nobody can have mapped much of it since.
        guard let identity, let place = identity.place else { return }
        _ = unsafe place.withCString {
            unsafe csys_sync_mount($0, identity.connection)
        }
        ServingRest(counters: counters).await(atMost: Self.longestRest)
    }

    /// How long a snapshot waits for a moment without requests, in nanoseconds: a thousand small requests, so that clients
    /// that ask without a pause do not hold it up for long.
    private static let longestRest: UInt64 = 100_000_000
}
