import MayflyTestSupport
import Testing

/// What the first use of a fresh mount costs. The figures are Docs/Benchmarks.md's, by
/// `Tests/Benchmarks/first-use.py`; here the shortest of some rounds are held, which another load of the
/// machine hardly moves.
@Suite(
    .serialized, .timeLimit(.minutes(3)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct FirstUseTests {
    /// Nothing that is done for the first time waits for a thread to start or a table to grow.
    @Test func firstOperationsTakeAMillisecond() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"
            "\#(ExampleTests.root)/Tests/Benchmarks/first-use.py" --rounds 15 --json "$mayfly" > times
            python3 - <<'END'
            import json
            times, = json.load(open("times"))
            assert len(times) >= 20, times
            # A build for debugging loads and parses many times as long.
            bounds = {"mayfly mount": 1000, "until the first file": 1000}
            late = {name: each for name, each in times.items() if each["least"] > bounds.get(name, 1)}
            assert not late, late
            END
            """#, seconds: 120)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// libarchive brings fifteen more libraries, which a mount has no use for.
    @Test func whatAMountDoesNotNeedIsNotLoaded() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir m tree; echo x > tree/f; tar czf t.tgz tree
            libraries() { grep -oE 'lib(archive|xml2|icu)[^ ]*' /proc/$1/maps | sort -u | wc -l; }
            "$mayfly" mount m --quiet
            server=$("$mayfly" list --json | python3 -c 'import json, sys
            print(*[each["processID"] for each in json.load(sys.stdin) if each["mountpoint"] == sys.argv[1]])' "$folder/m")
            echo "a mount: $(libraries $server)"
            "$mayfly" umount m
            mkdir broken; : > broken/libarchive.so.13
            LD_LIBRARY_PATH=$folder/broken "$mayfly" image build i --from t.tgz || echo "status $?"
            LD_LIBRARY_PATH=$folder/broken "$mayfly" image build i --from tree --quiet && echo "a folder needs none"
            "$mayfly" image build j --from t.tgz --quiet && echo "an archive"
            """#)
        #expect(
            outcome.output == "a mount: 0\nstatus 1\na folder needs none\nan archive\n"
                && outcome.errors.hasPrefix(
                    "mayfly: t.tgz cannot be read (libarchive.so.13 cannot be loaded: install"),
            "\(outcome.report)")
    }

    /// The program is loaded and its arguments are read once: the server is a fork of the command.
    @Test func oneProgramIsStarted() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir m; "$mayfly" mount m --quiet --size 4m -o noexec
            server=$("$mayfly" list --json | python3 -c 'import json, sys
            print(*[each["processID"] for each in json.load(sys.stdin) if each["mountpoint"] == sys.argv[1]])' "$folder/m")
            tr '\0' ' ' < /proc/$server/cmdline | sed "s|.*mayfly ||"; echo
            ls -l /proc/$server/fd | grep -c "$folder" || true
            [ "$(readlink /proc/$server/cwd)" = / ] && [ "$(readlink /proc/$server/fd/0)" = /dev/null ]
            "$mayfly" umount m
            """#)
        #expect(
            outcome.status == 0 && outcome.output == "mount m --quiet --size 4m -o noexec \n0\n",
            "\(outcome.report)")
    }
}
