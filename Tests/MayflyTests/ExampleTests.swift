import Testing

@testable import Mayfly

/// The examples in other languages, as their readers run them.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ExampleTests {
    static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    private static let folder = root + "/Docs/Examples"

    /// Runs an example from a folder of its own, and expects words in what it prints.
    private func run(_ command: String, says words: String...) throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"
            export MAYFLY="$mayfly" TMPDIR="$folder" PYTHONDONTWRITEBYTECODE=1
            \(command)
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        for word in words { #expect(outcome.output.contains(word), "\(outcome.report)") }
    }

    @Test func shell() throws {
        try run(
            "sh \(Self.folder)/shell/tree.sh", says: "ok changes_stay_in_the_test\n",
            "ok begins_with_the_tree\n", "ok goes_back\n")
    }
}

/// What users of the libraries read.
@Suite struct PublicDocumentationTests {
    @Test func thePictureIsOfTheFigures() throws {
        let outcome = try ChildProcess.run(
            ["/usr/bin/env", "python3", "\(ExampleTests.root)/Docs/picture.py", "--check"],
            seconds: 20)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    @Test(.timeLimit(.minutes(2))) func everySymbolHasItAndDocCIsContent() throws {
        let build = BuiltCommand.path.split(separator: "/").dropLast().joined(separator: "/")
        let outcome = try ChildProcess.run(
            [
                "/usr/bin/env", "PYTHONDONTWRITEBYTECODE=1", "python3",
                "\(ExampleTests.root)/Docs/api.py",
                "--build", "/\(build)",
            ], seconds: 100)
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}
