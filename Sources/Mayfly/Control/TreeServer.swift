// TreeServer: takes trees that commands send (TreeLine.swift), each on a thread of its own.
//
// It is beside the control socket because memory is handed over with the request, which HTTP cannot carry.

internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyHost
internal import MayflyImages
internal import Synchronization
internal import SystemPackage

/// A mount's socket for trees, there until `stop`.
final class TreeServer: Sendable {
    /// Trees at one time; who comes then is turned away.
    private static let clientLimit = 8

    private let socket: Int32
    private let fileSystem: MountedFileSystem
    private let admits: @Sendable (UInt32) -> Bool
    private let clients = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)

    /// - Parameters:
    ///   - socket: listening, and taken over.
    ///   - admits: whether a user may send a tree.
    /// - Throws: `EAGAIN` when no thread can be started.
    init(
        socket: Int32, _ fileSystem: MountedFileSystem,
        admits: @escaping @Sendable (UInt32) -> Bool
    ) throws(Errno) {
        self.socket = socket
        self.fileSystem = fileSystem
        self.admits = admits
        do throws(Errno) {
            try HostThread.start(name: "mayfly-trees") { [self] in
                csys_quiet_thread()
                serve()
            }.detach()
        } catch {
            close(socket)
            throw error
        }
    }

    /// Stops listening. Trees that are being sent end with the mount.
    func stop() {
        if isStopped.exchange(true, ordering: .relaxed) { return }
        shutdown(socket, Int32(SHUT_RDWR))
    }

    private func serve() {
        defer { close(socket) }
        while !isStopped.load(ordering: .relaxed) {
            let client = csys_accept(socket)
            if client < 0 {
                // No descriptor or no memory is left for it now.
                if [EMFILE, ENFILE, ENOMEM, ENOBUFS].contains(errno) { usleep(100_000) }
                if errno == EINVAL || errno == EBADF { return }
                continue
            }
            take(client)
        }
    }

    private func take(_ client: Int32) {
        let work = fileSystem.treeWork
        guard clients.add(1, ordering: .relaxed).newValue <= Self.clientLimit else {
            let line = TreeLine(socket: client)
            try? line.send(.failure, Array("too many trees are being sent: try again".utf8))
            clients.subtract(1, ordering: .relaxed)
            return
        }
        let started = try? HostThread.start(name: "mayfly-tree") { [self] in
            csys_quiet_thread()
            defer { clients.subtract(1, ordering: .relaxed) }
            let line = TreeLine(socket: client) { work.isOver }
            guard admits(line.user) else { return }
            answer(line)
        }
        guard let started else {
            close(client)
            clients.subtract(1, ordering: .relaxed)
            return
        }
        started.detach()
    }

    private func answer(_ line: TreeLine) {
        do throws(MountError) {
            let received = try? line.receive()
            let text = received?.message == .request ? received?.text : nil
            if let text, unsafe line.slot(0) != nil,
                let wish = ControlJSON.decoded(TreeWish.self, text),
                wish.format == TreeWish.currentFormat
            {
                return try send(wish, line)
            }
            let summary = try put(text, line)
            try? line.send(.result, ControlJSON.encoded(summary))
        } catch {
            try? line.send(.failure, Array(error.message.utf8))
        }
    }

    private func send(_ wish: TreeWish, _ line: TreeLine) throws(MountError) {
        var options = TreeOptions()
        options.excludes = wish.exclude.map { PathBytes($0) }
        let caller: TreeCaller =
            line.user == 0 ? TreeCaller(userID: 0, groupIDs: []) : .own
        try fileSystem.send(
            PathBytes(wish.path), named: PathBytes(wish.name), caller, options, on: line)
    }

    private func put(_ text: [UInt8]?, _ line: TreeLine) throws(MountError) -> TreeSummary {
        guard let text, unsafe line.slot(0) != nil,
            let request = ControlJSON.decoded(TreeRequest.self, text),
            request.format == TreeRequest.currentFormat
        else {
            throw MountError(
                .mount, "the mount's server is of another version of mayfly: mount it anew")
        }
        return try fileSystem.put(
            TreeStream(line), at: request.place, request.rights.allowed,
            keepsOld: request.keepsOld)
    }
}
