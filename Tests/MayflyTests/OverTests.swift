import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyHost
@testable import MayflyImages
@testable import MayflyRunning

/// Parts of `mayfly run --over` that need no mount.
@Suite struct OverPartTests {
    @Test(
        arguments: [
            ("node_modules/", "a/node_modules", true, true),
            ("node_modules/", "a/node_modules", false, false),
            ("*.o", "a/b/c.o", false, true), ("*.o", "c.o/d", false, true),
            ("*.o", "c.obj", false, false),
            ("/build", "build", true, true), ("/build", "a/build", true, false),
            ("./build", "build", true, true), ("a/b", "a/b", false, true),
            ("a/b", "x/a/b", false, false),
            ("**/b", "x/a/b", false, true), ("a/**", "a/b/c", false, true),
            ("a/**", "a", true, false),
            ("a/**/b", "a/b", false, true), ("a/**/b", "a/x/y/b", false, true),
            ("a/*/b", "a/x/y/b", false, false), ("*", "anything", false, true),
            ("\\!important", "!important", false, true), ("[ab]c", "bc", false, true),
            ("/", "a", true, false), ("a ", "a ", false, true),
        ] as [(String, String, Bool, Bool)])
    func patternsAreThoseOfGitignore(
        _ pattern: String, _ path: String, _ isFolder: Bool, _ isOut: Bool
    ) {
        var patterns = IgnorePatterns()
        patterns.add(Array(pattern.utf8))
        #expect(patterns.leavesOutWithAbove(Array(path.utf8), isFolder: isFolder) == isOut)
    }

    @Test func theLastPatternOfAFileDecides() {
        var patterns = IgnorePatterns()
        patterns.add(file: Array("# comment\n\n*.log  \r\n!keep.log\n\\#odd\ntrailing\\ \n".utf8))
        func isOut(_ name: String) -> Bool { patterns.leavesOut(Array(name.utf8), isFolder: false) }
        #expect(isOut("a.log") && !isOut("keep.log") && isOut("#odd") && isOut("trailing "))
        #expect(!isOut("# comment") && !isOut("a"))
        patterns.add([0xFF])
        #expect(patterns.leavesOut([0xFF], isFolder: false))
    }

    @Test func listsOfChangesComeBackAsTheyWere() {
        var stamp = SourceStamp()
        stamp.inode = .max
        stamp.modified = -7
        stamp.changedNanoseconds = 999_999_999
        let changes = [
            TreeChange(kind: .added, aspects: [], path: [], stamp: nil),
            TreeChange(
                kind: .changed, aspects: [.mode, .flags], path: [0xFF, 0x2F, 0x0A], stamp: stamp),
            TreeChange(kind: .removed, aspects: [], path: Array("a/b".utf8), stamp: stamp),
        ]
        let bytes = ChangeList.encoded(changes)
        #expect(ChangeList.decoded(bytes) == changes)
        #expect(ChangeList.decoded(Array(bytes.dropLast())) == nil)
        #expect(ChangeList.decoded([9]) == nil)
    }

    @Test func aSummaryDoesNotListWhatLiesInAnAddedFolder() {
        func change(_ kind: TreeDifference.Kind, _ path: String) -> TreeChange {
            TreeChange(
                kind: kind, aspects: kind == .changed ? [.size, .mode] : [], path: Array(path.utf8),
                stamp: nil)
        }
        let lines = ChangeSummary.lines(
            [
                change(.changed, "a"), change(.added, "b c"), change(.added, "b c/d"),
                change(.added, "b c/d/e"), change(.added, "bb"), change(.removed, "x"),
            ], in: "/p")
        #expect(
            lines == [
                "changed in /p: 4 added, 1 changed, 1 removed", "  ~ a  (size, mode)",
                "  + 'b c'  (and 2 in it)", "  + bb", "  - x",
            ])
        let many = (0..<100).map { change(.added, "f\($0)") }
        #expect(ChangeSummary.lines(many, in: "/p").last == "  ... and 80 more")
        #expect(ChangeSummary.lines([], in: "/p") == ["nothing was changed in /p"])
    }
}

