import Glibc
import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyCommand

/// The command line of `mayfly run`: where its options end.
@Suite struct RunCommandLineTests {
    @Test(
        arguments: [
            (["run", "make", "-j8"], ["run", "--", "make", "-j8"]),
            (["run", "ls", "-la"], ["run", "--", "ls", "-la"]),
            (
                ["run", "--quiet", "--size", "4g", "x", "--size", "1"],
                ["run", "--quiet", "--size", "4g", "--", "x", "--size", "1"]
            ),
            (["run", "--size=4g", "x"], ["run", "--size=4g", "--", "x"]),
            (["run", "-osize=4g", "x"], ["run", "-osize=4g", "--", "x"]),
            (["run", "-o", "size=4g", "x"], ["run", "-o", "size=4g", "--", "x"]),
            (["run", "env", "--", "x"], ["run", "--", "env", "--", "x"]),
            (["run", "-", "x"], ["run", "--", "-", "x"]),
            (["run", "--here", "--", "-x"], ["run", "--here", "--", "-x"]),
            (["run", "--here"], ["run", "--here"]), (["run", "--size"], ["run", "--size"]),
            (["mount", "run", "make"], ["mount", "run", "make"]), ([], []),
        ] as [([String], [String])])
    func theFirstWordThatIsNoOptionIsTheCommand(_ given: [String], _ expected: [String]) {
        #expect(RunArguments.terminated(given) == expected)
    }

    /// What the parser knows to take a value, it must be known here to take one.
    @Test func optionsWithAValueAreThoseOfTheHelp() throws {
        let help = try BuiltCommand.run(["run", "--help"]).output
        var valued: Set<String> = []
        for line in help.split(separator: "\n") where line.hasPrefix("  -") {
            let words = line.split(separator: " ")
            guard words.count > 1, words[1].hasPrefix("<") else { continue }
            valued.insert(String(words[0]))
        }
        #expect(valued.contains("--size"), "\(help)")
        #expect(valued == RunArguments.optionsWithValue)
    }
}

/// Where the command of `mayfly run` starts, with the real kernel.
@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled(if: BuiltCommand.canMount, "needs root and /dev/fuse"))
struct RunPlaceTests {
    @Test func itStaysInTheFolderOfTheCaller() throws {
        let outcome = try BuiltCommand.script(
            #"""
            mkdir "$folder/project"; cd "$folder/project"; echo all: > Makefile; mkdir target
            check='[ "$PWD" = "$0" ] && [ "$(pwd -P)" = "$0" ] && [ -e Makefile ] && [ -n "$TMPDIR" ] &&
                [ "$TMPDIR" = "$MAYFLY_ROOT" ] && [ "$(stat -f -c %T "$TMPDIR")" = fuseblk ]'
            "$mayfly" run --quiet --here sh -c "$check"'; [ "$MAYFLY_ROOT" != "$0" ]; mktemp > made' "$PWD"
            grep -q ^/ made
            "$mayfly" run --quiet --at target -- sh -c "$check"'; [ "$MAYFLY_ROOT" = "$0/target" ]
                echo 1 > target/made' "$PWD"
            [ -z "$(ls target)" ]; echo kept > target/old
            cd target
            "$mayfly" run --quiet --at . sh -c '[ ! -e old ] && [ -z "$(ls)" ] && echo 1 > new && pwd' > ../where
            [ "$(cat ../where)" = "$PWD" ]; [ "$(ls)" = old ]
            mkdir sub; cd sub
            "$mayfly" run --quiet --at "$folder/project/target" pwd && exit 1
            rmdir "$PWD"; "$mayfly" run --quiet --here true && exit 1; cd "$folder"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        let lines = outcome.errors.split(separator: "\n").map(String.init)
        try #require(lines.count == 2, "\(outcome)")
        #expect(
            lines[0].hasPrefix("mayfly: ")
                && lines[0].contains("/project/target/sub, where the command")
                && lines[0].contains("cannot be entered (No such file or directory)"), "\(lines)")
        #expect(lines[1].contains("the folder that you are in cannot be reached"), "\(lines)")
    }

