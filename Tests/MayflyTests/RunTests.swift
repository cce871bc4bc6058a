import Glibc
import Testing

@testable import Mayfly

/// `mayfly run` with the real kernel, as root and as a user who may do nothing.
@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled(if: BuiltCommand.canMount, "needs root and /dev/fuse"))
struct RunTests {
    @Test func theCommandLivesInTheMountAndNobodyElseSeesIt() throws {
        let outcome = try BuiltCommand.script(
            """
            "$mayfly" run --at "$folder" -- sh -c '
                cd "$MAYFLY_ROOT" && [ "$(pwd)" = "$MAYFLY_ROOT" ] && [ "$TMPDIR" = "$MAYFLY_ROOT" ] &&
                echo 1 > inside && echo $PPID && [ -e /proc/$$/status ] &&
                grep -q " $MAYFLY_ROOT fuse.mayfly " /proc/self/mounts &&
                touch "$0/ready" && while [ ! -e "$0/go" ]; do sleep 0.05; done
            ' "$folder.d" 2> "$folder.err" & run=$!
            mkdir "$folder.d"
            until_true '[ -e "$folder.d/ready" ]'
            if grep -q "$folder" /proc/self/mounts; then echo seen; fi
            ls -A "$folder"
            # CAP_SYS_NICE stays only where the resource limit in its place cannot be raised.
            if (ulimit -e 20) 2> /dev/null; then kept=200000; else kept=a00000; fi
            grep CapEff /proc/$run/status | sed "s/0$kept/0<kept>/"
            touch "$folder.d/go"
            wait $run
            cat "$folder.err"
            rm -r "$folder.d" "$folder.err"
            """)
        #expect(outcome.status == 0, "\(outcome)")
        let lines = outcome.output.split(separator: "\n")
        try #require(lines.count == 3, "\(outcome)")
        #expect(lines[0] == "1", "the command is the child of process 1")
        #expect(lines[1] == "CapEff:\t0000000000<kept>")
        #expect(lines[2].hasPrefix("mayfly: used at most 4 KiB and 2 inodes, answered "))
    }

