import MayflyTestSupport
import Testing

@testable import Mayfly

/// The recipes of Docs, typed as they stand.
@Suite(
    .serialized, .timeLimit(.minutes(5)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct RecipeTests {
    /// README.md and all pages: in scenes of their own, and no recipe is left out.
    @Test func everyPageDoesWhatItSays() throws {
        let outcome = try ChildProcess.run(
            [
                "/usr/bin/env", "python3", "\(ExampleTests.root)/Tests/Recipes/run",
                BuiltCommand.path,
            ], seconds: 200)
        #expect(outcome.status == 0 && outcome.output.contains(" recipes were run, 0 faults"))
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}
