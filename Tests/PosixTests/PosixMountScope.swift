import MayflyTestSupport
import Synchronization
import Testing

/// Mounts a file system before the cases of a test and unmounts it after them.
struct PosixMountScope: TestTrait, TestScoping {
    @TaskLocal static var current: PosixRunner?

    let kind: PosixKind

    init(_ kind: PosixKind) { self.kind = kind }

    /// Once around the whole test, not around each of its cases.
    func scopeProvider(for test: Test, testCase: Test.Case?) -> PosixMountScope? {
        testCase == nil ? self : nil
    }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let runner = PosixRunner(kind)
        try await Self.$current.withValue(runner) { try await function() }
        let status = runner.stop()
        #expect(status == 0, "the server ended with status \(status)")
    }
}

/// The mount that cases of one kind share; a server that died is replaced for the next case.
final class PosixRunner: Sendable {
    private struct State {
        var mount: PosixMount?
        /// The small mounts of the case that runs.
        var small: [PosixMount] = []
        var caseCount = 0
    }

    private let kind: PosixKind
    private let state = Mutex(State())

    init(_ kind: PosixKind) { self.kind = kind }

    func run(_ posixCase: PosixCase) throws {
        let kind = kind
        let (root, mount, index) = try state.withLock { state in
            state.caseCount += 1
            state.small = []
            if let old = state.mount, !old.isAlive {
                old.stop()
                state.mount = nil
            }
            if let options = posixCase.mayflyOptions, kind != .tmpfs {
                let own = try Self.mount(kind, options: options)
                return (own.root, own, state.caseCount)
            }
            let mount = try state.mount ?? Self.mount(kind)
            state.mount = mount
            return (mount.root, mount, state.caseCount)
        }
        let isOwn = posixCase.mayflyOptions != nil && kind != .tmpfs
        defer { if isOwn { mount.stop() } }
        let context = PosixContext(root: root / "case\(index)", kind: kind) { bytes, inodes in
            let mount = try Self.mount(kind, bytes: bytes, inodes: inodes)
            self.state.withLock { $0.small.append(mount) }
            return mount
        }
        try PosixSuite.run(posixCase, context) {
            mount.abort()
            state.withLock { $0.small }.forEach { $0.abort() }
        }
        if !mount.isAlive { throw PosixFailure("the server died during the case") }
    }

    /// The exit status of the server, 0 when there is none.
    func stop() -> Int64 { state.withLock { $0.mount?.stop() ?? 0 } }

    private static func mount(
        _ kind: PosixKind, bytes: Int = 0, inodes: Int = 0, options: String? = nil
    ) throws -> PosixMount {
        switch kind {
        case .tmpfs: try .tmpfs(bytes: bytes, inodes: inodes)
        case .ring, .device:
            try .mayfly(
                binary: MayflyBinary.path, kind: kind, bytes: bytes, inodes: inodes,
                options: options)
        }
    }
}
