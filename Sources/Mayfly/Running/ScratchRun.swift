// A mount that lives as long as one command: `mayfly run`.

import CMemory
import Glibc
import Synchronization
import SystemPackage

public enum ScratchRun {
    /// Mounts, runs `command` in the mount's root directory, unmounts, and tells how it ended.
    ///
    /// The command gets MAYFLY_ROOT and TMPDIR, both the mount's root. SIGINT, SIGTERM, SIGHUP and
    /// SIGQUIT go on to it, and it is killed when this process is. Whatever it leaves running in
    /// the mount loses its files: the mount is detached and ends with this process.
    ///
    /// - Parameters:
    ///   - configuration: its mountpoint is used only when it is not empty; otherwise a fresh
    ///     folder under XDG_RUNTIME_DIR or /tmp is made, and removed at the end.
    ///   - say: prints a line for the user.
    /// - Returns: the command's exit status; 128 and the signal that it died of; 127 when it was
    ///   not found and 126 when it could not be executed, both with a line said.
    /// - Throws: what kept the mount from being made or ended.
    public static func run(
        _ configuration: MountConfiguration, command: [String], say: (String) -> Void
    ) throws(MountError) -> Int32 {
        guard !command.isEmpty else {
            throw MountError(.usage, "no command: write it after --, as in `mayfly run -- make`")
        }
        let signals = SignalWatch([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        var configuration = configuration
        let folder = try configuration.mountpoint.isEmpty ? temporaryFolder() : nil
        defer { if let folder { unsafe rmdir(folder) } }
        if let folder { configuration.mountpoint = folder }

        let fileSystem = try MountedFileSystem(configuration)
        let summary = fileSystem.summary
        if summary.transport == .device, summary.ringAbsence != .notAsked {
            say(summary.transportLine)
        }
        // A mount without a control socket is as good a mount.
        let control = try? ControlServer(fileSystem)
        defer { control?.stop() }
        let outcome: Int32
        do {
            let root = summary.mountpoint
            switch start(command, in: root, environment: environment(root: root), signals) {
            case .process(let process):
                outcome = try wait(for: process, signals)
            case .failure(let message, let exitCode):
                say(message)
                outcome = exitCode
            }
        } catch {
            try? fileSystem.endInOrder(warn: say)
            throw error
        }
        try fileSystem.endInOrder(warn: say)
        return outcome
    }

    /// What became of starting a command.
    enum Start: Equatable {
        case process(pid_t)
        case failure(message: String, exitCode: Int32)
    }

    /// Starts `command`, looked for in PATH, in `directory`, with the signal mask from before.
    ///
    /// It is killed when the calling thread ends.
    static func start(
        _ command: [String], in directory: String, environment: [String], _ signals: SignalWatch
    ) -> Start {
        let started = unsafe withCStrings(command) { arguments in
            unsafe withCStrings(environment) { environment in
                var mask = signals.originalMask
                return unsafe cmem_start(directory, arguments, environment, &mask)
            }
        }
        return started.process > 0
            ? .process(started.process) : failure(of: started, command.first ?? "")
    }

    /// Passes signals on to `process` until it has ended.
    private static func wait(for process: pid_t, _ signals: SignalWatch) throws(MountError) -> Int32
    {
        let target = Mutex<pid_t?>(process)
        let shared = Shared(target)
        try signals.start { event in
            // The terminal has sent it to the command already.
            guard !event.fromTerminal else { return }
            shared.process.withLock { process in
                if let process { kill(process, event.signal) }
            }
        }
        return ChildStatus.waiting(for: process) { shared.process.withLock { $0 = nil } }.exitCode
    }

    /// The child to signal; nil once its number may become another's.
    private final class Shared: Sendable {
        let process: Mutex<pid_t?>
        init(_ process: consuming sending Mutex<pid_t?>) { self.process = process }
    }

    private static func failure(of started: cmem_started, _ name: String) -> Start {
        let error = Errno(rawValue: started.error)
        switch started.stage {
        case CMEM_AT_EXECUTE where error == .noSuchFileOrDirectory || error == .notDirectory:
            let advice =
                name.contains("/") && !name.hasPrefix("/")
                ? "it is looked for in the mount, so give its absolute path"
                : "look at its spelling and at PATH"
            return .failure(
                message: "\(name) was not found: \(advice)", exitCode: ExitStatus.notFound)
        case CMEM_AT_EXECUTE:
            return .failure(
                message: "\(name) cannot be executed (\(error)): look at its permissions and "
                    + "first line", exitCode: ExitStatus.notExecutable)
        case CMEM_AT_DIRECTORY:
            return .failure(
                message: "the mount cannot be entered (\(error)): choose --mode, --uid and --gid "
                    + "so that you may", exitCode: ExitStatus.runFailed)
        default:
            return .failure(
                message: "no process can be started (\(error)): raise `ulimit -u`",
                exitCode: ExitStatus.runFailed)
        }
    }

    /// The environment of this process with what points into the mount.
    private static func environment(root: String) -> [String] {
        var environment: [String] = []
        let replaced = ["MAYFLY_ROOT", "TMPDIR", "PWD"]
        var next = unsafe cmem_environment()
        while let variable = unsafe next?.pointee {
            let text = unsafe String(cString: variable)
            let isReplaced = replaced.contains { text.hasPrefix("\($0)=") }
            if !isReplaced { environment.append(text) }
            unsafe next = unsafe next?.successor()
        }
        return environment + replaced.map { "\($0)=\(root)" }
    }

    /// A fresh folder to mount on, of the caller's alone until the mount covers it.
    private static func temporaryFolder() throws(MountError) -> String {
        let runtime = unsafe getenv("XDG_RUNTIME_DIR").map { unsafe String(cString: $0) }
        for parent in [runtime ?? "", "/tmp"] where parent.hasPrefix("/") {
            var template = Array("\(parent)/mayfly-run-XXXXXX".utf8CString)
            if unsafe mkdtemp(&template) != nil {
                return String(
                    decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            }
        }
        let error = Errno(rawValue: errno)
        throw MountError(
            .system, "no folder can be made under /tmp (\(error)): name one with --at")
    }
}
