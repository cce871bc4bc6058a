import Glibc
import Mayfly
import MayflyTesting
import Testing

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
}
