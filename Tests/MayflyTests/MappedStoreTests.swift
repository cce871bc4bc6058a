import Testing

/// What was stored in a mapping, and neither synced nor unmapped, is in a snapshot that is taken then, and not in the
/// tree after a rollback. The kernel's syncfs(2) does not wait for it on all versions.
@Suite(
    .serialized, .timeLimit(.minutes(2)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct MappedStoreTests {
    private static let scene = #"""
        import mmap, os, subprocess, sys, time
        mayfly, transport = sys.argv[1:]
        os.mkdir("m")
        subprocess.run([mayfly, "mount", "m", "--quiet", "--faults", *transport.split()], check=True)
        def do(*words): subprocess.run([mayfly, *words], check=True, stdout=subprocess.DEVNULL)
        try:
            with open("m/f", "wb") as file: file.write(b"-" * 65536)
            # An answer takes its time, so that one that is not waited for is missed.
            do("fault", "add", "m", "--op", "write", "--delay", "20ms")
            file = open("m/f", "r+b")
            mapping = mmap.mmap(file.fileno(), 65536)
            for turn in range(4):
                word = b"turn%d" % turn
                mapping[0:5] = word
                os.mkdir(f"fork{turn}")
                do("fork", "m", f"fork{turn}")
                content = open(f"fork{turn}/f", "rb").read()
                assert content[0:5] == word, ("fork", turn, content[0:5])
                do("umount", f"fork{turn}")
                mapping[40960:40965] = word
                do("snapshot", "m", f"s{turn}")
                mapping[8192:8197] = b"later"
                do("rollback", "m", f"s{turn}")
                time.sleep(0.3)
                content = open("m/f", "rb").read()
                seen = content[0:5], content[40960:40965], content[8192:8197]
                assert seen == (word, word, b"-----"), ("rollback", turn, seen)
        finally:
            do("fault", "clear", "m")
            mapping.close(); file.close()
            do("umount", "m")
        print("kept")
        """#

    @Test(arguments: ["", "--transport dev"])
    func isInASnapshotAndGoesWithARollback(_ transport: String) throws {
        let outcome = try BuiltCommand.script(
            "cd \"$folder\"; cat > scene.py <<'END'\n\(Self.scene)\nEND\npython3 scene.py \"$mayfly\" '\(transport)'"
        )
        #expect(outcome.output == "kept\n", "\(outcome.report)")
    }
}