    @Test func whatIsSaidAtTheEnd() throws {
        let outcome = try BuiltCommand.script(
            #"""
            "$mayfly" run --quiet --report "$folder/r" -- sh -c '
                head -c 3000000 /dev/zero > a; rm a; kill -ALRM $$' || echo $?
            grep -E 'exitStatus|signal|peakInodes' "$folder/r"
            [ "$(sed -n 's/.*"peakBytes": \([0-9]*\),/\1/p' "$folder/r")" -ge 0 ]
            "$mayfly" run --report /nonexistent/r -- touch "$folder/ran" || echo $?
            [ ! -e "$folder/ran" ]
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.hasPrefix("142\n  \"exitStatus\": 142,\n  \"signal\": 14,\n"))
        #expect(outcome.output.hasSuffix("\n125\n"))
        #expect(
            outcome.errors == "mayfly: --report /nonexistent/r cannot be made "
                + "(No such file or directory): the folder it lies in must exist\n")
    }

    @Test func signalsArePassedOn() throws {
        let outcome = try BuiltCommand.script(
            """
            for signal in INT TERM HUP QUIT; do
                # A shell has what it puts in the background ignore SIGINT and SIGQUIT.
                env --default-signal=INT,QUIT "$mayfly" run --quiet -- sh -c "
                    trap 'echo $signal; exit 7' $signal; touch '$folder/up'
                    while :; do sleep 0.05; done" & run=$!
                until_true '[ -e "$folder/up" ]'
                sleep 0.1
                kill -$signal $run
                wait $run || echo $?
                rm "$folder/up"
            done
            """)
        #expect(outcome.output == "INT\n7\nTERM\n7\nHUP\n7\nQUIT\n7\n", "\(outcome)")
    }

    @Test func whatIsLeftRunningIsNamedAndEnded() throws {
        let outcome = try BuiltCommand.script(
            """
            export nap="4321.$$"
            "$mayfly" run --quiet -- sh -c '
                (setsid sleep $nap &); until pgrep -xf "sleep $nap" > mark; do sleep 0.05; done
                exit 5' || echo $?
            pgrep -xf "sleep $nap" || echo none
            """)
        #expect(outcome.output == "5\nnone\n", "\(outcome)")
        #expect(outcome.errors.hasPrefix("mayfly: the command has left running, and it is ended"))
        #expect(outcome.errors.hasSuffix(" (sleep)\n"))
    }

    @Test func nothingIsLeftWhenTheServerIsKilled() throws {
        let outcome = try BuiltCommand.script(
            """
            export nap="4322.$$"
            "$mayfly" run --at "$folder" -- sh -c '
                cd "$MAYFLY_ROOT"; yes > big & setsid sleep $nap & (setsid sleep $nap &); cat < /dev/zero > /dev/null &
                sleep $nap' & run=$!
            until_true '[ "$(pgrep -cxf "sleep $nap")" = 3 ]'
            kill -KILL $run
            wait $run || echo $?
            until_true '! pgrep -xf "sleep $nap" > /dev/null'
            until_true '! pgrep -f "mayfly run --at $folder" > /dev/null'
            ls -A "$folder"
            """)
        #expect(outcome.status == 0 && outcome.output == "137\n", "\(outcome)")
    }

    @Test func aFailedTreeIsKept() throws {
        let outcome = try BuiltCommand.script(
            #"""
            make='mkdir -m 750 d && echo text > d/f && ln d/f d/g && ln -s f d/l &&
                chown 12:13 d/f && chmod 4640 d/f && touch -d "2001-02-03 04:05:06.7" d/f &&
                python3 -c "import os; os.setxattr(\"d/f\", \"user.name\", b\"value\")" &&
                truncate -s 1G d/sparse; exit 3'
            "$mayfly" run --keep "$folder/tree" -- sh -c "$make" || echo $?
            "$mayfly" run --keep "$folder/tree.tar" -- sh -c "$make" || echo $?
            mkdir "$folder/untarred"
            tar -xpf "$folder/tree.tar" --xattrs -C "$folder/untarred"
            for tree in tree untarred; do
                cd "$folder/$tree/d"
                stat -c '%n %a %u %g %h %y' . f g | cut -d ' ' -f 1-7
                [ "$(stat -c %i f)" = "$(stat -c %i g)" ] && readlink l
                [ "$(du -k sparse | cut -f 1)" -lt 1000 ]
                python3 -c 'import os; print("xattr", os.getxattr("f", "user.name"))'
            done | sort | uniq -c | sed 's/^ *//; s/ [0-9-]* [0-9:.]*$//'
            cd "$folder"
            "$mayfly" run --quiet --keep "$folder/none" -- true; [ ! -e none ]
            "$mayfly" run --keep "$folder/tree" -- true || echo $?
            "$mayfly" run --quiet --keep "$folder/tree.mayfly" -- sh -c "$make" || echo $?
            mkdir m; "$mayfly" mount --quiet m --from tree.mayfly; stat -c '%n %a %u %g' m/d/f
            "$mayfly" umount m
            "$mayfly" run --at "$folder/untarred" --keep "$folder/untarred/x" -- true || echo $?
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.hasPrefix("3\n3\n"), "\(outcome)")
        #expect(outcome.output.contains("2 f 4640 12 13 2"), "\(outcome)")
        #expect(outcome.output.contains("2 f\n"), "\(outcome)")
        #expect(outcome.output.contains("2 xattr b'value'\n"), "\(outcome)")
        #expect(
            outcome.output.hasSuffix("125\n3\nm/d/f 4640 12 13\n125\n"), "\(outcome)")
        #expect(outcome.errors.contains("exists: name a new directory"), "\(outcome)")
    }

    /// /dev/fuse is opened to all in a mount namespace of the script's own.
    @Test func itTakesNoRoot() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cp "$mayfly" "$folder/mayfly"
            chmod 755 "$folder/mayfly"
            cat > "$folder/inner" <<'END'
            # A device node of its own, as its mode is not to change for the rest of the machine.
            mknod -m 666 "$folder/fuse" c 10 229
            mount --bind "$folder/fuse" /dev/fuse
            user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
            user "$folder/mayfly" run -- bash -c '
                printf "all: a b\na b:\n\techo \$@ > \$@\n" > Makefile && make -s && cat a b &&
                id -un && stat -c %U:%G . a && grep -c . /proc/self/uid_map'
            # Not by the function, whose shell would be what is killed.
            setpriv --reuid=nobody --regid=nogroup --clear-groups "$folder/mayfly" run --quiet -- \
                sh -c 'while :; do sleep 0.05; done' & run=$!
            until_true 'pgrep -P $run > /dev/null'
            pgrep -P $run | head -1
            grep fuse.mayfly /proc/self/mounts | grep -c nobody || true
            kill $run
            wait $run || echo $?
            pgrep -f "$folder/mayfly" || true
            END
            export mayfly folder
            export -f until_true
            unshare --mount bash -e "$folder/inner"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        let expected = "a\nb\nnobody\nnobody:nogroup\nnobody:nogroup\n1\n"
        #expect(outcome.output.hasPrefix(expected), "\(outcome)")
        #expect(outcome.output.hasSuffix("\n143\n"), "\(outcome)")
        #expect(outcome.errors.contains("mayfly: used at most "), "\(outcome)")
    }

    @Test func aUserWithoutTheDeviceIsTold() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cp "$mayfly" "$folder/mayfly"
            chmod 755 "$folder/mayfly"
            user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
            user "$folder/mayfly" run -- true || echo $?
            user "$folder/mayfly" mount "$folder" || echo $?
            """#)
        #expect(outcome.output.hasPrefix("125\n1\n"), "\(outcome)")
        #expect(outcome.errors.hasPrefix("mayfly: /dev/fuse may not be opened: "), "\(outcome)")
        #expect(outcome.errors.contains("\nmayfly: mounting is not permitted: "), "\(outcome)")
    }
}
