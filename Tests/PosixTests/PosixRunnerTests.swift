import Glibc
import MayflyTestSupport
import Synchronization
import Testing

/// The runner itself: a failure is told with its place, and a hang ends.
@Suite
struct PosixRunnerTests {
    private func context() throws -> PosixContext {
        let path = "/tmp/mayfly-runner-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        return PosixContext(root: PosixPath(path), kind: .tmpfs) { _, _ in
            throw PosixSkip(reason: "no small mounts")
        }
    }

    @Test func failureIsThrown() throws {
        let failing = PosixCase("runner/fails") { _ in throw PosixFailure("wrong") }
        let context = try context()
        let failure = #expect(throws: PosixFailure.self) {
            try PosixSuite.run(failing, context) {}
        }
        #expect(failure?.description.hasPrefix("PosixTests/PosixRunnerTests.swift:") == true)
        #expect(unsafe rmdir(context.root.description) == 0)
    }

    @Test func hangIsEndedByAbort() throws {
        let aborted = AbortFlag()
        let hanging = PosixCase("runner/hangs") { _ in
            while !aborted.value.load(ordering: .acquiring) { usleep(1000) }
        }
        let context = try context()
        #expect(throws: PosixFailure.self) {
            try PosixSuite.run(hanging, context, timeoutSeconds: 1) {
                aborted.value.store(true, ordering: .releasing)
            }
        }
        #expect(unsafe rmdir(context.root.description) == 0)
    }

    @Test func namesAreUnique() {
        let names = PosixSuite.all.map(\.name)
        #expect(Set(names).count == names.count)
    }

    private final class AbortFlag: Sendable {
        let value = Atomic(false)
    }
}
