// MountIdentity: which mount it is, whatever has become of the path that it was made on.
//
// A mount can be moved, a folder above it renamed, and another put in its place. So it is looked for
// in the mount table each time, and what stands there is looked at before it is unmounted.

internal import CFuseKernel
internal import Glibc
package import SystemPackage

/// One mount of one FUSE connection.
package struct MountIdentity: Hashable, Sendable {
    /// Number of the connection, which is the minor number of the mount's device.
    package let connection: UInt32
    /// The first field of its line in mountinfo. The kernel gives it to another mount later, which
    /// then has another device as a rule, so it takes both to know a mount.
    package let mountID: UInt64

    package init(connection: UInt32, mountID: UInt64) {
        self.connection = connection
        self.mountID = mountID
    }

    /// Where it is mounted now, absolute; nil when it is in no tree that this process sees.
    package var place: [UInt8]? {
        MountLine.all().last { $0.identity == self }?.mountpoint
    }

    /// Takes the mount out of the tree: umount2(2).
    ///
    /// - Parameter flags: `MNT_FORCE`, `MNT_DETACH`.
    /// - Returns: nil when it is done; `EINVAL` when it is not mounted; `ESTALE` when another mount
    ///   covers it or a folder above it; `EBUSY` also where it is the root directory here.
    package func unmount(flags: Int32) -> Errno? {
        // Who renames a folder above it meanwhile makes one attempt fail, and not all.
        for attempt in 0..<5 {
            guard let place else { return .invalidArgument }
            let code = unsafe (place + [0]).withUnsafeBufferPointer { path in
                unsafe path.withMemoryRebound(to: CChar.self) {
                    unsafe cfk_unmount($0.baseAddress!, connection, mountID, flags)
                }
            }
            if code == 0 { return nil }
            let error = Errno(rawValue: -code)
            let mayHaveMoved = [.staleNFSFileHandle, .noSuchFileOrDirectory, .notDirectory]
                .contains(error)
            if !mayHaveMoved || attempt == 4 { return mayHaveMoved ? .staleNFSFileHandle : error }
            usleep(2000)
        }
        return .staleNFSFileHandle
    }
}

/// A line of a mount table, as far as it says which mount stands where.
package struct MountLine: Sendable {
    package let identity: MountIdentity
    package let mountpoint: [UInt8]

    /// The mounts on anonymous devices, such as FUSE's, that this process sees; the last is on top.
    static func all() -> [MountLine] {
        (Machine.readFile("/proc/self/mountinfo") ?? []).split(separator: UInt8(ascii: "\n"))
            .compactMap(MountLine.init)
    }

    /// - Source: proc_pid_mountinfo(5).
    private init?(_ line: ArraySlice<UInt8>) {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
        guard fields.count > 5, fields[2].starts(with: "0:".utf8),
            let mountID = UInt64(String(decoding: fields[0], as: UTF8.self)),
            let minor = UInt32(String(decoding: fields[2].dropFirst(2), as: UTF8.self))
        else { return nil }
        identity = MountIdentity(connection: minor, mountID: mountID)
        mountpoint = Self.unescaped(fields[4])
    }

    /// A field in which space, tab, newline and backslash stand as \ and three octal digits.
    package static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(field.count)
        var rest = field
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                result.append(code)
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }
}

/// The directory to mount on, held open, so that the mount is made there whatever its path becomes.
struct MountTarget {
    private let descriptor: Int32

    /// - Parameter path: absolute and without symbolic links.
    /// - Throws: errors of open(2); `ENOTDIR` where a link has come to stand in the path.
    init(_ path: [UInt8]) throws(Errno) {
        let opened = unsafe (path + [0]).withUnsafeBufferPointer { path -> Int32 in
            unsafe path.withMemoryRebound(to: CChar.self) { path -> Int32 in
                var name: UnsafePointer<CChar>?
                let folder = unsafe cfk_open_parent(path.baseAddress!, &name)
                guard folder >= 0, let name = unsafe name else { return folder }
                defer { Glibc.close(folder) }
                if unsafe name.pointee == 0 { return unsafe cfk_open_place(folder, ".", true) }
                return unsafe cfk_open_place(folder, name, true)
            }
        }
        if opened < 0 { throw Errno(rawValue: -opened) }
        descriptor = opened
    }

    func close() { _ = Glibc.close(descriptor) }

    /// A path that leads there and nowhere else.
    var link: String { "/proc/self/fd/\(descriptor)" }

    /// The mount that has just been made there.
    ///
    /// - Parameter device: the server's /dev/fuse, which names the connection since Linux 6.15.
    /// - Returns: nil where it is gone already, or cannot be told from others.
    func mount(servedBy device: Int32) -> MountIdentity? {
        let connection = Self.connection(of: device)
        for _ in 0..<10 {
            let lines = MountLine.all().filter {
                connection == nil || $0.identity.connection == connection
            }
            let place = place
            if let line = lines.last(where: { $0.mountpoint == place }) { return line.identity }
            // With shared propagation there may be several of the connection.
            if connection != nil, lines.count == 1 { return lines[0].identity }
        }
        return nil
    }

    /// The directory's path as it is now.
    private var place: [UInt8] {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX) + 64)
        let count = unsafe buffer.withUnsafeMutableBytes {
            unsafe readlink(link, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return Array(buffer.prefix(max(0, count)))
    }

    /// - Source: fs/fuse/dev.c, `fuse_dev_show_fdinfo()`.
    private static func connection(of device: Int32) -> UInt32? {
        let text = Machine.text(at: "/proc/self/fdinfo/\(device)")
        let line = text?.split(separator: "\n").first { $0.hasPrefix("fuse_connection:") }
        return line?.split(whereSeparator: \.isWhitespace).last.flatMap { UInt32($0) }
    }
}
