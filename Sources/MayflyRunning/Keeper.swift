// The keeper: process 1 of the pid namespace that `mayfly run`'s command lives in.
//
// Whatever the command starts, however it detaches itself, is in there and ends with the keeper;
// the keeper ends with this process. Both is the kernel's doing, and so it holds for SIGKILL.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import Synchronization
import SystemPackage

/// A started keeper. Its end is `end()`; it ends by itself with this process.
final class Keeper: Sendable {
    /// What became of starting a command.
    enum Start: Equatable {
        case started
        case failure(message: String, exitCode: Int32)
    }

    /// A command for later, and where it writes.
    struct Second {
        enum Place {
            /// Its standard output is a file that nobody has made by then.
            case newFile
            /// It runs in a directory that nobody has made by then.
            case newFolder
            /// It runs in an open directory.
            case folder(Int32)
        }
        let arguments: [PathBytes]
        let place: Place
        /// Absolute.
        let target: PathBytes
    }

    /// Where the command starts.
    private let directory: PathBytes
    private let process: pid_t
    private let orders: Int32
    private let reports: Int32
    /// Set by `end()`, after which there is nobody to give orders to.
    private let hasEnded = Mutex(false)

    /// Starts the keeper of `command`; nothing runs before `begin()`.
    ///
    /// - Parameters:
    ///   - directory: where the command is to start; need not be there yet.
    ///   - second: another command for later.
    ///   - mask: the signals that the command is to have blocked.
    ///   - inherited: a descriptor that the command is to have open; -1 for none.
    ///   - hasTerminal: whether the command gets the terminal, in a process group of its own.
    /// - Precondition: the process is small, for it is forked.
    init(
        _ command: [PathBytes], in directory: PathBytes, second: Second? = nil,
        environment: [PathBytes],
        mask: sigset_t, inherited: Int32 = -1, hasTerminal: Bool = false
    ) throws(MountError) {
        var mask = mask
        let place = csys_place(
            folder: -1, output: -1, inherited: inherited, foreground: hasTerminal ? 1 : 0)
        /// With the second command's place, which the keeper makes when it runs it.
        func start(
            _ command: UnsafePointer<UnsafeMutablePointer<CChar>?>,
            _ later: UnsafePointer<UnsafeMutablePointer<CChar>?>,
            _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>
        ) -> csys_keeper {
            var plan = unsafe csys_second(arguments: nil, file: nil, new_folder: nil, folder: -1)
            guard let second else {
                return unsafe directory.withCString {
                    unsafe csys_start_keeper(
                        $0, command, plan, environment, &mask, place)
                }
            }
            unsafe plan.arguments = later
            return unsafe second.target.withCString { target in
                switch second.place {
                case .newFile: unsafe plan.file = target
                case .newFolder: unsafe plan.new_folder = target
                case .folder(let descriptor): unsafe plan.folder = descriptor
                }
                return unsafe directory.withCString {
                    unsafe csys_start_keeper(
                        $0, command, plan, environment, &mask, place)
                }
            }
        }
        let keeper = unsafe withCStrings(command) { command in
            unsafe withCStrings(second?.arguments ?? []) { later in
                unsafe withCStrings(environment) { environment in
                    unsafe start(command, later, environment)
                }
            }
        }
        guard keeper.process > 0 else {
            let error = Errno(rawValue: keeper.error)
            let isDescriptor = error == .tooManyOpenFiles || error == .tooManyOpenFilesInSystem
            let limits =
                isDescriptor ? "`ulimit -n`" : "`ulimit -u` and sysctl user.max_pid_namespaces"
            throw MountError(
                .system, "no process can be started in a pid namespace (\(error)): raise \(limits)")
        }
        self.directory = directory
        process = keeper.process
        orders = keeper.orders
        reports = keeper.reports
    }

    deinit { end() }

    /// Runs the command.
    func begin(_ name: PathBytes) -> Start {
        order(UInt8(CSYS_ORDER_START.rawValue))
        return start(of: name)
    }

    /// Runs the second command to its end, with the keeper's privileges.
    func runSecond(_ name: PathBytes) -> (start: Start, status: ChildStatus) {
        order(UInt8(CSYS_ORDER_KEEP.rawValue))
        let start = start(of: name)
        return (start, start == .started ? status() : .exited(ExitStatus.runFailed))
    }

