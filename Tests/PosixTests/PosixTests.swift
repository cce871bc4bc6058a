import Glibc
import MayflyTestSupport
import Testing

/// The POSIX suite on each file system, one after another.
///
/// Environment: `MAYFLY` names the binary, `MAYFLY_POSIX_ONLY` a part of the names of the cases to
/// run, `MAYFLY_POSIX_EVERY` of n runs one case of n, `MAYFLY_POSIX_LONG` asks for long runs, and
/// `MAYFLY_POSIX_ALONE` mounts for root alone, where the cases that act as another user fail.
@Suite(.serialized)
struct PosixTests {
    static let isRoot = geteuid() == 0
    static let cases = PosixSuite.all.enumerated().filter { index, each in
        index % step == 0 && environment("MAYFLY_POSIX_ONLY", in: each.name)
    }.map(\.element)
    private static let step = environment("MAYFLY_POSIX_EVERY").flatMap { Int($0) } ?? 1

    @Test(
        .serialized, .enabled(if: isRoot, "mounting tmpfs needs root"), PosixMountScope(.tmpfs),
        arguments: cases)
    func tmpfs(_ posixCase: PosixCase) throws { try run(posixCase) }

    @Test(
        .serialized, .enabled(if: MayflyBinary.mounts, MayflyBinary.reason),
        .enabled(if: hasRing, "/sys/module/fuse/parameters/enable_uring is not Y"),
        PosixMountScope(.ring), arguments: cases)
    func ring(_ posixCase: PosixCase) throws { try run(posixCase) }

    @Test(
        .serialized, .enabled(if: MayflyBinary.mounts, MayflyBinary.reason),
        PosixMountScope(.device), arguments: cases)
    func device(_ posixCase: PosixCase) throws { try run(posixCase) }

    private func run(_ posixCase: PosixCase) throws {
        do {
            try PosixMountScope.current!.run(posixCase)
        } catch let skip as PosixSkip {
            try Test.cancel("\(skip.reason)")
        }
    }

    static var hasRing: Bool {
        (try? PosixPath("/sys/module/fuse/parameters/enable_uring").text())?.hasPrefix("Y") == true
    }
}

/// The program under test.
enum MayflyBinary {
    /// `MAYFLY`, or the program beside the test bundle.
    static var path: String {
        environment("MAYFLY") ?? folder + "/mayfly"
    }

    /// Where programs are built.
    static var folder: String {
        let own = (try? PosixPath("/proc/self/exe").linkTarget()) ?? ""
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? own
        return bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/")
    }

    static let reason: Comment = "mayfly cannot mount, /dev/fuse is missing, or not root"

    /// Whether there is something to test and a kernel to test it on.
    static let mounts: Bool =
        PosixTests.isRoot && (try? PosixPath("/dev/fuse").isOpenable()) == true
        && (try? runProgram(["/bin/sh", "-c", asks, path])) == 0

    private static let asks = #""$0" mount --help | grep -q -e --transport"#
}

func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}

/// Whether `text` contains the variable's value; true when it is not set.
func environment(_ name: String, in text: String) -> Bool {
    guard let part = environment(name) else { return true }
    return text.contains(part)
}
