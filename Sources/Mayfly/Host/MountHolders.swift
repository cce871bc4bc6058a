// Who keeps a mount busy, found in /proc the way fuser(1) does it, and who serves it.

internal import Glibc

/// A process with something open in a mount.
public struct MountHolder: Sendable, Equatable, CustomStringConvertible {
    /// The process's number.
    public var processID: Int32
    /// The command's name, at most 15 bytes.
    public var command: String

    public var description: String { "\(processID) (\(command))" }
}

enum MountHolders {
    /// The processes that keep the mount at `mountpoint` busy, as far as the caller may look: those
    /// with their working directory, root, program, a descriptor or a mapping in it.
    ///
    /// - Parameter mountpoint: absolute and without links.
    static func of(mountpoint: String, device: String?) -> [MountHolder] {
        let inside = mountpoint.hasSuffix("/") ? mountpoint : mountpoint + "/"
        let holders: [MountHolder] = processIDs().compactMap { processID in
            let folder = "/proc/\(processID)"
            var links = ["\(folder)/cwd", "\(folder)/root", "\(folder)/exe"]
            links += HostFile.names(in: "\(folder)/fd").map { "\(folder)/fd/\($0)" }
            let linked = links.contains { link in
                guard let target = HostFile.link(at: link) else { return false }
                return target == mountpoint || target.hasPrefix(inside)
            }
            guard linked || maps(of: folder, name: device) else { return nil }
            return MountHolder(processID: processID, command: command(of: folder))
        }
        // What this process holds it has from its caller, as a rule, who is named.
        let others = holders.filter { $0.processID != getpid() }
        return others.isEmpty ? holders : others
    }

    /// One line naming a few of `holders`; nil when there are none.
    static func described(_ holders: [MountHolder], limit: Int = 5) -> String? {
        guard !holders.isEmpty else { return nil }
        let named = holders.prefix(limit).map(\.description).joined(separator: ", ")
        let more = holders.count - limit
        return more > 0 ? "\(named) and \(more) more" : named
    }

    /// The process that holds the server's end of FUSE connection `number`; nil when it cannot be
    /// seen from here.
    ///
    /// - Source: fs/fuse/dev.c, `fuse_dev_show_fdinfo()`.
    static func server(ofConnection number: Substring) -> Int32? {
        processIDs().first { serves($0, connection: number) }
    }

    static func serves(_ processID: Int32, connection number: Substring) -> Bool {
        let folder = "/proc/\(processID)"
        return HostFile.names(in: "\(folder)/fd").contains { name in
            guard HostFile.link(at: "\(folder)/fd/\(name)") == "/dev/fuse",
                let information = HostFile.text(at: "\(folder)/fdinfo/\(name)")
            else { return false }
            return information.split(separator: "\n").contains { line in
                line.hasPrefix("fuse_connection:")
                    && line.split(whereSeparator: \.isWhitespace).last == number
            }
        }
    }

    private static func processIDs() -> [Int32] {
        HostFile.names(in: "/proc").compactMap { Int32($0) }
    }

    private static func command(of folder: String) -> String {
        let name = HostFile.text(at: "\(folder)/comm")?.prefix { $0 != "\n" }
        return name.map(String.init) ?? "?"
    }

    /// Whether a process maps a file of the device with this name, "0:47" for instance.
    ///
    /// /proc spells the numbers of maps in hexadecimal, of mountinfo in decimal.
    private static func maps(of folder: String, name: String?) -> Bool {
        let numbers = name?.split(separator: ":").compactMap { UInt64($0) } ?? []
        guard numbers.count == 2, let maps = HostFile.text(at: "\(folder)/maps") else {
            return false
        }
        return maps.split(separator: "\n").contains { line in
            let fields = line.split(separator: " ", maxSplits: 4)
            guard fields.count > 3 else { return false }
            return fields[3].split(separator: ":").compactMap { UInt64($0, radix: 16) } == numbers
        }
    }
}