/// `mayfly run --over` with the real kernel.
@Suite(
    .serialized, .timeLimit(.minutes(10)),
    .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct OverTests {
    /// `$folder/tree` makes a project in the folder that it is started in, `$folder/edit` changes it in all
    /// ways there are, and `$folder/list` prints all that a tree holds.
    private static let tools = #"""
        cat > "$folder/tree" <<'END'
        set -e
        mkdir -p src/deep empty gone/below wasdir/in locked; echo one > src/a; echo two > src/b; echo 3 > src/c
        echo same > src/deep/kept; ln -s a src/link; ln -s nowhere dangling; ln src/b src/b2
        echo x > gone/f; echo y > gone/below/g; echo z > wasdir/in/h; echo w > wasfile; mkfifo pipe
        echo shared > h1; ln h1 h2; ln h1 h3; echo m > mode; echo u > $'\xff\xfe'; echo q > "with 'quotes' \"and\" more"
        echo l > locked/f; chmod 555 locked; truncate -s 1M sparse; echo end >> sparse
        touch -d '2001-02-03 04:05:06.789' src/a src/deep/kept h1
        python3 -c 'import os; os.setxattr("src/a", "user.old", b"1"); os.setxattr("mode", "user.gone", b"2")'
        END
        cat > "$folder/edit" <<'END'
        set -e
        echo more >> src/a; echo new > src/new; rm src/c; rm src/link; ln -s b src/link; ln -sfn else dangling
        rm -r gone; rm -r wasdir; echo file > wasdir; rm wasfile; mkdir wasfile; echo in > wasfile/in
        chmod 700 mode; touch -d '2002-03-04 05:06:07.5' src/deep/kept; mkdir -m 750 -p new; mkdir new/e; echo 1 > new/f
        mkdir -p one/two/three; echo deep > one/two/three/f; rmdir empty; mkdir empty2
        echo changed > h1; ln src/deep/kept another; mkfifo pipe2; rm pipe; echo v >> $'\xff\xfe'; echo n > $'n\xfdw'
        python3 -c 'import os, socket
        os.setxattr("src/a", "user.new", b"3"); os.removexattr("src/a", "user.old"); os.removexattr("mode", "user.gone")
        socket.socket(socket.AF_UNIX).bind("socket")'
        chmod u+w locked; echo l2 > locked/g; rm locked/f; chmod 555 locked
        truncate -s 2M sparse; echo over > "with 'quotes' \"and\" more"; ln new/f new/g; chmod 400 new/f; chmod 555 new/e
        mv src/b src/moved; touch -d '2003-04-05 06:07:08.25' src
        END
        cat > "$folder/list" <<'END'
        import hashlib, os, stat
        inodes = {}
        for path, folders, files in os.walk(b"."):
            folders.sort()
            for name in sorted([b"."] + folders + files):
                p = os.path.join(path, name); s = os.lstat(p)
                if name == b"." and path != b".": continue
                what = b"-"
                if stat.S_ISREG(s.st_mode): what = hashlib.sha256(open(p, "rb").read()).hexdigest()
                if stat.S_ISLNK(s.st_mode): what = os.readlink(p)
                xattrs = [(n, os.getxattr(p, n)) for n in os.listxattr(p)] if not stat.S_ISLNK(s.st_mode) else []
                first = inodes.setdefault((s.st_dev, s.st_ino), p)
                # What is new, or is changed with the clock's time, has one of its own.
                time = s.st_mtime_ns if s.st_mtime < 1.1e9 else 0
                print(p, oct(s.st_mode), s.st_uid, s.st_gid, s.st_size if not stat.S_ISDIR(s.st_mode) else 0, what, xattrs,
                      first, 0 if stat.S_ISDIR(s.st_mode) else (time, s.st_nlink))
        END
        list() { (cd "$1" && python3 "$folder/list"); }

        """#

    /// The same changes made on disk and made in memory and applied are the same.
    @Test func whatIsAppliedIsWhatTheCommandHasMade() throws {
        let outcome = try BuiltCommand.script(
            Self.tools + #"""
                mkdir "$folder/before" "$folder/disk" "$folder/project"
                for place in before disk project; do (cd "$folder/$place" && bash "$folder/tree"); done
                (cd "$folder/disk" && bash "$folder/edit"); list "$folder/disk" > "$folder/wanted"
                cd "$folder/project"; ln -s project "$folder/way"
                check='[ "$PWD" = "$0" ] && [ "$MAYFLY_ROOT" = "$0" ] && [ "$(stat -f -c %T .)" = fuseblk ] && pwd -P'
                "$mayfly" run --quiet --over . sh -c "$check" "$PWD" > ../where; [ "$(cat ../where)" = "$PWD" ]
                cd "$folder"
                # Through a link, from elsewhere, and nothing of it stays.
                "$mayfly" run --over way sh -c 'cd way && bash "$0/edit"' "$folder"
                list project | diff - <(list before)
                "$mayfly" run --quiet --over project --apply sh -c 'cd project && bash "$0/edit"' "$folder"
                list project | diff "$folder/wanted" -
                # Nothing is staged any more, and there is nothing to do.
                ls -A project | grep mayfly && exit 1
                "$mayfly" run --over project --apply true; list project | diff "$folder/wanted" -
                """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        let errors = outcome.errors
        #expect(
            errors.contains("/project: 17 added, ") && errors.contains("  - gone  (and 3 in it)"),
            "\(errors)")
        #expect(errors.contains("stays as it is: --apply applies changes to it"), "\(errors)")
        #expect(errors.contains("mayfly: nothing was changed in "), "\(errors)")
    }

    /// The same as a user who may do nothing, in a mount namespace of the script's own.
    @Test func itTakesNoRoot() throws {
        let outcome = try BuiltCommand.script(
            Self.tools + #"""
                cp "$mayfly" "$folder/mayfly"; chmod 755 "$folder/mayfly"; chmod 777 "$folder"
                mknod -m 666 "$folder/fuse" c 10 229; mount --bind "$folder/fuse" /dev/fuse
                user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
                export folder
                user bash -ec 'mkdir "$folder/disk" "$folder/project"; cd "$folder/disk"; bash "$folder/tree"
                    bash "$folder/edit"; cd "$folder/project"; bash "$folder/tree"'
                list "$folder/disk" > "$folder/wanted"
                cd "$folder/project"
                user "$folder/mayfly" run --quiet --over . --apply bash "$folder/edit"
                list . | diff "$folder/wanted" -
                # Others' files are the user's own within, and others' folders refuse.
                cd "$folder"; echo root > project/root; chmod 644 project/root; mkdir -m 755 project/theirs
                user "$folder/mayfly" run --quiet --over project --apply sh -ec '
                    [ "$(stat -c %U project/root)" = nobody ]; echo mine >> project/root'
                stat -c %U project/root; cat project/root
                user "$folder/mayfly" run --quiet --over project --apply sh -ec 'echo > project/theirs/f; echo 2 > project/n' || echo $?
                [ ! -e project/n ] && ls project/theirs
                echo secret > project/secret; chmod 600 project/secret
                user "$folder/mayfly" run --quiet --over project true || echo $?
                user "$folder/mayfly" run --quiet --over project --exclude /secret test ! -e project/secret
                rm project/secret
                # A mode that keeps its owner out.
                user "$folder/mayfly" run --quiet --over project --apply sh -ec 'echo dark > project/dark; chmod 0 project/dark'
                cat project/dark; stat -c %a project/dark
                rm -f /var/tmp/mayfly-changes-*; umount /dev/fuse
                """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output == "nobody\nroot\nmine\n125\n125\ndark\n0\n", "\(outcome.report)")
        #expect(
            outcome.errors.contains(
                "theirs/f cannot be applied (Permission denied), and nothing is"), "\(outcome)")
        #expect(outcome.errors.contains("secret: Permission denied"), "\(outcome)")
    }

    @Test func whatWasChangedMeanwhileIsNotOverwritten() throws {
        let outcome = try BuiltCommand.script(
            #"""
            export TMPDIR="$folder"; cd "$folder"; mkdir p p/d; echo 1 > p/a; echo 1 > p/b; echo 1 > p/d/f
            # Changes what is in memory, and waits until the disk is changed too.
            both() { rm -f go up; "$mayfly" run --over p "${@:3}" sh -ec "cd p; $1; touch $folder/up
                until [ -e $folder/go ]; do sleep 0.02; done" 2> errors & run=$!
                until_true '[ -e up ]'; (cd p; eval "$2"); touch go; status=0; wait $run || status=$?
                grep -v "used at most" errors > told || true; }
            refused() { [ $status = 125 ]; grep -q "mayfly:   $1" told; grep -q "so nothing is applied: --force" told
                kept=$(sed -n 's/.*kept in //p' told); tar -tf "$kept" > names; rm "$kept"; grep -q "$2" names; }
            both 'echo 2 > a; echo 2 > b; echo 2 > new' 'echo other > a' --apply
            refused 'a was changed meanwhile' '^b$'; [ "$(cat p/a p/b)" = $'other\n1' ] && [ ! -e p/new ]
            both 'echo 3 > a; rm b' 'echo 4 > a' --apply --force
            [ $status = 0 ]; [ "$(cat p/a)" = 3 ] && [ ! -e p/b ]
            # What the command has not touched is nobody's conflict.
            both 'echo 5 > b' 'echo 6 > a; mkdir p2' --apply
            [ $status = 0 ]; [ "$(cat p/a p/b)" = $'6\n5' ] && [ -d p/p2 ]
            both 'rm -r d' 'echo more > d/g' --apply;     refused 'd has g, which was made meanwhile' '^.wh.d$'; [ -e p/d/f ]
            both 'echo x > d/f' 'rm -r d' --apply;        refused 'd/f is gone' '^d/f$'; [ ! -e p/d ]
            both 'echo x > n' 'echo y > n' --apply;       refused 'n was made meanwhile' '^n$'; [ "$(cat p/n)" = y ]
            both 'chmod 700 a' 'chmod 644 a; touch a' --apply; refused 'a was changed meanwhile' '^a$'
            both 'mkdir e; echo x > e/x' 'mkdir e; echo y > e/y' --apply; [ $status = 0 ]; [ -e p/e/x ] && [ -e p/e/y ]
            both 'echo x > e/z' 'mv e f; ln -s f e' --apply;  refused 'e/z has no folder any more' '^e/z$'; [ ! -e p/f/z ]
            both 'rm n' 'rm n' --apply; [ $status = 0 ]
            # Where there is no room for what is new, nothing is applied either.
            mkdir small; mount -t tmpfs -o size=64k none small; echo 1 > small/f
            "$mayfly" run --quiet --over small --apply sh -c 'head -c 1M /dev/zero > small/big; rm small/f' 2> told || echo $?
            cat small/f; ls -A small; umount small; rm "$(sed -n 's/.*kept in //p' told)"; cat told
            """#, seconds: 120)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.hasPrefix("125\n1\nf\n"), "\(outcome.report)")
        #expect(
            outcome.output.contains("big cannot be applied (No space left on device)"),
            "\(outcome.report)")
    }

    @Test func theStatusIsTheCommands() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir p; echo 1 > p/a
            "$mayfly" run --quiet --over p --apply sh -c 'echo 2 > p/a; exit 7' || echo $?; cat p/a
            "$mayfly" run --quiet --over p --apply sh -c 'echo 2 > p/a; kill -KILL $$' || echo $?; cat p/a
            "$mayfly" run --quiet --over p --apply ./nothing || echo $?
            echo 'echo 2 > p/a; exit 4' | SHELL=/bin/sh "$mayfly" run --quiet --over p --apply || echo $?; cat p/a
            "$mayfly" run --quiet --over p --apply-always sh -c 'echo 3 > p/a; exit 5' || echo $?; cat p/a
            # Killed, nothing stays; interrupted, the command decides.
            "$mayfly" run --over p --apply sh -c 'echo 4 > p/a; touch "$0/up"; sleep 1000' "$folder" & run=$!
            until_true '[ -e up ]'; kill -KILL $run; wait $run || echo $?; cat p/a; rm up
            until_true '! pgrep mayfly-apply > /dev/null'; ls -A p
            env --default-signal=INT "$mayfly" run --quiet --over p --apply sh -c '
                trap "echo 5 > p/a; exit 0" INT; touch "$0/up"; while :; do sleep 0.02; done' "$folder" & run=$!
            until_true '[ -e up ]'; kill -INT $run; wait $run; cat p/a
            "$mayfly" run --over p --report r --apply sh -c 'echo > p/b; rm p/a' 2> /dev/null
            sed -n 's/^  "over"/over/p' r | sed "s|$folder|F|"
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(
            outcome.output == """
                7
                1
                137
                1
                127
                4
                1
                5
                3
                137
                3
                a
                5
                over: [{"path": "F/p", "added": 1, "changed": 0, "removed": 1, "applied": true, "kept": null}],

                """, "\(outcome.report)")
        #expect(
            outcome.errors.contains("the command failed, so nothing is applied to "), "\(outcome)")
    }

    @Test func optionsThatDoNotGoTogether() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir -p p/q r ro; ln -s p link; echo > file; mkdir b; mount --bind p b
            mount --bind ro ro; mount -o remount,bind,ro ro
            for options in "--over p --over p" "--over p --over link" "--over p --over p/q" "--over p/q --over p" \
                "--over p --over b" "--over /" "--over none" "--over file" "--apply" "--exclude x" "--keep-changes x.tar" \
                "--over p --ask" "--over p --force" "--over p --apply --ask" "--over p --at r" "--over p --from r" \
                "--over p --keep-changes x" "--over p --keep-changes none/x.tar" "--over p --over r --keep-changes x.tar" \
                "--over p --exclude-from none" "--over ro --apply"; do
                "$mayfly" run $options touch "$folder/ran" < /dev/null 2>&1 || echo $?
            done | sed "s|$folder|F|g"
            [ ! -e ran ]; umount b ro
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 42, "\(outcome.report)")
        #expect(lines.indices.allSatisfy { $0 % 2 == 0 || lines[$0] == "125" }, "\(lines)")
        let wanted = [
            "are one folder", "are one folder", "lie in each other: name the outer one",
            "lie in each other", "are one folder", "would be everything",
            "bad --over none (No such file or directory)", "bad --over file (it is no folder)",
            "--apply goes with --over DIR", "--exclude goes with --over",
            "--keep-changes goes with --over",
            "--ask needs a terminal", "--force goes with --apply or --ask",
            "--apply and --ask exclude",
            "--at and --over exclude each other", "--from and --over exclude each other",
            "name a file ending in .tar or .mayfly", "the folder that it lies in must exist",
            "--keep-changes goes with one --over", "--exclude-from none cannot be read",
            "F/ro is on a file system that is mounted read-only",
        ]
        for (number, text) in wanted.enumerated() {
            #expect(lines[2 * number].contains(text), "\(text): \(lines[2 * number])")
        }
    }

    @Test func partsAreLeftOut() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir -p p/node_modules/x p/src p/target; echo big > p/node_modules/x/f; echo 1 > p/src/a.o
            echo 2 > p/src/a.c; echo 3 > p/target/t; ln p/src/a.o p/src/linked; printf '*.o\n' > p/.gitignore
            cd p
            "$mayfly" run --quiet --over . --exclude node_modules/ --exclude-from .gitignore --exclude ./target --apply sh -ec '
                find . | sort; mkdir target node_modules; echo made > target/made; echo 9 > src/b.o; echo 4 > src/a.c
                echo 5 > src/linked'
            find . | sort; cat src/a.o src/a.c src/linked target/t
            # What is left out of a folder that is removed keeps it there.
            "$mayfly" run --quiet --over . --exclude '*.o' --apply sh -c 'rm -r src' || echo $?
            ls src; rm -f /var/tmp/mayfly-changes-*
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        let after = """
            .
            ./.gitignore
            ./node_modules
            ./node_modules/x
            ./node_modules/x/f
            ./src
            ./src/a.c
            ./src/a.o
            ./src/linked
            ./target
            ./target/t
            1
            4
            5
            3
            125
            a.c
            a.o
            linked

            """
        #expect(
            outcome.output == ".\n./.gitignore\n./src\n./src/a.c\n./src/linked\n" + after,
            "\(outcome.report)")
        #expect(
            outcome.errors.contains("src has a.o, which was made meanwhile or left out"),
            "\(outcome)")
    }

    @Test func changesAreKept() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir -p p/d q; echo 1 > p/a; echo 1 > p/b; echo 1 > p/d/x; echo 1 > p/d/y
            cd p
            "$mayfly" run --over . --keep-changes changes.tar sh -c 'echo 2 > a; rm -r d; mkdir -p n/m; echo 3 > n/m/f' 2> ../told
            [ "$(cat a)" = 1 ] && tar -tf changes.tar | sort && grep -c "kept in $PWD/changes.tar" ../told
            "$mayfly" run --quiet --over . --keep-changes changes.tar true || echo $?; rm changes.tar
            "$mayfly" run --quiet --over . --keep-changes ../c.tar true; [ ! -e ../c.tar ]
            "$mayfly" run --quiet --over . --keep-changes ../c.mayfly sh -c 'echo 4 > a; exit 3' || echo $?
            cd ..; "$mayfly" image list c.mayfly | awk '{ print $NF }'; "$mayfly" mount --quiet q --from c.mayfly; cat q/a; "$mayfly" umount q
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(
            outcome.output.hasPrefix(".wh.d\na\nn/\nn/m/\nn/m/f\n1\n125\n3\n"), "\(outcome.report)")
        #expect(outcome.output.hasSuffix("\n4\n"), "\(outcome.report)")
    }

    /// Several folders, and a run in a run.
    @Test func foldersInFolders() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir p q; echo 1 > p/a; echo 1 > q/a; chmod 700 q
            "$mayfly" run --quiet --over p --over q --apply sh -ec '
                [ "$MAYFLY_ROOT" = "$0/p" ]; echo 2 > p/a; echo 3 > q/a; echo 4 > q/b' "$folder"
            cat p/a q/a q/b
            # The inner one applies to the outer one's memory.
            "$mayfly" run --quiet --over p sh -ec '
                "$0" run --quiet --over p --apply sh -c "echo 5 > p/a; echo 5 > p/n"; cat p/a p/n
                "$0" run --quiet --over p sh -c "echo 6 > p/a"; cat p/a
                "$0" run --quiet sh -c "echo \$TMPDIR"' "$mayfly"
            cat p/a; ls p
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        try #require(lines.count == 9, "\(outcome.report)")
        #expect(
            lines[..<6] == ["2", "3", "4", "5", "5", "5"] && lines[7...] == ["2", "a"], "\(lines)")
    }

    /// On a terminal: yes applies, anything else does not, and an interruption is no answer.
    @Test func itAsks() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cat > "$folder/ask.py" <<'END'
            import os, pty, select, sys, time
            mayfly, home, answers, command = sys.argv[1:]
            pid, terminal = pty.fork()
            if pid == 0:
                os.chdir(home)
                os.execv(mayfly, [mayfly, "run", "--quiet", "--over", "p", "--ask", "sh", "-c", command])
            seen = b""
            def until(text):
                global seen
                end = time.time() + 60
                while text not in seen:
                    assert time.time() < end, seen
                    if select.select([terminal], [], [], 1)[0]: seen += os.read(terminal, 65536)
                seen = seen[seen.index(text) + len(text):]
            for answer in answers.encode().decode("unicode_escape").split(","):
                until(b"[y/N] "); os.write(terminal, answer.encode())
            try:
                while True:
                    data = os.read(terminal, 65536)
                    if not data: break
            except OSError: pass
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), open(home + "/p/a").read().strip())
            END
            mkdir "$folder/p"; echo 0 > "$folder/p/a"
            ask() { python3 "$folder/ask.py" "$mayfly" "$folder" "$@"; }
            ask 'n\n' 'echo 1 > p/a'; ask '\n' 'echo 1 > p/a'; ask '\x03' 'echo 1 > p/a'
            ask 'y\n' 'echo 2 > p/a'; ask 'YES\n' 'echo 3 > p/a; exit 9'
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output == "0 0\n0 0\n0 0\n0 2\n9 3\n", "\(outcome.report)")
    }

    /// A folder that becomes read-only while the command runs.
    @Test func aReadOnlyPlaceRefusesWithoutHalfOfIt() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir p; mount -t tmpfs none p; echo 1 > p/a; echo 1 > p/b
            "$mayfly" run --quiet --over p --apply sh -ec 'echo 2 > p/a; rm p/b; touch up; until [ -e go ]; do sleep 0.02; done' \
                2> told & run=$!
            until_true '[ -e up ]'; mount -o remount,ro p; touch go; wait $run || echo $?
            cat p/a p/b; rm "$(sed -n 's/.*kept in //p' told)"; cat told; umount p
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.hasPrefix("125\n1\n1\n"), "\(outcome.report)")
        #expect(
            outcome.output.contains("cannot be applied (Read-only file system), and nothing is"),
            "\(outcome.report)")
    }
}
