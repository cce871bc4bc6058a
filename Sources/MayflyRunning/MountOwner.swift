// MountOwner: somebody whose end is the end of a mount, however they end: a process, or whoever holds the
// other end of the standard input.

import CMayflySystem
import Glibc
package import Mayfly
import MayflyHost
import SystemPackage

/// Whose end unmounts: `mayfly mount --until-pid` and `--until-eof`.
package struct MountOwner: Sendable {
    /// Readable, or hung up, when the owner has ended.
    private let descriptor: Int32
    /// What is read from it until then is dropped.
    private let isStream: Bool

    /// A process.
    ///
    /// - Throws: `.usage` when there is no such process.
    /// - Source: pidfd_open(2). The number cannot become another process's once it is open.
    package static func process(_ number: Int32) throws(MountError) -> MountOwner {
        let descriptor = number > 0 ? csys_open_process(number) : -1
        guard descriptor >= 0 else {
            let reason = number > 0 && errno != ESRCH ? " (\(Errno(rawValue: errno)))" : ""
            throw MountError(
                .usage,
                "there is no process \(number)\(reason): give --until-pid the number of a process that runs, "
                    + "such as $$ of a shell")
        }
        return MountOwner(descriptor: descriptor, isStream: false)
    }

    /// Whoever can write to a pipe or a socket.
    ///
    /// - Throws: `.usage` for a descriptor of which the end tells nothing.
    package static func stream(_ descriptor: Int32) throws(MountError) -> MountOwner {
        var status = stat()
        let kind = unsafe fstat(descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0
        guard kind == S_IFIFO || kind == S_IFSOCK else {
            throw MountError(
                .usage,
                "the standard input is no pipe: --until-eof takes one that its owner holds open, as in "
                    + "`sleep 60 | mayfly mount DIR --until-eof`")
        }
        return MountOwner(descriptor: descriptor, isStream: true)
    }

    /// Calls `end` once when the owner has ended, on a thread of its own.
    package func watch(_ end: @escaping @Sendable () -> Void) throws(MountError) {
        let owner = self
        let thread = try? HostThread.start(name: "mayfly-owner") {
            owner.wait()
            end()
        }
        guard let thread else {
            throw MountError(.system, "no thread can be started: raise `ulimit -u`")
        }
        thread.detach()
    }

    private func wait() {
        if isStream {
            var dropped = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = unsafe read(descriptor, &dropped, dropped.count)
                if count > 0 || count < 0 && errno == EINTR { continue }
                // A stream that does not wait says so, and is waited for below.
                guard count < 0, errno == EAGAIN else { return }
                poll()
            }
        }
        poll()
    }

    private func poll() {
        var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while unsafe Glibc.poll(&input, 1, -1) < 0, errno == EINTR {}
    }
}
