import Glibc
import Testing

@testable import Mayfly
@testable import MayflyHost

/// What cannot be had is refused before anything is mounted, and what the machine lacks is said.
@Suite(
    .serialized, .timeLimit(.minutes(3)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct StartRefusalTests {
    private static func script(_ text: String) throws -> ChildProcess.Outcome {
        try BuiltCommand.script(
            #"""
            m="$folder/m"
            mkdir "$m"
            mounts() { grep -c " $folder.* fuse.mayfly " /proc/self/mountinfo || true; }
            trap 'set +e; cd /; umount -l "$m" 2> /dev/null; rm -rf --one-file-system "$folder"' EXIT

            """# + text)
    }

    @Test func limitsThatCannotBeAreRefusedAndLeaveNoMount() throws {
        let outcome = try Self.script(
            #"""
            mkdir "$folder/tree"
            echo text > "$folder/tree/f"
            "$mayfly" image build "$folder/image.mayfly" --from "$folder/tree" > /dev/null
            for from in "" "--from $folder/image.mayfly"; do
                for limit in "--size 6e" "--size 200t" "--size 64t" "--inodes 4g" "--inodes 5t"; do
                    "$mayfly" mount "$m" $from $limit 2>&1 || echo $?
                    mounts
                done
            done
            # More than the address space has is an error of the system.
            "$mayfly" mount "$m" --from "$folder/image.mayfly" --size 63t 2> /dev/null || echo $?
            mounts
            "$mayfly" mount "$m" --from "$folder/image.mayfly" --size 8m --quiet
            cat "$m/f"
            "$mayfly" umount "$m"
            """#)
        let size = " is more than a mount can have: give a --size below 64t\n1\n0\n"
        let inodes = " inodes are more than a mount can have: give --inodes below 4g\n1\n0\n"
        let refused =
            ["6 EiB", "200 TiB", "64 TiB"].map { "mayfly: a size of \($0)\(size)" }.joined()
            + ["4294967296", "5497558138880"].map { "mayfly: \($0)\(inodes)" }.joined()
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == refused + refused + "2\n0\ntext\n", "\(outcome)")
    }

    /// A C string would end there.
    @Test(arguments: [
        "/v1/fork", "/v1/save", "/v1/snapshots", "/v1/snapshots/remove", "/v1/rollback", "/v1/diff",
        "/v1/faults", "/v1/unmount", "/v1/limits",
    ])
    func aNULInABodyIsRefused(_ path: String) throws {
        let mount = try ControlledMount()
        let place = try TemporaryFolder()
        let bodies: [[UInt8]] = [
            Array(#"{"path": "\#(place.path)\u0000x", "name": "a\u0000b"}"#.utf8),
            Array(#"{"operation": "write", "path": "\\\u0000", "errno": "EIO"}"#.utf8),
            Array("{\"path\": \"\(place.path)\0x\", \"name\": \"a\"}".utf8),
            // JSON may be UTF-16 as well.
            "{\"path\": \"\(place.path)\", \"name\": \"a\"}".utf16.flatMap {
                [UInt8($0 & 255), 0]
            },
        ]
        for body in bodies {
            #expect(
                throws: ControlError.refused(
                    "the body has a NUL, which no name or path can have: leave it out", nil)
            ) { try mount.client.exchange("POST", path, body: body) }
        }
        #expect(MountTable.current().entry(at: place.path) == nil)
        #expect(HostFile.names(in: place.path).isEmpty)
    }

    @Test func anEscapedBackslashIsNoNUL() {
        func hasNUL(_ text: String) -> Bool { ControlInterface.hasNUL(Array(text.utf8)) }
        #expect(!hasNUL(#"{"name": "\\u0000"}"#))
        #expect(hasNUL(#"{"name": "\u00001"}"#))
        #expect(!hasNUL(#"{"name": "\u0001\u00e9"}"#))
        #expect(hasNUL(#"{"name": "\\\u0000"}"#))
        #expect(!hasNUL("\\"))
    }

    @Test func outputEndsThoughThereIsNoDevNull() throws {
        let outcome = try Self.script(
            #"""
            mkdir "$folder/dev"
            mknod "$folder/dev/fuse" c 10 229
            mount --bind "$folder/dev" /dev
            (timeout 30 "$mayfly" mount "$m" --size 8m | cat; echo ${PIPESTATUS[*]}) | tail -1
            umount -l /dev
            "$mayfly" umount "$m"
            # Nor does one that was started without them.
            timeout 30 "$mayfly" mount "$m" --size 8m <&- >&- 2>&-
            echo text > "$m/f"
            "$mayfly" umount "$m"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "0 0\n", "\(outcome)")
    }

    @Test func tooFewDescriptorsAreRefused() throws {
        let outcome = try Self.script(
            #"""
            (ulimit -n 10; "$mayfly" mount "$m" --size 8m) 2>&1 || echo $?
            (ulimit -n 10; "$mayfly" run -- true) 2>&1 || echo $?
            mounts
            # The soft limit alone is no hindrance, and a command keeps it.
            (ulimit -S -n 20; "$mayfly" mount "$m" --size 8m --quiet)
            "$mayfly" stat "$m" | grep -c '^server'
            "$mayfly" umount "$m"
            (ulimit -S -n 20; "$mayfly" run --quiet -- sh -c 'ulimit -n')
            """#)
        let lines = outcome.output.split(separator: "\n")
        #expect(outcome.status == 0 && lines.count == 7, "\(outcome)")
        for line in [0, 2] where lines.count > line {
            #expect(lines[line].hasPrefix("mayfly: the server needs "), "\(outcome)")
            #expect(
                lines[line].hasSuffix(" descriptors and may have 10: raise `ulimit -n`"),
                "\(outcome)")
        }
        #expect([1, 3, 4, 5, 6].map { lines[$0] } == ["2", "125", "0", "1", "20"], "\(outcome)")
    }

    @Test func withoutProcTheCommandsSaySo() throws {
        let outcome = try Self.script(
            #"""
            umount -l /proc
            for command in "mount $m" "list" "umount $m" "stat $m" "run -- /bin/false"; do
                "$mayfly" $command 2>&1 || echo $?
            done
            "$mayfly" --version | cut -d ' ' -f 1
            "$mayfly" run --help | head -1
            mount -t proc proc /proc
            """#)
        let missing =
            "mayfly: /proc is missing, which tells what is mounted: mount it with "
            + "`mount -t proc proc /proc`\n"
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == String(repeating: "\(missing)2\n", count: 4)
                + "\(missing)125\nmayfly\n"
                + "OVERVIEW: Run a command in a file system in memory that ends with it.\n",
            "\(outcome)")
    }
}
