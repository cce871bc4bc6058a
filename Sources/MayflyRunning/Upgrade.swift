// Upgrade: the program that serves a mount is replaced while the mount is in use (Docs/Survival.md). Only for
// mounts that survive their server: their guardian executes the program that asks it.

internal import CMayflyMemory
internal import CMayflySystem
import Glibc
package import Mayfly
package import MayflyHost
import SystemPackage

package enum Upgrade {
    /// What became of a mount.
    package struct Outcome: Sendable {
        package let mountpoint: String
        /// Versions of the program, before and after.
        package let before: String
        package let after: String
        /// The server, before and after.
        package let oldServer: Int32
        package let newServer: Int32
        /// From asking the guardian until the new server answered.
        package let nanoseconds: UInt64
    }

    /// How long the guardian may take to look at this program and to end the old server, and the new one to
    /// answer.
    private static let endSeconds: UInt64 = 40
    private static let seconds: UInt64 = 60

    /// Mounts that this user may upgrade, by mountpoint, and those that do not survive their server.
    package static func mounts() -> (surviving: [String], others: [String]) {
        var found: (surviving: [String], others: [String]) = ([], [])
        for mount in MountList.current() where mount.state == .serving && mount.isVisible {
            if mount.report?.survival != nil {
                found.surviving.append(mount.mountpoint)
            } else {
                found.others.append(mount.mountpoint)
            }
        }
        return found
    }

    /// Has the program of this process serve a mount from now on.
    ///
    /// - Parameters:
    ///   - path: in the mount.
    ///   - accepts: whether this program knows the options that the mount was made with, behind the word
    ///     `mount`.
    /// - Throws: `.usage` where it cannot be done, and nothing was; `.mount` where the new server does not
    ///   answer.
    /// - Concurrency: waits for the new server.
    package static func replace(
        _ path: PathBytes, accepts: ([PathBytes]) -> Bool
    ) throws(MountError) -> Outcome {
        let control = try MountControl(path)
        let report = try control.report()
        let place = ShellQuote.quoted(control.mountpoint)
        guard let survival = report.survival else {
            throw MountError(
                .usage,
                "the content of \(place) ends with its server: write it to an image with `mayfly save`, "
                    + "unmount, and mount it with --survive to upgrade it the next time")
        }
        guard let guardian = survival.guardian else {
            throw MountError(
                .usage,
                "the guardian of \(place) was killed, and nobody could start a new server: copy the "
                    + "content to another mount")
        }
        guard catches(SIGUSR1, guardian) else {
            throw MountError(
                .usage,
                "the guardian of \(place), process \(guardian), is of a version that cannot be replaced: "
                    + "copy the content to a new mount")
        }
        guard KeptContent.canBeServed(heldBy: guardian) else {
            throw MountError(
                .usage,
                "mayfly \(report.version) keeps \(place) in a form that mayfly \(MayflyVersion.text) does not "
                    + "read: copy the content to a new mount")
        }
        guard let words = options(of: report.processID), accepts(words) else {
            throw MountError(
                .usage,
                "\(place) was mounted with options that mayfly \(MayflyVersion.text) does not know: see "
                    + "`ps -o args \(report.processID)`, and mount it anew")
        }
        return try replace(control.mountpoint, report, guardian)
    }

    private static func replace(
        _ mountpoint: String, _ report: MountReport, _ guardian: Int32
    ) throws(MountError) -> Outcome {
        let start = cmem_monotonic_nanoseconds()
        let asking = csys_ask_guardian(guardian, Privileges.administrate)
        guard asking > 0 else {
            throw MountError(.system, "no process can be started: raise `ulimit -u`")
        }
        defer {
            kill(asking, SIGKILL)
            while waitpid(asking, nil, 0) < 0, errno == EINTR {}
        }
        while cmem_monotonic_nanoseconds() - start < seconds * 1_000_000_000 {
            var status: Int32 = 0
            if unsafe waitpid(asking, &status, WNOHANG) == asking {
                throw MountError(
                    .usage,
                    "the guardian of \(mountpoint), process \(guardian), cannot be told "
                        + "(\(Errno(rawValue: status >> 8 & 255))): ask as its owner or as root")
            }
            let entry = MountTable.current().entry(at: mountpoint)
            if let now = entry?.connection, now != report.connection,
                let fresh = try? MountControl(mountpoint).report(), fresh.connection == now
            {
                try checkProgram(mountpoint, guardian)
                return Outcome(
                    mountpoint: mountpoint, before: report.version, after: fresh.version,
                    oldServer: report.processID, newServer: fresh.processID,
                    nanoseconds: cmem_monotonic_nanoseconds() - start)
            }
            if cmem_monotonic_nanoseconds() - start > endSeconds * 1_000_000_000,
                MountHolders.serves(report.processID, connection: report.connection)
            {
                throw MountError(
                    .usage,
                    "the guardian of \(mountpoint), process \(guardian), does not take this program: the "
                        + "system's log says why; the mount is as it was. Ask in the namespaces that it "
                        + "was mounted in")
            }
            usleep(2000)
        }
        throw MountError(
            .mount,
            "no server of \(mountpoint) answers: the system's log says why, and `mayfly recover` writes the "
                + "content to an image while the guardian, process \(guardian), lives")
    }

    /// - Throws: `.mount` where the program before this one has gone on.
    private static func checkProgram(
        _ mountpoint: String, _ guardian: Int32
    ) throws(MountError) {
        var own = stat()
        var its = stat()
        guard unsafe stat("/proc/self/exe", &own) == 0,
            unsafe stat("/proc/\(guardian)/exe", &its) == 0
        else { return }
        guard own.st_dev == its.st_dev, own.st_ino == its.st_ino else {
            throw MountError(
                .mount,
                "this program could not serve \(mountpoint), and the one before goes on: the system's log "
                    + "says why")
        }
    }

    /// Whether a process has a handler for a signal.
    ///
    /// - Source: proc_pid_status(5), SigCgt.
    private static func catches(_ signal: Int32, _ process: Int32) -> Bool {
        let line = HostFile.text(at: "/proc/\(process)/status")?.split(separator: "\n").first {
            $0.hasPrefix("SigCgt:")
        }
        guard let digits = line?.split(whereSeparator: \.isWhitespace).last,
            let mask = UInt64(digits, radix: 16)
        else { return false }
        return mask >> UInt64(signal - 1) & 1 != 0
    }

    /// What the user has given to `mayfly mount`, as the server's arguments have it.
    private static func options(of server: Int32) -> [PathBytes]? {
        guard let bytes = HostFile.bytes(at: "/proc/\(server)/cmdline") else { return nil }
        let words = bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast()
        guard words.count > 2, Array(words[1]) == Array("mount".utf8) else { return nil }
        return words.dropFirst(2).map { PathBytes(bytes: Array($0)) }
    }
}
