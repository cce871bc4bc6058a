// ServedMounts: the mounts that one server process serves: the one it was started for, and forks of
// it, each with its control socket. The process ends with the last of them.

internal import FuseTransport
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Mounts of this process with their control sockets.
final class ServedMounts: Sendable {
    private struct Item: Sendable {
        let fileSystem: MountedFileSystem
        let control: ControlServer?
    }

    private struct State: Sendable {
        var items: [Item] = []
        /// One for each mount, which waits for its end.
        var threads: [QueueThread] = []
    }

    private let state = Mutex(State())

    var fileSystems: [MountedFileSystem] { state.withLock { $0.items.map(\.fileSystem) } }

    /// Makes a mount known under a control socket, takes in forks of it that are asked for there, and
    /// frees it when it is unmounted: nobody else is to hold it by then.
    ///
    /// A mount without a control socket is as good a mount.
    ///
    /// - Returns: why there is no socket, or why it is not where it should be; nil where it is.
    /// - Throws: when no thread can be had; the mount is taken back then.
    @discardableResult
    func add(_ fileSystem: MountedFileSystem) throws(MountError) -> String? {
        fileSystem.setForkHost { [weak self] fork throws(MountError) in try self?.add(fork) }
        let line = Mutex<String?>(nil)
        do throws(Errno) {
            // Not here: a control socket's thread, which may be the caller, must not wait for
            // another's to start.
            try QueueThread.start(cpu: nil, name: "mayfly-control") { [self] in
                do throws(MountError) {
                    let control = try ControlServer(fileSystem)
                    note(Item(fileSystem: fileSystem, control: control))
                    line.withLock { $0 = control.remark }
                } catch {
                    note(Item(fileSystem: fileSystem, control: nil))
                    line.withLock {
                        $0 = "\(error.message): `mayfly stat` and others will not find the mount"
                    }
                }
            }.join()
            let thread = try QueueThread.start(cpu: nil, name: "mayfly-wait") { [self] in
                fileSystem.waitUntilUnmounted()
                remove(fileSystem)
            }
            state.withLock { $0.threads.append(thread) }
        } catch {
            remove(fileSystem)
            try? fileSystem.unmount(lazy: true, force: true)
            fileSystem.waitUntilUnmounted()
            throw MountError(.system, "no thread can be started (\(error)): raise `ulimit -u`")
        }
        return line.withLock { $0 }
    }

    private func note(_ item: Item) { state.withLock { $0.items.append(item) } }

    private func remove(_ fileSystem: MountedFileSystem) {
        let gone = state.withLock { state in
            let gone = state.items.filter { $0.fileSystem === fileSystem }
            state.items.removeAll { $0.fileSystem === fileSystem }
            return gone
        }
        for item in gone { item.control?.stop() }
    }

    /// Returns once every mount, those that come meanwhile among them, is gone and freed.
    func waitUntilUnmounted() {
        while let thread = state.withLock({ $0.threads.popLast() }) { thread.join() }
    }

    /// Removes all control sockets, for a process that ends at once.
    func stopControls() {
        for item in state.withLock({ $0.items }) { item.control?.stop() }
    }
}
