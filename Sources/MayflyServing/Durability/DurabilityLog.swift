// DurabilityLog: what has changed since it was synced, in the form of what was there before.
//
// All requests that change something take its lock, one after another. Lock order: the log's lock,
// then the worker; so a thread leaves its worker before it asks for the lock, and whoever has the lock
// may freeze the store.

internal import CFuseKernel
internal import CMayflyMemory
package import FuseTransport
package import InodeStore
internal import Synchronization
internal import SystemPackage

/// A file or directory that has changed since its last fsync(2).
package struct FileChange: Sendable {
    let synced: DurableState
    /// Old content of pages that have changed, by index; empty is zeros.
    var pages: [UInt64: [UInt8]] = [:]
    let sequence: UInt64
}

/// The log of one mount.
package final class DurabilityLog: Sendable {
    package struct State: Sendable {
        var names = NameLog()
        var files: [UInt64: FileChange] = [:]
        /// How often each file is open for reading and writing: what is stored in a mapping of it is
        /// in the kernel's pages until it is written back, at the latest before the last RELEASE.
        package var mappable: [UInt64: Int] = [:]
        /// What a failed FSYNC has dropped: in memory it is there, and no later sync brings it to the disk, but
        /// where it is written anew.
        var dropped: [UInt64: FileChange] = [:]
        /// Changes so far.
        var sequence: UInt64 = 0

        /// How many names, and how many files and directories, have changed since they were synced.
        package var unsynced: (names: Int, files: Int) {
            (names.changes.values.count { $0.isChange }, files.count)
        }
    }

    package init() {}

    private let state = Mutex(State())
    /// While a power loss has not reached the kernel's pages: what it writes back then is lost.
    private let isLosing = Atomic<Bool>(false)

    private static let changing: Set<Opcode> = [
        .write, .setattr, .fallocate, .copyFileRange, .copyFileRange64, .mknod, .mkdir, .symlink,
        .link, .create, .unlink, .rmdir, .rename, .rename2, .fsync, .fsyncdir, .release, .open,
        .tmpfile,
    ]

    /// Whether a request is refused while the power is off: whoever closes a file is not told.
    static func isRefusedWithoutPower(_ operation: Opcode) -> Bool {
        changing.contains(operation) && ![.open, .release].contains(operation)
    }

    /// Has what an FSYNC was to sync never reach the disk, as Linux does when writing back has failed: the next
    /// FSYNC knows nothing of it.
    ///
    /// - Precondition: the worker is entered.
    func dropUnsynced(_ request: FuseRequest, _ worker: StoreWorker) {
        guard request.operation == .fsync else { return }
        worker.leave()
        state.withLock { state in
            worker.enter()
            state.drop(request.nodeID, worker)
        }
    }

    /// Answers a request, and takes note of what it does.
    ///
    /// - Precondition: the worker is entered.
    /// - Parameter answer: answers it.
    func around(
        _ request: FuseRequest, _ worker: StoreWorker, answer: () -> Reply
    ) -> Reply {
        guard let operation = request.operation, Self.changing.contains(operation) else {
            return answer()
        }
        worker.leave()
        return state.withLock { state in
            worker.enter()
            if operation == .write, isLosing.load(ordering: .relaxed),
                let lost = Self.lostWrite(request)
            {
                return lost
            }
            // What is copied aside is asked for as what the store takes.
            let pages = state.copiedPages(operation, request, worker)
            if pages > 0, !cmem_budget_take(Int64(clamping: pages)) { return .failed(.noSpace) }
            state.prepare(operation, request, worker)
            let places = NamePlace.all(of: operation, request)
            let before = places.map { state.held($0, worker) }
            let isSynced = Self.isWrittenThrough(operation, request)
            let reply = answer()
            if reply.error == 0 {
                state.settle(operation, places, before, worker)
                state.sync(operation, request.nodeID, worker)
                state.countOpen(operation, request)
                if isSynced { state.syncFile(request.nodeID, worker) }
            }
            for node in before { state.unpin(node, worker) }
            return reply
        }
    }

    /// The answer to a page that the kernel writes back and that is lost; nil for other writes.
    private static func lostWrite(_ request: FuseRequest) -> Reply? {
        let write = request.argument(as: cfk_write_in.self)
        guard write.write_flags & UInt32(CFK_WRITE_CACHE) != 0 else { return nil }
        unsafe request.reply.storeBytes(
            of: cfk_write_out(size: write.size, padding: 0), as: cfk_write_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_write_out>.size)
    }

    /// Whether a WRITE comes through O_SYNC or O_DSYNC: with O_DIRECT no FSYNC follows it.
    private static func isWrittenThrough(_ operation: Opcode, _ request: FuseRequest) -> Bool {
        guard operation == .write else { return false }
        let synchronous: UInt32 = 0o10000  // O_DSYNC, which O_SYNC has too
        return request.argument(as: cfk_write_in.self).flags & synchronous != 0
    }

    /// Calls `body` while nobody changes anything, and with the log as it is.
    ///
    /// - Precondition: the caller has not entered a worker.
    package func whileHeld<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        state.withLock { body(&$0) }
    }

    /// Has pages that the kernel writes back be lost until `body` returns.
    ///
    /// - Parameter body: changes the tree, then has the kernel forget.
    package func whileLosing<Result>(_ body: () -> Result) -> Result {
        isLosing.store(true, ordering: .relaxed)
        defer { isLosing.store(false, ordering: .relaxed) }
        return body()
    }
}

