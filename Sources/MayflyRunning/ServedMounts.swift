// ServedMounts: the mounts that one server process serves: the one it was started for, and forks of
// it, each with its control socket. The process ends with the last of them.

internal import CMayflyMemory
internal import FuseTransport
internal import Glibc
import Mayfly
internal import MayflyHost
internal import Synchronization
internal import SystemPackage

/// Mounts of this process with their control sockets.
final class ServedMounts: Sendable {
    private struct Item: Sendable {
        let fileSystem: MountedFileSystem
        let control: ControlServer?
    }

    private let log: ServerLog?
    private let items = Mutex<[Item]>([])
    private let live = LiveCount()

    /// - Parameter log: told what happens to the mounts; nil where nobody is.
    init(_ log: ServerLog? = nil) { self.log = log }

    var fileSystems: [MountedFileSystem] { items.withLock { $0.map(\.fileSystem) } }

    /// Makes a mount known under a control socket, takes in forks of it that are asked for there, and
    /// frees it when it is unmounted: nobody else is to hold it by then.
    ///
    /// A mount without a control socket is as good a mount.
    ///
    /// - Returns: why there is no socket, or why it is not where it should be; nil where it is.
    /// - Throws: when no thread can be had; the mount is taken back then.
    @discardableResult
    func add(_ fileSystem: MountedFileSystem) throws(MountError) -> String? {
        if let log { fileSystem.setEventSink { log.say($0) } }
        fileSystem.setForkHost { [weak self] fork throws(MountError) in try self?.add(fork) }
        let line = Mutex<String?>(nil)
        do throws(Errno) {
            // Not here: a control socket's thread, which may be the caller, must not wait for
            // another's to start.
            try HostThread.start(name: "mayfly-control") { [self] in
                do throws(MountError) {
                    let control = try ControlServer(fileSystem)
                    note(Item(fileSystem: fileSystem, control: control))
                    line.withLock { $0 = control.remark }
                } catch {
                    note(Item(fileSystem: fileSystem, control: nil))
                    line.withLock {
                        $0 = "\(error.line): `mayfly stat` and others will not find the mount"
                    }
                }
            }.join()
            try watch(fileSystem)
        } catch {
            remove(fileSystem)
            try? fileSystem.unmount(.force)
            fileSystem.waitUntilUnmounted()
            throw MountError(.system, "no thread can be started (\(error)): raise `ulimit -u`")
        }
        return line.withLock { $0 }
    }

    /// Frees a mount when it ends, on a thread that nobody joins: a server that makes many forks would
    /// keep the stacks of all.
    private func watch(_ fileSystem: MountedFileSystem) throws(Errno) {
        live.add()
        do throws(Errno) {
            try HostThread.start(name: "mayfly-wait") { [self] in
                fileSystem.waitUntilUnmounted()
                remove(fileSystem)
                live.subtract()
            }.detach()
        } catch {
            live.subtract()
            throw error
        }
    }

    private func note(_ item: Item) { items.withLock { $0.append(item) } }

    private func remove(_ fileSystem: MountedFileSystem) {
        let gone = items.withLock { items in
            let gone = items.filter { $0.fileSystem === fileSystem }
            items.removeAll { $0.fileSystem === fileSystem }
            return gone
        }
        for item in gone { item.control?.stop() }
    }

    /// Where a mount is asked; nil where it has no socket.
    func socketPath(of fileSystem: MountedFileSystem) -> String? {
        items.withLock { $0.first { $0.fileSystem === fileSystem }?.control?.path }
    }

    /// Returns once every mount, those that come meanwhile among them, is gone and freed.
    func waitUntilUnmounted() { live.waitForNone() }

    /// Removes all control sockets, for a process that ends at once.
    func stopControls() {
        for item in items.withLock({ $0 }) { item.control?.stop() }
    }
}

/// How many mounts have not ended, for one thread to wait for the last.
@safe private final class LiveCount: @unchecked Sendable {
    // Sendable: points to one atomic word, which lives as long as this object.
    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(0))
    }

    deinit { unsafe word.deallocate() }

    func add() { unsafe _ = word.pointee.wrappingAdd(1, ordering: .relaxed) }

    /// Releases what the mount's end has done to whoever waits.
    func subtract() {
        let left = unsafe word.pointee.wrappingSubtract(1, ordering: .releasing).newValue
        if left == 0 { unsafe cmem_futex_wake(word) }
    }

    func waitForNone() {
        while true {
            let left = unsafe word.pointee.load(ordering: .acquiring)
            if left == 0 { return }
            unsafe cmem_futex_wait(word, left, -1)
        }
    }
}
