package import SystemPackage

/// One thing that a POSIX file system must do, checked in a directory of its own.
///
/// The same cases run on tmpfs, which is the reference, and on Mayfly. A body throws
/// ``PosixFailure`` when an expectation fails and ``PosixSkip`` when the mount cannot run it.
package struct PosixCase: Sendable, CustomStringConvertible {
    /// Group and name, as in `open/exclusive`.
    package let name: String
    /// Whether the case needs to be run by root.
    package let needsRoot: Bool
    /// Mount options that Mayfly needs to be exact here, as `-o` takes them; then the case has a
    /// mount of its own. Each is explained in Docs/Deviations.md.
    package let mayflyOptions: String?
    package let body: @Sendable (PosixContext) throws -> Void

    package init(
        _ name: String, needsRoot: Bool = false, mayflyOptions: String? = nil,
        _ body: @escaping @Sendable (PosixContext) throws -> Void
    ) {
        self.name = name
        self.needsRoot = needsRoot
        self.mayflyOptions = mayflyOptions
        self.body = body
    }

    package var description: String { name }
}

/// What kind of file system a case runs on.
package enum PosixKind: String, Sendable, CaseIterable {
    case tmpfs
    case ring
    case device

    /// Whether the file system is Mayfly.
    var isMayfly: Bool { self != .tmpfs }
}

/// Where a case runs.
package struct PosixContext: Sendable {
    /// An empty directory that no other case uses.
    package let root: PosixPath
    package let kind: PosixKind
    /// Mounts a file system of the same kind with room for so many bytes and inodes.
    let mountSmall: @Sendable (_ bytes: Int, _ inodes: Int) throws -> PosixMount

    package init(
        root: PosixPath, kind: PosixKind,
        mountSmall: @escaping @Sendable (_ bytes: Int, _ inodes: Int) throws -> PosixMount
    ) {
        self.root = root
        self.kind = kind
        self.mountSmall = mountSmall
    }

    /// The path of a name below the root.
    subscript(name: String) -> PosixPath { root / name }

    /// Runs `body` in a small file system and unmounts it.
    func onSmall(
        bytes: Int = 1 << 20, inodes: Int = 64, _ body: (PosixPath) throws -> Void
    ) throws {
        let mount = try mountSmall(bytes, inodes)
        defer { mount.stop() }
        try body(mount.root)
    }
}

/// An expectation that did not hold.
package struct PosixFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ message: String, file: StaticString = #fileID, line: UInt = #line) {
        description = "\(file):\(line): \(message)"
    }
}

/// The mount, or the machine, cannot run this case.
package struct PosixSkip: Error {
    package let reason: String

    package init(reason: String) { self.reason = reason }
}

/// A system call that failed where nothing said that it would.
package struct PosixCallFailure: Error, CustomStringConvertible {
    package let errno: Errno
    let call: String

    package var description: String { "\(call): \(errno) (\(errno.rawValue))" }
}

/// The value of a system call, or its errno as an error that names the call.
@discardableResult
func answer(
    _ value: Int64, _ call: @autoclosure () -> String
) throws(PosixCallFailure) -> Int64 {
    if value < 0 {
        let errno = Errno(rawValue: Int32(truncatingIfNeeded: -value))
        throw PosixCallFailure(errno: errno, call: call())
    }
    return value
}

func expectEqual<T: Equatable>(
    _ got: T, _ expected: T, _ note: String = "", file: StaticString = #fileID, line: UInt = #line
) throws {
    if got == expected { return }
    throw PosixFailure("expected \(expected), got \(got) \(note)", file: file, line: line)
}

func expectTrue(
    _ condition: Bool, _ note: @autoclosure () -> String = "", file: StaticString = #fileID,
    line: UInt = #line
) throws {
    if condition { return }
    throw PosixFailure("expected true, got false \(note())", file: file, line: line)
}

/// Expects `call` to fail with this errno.
func expectError<T>(
    _ expected: Errno, _ call: @autoclosure () throws -> T, _ note: String = "",
    file: StaticString = #fileID, line: UInt = #line
) throws {
    do {
        _ = try call()
    } catch let failure as PosixCallFailure {
        if failure.errno == expected { return }
        throw PosixFailure("expected \(expected), got \(failure) \(note)", file: file, line: line)
    }
    throw PosixFailure("expected \(expected), got success \(note)", file: file, line: line)
}