// MARK: what is open

extension DurabilityLog.State {
    mutating func countOpen(_ operation: Opcode, _ request: FuseRequest) {
        let accessMode: UInt32 = 3
        let readWrite: UInt32 = 2
        switch operation {
        case .open:
            let flags = request.argument(as: cfk_open_in.self).flags
            if flags & accessMode == readWrite { mappable[request.nodeID, default: 0] += 1 }
        case .create, .tmpfile:
            let flags = request.argument(as: cfk_create_in.self).flags
            let made = unsafe request.reply.load(as: UInt64.self)
            if flags & accessMode == readWrite { mappable[made, default: 0] += 1 }
        case .release:
            let flags = request.argument(as: cfk_release_in.self).flags
            guard flags & accessMode == readWrite, let count = mappable[request.nodeID] else {
                return
            }
            mappable[request.nodeID] = count > 1 ? count - 1 : nil
        default: return
        }
    }
}

// MARK: what requests change

extension DurabilityLog.State {
    /// Copies aside what a request is about to change of an inode.
    mutating func prepare(_ operation: Opcode, _ request: FuseRequest, _ worker: StoreWorker) {
        let node = request.nodeID
        switch operation {
        case .write:
            let write = request.argument(as: cfk_write_in.self)
            save(node, write.offset, UInt64(write.size), worker)
        case .fallocate:
            let allocate = request.argument(as: cfk_fallocate_in.self)
            save(node, allocate.offset, allocate.length, worker, isBounded: true)
        case .copyFileRange, .copyFileRange64:
            let copy = request.argument(as: cfk_copy_file_range_in.self)
            save(copy.nodeid_out, copy.off_out, min(copy.len, 16 << 20), worker)
        case .setattr:
            let set = request.argument(as: cfk_setattr_in.self)
            let kept =
                AttributeChange.mode | AttributeChange.userID | AttributeChange.groupID
                | AttributeChange.size
            if set.valid & kept == 0 { return }
            if set.valid & AttributeChange.size != 0 {
                save(node, set.size, .max - set.size, worker, isBounded: true)
            } else {
                note(node, worker)
            }
        default: break
        }
    }

    /// Pages that `prepare` may copy; more rather than fewer.
    func copiedPages(_ operation: Opcode, _ request: FuseRequest, _ worker: StoreWorker) -> UInt64 {
        let bytes: UInt64
        var node = request.nodeID
        switch operation {
        case .write: bytes = UInt64(request.argument(as: cfk_write_in.self).size)
        case .fallocate: bytes = request.argument(as: cfk_fallocate_in.self).length
        case .copyFileRange, .copyFileRange64:
            let copy = request.argument(as: cfk_copy_file_range_in.self)
            (bytes, node) = (min(copy.len, 16 << 20), copy.nodeid_out)
        case .setattr:
            let set = request.argument(as: cfk_setattr_in.self)
            bytes = set.valid & AttributeChange.size != 0 ? .max : 0
        default: bytes = 0
        }
        if bytes == 0 { return 0 }
        // What the file has, in units of 512 bytes; it cannot be more.
        let blocks = (try? worker.attributes(NodeID(rawValue: node)).blocks) ?? 0
        return min(bytes / 4096 + 2, blocks / 8)
    }

