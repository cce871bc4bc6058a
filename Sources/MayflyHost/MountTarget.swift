// MountTarget: where a mount is to be made.

internal import CMayflySystem
internal import Glibc
package import SystemPackage

/// The directory to mount on, held open, so that the mount is made there whatever its path becomes.
package struct MountTarget {
    private let descriptor: Int32

    /// - Parameter path: absolute and without symbolic links.
    /// - Throws: errors of open(2); `ENOTDIR` where a link has come to stand in the path.
    package init(_ path: [UInt8]) throws(Errno) {
        let opened = unsafe (path + [0]).withUnsafeBufferPointer { path -> Int32 in
            unsafe path.withMemoryRebound(to: CChar.self) { path -> Int32 in
                var name: UnsafePointer<CChar>?
                let folder = unsafe csys_open_parent(path.baseAddress!, &name)
                guard folder >= 0, let name = unsafe name else { return folder }
                defer { Glibc.close(folder) }
                if unsafe name.pointee == 0 { return unsafe csys_open_place(folder, ".", true) }
                return unsafe csys_open_place(folder, name, true)
            }
        }
        if opened < 0 { throw Errno(rawValue: -opened) }
        descriptor = opened
    }

    package func close() { _ = Glibc.close(descriptor) }

    /// A path that leads there and nowhere else.
    package var link: String { "/proc/self/fd/\(descriptor)" }

    /// The mount that has just been made there.
    ///
    /// - Parameter device: the server's /dev/fuse, which names the connection since Linux 6.15.
    /// - Returns: nil where it is gone already, or cannot be told from others.
    package func mount(servedBy device: Int32) -> MountIdentity? {
        let connection = Self.connection(of: device)
        for _ in 0..<10 {
            let entries = MountTable.current().entries.filter {
                $0.identity != nil && (connection == nil || $0.connection == connection)
            }
            let place = place
            if let entry = entries.last(where: { $0.mountpoint == place }) { return entry.identity }
            // With shared propagation there may be several of the connection.
            if connection != nil, entries.count == 1 { return entries[0].identity }
        }
        return nil
    }

    /// The directory's path as it is now.
    private var place: PathBytes? { HostFile.linkBytes(at: PathBytes(link)) }

    /// - Source: fs/fuse/dev.c, `fuse_dev_show_fdinfo()`.
    private static func connection(of device: Int32) -> UInt32? {
        let text = HostFile.text(at: "/proc/self/fdinfo/\(device)") ?? ""
        return HostFile.field("fuse_connection", in: text)?.last.flatMap { UInt32($0) }
    }
}