    @Test func optionsAfterTheCommandAreTheCommands() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; printf 'all: a b\na b:\n\techo $@ > $@\n' > Makefile; echo 1 > .hidden
            "$mayfly" run --quiet --here make -s -j8; cat a b
            "$mayfly" run --quiet --here ls -a --quiet 2>&1 | grep -c "unrecognized option" || true
            "$mayfly" run --quiet --here ls -a
            "$mayfly" run --quiet --here printf '%s\n' -- --size $'\xff' | od -An -c | head -2
            "$mayfly" run --qiet ls || echo $?
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        let expected = """
            a
            b
            1
            .
            ..
            .hidden
            Makefile
            a
            b
               -   -  \\n   -   -   s   i   z   e  \\n 377  \\n
            125

            """
        #expect(outcome.output == expected)
        #expect(outcome.errors.contains("unknown option '--qiet'"), "\(outcome)")
    }

    /// Runs in the root of a run around them, and where nothing is empty to mount on.
    @Test func itRunsWhereEverythingIsTaken() throws {
        let outcome = try BuiltCommand.script(
            #"""
            for place in mnt media srv; do mount -t tmpfs -o size=64k none /$place; touch /$place/taken; done
            cat > "$folder/nest" <<END
            [ "\$1" = 0 ] && exec sh -c 'pwd; ls -A | wc -l'
            exec "$mayfly" run --quiet --at "\$MAYFLY_ROOT" sh "$folder/nest" \$((\$1 - 1))
            END
            "$mayfly" run --quiet sh -c 'echo outer > file; sh "$0" 3; cat file; pwd' "$folder/nest"
            # Another user within, who may not write where root has made room.
            chmod 755 "$folder"; cp "$mayfly" "$folder/mayfly"; mknod -m 666 "$folder/fuse" c 10 229
            mount --bind "$folder/fuse" /dev/fuse
            "$mayfly" run --quiet --allow-other setpriv --reuid=nobody --regid=nogroup --clear-groups \
                "$folder/mayfly" run --quiet sh -c 'id -un; "$0" run --quiet id -un' "$folder/mayfly"
            umount /mnt /media /srv /dev/fuse
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        let room = "/sys/fs/fuse/connections/1"
        #expect(outcome.output == "\(room)\n0\nouter\n\(room)\nnobody\nnobody\n", "\(outcome)")
        #expect(outcome.errors.isEmpty, "\(outcome)")
    }

    @Test func withoutACommandItIsTheShell() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; printf '#!/bin/sh\necho "mine $#"; cat; exit 6\n' > shell; chmod 755 shell
            echo input | SHELL="$PWD/shell" "$mayfly" run --quiet || echo $?
            echo 'echo "$0"; pwd; exit 4' | SHELL=/nowhere "$mayfly" run --quiet --here -- || echo $?
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 6, "\(outcome)")
        #expect(lines[...2] == ["mine 0", "input", "6"])
        // That of root's account.
        #expect(lines[3].hasSuffix("sh") && lines[5] == "4", "\(lines)")
    }

    /// On a terminal: the user's own files are read, and the prompt says where one is.
    @Test(arguments: ["bash", "sh"])
    func thePromptSaysWhereOneIs(_ shell: String) throws {
        let outcome = try BuiltCommand.script(
            #"""
            cat > "$folder/type.py" <<'END'
            import os, pty, select, sys, time
            mayfly, home, shell = sys.argv[1:]
            pid, terminal = pty.fork()
            if pid == 0:
                os.chdir(home)
                os.environ.update(HOME=home, SHELL="/bin/" + shell, ENV="$HOME/.shrc", PS1="")
                os.execv(mayfly, [mayfly, "run", "--quiet", "--at", "at it"])
            seen = b""
            def until(text):
                global seen
                end = time.time() + 60
                while text not in seen:
                    assert time.time() < end, seen
                    if select.select([terminal], [], [], 1)[0]: seen += os.read(terminal, 65536)
            until(b"(mayfly " + home.encode() + b"/at it) mine:")
            # A folder that is mounted nowhere has the path /.
            os.write(terminal, b'echo "<$mine$ENV$MAYFLY_ENV>"; ls -l /proc/$$/fd | grep -c -- "-> /$"; echo en"d"\n')
            until(b"end\r\n")
            line = seen.decode().replace("\r", "").split("\n")[-4:-2]
            print(*[word[word.rindex("<"):] if "<" in word else word for word in line])
            os.write(terminal, b"exit 3\n"); until(b"exit 3\r\n")
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            END
            mkdir "$folder/at it"
            echo 'mine=yes; PS1="mine: "' | tee "$folder/.bashrc" > "$folder/.shrc"
            python3 "$folder/type.py" "$mayfly" "$folder" \#(shell)
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "<yes$HOME/.shrc> 0\n3\n", "\(outcome)")
    }
}
