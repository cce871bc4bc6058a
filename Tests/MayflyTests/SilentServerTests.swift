import Glibc
import Testing

@testable import Mayfly

/// Servers that are there and do not answer: no command waits for them for long.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct SilentServerTests {
    private static let functions = #"""
        # A command's status, whether it took less than 5 s, and what it said of our mounts. Nobody
        # waits for the command: one that waits for a server in the kernel cannot even be killed.
        bounded() {
            rm -f "$folder/status"
            (
                set +e
                "$mayfly" "$@" > "$folder/said" 2>&1
                echo $? > "$folder/status.new"
                mv "$folder/status.new" "$folder/status"
            ) &
            local begin=$(date +%s%N)
            until [ -e "$folder/status" ] || [ $(($(date +%s%N) - begin)) -gt 12000000000 ]; do
                sleep 0.05
            done
            local took="soon"
            if [ $(($(date +%s%N) - begin)) -gt 5000000000 ]; then took="late"; fi
            echo "$1: $(cat "$folder/status" 2> /dev/null || echo hangs) $took"
            grep -F "$folder" "$folder/said" |
                sed "s|$folder|F|g; s|\b$server\b|STOPPED|g; s|\b$other\b|OTHER|g; s|  *| |g; s/ \(ring\|device\) / WAY /; s|^|    |"
        }
        server_of() {
            sed 's/.*"processID":\([0-9]*\).*/\1/' /run/mayfly/$(mountpoint -d "$1" | cut -d: -f2).json
        }
        # Mounts m, whose server is to be stopped, and n.
        mount_two() {
            mkdir "$folder/m" "$folder/n"
            "$mayfly" mount "$folder/m" --size 8m > /dev/null
            "$mayfly" mount "$folder/n" --size 8m > /dev/null
            server=$(server_of "$folder/m")
            other=$(server_of "$folder/n")
            trap 'set +e; kill -CONT $server $other 2> /dev/null; cd /
                umount -fl "$folder/m" "$folder/n" 2> /dev/null
                rm -rf --one-file-system "$folder"' EXIT
        }

        """#

    @Test func aStoppedServerIsNotWaitedFor() throws {
        let outcome = try BuiltCommand.script(
            Self.functions + #"""
                mount_two
                ln -s "$folder/m" "$folder/link"
                kill -STOP $server
                bounded list
                bounded list --json
                grep -A 9 '"mountpoint" : "'"$folder/m" "$folder/said" | grep -o '"state" : .*'
                bounded stat "$folder/m"
                bounded stat "$folder/m/never/looked/up"
                bounded stat "$folder/link/neither"
                bounded top "$folder/m" --once
                bounded umount "$folder/m/nor/this"
                # More questions than the socket of a server has room for.
                for _ in $(seq 20); do "$mayfly" stat "$folder/m" 2> /dev/null & asked+=($!); done
                for question in ${asked[@]}; do wait $question || true; done
                bounded stat "$folder/m"
                kill -CONT $server
                until_true '"$mayfly" stat "$folder/m" | grep "8 MiB" > /dev/null'
                "$mayfly" umount "$folder/m"
                # An end is asked for, and one that is stopped hears of it.
                kill -STOP $other
                bounded umount "$folder/n"
                until_true '! ps -o stat= -p $other | grep -qv Z'
                """#, seconds: 120)
        let says =
            "mayfly: the server of F/m does not answer: it is stopped; let it go on with "
            + "`kill -CONT STOPPED`"
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                list: 0 soon
                    F/m silent - - - - STOPPED
                    F/n serving 0 B 8 MiB 1 WAY OTHER
                    \(says)
                list: 0 soon
                     "mountpoint" : "F/m",
                     "problem" : "\(says.dropFirst(8))",
                     "mountpoint" : "F/n",
                     "mountpoint" : "F/n",
                "state" : "silent"
                stat: 32 soon
                    \(says)
                stat: 32 soon
                    \(says)
                stat: 32 soon
                    \(says)
                top: 32 soon
                    \(says)
                umount: 1 soon
                    mayfly: F/m/nor/this is not a mountpoint: `findmnt -t fuse.mayfly` lists those there are
                stat: 32 soon
                    \(says)
                umount: 0 soon

                """, "\(outcome)")
    }

    /// Of a program that serves no socket there is only the mount itself to ask, where its process
    /// cannot be seen.
    @Test func aMountWithoutASocketIsNotWaitedFor() throws {
        let outcome = try BuiltCommand.script(
            Self.functions + #"""
                mount_two
                for mount in m n; do
                    rm /run/mayfly/$(mountpoint -d "$folder/$mount" | cut -d: -f2).*
                done
                kill -STOP $server
                bounded list
                # Where no process of the machine is to be seen. It ends when what has asked ends.
                export -f bounded
                export mayfly folder server other
                unshare --pid --fork --mount-proc bash -c 'bounded list' > "$folder/hidden" & hidden=$!
                until_true '[ $(grep -c "F/m does not" "$folder/hidden") = 1 ]'
                kill -CONT $server
                wait $hidden
                cat "$folder/hidden"
                kill -KILL $other
                until_true '! ps -o stat= -p $other | grep -qv Z'
                bounded list
                unshare --pid --fork --mount-proc bash -c 'bounded list'
                """#, seconds: 120)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                list: 0 soon
                    F/m silent - - - - STOPPED
                    F/n serving - - - - OTHER
                    mayfly: the server of F/m does not answer: it is stopped; let it go on with `kill -CONT STOPPED`
                list: 0 soon
                    F/m silent - - - - -
                    F/n serving - - - - -
                    mayfly: the server of F/m does not answer: ask again, or end the mount with `mayfly umount --force F/m`
                list: 0 soon
                    F/m serving - - - - STOPPED
                    F/n dead - - - - -
                list: 0 soon
                    F/m serving - - - - -
                    F/n dead - - - - -

                """, "\(outcome)")
    }

    /// Killed while it writes to its own mount: a zombie with a thread that waits for an answer from
    /// itself, which nothing but the end of the connection ends.
    @Test(arguments: [false, true])
    func aServerThatHangsAsItEndsIsNotWaitedFor(isDetached: Bool) throws {
        let outcome = try BuiltCommand.script(
            Self.functions
                + #"""
                mkdir "$folder/m"
                "$mayfly" mount "$folder/m" --size 64m --faults > /dev/null
                server=$(server_of "$folder/m")
                other=none
                trap 'set +e; cd /; umount -fl "$folder/m" 2> /dev/null
                    rm -rf --one-file-system "$folder"' EXIT
                "$mayfly" fault add "$folder/m" --op write --delay 60s | grep -o -e '--delay.*'
                "$mayfly" save "$folder/m" "$folder/m/image" > /dev/null 2>&1 & saving=$!
                until_true 'grep -qs request_wait_answer /proc/$server/task/*/wchan'
                bounded list
                kill -KILL $server
                kill $saving
                until_true 'ps -o stat= -p $server | grep -q Z'
                bounded list
                bounded stat "$folder/m"
                bounded umount "$folder/m"
                if [ IS_DETACHED = true ]; then umount -l "$folder/m"; bounded umount "$folder/m"; fi
                bounded umount --force "$folder/m"
                until_true '! [ -e /proc/$server/task/$server ] || [ $(ls /proc/$server/task | wc -l) = 1 ]'
                bounded list
                """#.replacing("IS_DETACHED", with: "\(isDetached)"), seconds: 120)
        let detached = """
            umount: 1 soon
                mayfly: F/m is detached or in another mount namespace: `mayfly umount --force F/m` ends it

            """
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                --delay 60s
                list: 0 soon
                    F/m silent - - - - STOPPED
                    mayfly: the server of F/m does not answer: see what process STOPPED does with `ps -L STOPPED`, or end the mount with `mayfly umount --force F/m`
                list: 0 soon
                    F/m silent - - - - STOPPED
                    mayfly: the server of F/m does not answer: process STOPPED hangs as it ends; end the mount with `mayfly umount --force F/m`
                stat: 32 soon
                    mayfly: the server of F/m does not answer: process STOPPED hangs as it ends; end the mount with `mayfly umount --force F/m`
                umount: 32 soon
                    mayfly: F/m is busy, kept so by STOPPED (mayfly): end them, or use --lazy
                \(isDetached ? detached : "")umount: 0 soon
                list: 0 soon

                """, "\(outcome)")
    }
}
