// A mount that lives as long as one command: `mayfly run`.
//
//     this process: serves the mount        in a mount namespace of its own, and for those who may
//       |                                   not mount in a user namespace
//       +-- keeper: process 1               of a pid namespace
//             +-- command, and all that comes of it
//
// Nothing of it survives this process, whichever way that ends: its end kills the keeper, the
// keeper's end kills the command with everything it has started, and the mount namespace, which
// nobody is left in, takes the mount with it. Docs/Operations.md says why it is so.

import CMayflyMemory
import CMayflySystem
import Glibc
package import Mayfly
package import MayflyHost
import Synchronization
import SystemPackage

/// A mount for the time of one command.
package enum ScratchRun {
    /// What can be asked beside the mount itself.
    package struct Options: Sendable {
        /// Says nothing at the end unless something was wrong.
        package var quiet = false
        /// The file for what was used, as JSON; "-" for the standard output.
        package var reportPath: PathBytes?
        /// Where the tree goes when the command fails: a directory, a file ending in .tar, .tar.gz and
        /// its like, or an image ending in .mayfly.
        package var keepPath: PathBytes?
        /// Where the tree goes when the command succeeds.
        package var saved: SavedTree?
        /// Folders that the command sees at their own paths, with changes in memory.
        package var over = OverPlan()
        /// The command starts in the caller's folder, and in the mount's root otherwise.
        package var staysHere = false
        /// Absolute paths that the mount must not hide when its place is not named.
        package var visiblePaths: [PathBytes] = []

        /// Nothing beside the mount.
        package init() {}
    }

    /// The same for a command that is UTF-8.
    package static func run(
        _ configuration: MountConfiguration, command: [String], options: Options = Options(),
        say: (String) -> Void
    ) throws(MountError) -> Int32 {
        try run(configuration, command: command.map { PathBytes($0) }, options: options, say: say)
    }

    /// Mounts, runs `command` in the mount's root directory or in the caller's, unmounts, and tells how it
    /// ended.
    ///
    /// Only the command sees the mount. It gets MAYFLY_ROOT and TMPDIR, both the mount's root.
    /// SIGINT, SIGTERM, SIGHUP and SIGQUIT go on to it. What it leaves running is named and killed.
    ///
    /// This process enters namespaces and gives up privileges, and does not get back: it is to end
    /// after it.
    ///
    /// - Parameters:
    ///   - configuration: its mountpoint is used only when it is not empty; otherwise an empty
    ///     directory of the system is taken, in the private namespace.
    ///   - command: the program, found through PATH, and its arguments; empty: the caller's shell.
    ///   - options: what is wanted beside the mount.
    ///   - say: prints a line for the user.
    /// - Returns: the command's exit status; 128 and the signal that it died of; 127 when it was
    ///   not found and 126 when it could not be executed, both with a line said.
    /// - Throws: what kept the mount from being made or ended, or the report or the tree from being
    ///   written.
    /// - Precondition: the process has one thread.
    package static func run(
        _ configuration: MountConfiguration, command: [PathBytes], options: Options = Options(),
        say: (String) -> Void
    ) throws(MountError) -> Int32 {
        var configuration = configuration
        // What is mounted there is seen by nobody else.
        configuration.mayCover = true
        let signals = SignalWatch([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        if !configuration.mountpoint.isEmpty {
            // Before the namespace is entered, so that its absence is not taken for another thing.
            configuration.mountPath = try MountConfiguration.directory(configuration.mountPath)
        }
        let here = options.staysHere ? try currentFolder() : nil
        csys_ignore_file_size_signal()
        csys_end_at_faults()
        let kept: KeptTree?
        if let path = options.keepPath {
            kept = try KeptTree(path)
        } else {
            kept = nil
        }
        let reportFile: ReportFile?
        if let path = options.reportPath {
            reportFile = try ReportFile(path)
        } else {
            reportFile = nil
        }
        let over = options.over.folders.isEmpty ? nil : try OverRun(options.over)
        if let over {
            if configuration.allowOther, !isRoot {
                throw MountError(
                    .usage,
                    "--allow-other and --over need root together: leave one out, or run as root")
            }
            configuration.mountPath = over.paths[0]
        }
        try PrivateSpace.enter()
        if configuration.mountpoint.isEmpty {
            configuration.mountPath = try PrivateSpace.place(
                showing: options.visiblePaths + [here].compactMap { $0 })
        }
        try configuration.check()
        let root = configuration.mountPath
        let places = over?.paths ?? [root]
        if let kept, places.contains(where: { $0.contains(kept.target) }) {
            throw MountError(.usage, "--keep lies where the mount will be: name another place")
        }
        if let file = options.saved?.file, places.contains(where: { $0.contains(file) }) {
            throw MountError(.usage, "--save lies where the mount will be: name another place")
        }
        let shell = command.isEmpty ? StartedShell() : nil
        let command = shell?.command ?? command
        let name = command[0]
        let hasTerminal = StartedShell.takesTerminal(command)
        // Before the mount: a later fork would copy the page tables of all its memory.
        let keeper = try KillerPreference.startingClient { () throws(MountError) in
            try Keeper(
                command, in: here ?? root, second: kept.flatMap { $0.command(copying: root) },
                environment: environment(
                    root: root, startsThere: here == nil, isScratch: over == nil,
                    shell?.variables ?? []),
                mask: signals.originalMask, inherited: shell?.folder ?? -1,
                hasTerminal: hasTerminal)
        }
        defer { keeper.end() }

        // After the keeper is started, so that the command has the caller's limit.
        try DescriptorLimit.check(configuration)
        // After the keeper is started, whose command is to be a client.
        _ = KillerPreference.beLast()
        let fileSystems: [MountedFileSystem]
        do throws(MountError) {
            fileSystems = try mount(configuration, over, signals) { () throws(MountError) in
                try Privileges.giveUp(mountpoints: places)
            }
        } catch {
            guard over != nil, let signal = signals.waiting else { throw error }
            say("interrupted before the command was started")
            return ExitStatus.signalBase + signal
        }
        let fileSystem = fileSystems[0]
        let mounts = ServedMounts()
        for mount in fileSystems {
            if let line = try mounts.add(mount), !options.quiet { say(line) }
        }
        defer { mounts.stopControls() }
        tellOfTransport(fileSystem.summary, say)
        var report: RunReport
        do {
            let interruption = Interruption()
            report = try attend(keeper, fileSystem, command, signals, interruption, say)
            if hasTerminal { csys_take_terminal() }
            if let kept, report.exitStatus != 0 {
                try copy(to: kept, name, keeper, fileSystem, &report, say)
            }
            if let saved = options.saved, report.exitStatus == 0 {
                let (line, path) = try saved.save(fileSystem)
                report.saved = path
                if !options.quiet { say(line) }
            }
            if let over {
                let (items, isDone) = try over.end(
                    fileSystems,
                    OverRun.Ending(
                        status: report.exitStatus, signal: report.signal,
                        isTyped: shell != nil && isatty(STDIN_FILENO) != 0, isQuiet: options.quiet,
                        wasInterrupted: interruption.take), say)
                report.over = items
                if !isDone, report.exitStatus == 0 { report.exitStatus = ExitStatus.runFailed }
            }
        } catch {
            keeper.end()
            for mount in mounts.fileSystems { _ = try? mount.endInOrder(warn: say) }
            throw error
        }
        keeper.end()
        report.statistics = statistics(of: fileSystems)
        if configuration.profile == .exact { report.spared = fileSystem.attributeRequests }
        var areAllEnded = true
        for mount in mounts.fileSystems {
            if !(try mount.endInOrder(warn: say)) { areAllEnded = false }
        }
        if areAllEnded { mounts.waitUntilUnmounted() }
        if !options.quiet {
            say(report.line)
            if let advice = report.advice { say(advice) }
        }
        if let reportFile { try reportFile.write(report) }
        return report.exitStatus
    }

    /// Mounts one file system, or one on each folder of `over`.
    ///
    /// - Parameter beforeServing: called once, before the first is served.
    private static func mount(
        _ configuration: MountConfiguration, _ over: OverRun?, _ signals: SignalWatch,
        beforeServing: () throws(MountError) -> Void
    ) throws(MountError) -> [MountedFileSystem] {
        guard let over else {
            return [try MountedFileSystem(configuration, beforeServing: beforeServing)]
        }
        // All are read before rights are given up.
        let trees = try over.bringIn(configuration) { signals.waiting != nil }
        var made: [MountedFileSystem] = []
        do throws(MountError) {
            for (path, tree) in zip(over.paths, trees) {
                var configuration = configuration
                configuration.mountPath = path
                let isFirst = made.isEmpty
                let mount = try MountedFileSystem(configuration, tree: tree) {
                    () throws(MountError) in
                    if isFirst { try beforeServing() }
                }
                made.append(mount)
            }
        } catch {
            for mount in made {
                try? mount.unmount(.force)
                mount.waitUntilUnmounted()
            }
            throw error
        }
        return made
    }

    /// Whether a signal that asks for an end has come.
    private final class Interruption: Sendable {
        private let flag = Atomic<Bool>(false)

        func set() { flag.store(true, ordering: .relaxed) }
        /// Whether it has since the last call.
        func take() -> Bool { flag.exchange(false, ordering: .relaxed) }
    }

    private static var isRoot: Bool {
        MountConfiguration.mayMount(status: HostFile.text(at: "/proc/self/status"))
    }

    /// What several have used together: at most, for each may have had its most at another time.
    private static func statistics(of fileSystems: [MountedFileSystem]) -> MountStatistics {
        var sum = fileSystems[0].statistics()
        for other in fileSystems.dropFirst().map({ $0.statistics() }) {
            sum.usedBytes += other.usedBytes
            sum.peakBytes += other.peakBytes
            sum.usedInodes += other.usedInodes
            sum.peakInodes += other.peakInodes
            sum.requests += other.requests
        }
        return sum
    }

    /// Runs the command to its end, and ends what it has left.
    private static func attend(
        _ keeper: Keeper, _ fileSystem: MountedFileSystem, _ command: [PathBytes],
        _ signals: SignalWatch, _ interruption: Interruption, _ say: (String) -> Void
    ) throws(MountError) -> RunReport {
        let begin = cmem_monotonic_nanoseconds()
        var report = RunReport(
            command: command, exitStatus: 0, signal: nil, nanoseconds: 0,
            statistics: MountStatistics(), summary: fileSystem.summary)
        switch keeper.begin(command[0]) {
        case .failure(let message, let exitCode):
            say(message)
            report.exitStatus = exitCode
            return report
        case .started: break
        }
        try signals.start { event in
            interruption.set()
            // The terminal has sent it to the command already.
            if !event.fromTerminal { keeper.signal(event.signal) }
        }
        let status = keeper.status()
        report.nanoseconds = cmem_monotonic_nanoseconds() - begin
        report.exitStatus = status.exitCode
        if case .signal(let number) = status { report.signal = number }
        report.leftRunning = leftRunning(keeper)
        if let who = MountHolders.described(report.leftRunning) {
            say("the command has left running, and it is ended now: \(who)")
        }
        keeper.clear()
        return report
    }

    /// Who still runs a moment after the command; what is just ending is not meant.
    private static func leftRunning(_ keeper: Keeper) -> [MountHolder] {
        for _ in 0..<10 {
            if keeper.others().isEmpty { return [] }
            usleep(20000)
        }
        return keeper.others()
    }

    /// Copies the tree out of the mount, for somebody to look at.
    private static func copy(
        to kept: KeptTree, _ name: PathBytes, _ keeper: Keeper, _ fileSystem: MountedFileSystem,
        _ report: inout RunReport, _ say: (String) -> Void
    ) throws(MountError) {
        if kept.isImage {
            _ = try fileSystem.save(to: kept.target, isNew: true)
        } else {
            try runCopier(for: kept, name, keeper)
        }
        report.kept = kept.target
        say("\(name) failed with status \(report.exitStatus); its tree is in \(kept.target)")
    }

    private static func runCopier(
        for kept: KeptTree, _ name: PathBytes, _ keeper: Keeper
    ) throws(MountError) {
        let copied = keeper.runSecond(name)
        if case .failure(let message, _) = copied.start {
            throw MountError(.system, "the tree was not kept: \(message)")
        }
        guard copied.status == .exited(0) else {
            throw MountError(
                .system,
                "the tree was not kept whole in \(kept.target) (status \(copied.status.exitCode)): "
                    + "look at the lines above")
        }
    }

    private static func tellOfTransport(_ summary: MountSummary, _ say: (String) -> Void) {
        if summary.transport == .device, summary.ringAbsence != .notAsked {
            say(summary.transportLine)
        }
        if let warning = summary.kernelWarning() { say(warning) }
    }

    /// The environment of this process with what points into the mount.
    private static func environment(
        root: PathBytes, startsThere: Bool, isScratch: Bool, _ added: [PathBytes]
    ) -> [PathBytes] {
        let places: [PathBytes] =
            ["MAYFLY_ROOT="] + (isScratch ? ["TMPDIR="] : []) + (startsThere ? ["PWD="] : [])
        let replaced = places.map { $0 + root } + added
        let names = replaced.map {
            $0.bytes.prefix { $0 != UInt8(ascii: "=") } + [UInt8(ascii: "=")]
        }
        return ProcessArguments.environment.filter { variable in
            !names.contains { variable.bytes.starts(with: $0) }
        } + replaced
    }

    /// The caller's folder, by a path by which the command can go there when something is mounted on the
    /// way.
    private static func currentFolder() throws(MountError) -> PathBytes {
        let gone = MountError(
            .usage, "the folder that you are in cannot be reached by a path: go to one that can")
        guard let path = unsafe getcwd(nil, 0) else { throw gone }
        defer { unsafe free(path) }
        let folder = unsafe PathBytes(
            bytes: UnsafeRawBufferPointer(start: path, count: strlen(path)))
        guard folder.isAbsolute else { throw gone }
        return folder
    }
}
