import Glibc
import MayflyTesting
import Testing

@testable import Mayfly
@testable import MayflyHost

/// The library that other people's tests use.
@Suite(.enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ScratchMountTests {
    private struct Planned: Error {}

    private func isThere(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    private func put(_ text: String, at path: String) -> Int {
        let file = unsafe open(path, O_CREAT | O_WRONLY, 0o644)
        guard file >= 0 else { return -1 }
        defer { close(file) }
        return unsafe write(file, text, text.utf8.count)
    }

    @Test func isThereAndGoneAgain() async throws {
        let root = try await withScratchMount { root in
            #expect(put("text", at: "\(root)/a") == 4)
            #expect(isThere("\(root)/a"))
            return root
        }
        #expect(!isThere(root))
    }

    @Test func endsWhenTheBodyThrows() async throws {
        var root = ""
        await #expect(throws: Planned.self) {
            try await withScratchMount { path in
                root = path
                throw Planned()
            }
        }
        #expect(!root.isEmpty)
        #expect(!isThere(root))
    }

    @Test func limitsAreExact() async throws {
        try await withScratchMount(sizeBytes: 4096, inodes: 2) { root in
            #expect(put(String(repeating: "x", count: 8192), at: "\(root)/a") == 4096)
            #expect(put("", at: "\(root)/b") == -1)
            #expect(errno == ENOSPC)
        }
    }

    @Test func eachHasItsOwn() async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try await withScratchMount { root in
                        !isThere("\(root)/a") && put("text", at: "\(root)/a") == 4
                    }
                }
            }
            for try await isAlone in group { #expect(isAlone) }
        }
    }

    /// A descriptor that is still open fails from then on, and nothing hangs.
    @Test(.timeLimit(.minutes(5))) func aForgottenDescriptorDoesNotHang() async throws {
        let file = try await withScratchMount { root in
            unsafe open("\(root)/a", O_CREAT | O_RDWR, 0o644)
        }
        #expect(file >= 0)
        let written = unsafe write(file, "x", 1)
        #expect(written == -1)
        close(file)
    }

    /// As XCTest has it: made and ended by calls.
    @Test func callsInAMount() throws {
        let mount = try ScratchMount.make()
        defer { mount.end() }
        let file = "\(mount.path)/a"
        try TextFile.write("one", to: file)
        try mount.snapshot("one")
        try TextFile.write("two", to: file)
        let fork = try mount.fork()
        try mount.rollback(to: "one")
        #expect(TextFile.text(at: file) == "one")
        #expect(TextFile.text(at: "\(fork.path)/a") == "two")

        let image = try TemporaryFolder()
        try fork.save(to: "\(image.path)/saved")
        fork.end()
        fork.end()
        #expect(!isThere(fork.path))
        let second = try ScratchMount.make(from: "\(image.path)/saved")
        #expect(TextFile.text(at: "\(second.path)/a") == "two")
        try TextFile.write("three", to: "\(second.path)/a")
        try second.rollback()
        #expect(TextFile.text(at: "\(second.path)/a") == "two")
        second.end()
        #expect(second.statistics.usedInodes == 2)
    }

    @Test func endsWithTheLastReference() throws {
        var mount: ScratchMount? = try .make()
        let path = try #require(mount?.path)
        #expect(isThere(path))
        mount = nil
        #expect(!isThere(path))
    }

    /// Kills a process in the middle of its mounts, and looks what there is a second later.
    @Test(.timeLimit(.minutes(1))) func nothingIsLeftOfAProcessThatIsKilled() async throws {
        let folder = try TemporaryFolder()
        let note = "\(folder.path)/note"
        await #expect(processExitsWith: .signal(SIGKILL)) { [note = note as String] in
            let mount = try ScratchMount.make()
            try TextFile.write("text", to: "\(mount.path)/a")
            try mount.snapshot()
            let fork = try mount.fork()
            let open = unsafe open("\(fork.path)/a", O_RDWR)
            try #require(open >= 0)
            try TextFile.write(fork.path, to: note)
            kill(getpid(), SIGKILL)
        }
        let path = try #require(TextFile.text(at: note))
        let parent = "/" + path.split(separator: "/").dropLast().joined(separator: "/")
        try #require(parent.contains("mayfly-test-"))
        var rounds = 0
        while isThere(parent) && rounds < 100 {
            usleep(10_000)
            rounds += 1
        }
        #expect(!isThere(parent), "\(parent) is there still")
        #expect(TextFile.text(at: "/proc/self/mounts")?.contains(parent) != true)
    }

    /// A user who is not root, with /dev/fuse open to all: this program again, as that user.
    @Test(.timeLimit(.minutes(1))) func aUserNeedsNoRoot() throws {
        let outcome = try BuiltCommand.script(
            #"""
            mknod -m 666 "$folder/fuse" c 10 229
            mount --bind "$folder/fuse" /dev/fuse
            touch "$folder/tests" && mount --bind "\#(Self.program)" "$folder/tests"
            mkdir -m 700 "$folder/home" && chown 61236:61236 "$folder/home"
            trap 'set +e; cd /; umount /dev/fuse "$folder/tests"; rm -rf --one-file-system "$folder"' EXIT
            tests() {
                setpriv --reuid=61236 --regid=61236 --clear-groups env TMPDIR="$folder/home" \
                    MAYFLY_TEST_OF_USER=1 "$@" "$folder/tests" --testing-library swift-testing \
                    --filter ScratchMountOfUser 2>&1
            }
            cd "$folder"
            tests MAYFLY_TESTING_NAMESPACE=1 || exit 1
            until_true '[ -z "$(ls -A home)" ]'
            if tests; then exit 2; fi
            chmod 600 fuse
            if tests MAYFLY_TESTING_NAMESPACE=1; then exit 3; fi
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.contains("with MAYFLY_TESTING_NAMESPACE=1"), "\(outcome.report)")
        #expect(outcome.output.contains("chmod 666 /dev/fuse"), "\(outcome.report)")
    }

    private static let program = HostFile.link(at: "/proc/self/exe") ?? ""
}

/// What a user's test run is to be able to do; the test above runs it.
@Suite(.enabled(if: BuiltCommand.variable("MAYFLY_TEST_OF_USER") != nil, "another test runs it"))
struct ScratchMountOfUser {
    @Test(.scratchMount()) func mountsForksAndRollsBack() throws {
        #expect(geteuid() == 61236)
        let mount = try #require(ScratchMount.current)
        try TextFile.write("one", to: "\(mount.path)/a")
        let fork = try mount.fork()
        try mount.snapshot()
        try TextFile.write("two", to: "\(mount.path)/a")
        try mount.rollback()
        #expect(TextFile.text(at: "\(mount.path)/a") == "one")
        #expect(TextFile.text(at: "\(fork.path)/a") == "one")
    }
}
