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
//
// Root looks into the folders of others, who can put anything there. So nothing in them is opened that is
// a link or lies in another mount, and what they say is believed only as `ControlClient` tells.

internal import CMayflySystem
import Glibc
internal import MayflyHost
import SystemPackage

/// An open folder of control sockets.
package final class ControlFolder: Sendable {
    let path: String
    /// Whose it is.
    let owner: uid_t
    /// Why it is not where it should be; nil where it is.
    let remark: String?
    private let descriptor: Int32

    private init(path: String, owner: uid_t, remark: String? = nil, descriptor: Int32) {
        self.path = path
        self.owner = owner
        self.remark = remark
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Whether it is this user's.
    package var isOwn: Bool { owner == geteuid() }

    // MARK: where

    /// The folder for new mounts of this user, made if it is not there.
    ///
    /// Where somebody else has taken its name in /tmp, one with a suffix that nobody can guess.
    package static func own() throws(MountError) -> ControlFolder {
        let paths = ownPaths()
        for path in paths {
            _ = unsafe PathBytes(path).withCString { unsafe mkdir($0, 0o700) }
            if let folder = openOwn(path) { return folder }
        }
        let taken = paths[paths.count - 1]
        let spare = spareFolders(of: trueUserID, owner: geteuid()).first
        guard let folder = spare ?? makeSpare(taken) else {
            throw MountError(
                .system,
                "no folder for the control socket: \(paths.joined(separator: " or ")) must be "
                    + "a directory of yours with mode 0700")
        }
        return folder.saying(
            "\(taken) is not a directory of yours alone, so the control socket is in \(folder.path)"
        )
    }

    private static func makeSpare(_ path: String) -> ControlFolder? {
        var template = PathBytes("\(path).XXXXXX").bytes.map { CChar(bitPattern: $0) } + [0]
        guard unsafe mkdtemp(&template) != nil else { return nil }
        let made = PathBytes(bytes: template.dropLast().map { UInt8(bitPattern: $0) })
        return open(made.text, owner: geteuid())
    }

    private func saying(_ remark: String) -> ControlFolder {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        return ControlFolder(path: path, owner: owner, remark: remark, descriptor: copy)
    }

    /// The folders that this user may look into: their own first, and for root everyone's.
    package static func all() -> [ControlFolder] {
        var folders = ownPaths().compactMap(openOwn)
        folders += spareFolders(of: trueUserID, owner: geteuid())
        guard isTrueRoot else { return folders }
        for name in HostFile.names(in: "/run/user") {
            guard let user = uid_t(name), "\(user)" == name, user != 0 else { continue }
            folders += [open("/run/user/\(name)/mayfly", owner: user)].compactMap(\.self)
        }
        let prefix = "mayfly-"
        var users: Set<uid_t> = []
        for name in HostFile.names(in: temporary) where name.hasPrefix(prefix) {
            let number = name.dropFirst(prefix.count).prefix { $0 != "." }
            guard let user = uid_t(number), "\(user)" == number, user != 0 else { continue }
            users.insert(user)
        }
        for user in users.sorted() {
            folders += [open("\(temporary)/\(prefix)\(user)", owner: user)].compactMap(\.self)
            folders += spareFolders(of: user, owner: user)
        }
        return folders
    }

    /// The folders that a user has in place of one that somebody else had taken; a few of them at most.
    private static func spareFolders(of user: uid_t, owner: uid_t) -> [ControlFolder] {
        let prefix = "mayfly-\(user)."
        let names = HostFile.names(in: temporary).filter { $0.hasPrefix(prefix) }
        var folders: [ControlFolder] = []
        for name in names.sorted().prefix(1000) where folders.count < 4 {
            folders += [open("\(temporary)/\(name)", owner: owner)].compactMap(\.self)
        }
        return folders
    }

    /// /tmp, which may be a link.
    private static let temporary = (HostFile.canonical("/tmp") ?? "/tmp").text

    /// One of this user's, whose path may have links.
    private static func openOwn(_ path: String) -> ControlFolder? {
        HostFile.canonicalParent(PathBytes(path)).flatMap { open($0.text, owner: geteuid()) }
    }

    /// In the order of preference.
    private static func ownPaths() -> [String] {
        let user = trueUserID
        let fallback = "/tmp/mayfly-\(user)"
        if isTrueRoot { return ["/run/mayfly", fallback] }
        let runtime = ProcessArguments.variable("XDG_RUNTIME_DIR")
        guard let runtime, runtime.isAbsolute else { return [fallback] }
        return [(runtime + "/mayfly").text, fallback]
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

    /// The folder at `path`, if it is one of `owner`'s alone; nobody's link is followed, and no mount of
    /// FUSE is asked anything: it may be a user's, and never answer.
    static func open(_ path: String, owner: uid_t) -> ControlFolder? {
        let descriptor: Int32 = unsafe PathBytes(path).withCString { path in
            var name: UnsafePointer<CChar>?
            let parent = unsafe csys_open_parent(path, &name)
            guard parent >= 0, let name = unsafe name else { return -1 }
            defer { close(parent) }
            let place = unsafe csys_open_place(parent, name, true)
            guard place >= 0 else { return -1 }
            defer { close(place) }
            var mount = csys_mount()
            guard unsafe csys_look(place, "", false, &mount) == 0, !isOfFUSE(mount) else {
                return -1
            }
            return unsafe Glibc.openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        guard descriptor >= 0 else { return nil }
        let folder = ControlFolder(path: path, owner: owner, descriptor: descriptor)
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_uid == owner,
            status.st_mode & 0o077 == 0
        else { return nil }
        return folder
    }

    private static func isOfFUSE(_ mount: csys_mount) -> Bool {
        let entry = MountTable.current().entries.last { $0.mountID == mount.id }
        return entry?.type.hasPrefix("fuse") != false
    }

    // MARK: names

    /// The path of a name through the descriptor: short enough for any socket, and not to be
    /// redirected.
    func reach(_ name: String) -> String { "/proc/self/fd/\(descriptor)/\(name)" }

    /// What a socket is for.
    enum Purpose: String {
        case control = "sock"
        case trees = "tree"
    }

    func socketName(_ connection: UInt32, _ purpose: Purpose = .control) -> String {
        "\(connection).\(purpose.rawValue)"
    }

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
    ///
    /// - Parameter limit: how many names are looked at.
    func connections(limit: Int = .max) -> [UInt32] {
        let names = HostFile.namesIfReadable(in: reach("."), limit: limit) ?? []
        let numbers = names.compactMap { name -> UInt32? in
            guard let dot = name.firstIndex(of: "."), [".sock", ".json"].contains(name[dot...])
            else { return nil }
            return UInt32(name[..<dot])
        }
        return Set(numbers).sorted()
    }

    /// Removes the names of servers that are gone. Whoever has the lock for a second hangs or is
    /// stopped: then they stay.
    package func removeStale() {
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
        unsafe unlinkat(descriptor, socketName(connection, .trees), 0)
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
    package func isServed(_ connection: UInt32) -> Bool {
        do throws(Errno) {
            _ = try connect(connection)
            return true
        } catch {
            return error != .connectionRefused && error != .noSuchFileOrDirectory
        }
    }

    /// Connects to a connection's socket, without waiting.
    ///
    /// - Throws: errors of connect(2): `ECONNREFUSED` and `ENOENT` where nobody listens, `EAGAIN` where too
    ///   many wait already; `ENOTSOCK` for what is no socket of this folder.
    func connect(
        _ connection: UInt32, _ purpose: Purpose = .control
    ) throws(Errno) -> ControlPeer {
        let place = unsafe csys_open_place(descriptor, socketName(connection, purpose), false)
        guard place >= 0 else { throw Errno(rawValue: -place) }
        defer { close(place) }
        var here = csys_mount()
        var there = csys_mount()
        guard unsafe csys_look(descriptor, "", false, &here) == 0,
            unsafe csys_look(place, "", false, &there) == 0, here.id == there.id,
            UInt32(there.mode) & UInt32(S_IFMT) == UInt32(S_IFSOCK)
        else { throw .notSocket }
        let client = Self.socket(nonBlocking: true)
        guard client >= 0 else { throw Errno(rawValue: errno) }
        let code = unsafe Self.withAddress("/proc/self/fd/\(place)") {
            unsafe Glibc.connect(client, $0, $1)
        }
        guard code == 0 else {
            let error = Errno(rawValue: errno)
            close(client)
            throw error
        }
        return ControlPeer(client)
    }

    /// Makes a listening socket under a connection's name, in one step, in place of any other.
    ///
    /// - Precondition: the folder is locked.
    func listen(
        _ connection: UInt32, _ purpose: Purpose = .control
    ) throws(Errno) -> Int32 {
        let server = Self.socket(nonBlocking: false)
        guard server >= 0 else { throw Errno(rawValue: errno) }
        let fresh = ".\(connection).new"
        unsafe unlinkat(descriptor, fresh, 0)
        // The mode of the descriptor becomes that of the name.
        let isBound =
            unsafe fchmod(server, 0o600) == 0
            && Self.withAddress(reach(fresh), { unsafe bind(server, $0, $1) }) == 0
            && Glibc.listen(server, 16) == 0
            && renameat(descriptor, fresh, descriptor, socketName(connection, purpose)) == 0
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
        let place = unsafe csys_open_place(descriptor, name, false)
        guard place >= 0 else { return nil }
        defer { close(place) }
        var here = csys_mount()
        var there = csys_mount()
        guard unsafe csys_look(descriptor, "", false, &here) == 0,
            unsafe csys_look(place, "", false, &there) == 0, here.id == there.id,
            UInt32(there.mode) & UInt32(S_IFMT) == UInt32(S_IFREG)
        else { return nil }
        let file = unsafe Glibc.open("/proc/self/fd/\(place)", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
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
        let bytes = PathBytes(path).bytes
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
