// CallerProcess: a process that keeps the caller's rights and namespaces until the end of a run.
//
// The server gives its rights up before it serves, and in its user namespace it cannot even name the caller's
// groups. So this process writes to the folders on disk, and makes the files that are to be kept.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

/// The process, and what it is asked. It ends with this object, or with this process.
final class CallerProcess {
    /// What came of applying changes.
    struct Outcome {
        /// Why nothing was applied, though it could be forced.
        var conflicts: [String] = []
        /// What was not applied.
        var failures: [String] = []
        /// Why nothing was applied.
        var refusal: String?
    }

    /// A file that it can make.
    enum NewFile: UInt8 {
        /// The one that the caller named.
        case kept = 0
        /// One for changes that could not be applied.
        case rescued
    }

    /// What it can be asked.
    private enum Order {
        static let apply = UInt8(ascii: "a")
        static let make = UInt8(ascii: "m")
        static let remove = UInt8(ascii: "x")
    }

    /// What it answers.
    private enum Answer {
        static let conflict = UInt8(ascii: "c")
        static let failure = UInt8(ascii: "f")
        static let refusal = UInt8(ascii: "r")
        static let file = UInt8(ascii: "d")
        static let end = UInt8(ascii: ".")
    }

    private let process: pid_t
    private let socket: Int32

