// Who keeps a mount busy, found in /proc the way fuser(1) does it, and who serves it.

package import CMayflySystem
internal import Glibc

/// A process with something open in a mount.
package struct MountHolder: Sendable, Equatable, CustomStringConvertible {
    /// The process's number.
    package var processID: Int32
    /// The command's name, at most 15 bytes.
    package var command: String

    package var description: String { "\(processID) (\(command))" }
}

extension MountHolder {
    /// A process, with the name that /proc has for it.
    package init(processID: Int32) {
        self.processID = processID
        let name = HostFile.text(at: "/proc/\(processID)/comm")?.prefix { $0 != "\n" }
        command = name.map(String.init) ?? "?"
    }
}

package enum MountHolders {
    /// The processes that keep a mount busy, as far as the caller may look: those with their working
    /// directory, root, program, a descriptor or a mapping in it.
    ///
    /// - Parameter device: the mount's, as /proc spells it: a mapping tells no mount.
    package static func of(mountID: UInt64, device: String?) -> [MountHolder] {
        let slow = slowMountpoints
        let holders = ProcessScan.of(processIDs()) { processID in
            let holds =
                uses(of: processID, skipping: slow).contains { $0.id == mountID }
                || maps(of: "/proc/\(processID)", name: device)
            return holds ? MountHolder(processID: processID) : nil
        }.found.map(\.value)
        // What this process holds it has from its caller, as a rule, who is named.
        let others = holders.filter { $0.processID != getpid() }
        return others.isEmpty ? holders : others
    }

    /// The mounts that a process has something open in, for each thing that is open. No mount is asked.
    ///
    /// - Parameter skipping: mountpoints below which nothing is looked at.
    package static func uses(
        of processID: Int32, skipping slow: [PathBytes] = []
    ) -> [csys_mount] {
        let folder = "/proc/\(processID)"
        let open = descriptors(of: folder)
        let links =
            ["\(folder)/cwd", "\(folder)/root", "\(folder)/exe"]
            + open.names.map { "\(open.folder)/fd/\($0)" }
        return links.compactMap { link in
            if !slow.isEmpty, let target = HostFile.linkBytes(at: PathBytes(link)),
                slow.contains(where: { $0.contains(target) })
            {
                return nil
            }
            var mount = csys_mount()
            return unsafe csys_look(AT_FDCWD, link, true, &mount) == 0 ? mount : nil
        }
    }

    /// Where file systems of the network are mounted. The kernel asks their servers whenever a link of
    /// /proc leads there: fs/nfs/dir.c, `nfs_weak_revalidate()`.
    package static var slowMountpoints: [PathBytes] {
        let types = ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "afs"]
        return MountTable.current().entries.filter { types.contains($0.type) }.map(\.mountpoint)
    }

    /// One line naming a few of `holders`; nil when there are none.
    package static func described(_ holders: [MountHolder], limit: Int = 5) -> String? {
        guard !holders.isEmpty else { return nil }
        let named = holders.prefix(limit).map(\.description).joined(separator: ", ")
        let more = holders.count - limit
        return more > 0 ? "\(named) and \(more) more" : named
    }

    /// The process that holds the server's end of FUSE connection `number`; nil when it cannot be
    /// seen from here.
    ///
    /// - Source: fs/fuse/dev.c, `fuse_dev_show_fdinfo()`.
    package static func server(ofConnection number: UInt32) -> Int32? {
        ProcessScan.of(processIDs(), most: 1) { serves($0, connection: number) ? true : nil }
            .found.first?.processID
    }

    package static func serves(_ processID: Int32, connection number: UInt32) -> Bool {
        connections(servedBy: processID)?.contains(number) == true
    }

    /// The servers of connections, as far as they can be seen from here within a time.
    ///
    /// - Returns: the processes, and whether all processes were looked at that had to be.
    package static func servers(
        of wanted: Set<UInt32>, seconds: UInt64
    ) -> (servers: [UInt32: Int32], isComplete: Bool) {
        let outcome = ProcessScan.of(processIDs(), seconds: seconds, most: wanted.count) {
            let served = connections(servedBy: $0)?.filter(wanted.contains) ?? []
            return served.isEmpty ? nil : served
        }
        var servers: [UInt32: Int32] = [:]
        for (processID, served) in outcome.found {
            for connection in served where servers[connection] == nil {
                servers[connection] = processID
            }
        }
        return (servers, outcome.isComplete)
    }

    /// Whether a server that cannot be seen from here is not there: for root of the whole machine.
    ///
    /// - Source: include/linux/proc_ns.h, `PROC_PID_INIT_INO` and `PROC_USER_INIT_INO`.
    package static var seesEveryServer: Bool {
        geteuid() == 0 && HostFile.link(at: "/proc/self/ns/pid") == "pid:[4026531836]"
            && HostFile.link(at: "/proc/self/ns/user") == "user:[4026531837]"
    }

    /// The connections that a process serves; nil where it may not be looked at, or where the kernel
    /// does not tell which connection a descriptor of /dev/fuse belongs to.
    ///
    /// - Source: fs/fuse/dev.c, `fuse_dev_show_fdinfo()`.
    package static func connections(servedBy processID: Int32) -> [UInt32]? {
        let (folder, names) = descriptors(of: "/proc/\(processID)")
        if names.isEmpty, unsafe access("\(folder)/fd", R_OK) != 0 { return nil }
        var numbers: [UInt32] = []
        for name in names where HostFile.link(at: "\(folder)/fd/\(name)") == "/dev/fuse" {
            guard let information = HostFile.text(at: "\(folder)/fdinfo/\(name)") else { continue }
            guard let words = HostFile.field("fuse_connection", in: information) else { return nil }
            if let number = words.last.flatMap({ UInt32($0) }) { numbers.append(number) }
        }
        return numbers
    }

    /// The user that a process runs as, as seen from here; nil when it is not there.
    ///
    /// - Source: proc_pid_status(5). The owner of /proc/PID says less: it is root for a process that
    ///   cannot be dumped.
    package static func userID(of processID: Int32) -> UInt32? {
        let status = HostFile.text(at: "/proc/\(processID)/status") ?? ""
        return HostFile.field("Uid", in: status)?.dropFirst().first.flatMap { UInt32($0) }
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
    package static func state(of processID: Int32) -> Character? {
        HostFile.text(at: "/proc/\(processID)/stat")?.split(separator: ")").last?.first {
            $0 != " "
        }
    }

    package static func processIDs() -> [Int32] {
        HostFile.names(in: "/proc").compactMap { Int32($0) }
    }

    /// Whether a process maps a file of the device with this name, "0:47" for instance.
    ///
    /// /proc spells the numbers of maps in hexadecimal, of mountinfo in decimal.
    package static func maps(of folder: String, name: String?) -> Bool {
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
