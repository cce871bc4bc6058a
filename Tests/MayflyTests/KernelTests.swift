import Glibc
import Testing

@testable import Mayfly

/// The oldest kernel that is supported, which has no ring, and the newest, over the ring: booted
/// under emulation, with some of these same tests in them (Docs/Kernels.md).
@Suite(
    .serialized, .timeLimit(.minutes(60)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct KernelTests {
    /// With the groups that run in each; more of them take longer than a run of the tests should.
    private static let kernels = [("6.1:2", "job,mounts"), ("7:2", "job")]
    private static let command =
        "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Kernels/run"
    private static let canBoot =
        (try? ChildProcess.run(["bash", command, "--fetch"] + kernels.map(\.0), seconds: 600))?
        .status == 0

    /// The two at the same time: an emulated machine takes one processor.
    @Test(.enabled(if: canBoot, "no kernel can be fetched, or qemu is missing"))
    func theTestsPassOnTheOldestAndTheNewestKernel() throws {
        let build = BuiltCommand.path.split(separator: "/").dropLast().joined(separator: "/")
        let guests = try Self.kernels.map { kernel, groups in
            try ChildProcess(
                ["bash", Self.command, "--only", groups, kernel],
                environment: ["MAYFLY_BUILD": "/" + build])
        }
        for guest in guests {
            let outcome = try guest.wait(seconds: 50 * 60)
            #expect(outcome.status == 0, "\(outcome.report)")
            #expect(outcome.output.contains("passed"), "\(outcome.report)")
            print(outcome.output)
        }
    }
}
