import Glibc
import Testing

@testable import Mayfly

/// A mount is what it is, wherever it has moved and whatever stands at its old path; and an unmount ends
/// no other use of the same file system.
@Suite(
    .serialized, .timeLimit(.minutes(5)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct MountIdentityTests {
    private static func script(_ text: String) throws -> ChildProcess.Outcome {
        try BuiltCommand.script(
            #"""
            m="$folder/m"
            mkdir "$m" "$folder/b" "$folder/c"
            server_of() {
                grep -l 'fuse_connection:.*\b'"$(mountpoint -d "$1" | cut -d: -f2)"'$' /proc/[0-9]*/fdinfo/* \
                    2> /dev/null | head -1 | cut -d/ -f3
            }
            mounts() { grep -c " $folder.* fuse.mayfly " /proc/self/mountinfo || true; }
            said() { sed "s|$folder|F|g; s/server [0-9][0-9]*/server N/; s/process [0-9][0-9]*/process N/"; }
            mount_it() { "$mayfly" mount "$1" --size 8m --quiet; server=$(server_of "$1"); }
            # Nothing of a failed script is to stay.
            trap 'set +e; cd /; exec 3>&-; kill $(jobs -p) $server 2> /dev/null
                grep -o " $folder[^ ]*" /proc/self/mountinfo | tac | xargs -r -n 1 umount -l
                rm -rf --one-file-system "$folder"' EXIT

            """# + text)
    }

    private static let goesOn = "mayfly: F/m is unmounted; its server N goes on, because "

    @Test func bindMountsAndTheirFilesOutliveTheirMount() throws {
        let outcome = try Self.script(
            #"""
            mount_it "$m"
            mkdir "$m/sub"
            mount --bind "$m/sub" "$folder/b"
            mount --bind "$m" "$folder/c"
            exec 3>> "$folder/b/g"
            "$mayfly" umount "$m" 2>&1 3>&- | said
            echo text >&3
            cat "$folder/c/sub/g"
            exec 3>&-
            "$mayfly" umount "$folder/c" 2>&1 | said
            cat "$folder/b/g"
            "$mayfly" umount "$folder/b"
            until_true '! kill -0 $server 2> /dev/null'
            # The part is unmounted, and its whole goes on.
            mount_it "$m"
            mkdir "$m/sub"
            mount --bind "$m/sub" "$folder/b"
            "$mayfly" umount "$folder/b" 2>&1 | said
            ls "$m"
            "$mayfly" umount "$m"
            # Only force ends it for all.
            mount_it "$m"
            mount --bind "$m" "$folder/b"
            "$mayfly" umount --force "$m"
            until_true '! kill -0 $server 2> /dev/null'
            ls "$folder/b" 2>&1 | sed 's/.*: //'
            umount "$folder/b"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                \(Self.goesOn)it is still mounted on F/b, F/c
                text
                mayfly: F/c is unmounted; its server N goes on, because it is still mounted on F/b
                text
                mayfly: F/b is unmounted; its server N goes on, because it is still mounted on F/m
                sub
                Transport endpoint is not connected

                """, "\(outcome)")
    }

    @Test func otherNamespacesAndChrootsGoOn() throws {
        let outcome = try Self.script(
            #"""
            mount_it "$m"
            echo text > "$m/f"
            mkfifo "$folder/fifo"
            unshare --mount --propagation private bash -c 'read < "$0/fifo"; cat "$0/m/f"' "$folder" \
                > "$folder/inside" & inner=$!
            until_true '[ "$(readlink /proc/$inner/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ] &&
                grep -q " $folder/m " /proc/$inner/mountinfo'
            "$mayfly" umount "$m" 2>&1 | said
            mounts
            echo > "$folder/fifo"
            wait $inner
            cat "$folder/inside"
            until_true '! kill -0 $server 2> /dev/null'
            # With shared propagation an unmount is one for all.
            mount --bind "$folder/c" "$folder/c"
            mount --make-shared "$folder/c"
            mkdir "$folder/c/m"
            mount_it "$folder/c/m"
            unshare --mount --propagation unchanged sleep 60 & inner=$!
            until_true '[ "$(cat /proc/$inner/comm)" = sleep ]'
            "$mayfly" umount "$folder/c/m"
            grep -c " $folder/c/m " /proc/$inner/mountinfo || true
            kill $inner
            umount "$folder/c"
            # One that has the mount as its root directory, in a place that is not seen from here.
            mount_it "$m"
            mkdir "$m/proc"
            python3 -ISc '
            import os, sys, time
            os.chroot(sys.argv[1]); os.chdir("/")
            print("in", flush=True)
            sys.stdin.read()' "$m" < <(sleep 60) > "$folder/said" & inner=$!
            until_true 'grep -q in "$folder/said"'
            "$mayfly" umount "$m" 2>&1 | said
            "$mayfly" umount --lazy "$m"
            kill -0 $server && kill $inner
            until_true '! kill -0 $server 2> /dev/null'
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                \(Self.goesOn)it is still mounted on F/m in the mount namespace of process N (bash)
                0
                text
                0
                mayfly: F/m is busy, kept so by \(outcome.busyProcess) (python3): end them, or use --lazy

                """, "\(outcome)")
    }

    @Test func aDescriptorAloneKeepsTheServer() throws {
        let outcome = try Self.script(
            #"""
            mount_it "$m"
            mount --bind "$m" "$folder/b"
            exec 3> "$folder/b/f"
            umount -l "$folder/b"
            "$mayfly" umount "$m" 2>&1 3>&- | said | sed 's/process.*/process N/'
            echo text >&3
            exec 3>&-
            until_true '! kill -0 $server 2> /dev/null'
            mounts
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == "\(Self.goesOn)files in it are open in process N\n0\n", "\(outcome)")
    }

    @Test func aSignalSparesBindMountsAndASecondDoesNot() throws {
        let outcome = try Self.script(
            #"""
            "$mayfly" mount "$m" --size 8m --quiet --foreground 2> "$folder/log" & server=$!
            until_true 'mountpoint -q "$m"'
            mount --bind "$m" "$folder/b"
            kill -TERM $server
            until_true 'grep -q "goes on" "$folder/log"'
            grep -o 'the server goes on.*' "$folder/log" | said
            mountpoint -q "$m" || echo unmounted
            echo text > "$folder/b/f"
            cat "$folder/b/f"
            kill -TERM $server
            wait $server && echo ended
            umount "$folder/b"
            # The last of them ends the server as well.
            "$mayfly" mount "$m" --size 8m --quiet --foreground 2> "$folder/log" & server=$!
            until_true 'mountpoint -q "$m"'
            mount --bind "$m" "$folder/b"
            kill -TERM $server
            until_true 'grep -q "goes on" "$folder/log"'
            umount "$folder/b"
            wait $server && echo ended
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                the server goes on, because it is still mounted on F/b: one more signal ends it for all
                unmounted
                text
                ended
                ended

                """, "\(outcome)")
    }

    /// The folder above the mountpoint is another user's, who puts a link in its place.
    @Test(arguments: ["kill -TERM $server", "post", "\"$mayfly\" umount \"$folder/u/away/m\""])
    func whatStandsAtTheOldPathIsNotUnmounted(_ end: String) throws {
        let outcome = try Self.script(
            #"""
            post() {
                curl -sf --unix-socket "/run/mayfly/$number.sock" -d '{}' http://mayfly/v1/unmount > /dev/null
            }
            mkdir -p "$folder/u/p/m" "$folder/o/m"
            chown -R nobody "$folder/u"
            mount_it "$folder/u/p/m"
            number=$(mountpoint -d "$folder/u/p/m" | cut -d: -f2)
            mount -t tmpfs precious "$folder/o/m"
            echo text > "$folder/o/m/f"
            runuser -u nobody -- bash -ec 'cd "$0/u"; mv p away; ln -s "$0/o" p' "$folder"
            "$mayfly" list | grep -c "^$folder/u/away/m "
            "$mayfly" stat "$folder/u/away/m" | grep -c "$folder/u/away/m$"
            """# + "\n\(end)\n" + #"""
                until_true '! kill -0 $server 2> /dev/null'
                cat "$folder/u/p/m/f"
                mounts
                umount "$folder/o/m"
                """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "1\n1\ntext\n0\n", "\(outcome)")
    }

    @Test func aMovedMountIsFollowed() throws {
        let outcome = try Self.script(
            #"""
            mount_it "$m"
            mount --move "$m" "$folder/b"
            "$mayfly" list | grep -o "^$folder/b *serving" | said | tr -s ' '
            "$mayfly" umount "$m" 2>&1 | said
            mounts
            "$mayfly" umount "$folder/b"
            mounts
            # What covers a mount is not taken for it.
            mount_it "$m"
            mount -t tmpfs over "$m"
            kill -TERM $server
            sleep 0.5
            "$mayfly" umount "$m" 2>&1 | said
            grep -c "$m" /proc/self/mountinfo
            umount "$m"
            "$mayfly" umount "$m"
            mkdir "$folder/c/m"
            mount_it "$folder/c/m"
            mount -t tmpfs over "$folder/c"
            "$mayfly" umount "$folder/c/m" 2>&1 | said
            umount "$folder/c"
            "$mayfly" umount "$folder/c/m"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                F/b serving
                mayfly: F/m is mounted on F/b now: run `mayfly umount F/b`
                1
                0
                mayfly: F/m is not a mayfly mount but tmpfs from over: use umount(8)
                2
                mayfly: F/c/m cannot be reached, because something else is mounted over it or over a folder above it: unmount that first

                """, "\(outcome)")
    }

    @Test func namesAreBytes() throws {
        let outcome = try Self.script(
            #"""
            composed="$folder/"$'caf\xc3\xa9'; decomposed="$folder/"$'cafe\xcc\x81'
            mkdir "$composed" "$decomposed"
            mount_it "$composed"
            "$mayfly" umount "$decomposed" 2> /dev/null || echo $?
            mounts
            mount_it "$decomposed"
            "$mayfly" list | grep -c "caf"
            "$mayfly" umount "$composed"
            mountpoint -q "$decomposed" && "$mayfly" umount "$decomposed"
            # No UTF-8 at all, and two that look alike when they are shown.
            mkdir "$folder/"$'x\xff' "$folder/"$'x\xfe'
            mount_it "$folder/"$'x\xff'
            "$mayfly" umount "$folder/"$'x\xfe' 2> /dev/null || echo $?
            "$mayfly" umount "$folder/"$'x\xff'
            mounts
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "1\n1\n2\n1\n0\n", "\(outcome)")
    }
}

extension ChildProcess.Outcome {
    /// The number in "kept so by NUMBER".
    fileprivate var busyProcess: String {
        let words = output.split(separator: " ")
        return words.firstIndex(of: "so").map { String(words[$0 + 2]) } ?? "?"
    }
}
