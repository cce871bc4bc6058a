import CMayflyTestSupport
import Glibc
import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyHost

/// A fresh folder of mode 0700, removed with what is in it.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws { path = try makeTemporaryFolder("control") }

    deinit {
        for name in HostFile.names(in: path) { unsafe unlink("\(path)/\(name)") }
        unsafe rmdir(path)
    }
}

/// A mount in this process, with a control socket in a folder of its own.
final class ControlledMount {
    let mountpoint: String
    let fileSystem: MountedFileSystem
    let folder: ControlFolder
    let server: ControlServer
    private let place: TemporaryFolder

    init(_ change: (inout MountConfiguration) -> Void = { _ in }) throws {
        mountpoint = try makeTemporaryFolder("mounted")
        place = try TemporaryFolder()
        folder = try #require(ControlFolder.open(place.path, owner: geteuid()))
        var configuration = MountConfiguration(mountpoint: mountpoint)
        configuration.sizeBytes = 64 << 20
        configuration.inodes = 1000
        configuration.queueDepth = 2
        change(&configuration)
        fileSystem = try MountedFileSystem(configuration)
        server = try ControlServer(fileSystem, in: folder)
    }

    var connection: UInt32 { fileSystem.connection ?? 0 }
    var client: ControlClient { ControlClient(folder: folder, connection: connection) }

    deinit {
        server.stop()
        try? fileSystem.unmount(.force)
        fileSystem.waitUntilUnmounted()
        unsafe rmdir(mountpoint)
    }
}

/// One uncached request about a file: for an attribute that it has not.
func askUncached(_ path: String) {
    var value: UInt8 = 0
    let name = Array("user.none".utf8) + [0]
    _ = unsafe cps_getxattr(Array(path.utf8) + [0], name, &value, 1, 1)
}

/// A client of a Unix socket that may send anything.
final class RawClient {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let code = unsafe ControlFolder.withAddress(path) { unsafe connect(descriptor, $0, $1) }
        guard code == 0 else { throw MountError(.system, "connect: \(errno)") }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        unsafe Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// All that comes until the other end closes, or nil when it has not within a time.
    func answer(milliseconds: Int32) -> String? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&input, 1, milliseconds) > 0 else { return nil }
            let count = unsafe read(descriptor, &chunk, chunk.count)
            if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk.prefix(count)
        }
    }
}
