// ControlFolder: where the sockets of one user's mounts stand.
//
// Two names for each mount, by the number of its FUSE connection, which is the minor number of its
// device and so nobody else's while the mount lives:
//
//     63.sock   the server's socket (mode 0600)
//     63.json   what the server is, for `mayfly list` (ControlRecord)
//
// The folder has mode 0700 and belongs to its user, which is checked on an open descriptor;
// everything after that goes through this descriptor, so that nobody can put another in its place.
// Names are made and removed under an exclusive lock on the folder.

import Glibc
import SystemPackage

/// An open folder of control sockets.
final class ControlFolder: Sendable {
    let path: String
    private let descriptor: Int32

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    // MARK: where

    /// The folder for new mounts of this user, made if it is not there.
    static func own() throws(MountError) -> ControlFolder {
        let paths = ownPaths()
        for path in paths {
            _ = unsafe mkdir(path, 0o700)
            if let folder = open(path, owner: geteuid()) { return folder }
        }
        throw MountError(
            .system,
            "no folder for the control socket: \(paths.joined(separator: " or ")) must be "
                + "a directory of yours with mode 0700")
    }

    /// The folders that this user may look into: their own, and for root everyone's.
    static func all() -> [ControlFolder] {
        var folders = ownPaths().compactMap { open($0, owner: geteuid()) }
        guard isTrueRoot else { return folders }
        // What a user has mounted there may never answer.
        let table = MountTable.current()
        func users(_ path: String, _ user: uid_t) -> ControlFolder? {
            table.entry(at: path) == nil ? open(path, owner: user) : nil
        }
        for name in HostFile.names(in: "/run/user") {
            guard let user = uid_t(name) else { continue }
            folders += [users("/run/user/\(name)/mayfly", user)].compactMap(\.self)
        }
        for name in HostFile.names(in: "/tmp") where name.hasPrefix("mayfly-") {
            guard let user = uid_t(name.dropFirst("mayfly-".count)), user != 0 else { continue }
            folders += [users("/tmp/\(name)", user)].compactMap(\.self)
        }
        return folders
    }

    /// In the order of preference.
    private static func ownPaths() -> [String] {
        let user = trueUserID
        let fallback = "/tmp/mayfly-\(user)"
        if isTrueRoot { return ["/run/mayfly", fallback] }
        let runtime = unsafe getenv("XDG_RUNTIME_DIR").map { unsafe String(cString: $0) }
        guard let runtime, runtime.hasPrefix("/") else { return [fallback] }
        return ["\(runtime)/mayfly", fallback]
    }

    private static var isTrueRoot: Bool { trueUserID == 0 }

    /// The user outside of a user namespace: who is mapped to 0 there is still themselves.
    ///
    /// - Source: user_namespaces(7), uid_map.
    private static var trueUserID: UInt32 {
        userID(geteuid(), map: HostFile.text(at: "/proc/self/uid_map"))
    }

    static func userID(_ inside: UInt32, map: String?) -> UInt32 {
        for line in (map ?? "").split(separator: "\n") {
            let numbers = line.split(whereSeparator: \.isWhitespace).compactMap { UInt32($0) }
            guard numbers.count == 3, inside >= numbers[0], inside - numbers[0] < numbers[2]
            else { continue }
            return numbers[1] &+ (inside - numbers[0])
        }
        return inside
    }

    /// The folder at `path`, if it is one of `owner`'s alone; nobody's link is followed.
    static func open(_ path: String, owner: uid_t) -> ControlFolder? {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        let folder = ControlFolder(path: path, descriptor: descriptor)
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_uid == owner,
            status.st_mode & 0o077 == 0
        else { return nil }
        return folder
    }

    // MARK: names

    /// The path of a name through the descriptor: short enough for any socket, and not to be
    /// redirected.
    func reach(_ name: String) -> String { "/proc/self/fd/\(descriptor)/\(name)" }

    func socketName(_ connection: UInt32) -> String { "\(connection).sock" }

    /// The path of a connection's socket as others see it.
    func socketPath(_ connection: UInt32) -> String { "\(path)/\(socketName(connection))" }

