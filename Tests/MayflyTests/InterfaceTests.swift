import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyHost

/// Docs/openapi.yaml is what a server does.
@Suite(
    .serialized, .timeLimit(.minutes(5)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct InterfaceTests {
    private static let check = ExampleTests.root + "/Tests/OpenAPI/check.py"
    private static let hasTools = LanguageTests.has(
        "/usr/bin/python3", "-c", "import yaml, jsonschema")
    private static let noTools: Comment = "python3-yaml and python3-jsonschema are needed"

    /// The operations of the description, as lines: "POST /v1/save".
    private static func described() -> Set<String> {
        var path = ""
        var found: Set<String> = []
        for line in (HostFile.text(at: ExampleTests.root + "/Docs/openapi.yaml") ?? "").split(
            separator: "\n")
        {
            if line.hasPrefix("  /"), line.hasSuffix(":") {
                path = String(line.dropFirst(2).dropLast())
            } else if !path.isEmpty, line.hasPrefix("    "), line.hasSuffix(":"),
                ["get", "post"].contains(line.dropFirst(4).dropLast())
            {
                found.insert("\(line.dropFirst(4).dropLast().uppercased()) \(path)")
            }
        }
        return found
    }

    @Test func everyRouteIsDescribed() {
        #expect(Self.described() == Set(ControlRequest.operations))
    }

    @Test(.enabled(if: hasTools, noTools)) func aServerDoesWhatIsDescribed() throws {
        let outcome = try BuiltCommand.script(
            """
            # Notes of images that were compared are kept there.
            export XDG_DATA_HOME="$folder/data"
            /usr/bin/python3 '\(Self.check)' "$mayfly" "$folder"
            """, seconds: 120)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.hasSuffix(" operations, 0 problems\n"), "\(outcome.report)")
    }

    /// Requests that schemathesis makes of the description, those against it among them.
    @Test(.enabled(if: hasTools, noTools)) func schemathesisFindsNothing() throws {
        let outcome = try BuiltCommand.script(
            """
            export HOME="$folder" XDG_DATA_HOME="$folder/data"
            /usr/bin/python3 -m venv --system-site-packages "$folder/venv"
            if ! timeout 150 "$folder/venv/bin/pip" install -q 'schemathesis>=4.0,<5' 2> "$folder/pip"; then
                echo "not to be had"; tail -1 "$folder/pip"; exit 0
            fi
            mkdir "$folder/work"
            /usr/bin/python3 '\(Self.check)' "$mayfly" "$folder/work" --fuzz "$folder/venv/bin/schemathesis"
            """, seconds: 280)
        if outcome.output.hasPrefix("not to be had") {
            try Test.cancel("schemathesis cannot be installed: \(outcome.output)")
        }
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}

/// `GET /v1/events` and `mayfly watch`.
@Suite(
    .serialized, .timeLimit(.minutes(1)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct EventTests {
    /// What happens, in the order in which it happens, and at the end what was done until then.
    @Test(arguments: TestTransport.allCases)
    func aWatcherIsToldOfEverything(_ transport: TestTransport) throws {
        try MountedPython.script(
            transport,
            """
            start --faults --durability fsync --size 1m
            "$mayfly" watch m --json > events & watcher=$!
            until_true 'grep -q mounted events'
            python '
            write("file", "x")
            run("snapshot", m, "one")
            run("rollback", m, "one")
            run("resize", m, "--size", "512k")
            run("crash", m, "--seed", "0")
            rule = add("--op", "write", "--path", "file", "--errno", "EIO")
            fails(errno.EIO, lambda: write("file", "y"))
            clear()
            add("--op", "write", "--path", "other", "--errno", "EIO", "--nth", "1")
            time.sleep(1.3)
            fails(errno.EIO, lambda: write("other", "y"))
            fails(errno.ENOSPC, lambda: write("big", "y" * (2 << 20)))
            '
            "$mayfly" umount m
            wait $watcher
            python '
            events = [json.loads(line) for line in open(folder + "/events")]
            names = [event["event"] for event in events]
            assert names[:5] == ["mounted", "snapshot", "rollback", "resized", "crash"], names
            assert sorted(names[5:]) == ["ended", "fault", "fault", "full"], names
            assert names[-1] == "ended" and names[5] == "fault", names
            assert all(event["mountpoint"] == m for event in events), events
            assert events[1]["snapshot"]["name"] == events[2]["rollback"]["name"] == "one", events
            assert events[3]["bytes"]["limit"] == 512 << 10, events
            assert events[4]["crash"]["seed"] == 0, events
            faults = [event for event in events if event["event"] == "fault"]
            assert all(fault["count"] == fault["fault"]["fired"] for fault in faults), faults
            assert faults[0]["fault"]["rule"]["path"] == "file", faults
            full = next(event for event in events if event["event"] == "full")
            assert full["count"] >= 1 and full["bytes"]["limit"] == 512 << 10, full
            assert events[-1]["requests"] > events[0]["requests"], events
            times = [event["timeNanoseconds"] for event in events]
            assert times == sorted(times), times
            '
            """)
    }

    /// Without a name: those that come as well, for people.
    @Test func allMountsAreWatched() throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m f
            "$mayfly" watch > lines & watcher=$!
            "$mayfly" mount --quiet --size 16m m
            until_true "grep -q '$folder/m  mounted' lines"
            "$mayfly" fork m f > /dev/null
            until_true "grep -q '$folder/f  mounted' lines"
            "$mayfly" snapshot f 'a snapshot' 2> /dev/null || "$mayfly" snapshot f named > /dev/null
            "$mayfly" umount f
            "$mayfly" umount m
            until_true "grep -q '$folder/m  ended' lines && grep -q '$folder/f  ended' lines"
            kill $watcher
            grep -c '  named$' lines
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output == "1\n", "\(outcome.report)")
    }

    @Test func whatCannotBeWatchedIsRefused() throws {
        try withFolder { folder in
            let outcome = try BuiltCommand.run(["watch", folder])
            #expect(outcome.status == 1, "\(outcome.report)")
            #expect(outcome.errors.contains("is not in a mayfly mount"), "\(outcome.report)")
        }
    }

    /// A listener who is slow loses events, is told how many, and holds nobody up.
    @Test func aSlowListenerIsTold() throws {
        let log = EventLog()
        let listener = try #require(log.add())
        for _ in 0..<(EventLog.waitingLimit + 3) { log.note(MountEvent(.resized, "/m")) }
        let taken = log.take(listener)
        #expect(taken.events.count == EventLog.waitingLimit && taken.dropped == 3)
        #expect(taken.last == nil)
        #expect(log.take(listener).events.isEmpty)
        log.note(MountEvent(.ended, "/m"), last: EventCounts(full: 7))
        #expect(log.take(listener).last?.full == 7)
        for _ in 1..<EventLog.listenerLimit { #expect(log.add() != nil) }
        #expect(log.add() == nil)
        log.remove(listener)
        #expect(log.add() != nil)
    }
}
