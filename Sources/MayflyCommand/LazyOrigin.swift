// LazyOrigin: `mount --from oci://... --lazy`: another process brings the image, and goes on with that while it is
// mounted. It ends with the server, and when all is here.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import MayflyRegistry

enum LazyOrigin {
    /// What a mount begins with.
    enum Beginning {
        /// All of the image is in the store.
        case path(String)
        /// Some of it is to come.
        case arriving(ArrivingImage)
    }

    /// - Precondition: this process is to be the server, and has one thread.
    /// - Parameters:
    ///   - from: an address.
    ///   - patienceSeconds: after which a read that waits for what does not come fails.
    ///   - say: told that another process receives the image.
    /// - Throws: as `LazyPull.begin`; `.usage` where there is nothing at the address.
    static func begin(
        _ from: String, patienceSeconds: UInt64, say: (String) -> Void
    ) throws(MountError) -> Beginning {
        let reference = absolute(try ImageReference(from))
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw cannotStart(errno) }
        let socket = ends[0]
        // What the other process must not have, or the end of this one would not be seen.
        let process = csys_fork_apart(ends[1], bringerDescriptor)
        if process == 0 {
            bring(reference, patienceSeconds, server: bringerDescriptor)
            _exit(0)
        }
        let failure = errno
        close(ends[1])
        do throws(MountError) {
            guard process > 0 else { throw cannotStart(failure) }
            return try beginning(from, socket, reference, say)
        } catch {
            close(socket)
            throw error
        }
    }

    private static let bringerDescriptor: Int32 = 3

    private static func beginning(
        _ from: String, _ socket: Int32, _ reference: ImageReference, _ say: (String) -> Void
    ) throws(MountError) -> Beginning {
        while true {
            var table: Int32 = -1
            guard let message = received(socket, &table) else {
                throw MountError(
                    .mount, "\(from) was not brought: the process that brings it died")
            }
            if let error = message.error {
                throw MountError(
                    message.isUsage ? .usage : message.isSystem ? .system : .mount, error)
            }
            if message.waits {
                say("\(from) is received by another process: waiting for it")
                continue
            }
            if let path = message.path {
                close(socket)
                return .path(path)
            }
            guard message.files > 0 else { throw RemoteOrigin.missing(reference) }
            var files: [Int32] = []
            for _ in 0..<message.files {
                var byte: UInt8 = 0
                var file: Int32 = -1
                guard unsafe csys_receive(socket, &byte, 1, -1, &file) == 0, file >= 0 else {
                    throw MountError(
                        .mount, "\(from) was not brought: the process that brings it died")
                }
                files.append(file)
            }
            return .arriving(try ArrivingImage(table: table, files: files, socket: socket))
        }
    }

    /// The other process goes to another directory.
    private static func absolute(_ reference: ImageReference) -> ImageReference {
        switch reference {
        case .registry: reference
        case .layout(let path, let tag): .layout(HostFile.canonical(path) ?? path, tag: tag)
        case .archive(let path, let tag): .archive(HostFile.canonical(path) ?? path, tag: tag)
        }
    }

    // MARK: the process that brings it

    private struct Message: Codable {
        var error: String?
        var isUsage = false
        var isSystem = false
        /// Whether another process receives the image, and this one waits.
        var waits = false
        /// In the store, where all of the image is there.
        var path: String?
        /// Descriptors that follow.
        var files = 0
    }

    private static func bring(
        _ reference: ImageReference, _ patienceSeconds: UInt64, server: Int32
    ) {
        unsafe csys_name_process("mayfly-fetch")
        csys_ignore_file_size_signal()
        _ = unsafe chdir("/")
        var options = TransferOptions()
        options.patienceSeconds = Int(min(UInt64(options.patienceSeconds), max(1, patienceSeconds)))
        do throws(MountError) {
            let (pull, beginning) = try LazyPull.begin(
                reference, as: reference.ownName, options, patienceSeconds: patienceSeconds,
                waiting: { send(Message(waits: true), to: server) })
            switch beginning {
            case .nothing: send(Message(), to: server)
            case .path(let path): send(Message(path: path.text), to: server)
            case .coming(let table, let files):
                send(Message(files: files.count), table, to: server)
                for file in files {
                    let byte: UInt8 = 0
                    _ = unsafe withUnsafePointer(to: byte) {
                        unsafe csys_send(server, $0, 1, file)
                    }
                }
                pull?.run(server: server)
            }
        } catch {
            send(
                Message(
                    error: error.message, isUsage: error.kind == .usage,
                    isSystem: error.kind == .system), to: server)
        }
    }

    private static func send(_ message: Message, _ descriptor: Int32 = -1, to socket: Int32) {
        let bytes = ControlJSON.encoded(message)
        var count = UInt64(bytes.count)
        _ = unsafe csys_send(socket, &count, 8, descriptor)
        _ = unsafe csys_send(socket, bytes, bytes.count, -1)
    }

    private static func received(_ socket: Int32, _ descriptor: inout Int32) -> Message? {
        var count: UInt64 = 0
        guard unsafe csys_receive(socket, &count, 8, -1, &descriptor) == 0, count <= 1 << 20 else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        var none: Int32 = -1
        guard unsafe csys_receive(socket, &bytes, bytes.count, -1, &none) == 0 else { return nil }
        return ControlJSON.decoded(Message.self, bytes)
    }

    private static func cannotStart(_ error: Int32) -> MountError {
        let reason = unsafe String(cString: strerror(error))
        return MountError(.system, "no process can be started (\(reason)): raise `ulimit -u`")
    }
}