    /// Calls `body` while nobody else makes or removes names.
    func locked<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure)
        -> Result
    {
        while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
        defer { flock(descriptor, LOCK_UN) }
        return try body()
    }

    /// The connections that a name stands for.
    func connections() -> [UInt32] {
        let numbers = HostFile.names(in: reach(".")).compactMap { name -> UInt32? in
            guard let dot = name.firstIndex(of: "."), [".sock", ".json"].contains(name[dot...])
            else { return nil }
            return UInt32(name[..<dot])
        }
        return Set(numbers).sorted()
    }

    /// Removes the names of servers that are gone. Whoever has the lock for a second hangs or is
    /// stopped: then they stay.
    func removeStale() {
        for _ in 0..<100 {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 {
                defer { flock(descriptor, LOCK_UN) }
                for connection in connections() where !isServed(connection) { remove(connection) }
                return
            }
            usleep(10_000)
        }
    }

    func remove(_ connection: UInt32) {
        unsafe unlinkat(descriptor, socketName(connection), 0)
        unsafe unlinkat(descriptor, "\(connection).json", 0)
    }

    /// The inode number of a connection's socket, which tells it from another of that name.
    func socketInode(_ connection: UInt32) -> UInt64? {
        var status = stat()
        let found = unsafe fstatat(
            descriptor, socketName(connection), &status, AT_SYMLINK_NOFOLLOW)
        return found == 0 ? UInt64(status.st_ino) : nil
    }

    /// Whether somebody listens. The kernel answers for the server, which may be as slow as it is.
    func isServed(_ connection: UInt32) -> Bool {
        let client = Self.socket(nonBlocking: true)
        guard client >= 0 else { return true }  // cannot tell
        defer { close(client) }
        let path = reach(socketName(connection))
        let code = unsafe Self.withAddress(path) { unsafe connect(client, $0, $1) }
        if code == 0 { return true }
        return errno != ECONNREFUSED && errno != ENOENT
    }

    /// Makes a listening socket under a connection's name, in one step, in place of any other.
    ///
    /// - Precondition: the folder is locked.
    func listen(_ connection: UInt32) throws(Errno) -> Int32 {
        let server = Self.socket(nonBlocking: false)
        guard server >= 0 else { throw Errno(rawValue: errno) }
        let fresh = ".\(connection).new"
        unsafe unlinkat(descriptor, fresh, 0)
        // The mode of the descriptor becomes that of the name.
        let isBound = unsafe fchmod(server, 0o600) == 0
            && Self.withAddress(reach(fresh), { unsafe bind(server, $0, $1) }) == 0
            && Glibc.listen(server, 16) == 0
            && renameat(descriptor, fresh, descriptor, socketName(connection)) == 0
        guard isBound else {
            let error = Errno(rawValue: errno)
            unsafe unlinkat(descriptor, fresh, 0)
            close(server)
            throw error
        }
        return server
    }

    /// Puts a whole file in place of any other of this name.
    func write(_ name: String, _ content: [UInt8]) throws(Errno) {
        let fresh = ".\(name).new"
        unsafe unlinkat(descriptor, fresh, 0)
        let file = unsafe openat(
            descriptor, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Errno(rawValue: errno) }
        defer { close(file) }
        let written = unsafe content.withUnsafeBytes {
            unsafe Glibc.write(file, $0.baseAddress, $0.count)
        }
        guard written == content.count,
            unsafe renameat(descriptor, fresh, descriptor, name) == 0
        else {
            let error = Errno(rawValue: errno)
            unsafe unlinkat(descriptor, fresh, 0)
            throw error
        }
    }

    /// The content of a plain file of at most 64 KiB.
    func read(_ name: String) -> [UInt8]? {
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        let file = unsafe openat(descriptor, name, flags)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return nil
        }
        var content = [UInt8](repeating: 0, count: 65536)
        let count = unsafe Glibc.read(file, &content, content.count)
        return count < 0 ? nil : Array(content.prefix(count))
    }

    // MARK: sockets

    private static func socket(nonBlocking: Bool) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        return Glibc.socket(
            AF_UNIX, nonBlocking ? type | Int32(SOCK_NONBLOCK.rawValue) : type, 0)
    }

    /// Calls `body` with the address of a path that is short enough for one.
    static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < capacity else {
            errno = ENAMETOOLONG
            return -1
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                unsafe body(generic, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
