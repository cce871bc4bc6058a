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
            let open = descriptors(of: folder)
            links += open.names.map { "\(open.folder)/fd/\($0)" }
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
    static func server(ofConnection number: UInt32) -> Int32? {
        processIDs().first { serves($0, connection: number) }
    }

    static func serves(_ processID: Int32, connection number: UInt32) -> Bool {
        connections(servedBy: processID).contains(number)
    }

    /// The servers of all connections, as far as they can be seen from here.
    static func servers() -> [UInt32: Int32] {
        var servers: [UInt32: Int32] = [:]
        for processID in processIDs() {
            for connection in connections(servedBy: processID) where servers[connection] == nil {
                servers[connection] = processID
            }
        }
        return servers
    }

    /// Whether a server that cannot be seen from here is not there: for root of the whole machine.
    ///
    /// - Source: include/linux/proc_ns.h, `PROC_PID_INIT_INO` and `PROC_USER_INIT_INO`.
    static var seesEveryServer: Bool {
        geteuid() == 0 && HostFile.link(at: "/proc/self/ns/pid") == "pid:[4026531836]"
            && HostFile.link(at: "/proc/self/ns/user") == "user:[4026531837]"
    }

    private static func connections(servedBy processID: Int32) -> [UInt32] {
        let (folder, names) = descriptors(of: "/proc/\(processID)")
        return names.compactMap { name in
            guard HostFile.link(at: "\(folder)/fd/\(name)") == "/dev/fuse",
                let information = HostFile.text(at: "\(folder)/fdinfo/\(name)")
            else { return nil }
            let line = information.split(separator: "\n").first { $0.hasPrefix("fuse_connection:") }
            return line?.split(whereSeparator: \.isWhitespace).last.flatMap { UInt32($0) }
        }
    }

    /// The numbers of a process's descriptors, and the folder of its first thread that has any: of
    /// a process that hangs as it ends the first of all may have ended.
    private static func descriptors(of folder: String) -> (folder: String, names: [String]) {
        let names = HostFile.names(in: "\(folder)/fd")
        if !names.isEmpty { return (folder, names) }
        for thread in HostFile.names(in: "\(folder)/task") {
            let names = HostFile.names(in: "\(folder)/task/\(thread)/fd")
            if !names.isEmpty { return ("\(folder)/task/\(thread)", names) }
        }
        return (folder, [])
    }

    /// What /proc says a process does, 'T' for stopped; nil when it is not there.
    ///
    /// - Source: proc_pid_stat(5): the third field, after a name that may hold anything.
    static func state(of processID: Int32) -> Character? {
        HostFile.text(at: "/proc/\(processID)/stat")?.split(separator: ")").last?.first { $0 != " " }
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
