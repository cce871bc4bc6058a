// `mount --survive`: the server is killed under load, and nothing that was answered is lost.

import Glibc
import Mayfly
import MayflyTestSupport
import Testing

@testable import MayflyHost

@Suite(
    .serialized, .timeLimit(.minutes(30)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct SurvivingServerTests {
    /// A client that knows what it was answered, and says at the end what is not so.
    ///
    /// Arguments: the folder, a file that is there as long as it is to work, a number of its own.
    private static let client = """
        import errno, os, random, sys, time
        root, go, number = sys.argv[1], sys.argv[2], sys.argv[3]
        base = f"{root}/c{number}"
        rng = random.Random(int(number))
        # Over the ring the kernel tells of a request that was under way by ECANCELED.
        gone = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED)
        known = {}      # name: content, or what a name may have that was being changed
        pauses, done, lost = [], 0, []

        def steady(f):
            begin = time.time()
            while True:
                try:
                    return f()
                except OSError as e:
                    if e.errno not in gone: raise
                    if time.time() - begin > 30: sys.exit(f"no server for 30 s: {e}")
                    time.sleep(0.001)

        def content(name):
            try:
                with open(f"{base}/{name}", "rb") as f: return f.read()
            except FileNotFoundError: return None

        def change(names, f):
            # Each name with what it may have afterwards.
            global done
            try:
                f()
                for name, new in names.items(): known[name] = {new}
                done += 1
            except OSError as e:
                if e.errno not in gone: raise
                begin = time.time()
                for name, new in names.items():
                    may = known.get(name, {None}) | {new}
                    found = steady(lambda: content(name))
                    if found not in may: lost.append((name, "unanswered", len(found or b"")))
                    known[name] = {found}
                pauses.append(time.time() - begin)

        def write(name, data):
            # Whole by rename: a write over content may be there in part.
            with open(f"{base}/.{name}", "wb") as f: f.write(data)
            os.rename(f"{base}/.{name}", f"{base}/{name}")

        steady(lambda: os.makedirs(base, exist_ok=True))
        while os.path.exists(go):
            name = f"n{rng.randrange(40)}"
            what = rng.randrange(5)
            try:
                if what < 3:
                    data = bytes([rng.randrange(256)]) * rng.choice([3, 700, 5000, 70000])
                    change({name: data}, lambda: write(name, data))
                elif what == 3:
                    if known.get(name, {None}) != {None}:
                        change({name: None}, lambda: os.unlink(f"{base}/{name}"))
                else:
                    other = f"n{rng.randrange(40)}"
                    old = known.get(name, {None})
                    if old != {None} and other != name:
                        change({name: None, other: next(iter(old))},
                               lambda: os.rename(f"{base}/{name}", f"{base}/{other}"))
            except OSError as e:
                lost.append((name, what, str(e)))
            if len(lost) > 20: break
        for name, may in known.items():
            found = steady(lambda: content(name))
            if found not in may: lost.append((name, "at the end", len(found or b"")))
        pauses.sort()
        longest = pauses[-1] if pauses else 0
        print(f"{done} answered, {len(pauses)} interrupted, longest pause {longest:.3f} s, lost {lost}")
        sys.exit(1 if lost else 0)
        """

    private static let kills = FuzzSettings.histories ?? 6

    @Test(arguments: TestTransport.allCases)
    func killedUnderLoad(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let work = try makeTemporaryFolder("work")
            defer { unlinkAll(work, ["go", "client.py"]) }
            try TextFile.write("", to: "\(work)/go")
            try TextFile.write(Self.client, to: "\(work)/client.py")
            let first = try mount(
                folder, ["--size", "256m", "--transport", transport.rawValue], mostDeaths: 0)
            let clients = try (0..<3).map {
                try ChildProcess([
                    "python3", "\(work)/client.py", folder, "\(work)/go", "\($0)",
                ])
            }
            var random = SeededGenerator(seed: FuzzSettings.seed ?? 1)
            var last = first
            for _ in 0..<Self.kills {
                usleep(UInt32(200_000 + random.below(900_000)))
                kill(last, SIGKILL)
                var next: Int32?
                #expect(
                    poll(seconds: 20) {
                        next = server(of: folder)
                        return next != nil && next != last
                    })
                last = try #require(next)
            }
            usleep(300_000)
            unsafe unlink("\(work)/go")
            for client in clients {
                let outcome = try client.wait(seconds: 60)
                print(outcome.output, terminator: "")
                #expect(outcome.status == 0, "\(outcome.report)")
            }
            let check = try BuiltCommand.run(["check", folder])
            #expect(check.status == 0, "\(check.report)")
            let end = try BuiltCommand.run(["umount", folder])
            #expect(end.status == 0, "\(end.report)")
            #expect(MountTable.current().entry(at: PathBytes(folder)) == nil)
        }
    }

    /// Where servers die too often, the content is kept and can be had.
    @Test func givesUpAndKeepsTheContent() throws {
        try withFolder { folder in
            let work = try makeTemporaryFolder("work")
            defer { unlinkAll(work, ["out.mayfly"]) }
            let first = try mount(folder, ["--size", "64m"], mostDeaths: 2)
            try TextFile.write("kept", to: "\(folder)/file")
            let early = try BuiltCommand.run(["recover", folder, "\(work)/out.mayfly"])
            #expect(early.status == 1 && early.errors.contains("mayfly save"), "\(early.report)")
            let guardian = try #require(parent(of: first))
            defer { kill(guardian, SIGTERM) }
            kill(first, SIGKILL)
            var next: Int32?
            #expect(
                poll(seconds: 20) {
                    next = server(of: folder)
                    return next != nil && next != first
                })
            #expect(HostFile.text(at: "\(folder)/file") == "kept")
            kill(try #require(next), SIGKILL)
            usleep(1_000_000)
            #expect(server(of: folder) == nil)
            let saved = try BuiltCommand.run(["recover", folder, "\(work)/out.mayfly"])
            #expect(saved.status == 0, "\(saved.report)")
            let list = try BuiltCommand.run(["image", "list", "\(work)/out.mayfly"])
            #expect(list.status == 0 && list.output.contains("file"), "\(list.report)")
            let check = try BuiltCommand.run(["image", "check", "\(work)/out.mayfly"])
            #expect(check.status == 0, "\(check.report)")
            kill(guardian, SIGTERM)
            #expect(poll(seconds: 10) { kill(guardian, 0) != 0 })
        }
    }

    /// An unmount ends server and guardian.
    @Test func anUnmountEndsBoth() throws {
        try withFolder { folder in
            let first = try mount(folder, ["--size", "64m"], mostDeaths: 8)
            let guardian = try #require(parent(of: first))
            let end = try BuiltCommand.run(["umount", folder])
            #expect(end.status == 0, "\(end.report)")
            #expect(poll(seconds: 10) { kill(guardian, 0) != 0 })
            #expect(MountTable.current().entry(at: PathBytes(folder)) == nil)
            for refused in [["--from", "/etc"], ["--durability", "fsync"]] {
                let outcome = try BuiltCommand.run(["mount", folder, "--survive"] + refused)
                #expect(outcome.status == 1, "\(outcome.report)")
            }
        }
    }

    /// - Returns: the server.
    private func mount(
        _ folder: String, _ options: [String], mostDeaths: Int
    ) throws -> Int32 {
        let outcome = try ChildProcess.run(
            [BuiltCommand.path, "mount", folder, "--survive"] + options,
            environment: ["MAYFLY_SURVIVE_DEATHS": "\(mostDeaths)"], seconds: 60)
        try #require(outcome.status == 0, "\(outcome.report)")
        return try #require(server(of: folder))
    }

    private func parent(of process: Int32) -> Int32? {
        let line = HostFile.text(at: "/proc/\(process)/status")?.split(separator: "\n").first {
            $0.hasPrefix("PPid:")
        }
        return line.flatMap { Int32($0.dropFirst(5).drop { $0 == "\t" }) }
    }

    private func server(of folder: String) -> Int32? {
        guard let entry = MountTable.current().entry(at: PathBytes(folder)),
            let connection = entry.connection
        else { return nil }
        return MountHolders.server(ofConnection: connection)
    }

    private func unlinkAll(_ folder: String, _ names: [String]) {
        for name in names { unsafe unlink("\(folder)/\(name)") }
        unsafe rmdir(folder)
    }
}
