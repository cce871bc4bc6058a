import Glibc
import MayflyTesting
import Synchronization
import Testing

@testable import Mayfly
@testable import MayflyHost

/// How often the tree below was built.
private let builds = Atomic<Int>(0)
private let tree = ScratchImage { root in
    builds.add(1, ordering: .relaxed)
    try TextFile.write("fixture", to: "\(root)/a")
}

/// Whole small files.
enum TextFile {
    static func write(_ text: String, to path: String) throws {
        let file = unsafe open(path, O_CREAT | O_TRUNC | O_WRONLY, 0o644)
        try #require(file >= 0, "\(path): \(errno)")
        defer { close(file) }
        let count = unsafe Glibc.write(file, text, text.utf8.count)
        try #require(count == text.utf8.count)
    }

    static func text(at path: String) -> String? { HostFile.text(at: path) }
}

/// What the trait gives tests that run at once.
@Suite(
    .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot), .scratchMount(from: tree),
    .timeLimit(.minutes(2)))
struct ScratchTraitTests {
    @Test(arguments: 0..<8) func eachCaseHasItsOwnFork(number: Int) async throws {
        let mount = try #require(ScratchMount.current)
        #expect(TextFile.text(at: "\(mount.path)/a") == "fixture")
        try TextFile.write("\(number)", to: "\(mount.path)/a")
        try TextFile.write("", to: "\(mount.path)/of-\(number)")
        await Task.yield()
        #expect(TextFile.text(at: "\(mount.path)/a") == "\(number)")
        #expect(mount.statistics.usedInodes == 3)
        try mount.rollback()
        #expect(TextFile.text(at: "\(mount.path)/a") == "fixture")
        #expect(TextFile.text(at: "\(mount.path)/of-\(number)") == nil)
        #expect(builds.load(ordering: .relaxed) == 1)
    }

    @Test(.scratchMount(sizeBytes: 4096)) func theTraitOfATestWins() throws {
        let mount = try #require(ScratchMount.current)
        #expect(TextFile.text(at: "\(mount.path)/a") == nil)
        #expect(mount.fileSystem.summary.sizeBytes == 4096)
    }

    @Test func faultsAreOfOneMount() async throws {
        let mount = try #require(ScratchMount.current)
        let fork = try mount.fork()
        var rule = FaultRule(operation: "write", path: "a")
        rule.errno = "EIO"
        try mount.addFault(rule)
        func written(_ mount: ScratchMount) -> Int {
            let file = unsafe open("\(mount.path)/a", O_WRONLY)
            defer { close(file) }
            return unsafe write(file, "x", 1)
        }
        #expect(written(mount) == -1)
        #expect(errno == EIO)
        #expect(written(fork) == 1)
        #expect(try mount.faults().map(\.fired) == [1])
        try mount.clearFaults()
        #expect(written(mount) == 1)
    }

    @Test(.scratchMount(configure: { $0.durability = .fsync }))
    func aCrashLeavesWhatWasSynced() throws {
        let mount = try #require(ScratchMount.current)
        for name in ["synced", "not"] { try TextFile.write(name, to: "\(mount.path)/\(name)") }
        // Of what was changed since, this seed keeps nothing.
        for path in ["\(mount.path)/synced", mount.path] {
            let file = unsafe open(path, O_RDONLY)
            #expect(fsync(file) == 0)
            close(file)
        }
        try TextFile.write("later", to: "\(mount.path)/later")
        try mount.crash(seed: 0)
        #expect(TextFile.text(at: "\(mount.path)/synced") == "synced")
        #expect(TextFile.text(at: "\(mount.path)/later") == nil)
        #expect(TextFile.text(at: "\(mount.path)/not")?.contains("not") != true)
    }

    @Test func whatCannotBeBuiltFailsWhoAsks() async {
        struct Planned: Error {}
        let broken = ScratchImage { _ in throw Planned() }
        for _ in 0..<2 {
            await #expect(throws: Planned.self) {
                try await withScratchMount(from: broken) { _ in }
            }
        }
        await #expect(throws: MountError.self) {
            try await withScratchMount(from: "/nowhere/at/all") { _ in }
        }
    }
}
