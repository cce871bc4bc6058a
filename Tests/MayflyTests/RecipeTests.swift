import MayflyTestSupport
import Testing

@testable import Mayfly

/// The recipes of Docs, typed as they stand.
@Suite(
    .serialized, .timeLimit(.minutes(5)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct RecipeTests {
    /// Each line that begins with "$ " is run, in one shell, in a small project. What follows it is what it
    /// prints, where "..." stands for anything.
    @Test func everyRecipeDoesWhatThePageSays() throws {
        let outcome = try BuiltCommand.script(
            #"""
            mkdir "$folder/bin" "$folder/project"; ln -s "$mayfly" "$folder/bin/mayfly"
            export PATH="$folder/bin:$PATH"; cd "$folder/project"
            printf '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' > hello.c
            printf 'BUILD = .\n$(BUILD)/hello: hello.c\n\tcc -o $@ hello.c\n' > Makefile
            cat > "$folder/recipes.py" <<'END'
            import re, subprocess, sys
            blocks = re.findall(r"```console\n(.*?)```", open(sys.argv[1]).read(), re.S)
            steps = [step for block in blocks for step in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)]
            assert len(steps) >= 7, steps
            shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for command, expected in steps:
                shell.stdin.write(command + "; echo '<end>'\n"); shell.stdin.flush()
                shown = ""
                for line in shell.stdout:
                    if line == "<end>\n": break
                    shown += line
                wanted = re.escape(expected).replace(re.escape("..."), ".*")
                if not re.fullmatch(wanted, shown): sys.exit(f"$ {command}\n{shown}--- and not ---\n{expected}")
            END
            python3 "$folder/recipes.py" "\#(ExampleTests.root)/Docs/Run.md"
            """#, seconds: 200)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// README.md and all other pages: in scenes of their own, and no recipe is left out.
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
