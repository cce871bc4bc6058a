// Serving a mount in this process until it is unmounted: `mayfly mount --foreground`, and the
// background server as well, which is the same thing with a descriptor to say "ready" on.

import CMayflySystem
import Glibc
import Logging
package import Mayfly
import Synchronization

/// Serving a mount in this process, until it is unmounted or a signal ends it.
package enum ForegroundServer {
    /// Mounts, says what was mounted, and returns once the mount is gone.
    ///
    /// SIGTERM, SIGINT, SIGHUP and SIGXCPU unmount in order. A mount that is busy is detached. Then the server
    /// ends with the last who uses the file system, bind mounts of it among them, or at the next signal.
    ///
    /// - Parameters:
    ///   - configuration: what to mount.
    ///   - readyDescriptor: gets one byte once the mount answers, after which this process is in
    ///     the background: working directory "/", standard output and error to /dev/null.
    ///   - staysInForeground: whether it stays as it is all the same.
    ///   - owners: whose end is the end of the mount and its forks, whoever uses them.
    ///   - logLevel: what is said of the mounts (`ServerLog`).
    ///   - describe: told what was mounted, once it can be asked.
    ///   - say: prints a line for the user.
    ///   - complain: prints one on the standard error.
    package static func serve(
        _ configuration: MountConfiguration, readyDescriptor: Int32? = nil,
        staysInForeground: Bool = false, owners: [MountOwner] = [],
        logLevel: ServerLog.Level? = nil,
        describe: (MountAnnouncement) -> Void = { _ in }, say: (String) -> Void,
        complain: (String) -> Void
    ) throws(MountError) {
        // A limit of processor time asks first, by SIGXCPU, and kills later.
        let memory = configuration.survivingMemory
        let signals = SignalWatch(
            [SIGTERM, SIGINT, SIGHUP, SIGXCPU] + (memory == nil ? [] : [SIGUSR2]))
        csys_ignore_file_size_signal()
        csys_end_at_faults()
        // In the background it was started through a link whose name it has taken: "exe".
        if readyDescriptor != nil {
            unsafe csys_name_process("mayfly")
            if !staysInForeground { csys_leave_terminal() }
        }
        let mounts = ServedMounts(
            ServerLog(
                level: logLevel,
                isBackground: readyDescriptor != nil && !staysInForeground
                    && !configuration.debugFuse))
        let line = try mount(
            configuration, mounts, describe: describe, say: say, complain: complain)
        defer { mounts.stopControls() }
        let log = Logger(label: "mayfly") { label in
            StreamLogHandler.standardError(label: label)
        }
        let ending = Ending(mounts, log)
        do {
            try signals.start(ending.take)
            for owner in owners { try owner.watch(ending.endForAll) }
            if let memory, let fileSystem = mounts.fileSystems.first {
                GuardianKeeper(fileSystem, memory: memory).start()
            }
        } catch {
            for fileSystem in mounts.fileSystems {
                try? fileSystem.unmount(.lazy)
            }
            throw error
        }
        ServiceNotification.ready(line)
        if let readyDescriptor {
            if !staysInForeground { enterBackground(keepingOutput: configuration.debugFuse) }
            announce(on: readyDescriptor)
        }
        mounts.waitUntilUnmounted()
    }

    /// Mounts and says so. The mount is held by `mounts` alone, so that its end frees it, whatever
    /// forks of it go on.
    ///
    /// - Returns: the line that tells of the transport.
    private static func mount(
        _ configuration: MountConfiguration, _ mounts: ServedMounts,
        describe: (MountAnnouncement) -> Void, say: (String) -> Void, complain: (String) -> Void
    ) throws(MountError) -> String {
        var configuration = configuration
        try configuration.check()
        try DescriptorLimit.check(configuration)
        let mountpoint = configuration.mountPath
        // Before privileges are given up.
        let isLast = KillerPreference.beLast()
        let fileSystem = try MountedFileSystem(configuration) { () throws(MountError) in
            try Privileges.giveUp(mountpoints: [mountpoint])
        }
        let summary = fileSystem.summary
        say(summary.transportLine)
        say(summary.memoryLine)
        if configuration.durability == .fsync { say(summary.durabilityLine) }
        if let warning = summary.kernelWarning() { complain(warning) }
        if !isLast,
            let warning = KillerPreference.warning(mostBytes: summary.maximumMemoryBytes)
        {
            complain(warning)
        }
        if let line = try mounts.add(fileSystem) { complain(line) }
        describe(MountAnnouncement(summary, socket: mounts.socketPath(of: fileSystem)))
        return summary.transportLine
    }

    /// What signals do to the mounts: the first asks, the second insists.
    private final class Ending: Sendable {
        private let mounts: ServedMounts
        private let log: Logger
        private let asked = Atomic<Bool>(false)

        init(_ mounts: ServedMounts, _ log: Logger) {
            self.mounts = mounts
            self.log = log
        }

        func take(_ event: SignalWatch.Event) {
            if event.signal == SIGUSR2 { return handOver() }
            let insist = asked.exchange(true, ordering: .relaxed)  // one thread takes all signals
            if !insist { ServiceNotification.stopping() }
            for fileSystem in mounts.fileSystems { end(fileSystem, insist: insist) }
        }

        /// Ends between two requests and leaves the mount to the next server. As after a death: who is to
        /// follow knows nothing of exit statuses.
        private func handOver() {
            for fileSystem in mounts.fileSystems { fileSystem.handOver { kill(getpid(), SIGKILL) } }
        }

        /// Ends every mount at once, also for those who use it.
        func endForAll() {
            ServiceNotification.stopping()
            var isLeft = false
            for fileSystem in mounts.fileSystems {
                do { try fileSystem.endForAll() } catch {
                    log.error("\(error.line)")
                    isLeft = true
                }
            }
            if !isLeft { return }
            // What only the end of this process ends.
            for fileSystem in mounts.fileSystems { fileSystem.noteEnd() }
            mounts.stopControls()
            _exit(ExitStatus.mount)
        }

        private func end(_ fileSystem: MountedFileSystem, insist: Bool) {
            do {
                if insist {
                    try fileSystem.endForAll()
                } else {
                    try fileSystem.endInOrder { log.warning("\($0)") }
                }
            } catch {
                // Detached, or in other namespaces only: whoever is left there is not waited for.
                let isGone = !fileSystem.isInTree
                if isGone || insist {
                    fileSystem.noteEnd()
                    mounts.stopControls()
                    // Not exit(3): its handlers would run beside threads that still serve.
                    _exit(isGone ? 0 : ExitStatus.mount)
                }
                log.error("\(error.line)")
            }
        }
    }

    private static func enterBackground(keepingOutput: Bool) {
        // The mountpoint is absolute by now, and no directory is to be kept busy.
        _ = unsafe chdir("/")
        guard !keepingOutput else { return }
        fflush(nil)
        // Whoever reads our output waits for its end. The standard input is /dev/null, or nothing where
        // that could not be opened (csys_fork_server).
        dup2(STDIN_FILENO, STDOUT_FILENO)
        dup2(STDIN_FILENO, STDERR_FILENO)
    }

    private static func announce(on descriptor: Int32) {
        var ready: UInt8 = 1
        while unsafe write(descriptor, &ready, 1) < 0, errno == EINTR {}
        close(descriptor)
    }
}
