import Glibc
import Testing

@testable import Mayfly

/// What a user who is not root gets, and what others may do with their mount.
@Suite(
    .serialized, .timeLimit(.minutes(2)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct UserTests {
    /// Runs a script where /dev/fuse is open to all, `user` is a user and `other` another, and
    /// `$mayfly` is a copy that both can execute.
    private func script(_ text: String) throws -> ChildProcess.Outcome {
        try BuiltCommand.script(
            """
            # A device node of its own, as its mode is not to change for the rest of the machine.
            mknod -m 666 "$folder/fuse" c 10 229
            mount --bind "$folder/fuse" /dev/fuse
            cp "$mayfly" "$folder/mayfly"
            mayfly="$folder/mayfly"
            chmod 755 "$mayfly"
            mkdir -m 700 "$folder/home"
            chown 61234:61234 "$folder/home"
            user() { setpriv --reuid=61234 --regid=61234 --clear-groups "$@"; }
            other() { setpriv --reuid=61235 --regid=61235 --clear-groups "$@"; }
            trap 'set +e; cd /; umount /dev/fuse; rm -rf --one-file-system "$folder" /tmp/mayfly-6123?' EXIT
            \(text)
            """)
    }

    /// Root alone is let in, and modes refuse it nothing but to execute what nobody may: nobody checks
    /// them then, which only who has given up a capability can tell.
    @Test func permissionsAreCheckedWhereTheyCouldRefuseSomebody() throws {
        let outcome = try script(
            #"""
            weak() { setpriv --bounding-set=-dac_override,-dac_read_search "$@"; }
            for options in rw default_permissions; do
                mkdir "$folder/$options"
                "$mayfly" mount --quiet -o "$options" "$folder/$options"
                cd "$folder/$options"
                echo 'echo run' > script
                mkdir -m 0 closed
                chmod 0 script
                echo "$options:"
                test -x script || echo "no x"
                test -r script && test -w script && echo "rw"
                ./script 2> /dev/null || echo "cannot run"
                chmod 0100 script
                test -x script && ./script
                (cd closed && echo inside)
                other ls . 2> /dev/null || echo "not for others"
                weak ls closed 2> /dev/null && echo "weak is let in"
                mkdir "$folder/fork"
                "$mayfly" fork . "$folder/fork" > /dev/null
                weak ls "$folder/fork/closed" 2> /dev/null && echo "in the fork as well"
                cd /
                "$mayfly" umount "$folder/fork"
                "$mayfly" umount "$folder/$options"
                rmdir "$folder/fork"
            done
            """#)
        let both = "no x\nrw\ncannot run\nrun\ninside\nnot for others\n"
        #expect(
            outcome.output
                == "rw:\n\(both)weak is let in\nin the fork as well\ndefault_permissions:\n\(both)",
            "\(outcome.report)")
    }

    @Test func theMountOfARunAnswersItsOwnerAndRootAlone() throws {
        let outcome = try script(
            #"""
            user "$mayfly" run --quiet -- sh -c 'echo secret > file; while :; do sleep 0.05; done' \
                2> /dev/null &
            until_true 'user "$mayfly" list | grep -q serving'
            mount=$(user "$mayfly" list | sed -n 's/^\[\(.*\)\] .*/\1/p')
            server=$(user "$mayfly" list | sed -n 's/.* //; $p')
            for who in user "" other; do
                echo "as $who:"
                $who "$mayfly" stat "$mount" | head -1 || true
                $who "$mayfly" resize "$server" --size 32m | cut -d ' ' -f 3-5 || true
                $who "$mayfly" top "$mount" --once --interval 0.1 | grep -c '^mayfly' || true
                $who "$mayfly" list | grep -c "serving.*$server" || true
            done 2>&1 | sed "s|$mount|MOUNT|; s|$server|SERVER|; s| but in .*||"
            ls "$mount"
            other ls "/proc/$server/root$mount" 2>&1 | sed 's/.*: //'
            # A server that is killed leaves its socket to whoever looks next.
            kill -KILL "$server"
            until_true '! pgrep -u 61234 > /dev/null || [ "$(ps -o stat= -u 61234 | grep -vc Z)" = 0 ]'
            user "$mayfly" list > /dev/null
            ls -A /tmp/mayfly-61234
            """#)
        let answers = "mount      MOUNT\nhas 32 MiB\n1\n1\n"
        #expect(
            outcome.output.hasPrefix("as user:\n\(answers)as :\n\(answers)as other:\n"),
            "\(outcome.report)")
        let said = outcome.output.split(separator: "\n")
        #expect(said.count { $0.hasSuffix(" is not in a mayfly mount") } >= 2, "\(outcome.report)")
        #expect(outcome.output.hasSuffix("\nPermission denied\n"), "\(outcome.report)")
    }

    @Test func theMountOfRootIsNotToBeAskedByUsers() throws {
        let outcome = try script(
            #"""
            mkdir "$folder/m"
            "$mayfly" mount "$folder/m" --size 8m > /dev/null
            for command in "stat" "resize --size 4m" "top --once" "umount" "umount --lazy"; do
                user "$mayfly" $command "$folder/m" 2>&1 || echo $?
            done | sed "s|$folder|F|"
            user ls "$folder/m" 2>&1 | sed 's/.*: //'
            "$mayfly" umount "$folder/m"
            """#)
        let foreign = "mayfly: F/m is another user's mount: ask as its owner or as root\n1\n"
        let refused =
            "mayfly: unmounting F/m is not permitted: run as root, or in the namespace that mounted "
            + "it\n1\n"
        #expect(
            outcome.output
                == foreign + foreign + foreign + refused + refused + "Permission denied\n",
            "\(outcome.report)")
    }

    @Test func whatCannotBeDoneIsSaidBeforeTheCommandRuns() throws {
        let outcome = try script(
            #"""
            mkdir -m 700 "$folder/closed"
            PATH="$folder/closed:$PATH"
            user "$mayfly" run --quiet -- no-such-command || echo $?
            user "$mayfly" run --quiet --keep "$folder/closed/x" -- touch "$folder/home/ran" || echo $?
            user "$mayfly" run --quiet --keep "$folder/home/kept" -- sh -c 'echo 1 > f; exit 3' || echo $?
            user cat "$folder/home/kept/f"
            ls "$folder/home"
            """#)
        #expect(outcome.output == "127\n125\n3\n1\nkept\n", "\(outcome.report)")
        #expect(outcome.errors.contains("no-such-command was not found"), "\(outcome.report)")
        #expect(outcome.errors.contains("cannot be made (Permission denied)"), "\(outcome.report)")
    }

    /// The server lives on in a namespace that has a copy of its mount, where nobody can unmount it.
    @Test func aMountThatAnotherNamespaceHasEndsWithOneSignal() throws {
        let outcome = try script(
            #"""
            mkdir "$folder/m"
            "$mayfly" mount "$folder/m" --foreground --size 8m > /dev/null & server=$!
            until_true 'grep -q " $folder/m fuse.mayfly " /proc/self/mounts'
            unshare --mount --propagation private sleep 60 & keeper=$!
            until_true '[ "$(cat /proc/$keeper/comm)" = sleep ]'
            umount "$folder/m"
            sleep 0.3
            kill -0 $server
            kill -TERM $server
            wait $server; echo $?
            kill $keeper
            """#)
        #expect(outcome.output == "0\n", "\(outcome.report)")
    }
}