    /// Takes note of a file's state, if it was synced until now.
    private mutating func note(_ node: UInt64, _ worker: StoreWorker) {
        let id = NodeID(rawValue: node)
        guard files[node] == nil, let state = worker.durableState(id) else { return }
        sequence += 1
        files[node] = FileChange(synced: state, sequence: sequence)
        worker.pin(id)
    }

    /// Copies pages aside that have not changed before.
    ///
    /// - Parameter isBounded: nothing behind the end of the file changes.
    private mutating func save(
        _ node: UInt64, _ offset: UInt64, _ count: UInt64, _ worker: StoreWorker,
        isBounded: Bool = false
    ) {
        let id = NodeID(rawValue: node)
        guard let now = worker.durableState(id), now.isRegular else { return }
        note(node, worker)
        var (end, isOver) = offset.addingReportingOverflow(count)
        if isOver { end = .max }
        if isBounded { end = min(end, now.size) }
        guard offset < end else { return }
        let last = (end - 1) >> 12
        var index = offset >> 12
        while index <= last {
            // What is cut may be a hole of any size, and stays one.
            if isBounded {
                guard let next = worker.nextPage(id, from: index), next <= last else { return }
                index = next
            }
            if files[node]?.pages[index] == nil {
                // What was dropped is not what the disk has.
                let onDisk = dropped[node]?.pages[index] ?? worker.page(id, index)
                files[node]?.pages[index] = onDisk
            }
            index += 1
        }
    }

    /// What a name leads to, held so that it outlives the request; 0 is nothing.
    func held(_ place: NamePlace, _ worker: StoreWorker) -> UInt64 {
        let target = worker.target(NodeID(rawValue: place.parent), place.name)
        if let target { worker.pin(target) }
        return target?.rawValue ?? 0
    }

    func unpin(_ node: UInt64, _ worker: StoreWorker) {
        if node != 0 { worker.forget(NodeID(rawValue: node), count: 1) }
    }

    /// Takes note of changes of names that come in no request.
    ///
    /// - Parameters:
    ///   - operation: what makes such a change.
    ///   - body: makes them all, or none and is false.
    package mutating func aroundNames(
        _ operation: Opcode, _ places: [NamePlace], _ worker: StoreWorker, _ body: () -> Bool
    ) {
        let before = places.map { held($0, worker) }
        if body() {
            for (place, old) in zip(places, before) {
                settle(operation, [place], [old], worker)
            }
        }
        for node in before { unpin(node, worker) }
    }

    /// Takes note of what a request has made of names.
    mutating func settle(
        _ operation: Opcode, _ places: [NamePlace], _ before: [UInt64], _ worker: StoreWorker
    ) {
        // A directory that this removes, and its name.
        let victim = removedDirectory(operation, places, before, worker)
        if let victim { dropIdle(in: victim.node, worker) }
        var isChanged = false
        for (place, old) in zip(places, before) {
            let new = worker.target(NodeID(rawValue: place.parent), place.name)?.rawValue ?? 0
            if new == old { continue }
            note(place, old, new, worker)
            isChanged = true
        }
        if let victim {
            for place in names.names(in: victim.node) { names.join(victim.place, place) }
        }
        // A rename between two names of one file does nothing.
        if places.count == 2, isChanged {
            names.join(places[0], places[1])
            // Into the second; in an exchange into both.
            let isExchange =
                worker.target(NodeID(rawValue: places[0].parent), places[0].name)
                .map { $0.rawValue == before[1] } ?? false
            joinAncestors(places[1], worker)
            if isExchange { joinAncestors(places[0], worker) }
        }
        for place in places where names.isIdle(place) { drop(place, worker) }
        for node in before where node != 0 { dropIfGone(node, worker) }
    }