    /// Passes a signal on to the command; nothing when it has ended.
    func signal(_ number: Int32) { order(UInt8(truncatingIfNeeded: number)) }

    /// Waits for the end of the command that runs.
    func status() -> ChildStatus {
        guard let report = report(), report.kind == CSYS_REPORT_ENDED else {
            return .signal(SIGKILL)  // the keeper was killed, and all with it
        }
        return ChildStatus(wait: report.status)
    }

    /// The processes that are left in the namespace beside the keeper.
    func others() -> [MountHolder] { ProcessTree.descendants(of: process) }

    /// Kills all that is left and returns when it is gone.
    func clear() {
        order(UInt8(CSYS_ORDER_CLEAR.rawValue))
        while let report = report() {
            if report.kind == CSYS_REPORT_CLEAR { return }
        }
    }

    /// Ends the keeper and everything in its namespace; returns when all is gone.
    func end() {
        hasEnded.withLock { hasEnded in
            guard !hasEnded else { return }
            hasEnded = true
            close(orders)
            close(reports)
            // Not the closing of its orders alone: whoever forked meanwhile may have them too.
            kill(process, SIGKILL)
            _ = ChildStatus.waiting(for: process)
        }
    }

    private func order(_ order: UInt8) {
        hasEnded.withLock { hasEnded in
            guard !hasEnded else { return }
            var byte = order
            while unsafe write(orders, &byte, 1) < 0, errno == EINTR {}
        }
    }

    /// The next report; nil when the keeper has been killed.
    private func report() -> csys_report? {
        var report = csys_report()
        let bytes = MemoryLayout<csys_report>.size
        while true {
            let count = unsafe withUnsafeMutableBytes(of: &report) { buffer in
                unsafe read(reports, buffer.baseAddress, bytes)
            }
            if count < 0, errno == EINTR { continue }
            return count == bytes ? report : nil
        }
    }

    private func start(of name: PathBytes) -> Start {
        guard let report = report(), report.kind == CSYS_REPORT_STARTED else {
            return .failure(
                message: "the command's namespace was ended from outside",
                exitCode: ExitStatus.runFailed)
        }
        return report.started.process > 0 ? .started : failure(of: report.started, name)
    }

    /// Whether no folder of PATH that we may look into has a file of that name: the error is that of
    /// one that we may not, which says nothing.
    private static func isNowhere(_ name: PathBytes) -> Bool {
        !name.bytes.contains(UInt8(ascii: "/")) && !HostFile.isInPath(name)
    }

    private func failure(of started: csys_started, _ name: PathBytes) -> Start {
        let error = Errno(rawValue: started.error)
        switch started.stage {
        case CSYS_AT_EXECUTE
        where error == .noSuchFileOrDirectory || error == .notDirectory || Self.isNowhere(name):
            let advice =
                name.bytes.contains(UInt8(ascii: "/")) && !name.isAbsolute
                ? "it is looked for in \(directory), where the command starts, so give its absolute path"
                : "look at its spelling and at PATH"
            return .failure(
                message: "\(name) was not found: \(advice)", exitCode: ExitStatus.notFound)
        case CSYS_AT_EXECUTE:
            return .failure(
                message: "\(name) cannot be executed (\(error)): look at its permissions and "
                    + "first line", exitCode: ExitStatus.notExecutable)
        case CSYS_AT_OUTPUT where error == .fileExists:
            return .failure(
                message: "somebody else has made what is to be written: name another place",
                exitCode: ExitStatus.runFailed)
        case CSYS_AT_OUTPUT:
            return .failure(
                message:
                    "what is to be written cannot be made (\(error)): name a place in a folder "
                    + "of yours", exitCode: ExitStatus.runFailed)
        case CSYS_AT_DIRECTORY:
            return .failure(
                message: "\(directory), where the command is to start, cannot be entered "
                    + "(\(error)): go to a folder that you may enter, and choose --mode, --uid and "
                    + "--gid of a mount so that you may", exitCode: ExitStatus.runFailed)
        default:
            return .failure(
                message: "no process can be started (\(error)): raise `ulimit -u`",
                exitCode: ExitStatus.runFailed)
        }
    }
}