    /// - Parameters:
    ///   - targets: open folders, by number.
    ///   - keptPath: absolute; the file that the caller named.
    ///   - setsOwners: whether the process may set owners.
    /// - Precondition: this process has one thread.
    init(targets: [Int32], keptPath: PathBytes?, setsOwners: Bool) throws(MountError) {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
            throw MountError(.system, "no socket can be made: raise `ulimit -n`")
        }
        let child = csys_fork()
        if child == 0 {
            close(ends[0])
            unsafe csys_name_process("mayfly-apply")
            var served = Served(targets: targets, keptPath: keptPath, setsOwners: setsOwners)
            served.serve(ends[1])
            _exit(0)
        }
        close(ends[1])
        guard child > 0 else {
            close(ends[0])
            throw MountError(.system, "no process can be started: raise `ulimit -u`")
        }
        (process, socket) = (child, ends[0])
    }

    deinit {
        // Not only closed: the keeper has this end as well.
        shutdown(socket, Int32(SHUT_RDWR))
        close(socket)
        _ = ChildStatus.waiting(for: process)
    }

    /// Applies changes.
    ///
    /// - Parameters:
    ///   - number: the folder's.
    ///   - tree: the root of the mount, open.
    func apply(_ changes: [TreeChange], to number: Int, from tree: Int32, force: Bool) -> Outcome {
        var outcome = Outcome()
        let list = unsafe csys_memory_file("mayfly-changes")
        defer { if list >= 0 { close(list) } }
        let bytes = ChangeList.encoded(changes)
        guard list >= 0, unsafe csys_write_all(list, bytes, bytes.count, 0) == 0,
            ask(Order.apply, UInt8(number), list), ask(force ? 1 : 0, 0, tree)
        else {
            outcome.refusal = "the process that applies changes cannot be reached"
            return outcome
        }
        while let answer = receive() {
            switch answer.kind {
            case Answer.conflict: outcome.conflicts.append(answer.line)
            case Answer.failure: outcome.failures.append(answer.line)
            case Answer.refusal: outcome.refusal = answer.line
            default: return outcome
            }
        }
        outcome.refusal = "the process that applies changes was killed"
        return outcome
    }

    /// Makes a new file, which is the caller's to close, and tells its path.
    ///
    /// - Throws: `.system` with the reason why there is none.
    func make(_ file: NewFile) throws(MountError) -> (descriptor: Int32, path: PathBytes) {
        guard ask(Order.make, file.rawValue, -1), let answer = receive() else {
            throw MountError(.system, "the process that makes files was killed")
        }
        guard answer.kind == Answer.file, answer.descriptor >= 0 else {
            throw MountError(.system, answer.line)
        }
        return (answer.descriptor, PathBytes(answer.line))
    }

    /// Removes what was made last.
    func removeMade() { _ = ask(Order.remove, 0, -1) }

    private func ask(_ order: UInt8, _ argument: UInt8, _ descriptor: Int32) -> Bool {
        unsafe csys_send(socket, [order, argument], 2, descriptor) == 0
    }

    /// The next answer: its kind, and its text behind its length.
    private func receive() -> (kind: UInt8, line: String, descriptor: Int32)? {
        var head = [UInt8](repeating: 0, count: 5)
        var descriptor: Int32 = -1
        guard unsafe csys_receive(socket, &head, head.count, -1, &descriptor) == 0 else {
            return nil
        }
        let count = head[1...].reduce(0) { $0 << 8 | Int($1) }
        var bytes = [UInt8](repeating: 0, count: count)
        var none: Int32 = -1
        guard unsafe count == 0 || csys_receive(socket, &bytes, count, -1, &none) == 0 else {
            return nil
        }
        return (head[0], ByteText.text(of: bytes), descriptor)
    }

    // MARK: in the process

    private struct Served {
        let targets: [Int32]
        let keptPath: PathBytes?
        let setsOwners: Bool
        private var made: PathBytes?

        init(targets: [Int32], keptPath: PathBytes?, setsOwners: Bool) {
            self.targets = targets
            self.keptPath = keptPath
            self.setsOwners = setsOwners
        }

        /// Answers until nobody asks any more.
        mutating func serve(_ socket: Int32) {
            func tell(_ kind: UInt8, _ line: String, _ descriptor: Int32 = -1) {
                let bytes = PathBytes(line).bytes
                let count = (0..<4).reversed().map { UInt8(bytes.count >> (8 * $0) & 0xFF) }
                let message = [kind] + count + bytes
                _ = unsafe csys_send(socket, message, message.count, descriptor)
            }
            while let first = Self.receive(socket) {
                switch first.order {
                case Order.apply:
                    guard let second = Self.receive(socket) else { return }
                    var answer: (kind: UInt8, lines: [String])
                    do throws(MountError) {
                        answer = try apply(
                            list: first.descriptor, tree: second.descriptor,
                            to: targets[Int(first.argument)], force: second.order == 1)
                    } catch { answer = (Answer.refusal, [error.line]) }
                    // Who hears the end may unmount the tree.
                    close(first.descriptor)
                    close(second.descriptor)
                    for line in answer.lines { tell(answer.kind, line) }
                    tell(Answer.end, "")
                case Order.make:
                    do throws(MountError) {
                        let (file, path) = try make(NewFile(rawValue: first.argument) ?? .rescued)
                        tell(Answer.file, path.text, file)
                        close(file)
                    } catch { tell(Answer.refusal, error.line) }
                default:
                    if let made { _ = unsafe made.withCString { unsafe unlink($0) } }
                    made = nil
                }
            }
        }

        private static func receive(
            _ socket: Int32
        ) -> (order: UInt8, argument: UInt8, descriptor: Int32)? {
            var bytes: [UInt8] = [0, 0]
            var descriptor: Int32 = -1
            guard unsafe csys_receive(socket, &bytes, 2, -1, &descriptor) == 0 else { return nil }
            return (bytes[0], bytes[1], descriptor)
        }

        private func apply(
            list: Int32, tree: Int32, to target: Int32, force: Bool
        ) throws(MountError) -> (UInt8, [String]) {
            var status = stat()
            unsafe _ = fstat(list, &status)
            var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
            guard unsafe csys_read_all(list, &bytes, bytes.count, 0) == 0,
                let changes = ChangeList.decoded(bytes)
            else { throw MountError(.system, "the list of changes cannot be read") }
            var applier = ChangeApplier(
                target: target, tree: tree, changes: changes, setsOwners: setsOwners)
            if !force {
                let conflicts = applier.conflicts()
                if !conflicts.isEmpty { return (Answer.conflict, conflicts) }
            }
            try applier.prepare()
            applier.carryOut(force: force)
            return (Answer.failure, applier.failures)
        }

        private mutating func make(
            _ file: NewFile
        ) throws(MountError) -> (descriptor: Int32, path: PathBytes) {
            let places: [PathBytes]
            switch file {
            case .kept: places = keptPath.map { [$0] } ?? []
            case .rescued:
                let number = String(UInt64.random(in: .min ... .max), radix: 36)
                let name = PathBytes("/mayfly-changes-\(number).tar")
                let folders: [PathBytes?] = ["/var/tmp", "/tmp", ProcessArguments.variable("HOME")]
                places = folders.compactMap { $0.map { $0 + name } }
            }
            var error = Errno.noSuchFileOrDirectory
            for path in places {
                let mode: mode_t = file == .kept ? 0o666 : 0o600
                let descriptor = unsafe path.withCString {
                    unsafe open($0, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
                }
                if descriptor >= 0 {
                    made = path
                    return (descriptor, path)
                }
                error = Errno(rawValue: errno)
            }
            let names = places.map { "\($0)" }.joined(separator: ", ")
            throw MountError(.system, "\(names) cannot be made (\(error))")
        }
    }
}
