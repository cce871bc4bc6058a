import CMayflyTestSupport
import Glibc
import Synchronization
import SystemPackage

/// A file system that the suite mounted in a temporary directory.
package final class PosixMount: Sendable {
    package let root: PosixPath
    package let kind: PosixKind
    /// The server's process; nil for tmpfs.
    private let server: Int64?
    /// The server's exit status, `running` until it was waited for: its number may then be
    /// another process's.
    private let status = Mutex(PosixMount.running)

    private static let running = -Int64(EAGAIN)

    private init(root: PosixPath, kind: PosixKind, server: Int64?) {
        self.root = root
        self.kind = kind
        self.server = server
    }

    /// Mounts tmpfs; 0 bytes or inodes leave its own limits.
    package static func tmpfs(bytes: Int = 0, inodes: Int = 0) throws -> PosixMount {
        let root = try temporaryDirectory()
        var options = ["mode=0755"]
        if bytes > 0 { options.append("size=\(bytes)") }
        if inodes > 0 { options.append("nr_inodes=\(inodes)") }
        let text = PosixPath(options.joined(separator: ",")).terminated
        try answer(unsafe cps_mount_tmpfs(root.terminated, text), "mount(tmpfs)")
        return PosixMount(root: root, kind: .tmpfs, server: nil)
    }

    /// Starts `mayfly mount --foreground` and waits until its directory is a mount.
    package static func mayfly(
        binary: String, kind: PosixKind, bytes: Int = 0, inodes: Int = 0, options: String? = nil,
        isRootAlone: Bool = unsafe getenv("MAYFLY_POSIX_ALONE") != nil
    ) throws -> PosixMount {
        let root = try temporaryDirectory()
        var arguments = [binary, "mount", "--foreground"]
        arguments += ["--transport", kind == .ring ? "ring" : "dev", "--mode", "0755"]
        // Cases act as other users. Those that do not pass where root is alone, too.
        if !isRootAlone { arguments += ["--allow-other"] }
        if bytes > 0 { arguments += ["--size", "\(bytes)"] }
        if inodes > 0 { arguments += ["--inodes", "\(inodes)"] }
        if let options { arguments += ["-o", options] }
        let server = try spawnProgram(arguments + [root.description])
        let mount = PosixMount(root: root, kind: kind, server: server)
        // A server that never answers hangs whoever asks, so another thread does.
        let waiter = PosixThread { try mount.waitUntilMounted() }
        do {
            if try waiter.join(timeoutSeconds: 20) { return mount }
        } catch {
            mount.stop()
            throw error
        }
        mount.abort()
        if (try? waiter.join(timeoutSeconds: 10)) == false { waiter.abandon() }
        mount.stop()
        throw PosixFailure("mayfly did not mount within 20 s")
    }

    private func waitUntilMounted() throws {
        let outside = try PosixPath("/tmp").status().device
        while true {
            if let device = try? root.status().device, device != outside { return }
            if !isAlive {
                throw PosixFailure("mayfly ended before it mounted, status \(poll(wait: false))")
            }
            usleep(5_000)
        }
    }

    private func poll(wait: Bool) -> Int64 {
        guard let server else { return 0 }
        return status.withLock { status in
            if status == Self.running { status = cps_wait(server, wait ? 1 : 0) }
            return status
        }
    }

    private func signal(_ number: Int32) {
        guard let server else { return }
        status.withLock { if $0 == Self.running { _ = cps_kill(server, number) } }
    }

    /// Kills the server, which ends every call that waits for it.
    package func abort() { signal(SIGKILL) }

    /// Whether the server still runs.
    package var isAlive: Bool { server == nil || poll(wait: false) == Self.running }

    /// Ends the server, unmounts and removes the directory.
    ///
    /// - Returns: the server's exit status, 0 for tmpfs.
    @discardableResult
    package func stop() -> Int64 {
        if server != nil {
            signal(SIGTERM)
            for _ in 0..<1000 where isAlive { usleep(10_000) }
            if isAlive {
                abort()
                _ = poll(wait: true)
            }
            // A server that unmounted has left nothing to unmount, and this does no harm.
            _ = unsafe cps_unmount(root.terminated, 1)
        } else if unsafe cps_unmount(root.terminated, 0) < 0 {
            _ = unsafe cps_unmount(root.terminated, 1)
        }
        try? root.rmdir()
        return poll(wait: false)
    }

    private static func temporaryDirectory() throws -> PosixPath {
        let path = PosixPath(try makeTemporaryFolder("posix"))
        try path.chmod(0o755)
        return path
    }
}

/// Starts a program with these arguments, the first of which is its path.
package func spawnProgram(
    _ arguments: [String], quiet: Bool = false
) throws(PosixCallFailure) -> Int64 {
    let list = arguments.map { Array($0.utf8) + [0] }.reduce([], +)
    let process = unsafe cps_spawn(list, Int32(arguments.count), quiet ? 1 : 0)
    return try answer(process, "execve(\(arguments[0]))")
}

/// Waits for a started program: its exit status, or 256 and the signal it died of.
package func exitStatus(of process: Int64) -> Int64 { cps_wait(process, 1) }

/// Runs a program silently and gives its exit status.
package func runProgram(_ arguments: [String]) throws(PosixCallFailure) -> Int64 {
    try answer(cps_wait(try spawnProgram(arguments, quiet: true), 1), "waitpid")
}