    /// The directory that RMDIR has removed, or RENAME by putting another in its place.
    private func removedDirectory(
        _ operation: Opcode, _ places: [NamePlace], _ before: [UInt64], _ worker: StoreWorker
    ) -> (node: UInt64, place: NamePlace)? {
        switch operation {
        case .rmdir, .rename, .rename2:
            guard let node = before.last, node != 0, let place = places.last,
                let state = worker.durableState(NodeID(rawValue: node)),
                state.isDirectory, state.isRemoved
            else { return nil }
            return (node, place)
        default: return nil
        }
    }

    private mutating func dropIdle(in node: UInt64, _ worker: StoreWorker) {
        for inner in names.names(in: node) where names.isIdle(inner) { drop(inner, worker) }
    }

    private mutating func note(
        _ place: NamePlace, _ old: UInt64, _ new: UInt64, _ worker: StoreWorker
    ) {
        func isDirectory(_ node: UInt64) -> Bool {
            node != 0 && worker.durableState(NodeID(rawValue: node))?.isDirectory == true
        }
        sequence += 1
        let former = names.changes[place]
        names.note(
            place, old: old, new: new, sequence: sequence, isOldDirectory: isDirectory(old),
            isNewDirectory: isDirectory(new))
        if new != 0 { worker.pin(NodeID(rawValue: new)) }
        if let former {
            unpin(former.current, worker)
        } else if old != 0 {
            worker.pin(NodeID(rawValue: old))
        }
    }

    /// What is moved into a directory is lost with it: so the two belong together.
    private mutating func joinAncestors(_ place: NamePlace, _ worker: StoreWorker) {
        var at = place.parent
        while at != NodeID.root.rawValue {
            if let above = names.placeOfDirectory(at) { names.join(place, above) }
            guard let up = worker.parent(of: NodeID(rawValue: at))?.rawValue, up != at else {
                return
            }
            at = up
        }
    }

    // MARK: syncing

    mutating func sync(_ operation: Opcode, _ node: UInt64, _ worker: StoreWorker) {
        switch operation {
        case .fsync: syncFile(node, worker)
        case .fsyncdir:
            syncFile(node, worker)
            for place in names.group(ofDirectory: node) { drop(place, worker) }
        case .release: dropIfGone(node, worker)
        default: return
        }
        // Chances go by how many changes came before since all was synced.
        if files.isEmpty && names.changes.isEmpty { sequence = 0 }
    }

    mutating func syncFile(_ node: UInt64, _ worker: StoreWorker) {
        guard let change = files.removeValue(forKey: node) else { return }
        if dropped[node] != nil {
            for index in change.pages.keys { dropped[node]?.pages[index] = nil }
            if dropped[node]?.pages.isEmpty == true { forgetDropped(node, worker) }
        }
        unpin(node, worker)
    }

    /// Moves what has changed of a file to what was dropped.
    mutating func drop(_ node: UInt64, _ worker: StoreWorker) {
        guard let change = files.removeValue(forKey: node) else { return }
        // The reference to the inode is the entry's from now on.
        guard let before = dropped[node] else {
            dropped[node] = change
            return
        }
        dropped[node]?.pages = before.pages.merging(change.pages) { old, _ in old }
        unpin(node, worker)
    }

    private mutating func forgetDropped(_ node: UInt64, _ worker: StoreWorker) {
        if dropped.removeValue(forKey: node) != nil { unpin(node, worker) }
    }

    /// A name's change is no longer to be undone.
    private mutating func drop(_ place: NamePlace, _ worker: StoreWorker) {
        guard let change = names.remove(place) else { return }
        for node in [change.synced, change.current] where node != 0 {
            dropIfGone(node, worker)
            unpin(node, worker)
        }
    }

    /// Nobody can meet again what has no name and had none.
    private mutating func dropIfGone(_ node: UInt64, _ worker: StoreWorker) {
        guard files[node] != nil || dropped[node] != nil, !names.hadName(node) else { return }
        if worker.durableState(NodeID(rawValue: node))?.links == 0 {
            syncFile(node, worker)
            forgetDropped(node, worker)
        }
    }

    /// Everything is synced.
    package mutating func reset(_ worker: StoreWorker) {
        for place in Array(names.changes.keys) { drop(place, worker) }
        for node in Array(files.keys) { syncFile(node, worker) }
        for node in Array(dropped.keys) { forgetDropped(node, worker) }
        sequence = 0
    }
}
