import Glibc
import Mayfly
import MayflyTestSupport
import Testing

@testable import MayflyHost

/// A mount whose server tests kill or replace.
enum SurvivingMount {
    /// Mounts with `--survive`.
    ///
    /// - Parameters:
    ///   - mostDeaths: after so many in a minute no server is started any more; 0 for no end.
    ///   - program: the command.
    /// - Returns: the server.
    static func make(
        _ folder: String, _ options: [String] = ["--size", "64m"], mostDeaths: Int = 0,
        program: String = BuiltCommand.path
    ) throws -> Int32 {
        let outcome = try ChildProcess.run(
            [program, "mount", folder, "--survive"] + options,
            environment: ["MAYFLY_SURVIVE_DEATHS": "\(mostDeaths)"], seconds: 60)
        try #require(outcome.status == 0, "\(outcome.report)")
        return try #require(server(of: folder))
    }

    static func end(_ folder: String) throws {
        let check = try BuiltCommand.run(["check", folder])
        #expect(check.status == 0, "\(check.report)")
        let end = try BuiltCommand.run(["umount", folder])
        #expect(end.status == 0, "\(end.report)")
        #expect(MountTable.current().entry(at: PathBytes(folder)) == nil)
    }

    static func server(of folder: String) -> Int32? {
        guard let entry = MountTable.current().entry(at: PathBytes(folder)),
            let connection = entry.connection
        else { return nil }
        return MountHolders.server(ofConnection: connection)
    }

    /// The next server, once it is there.
    static func next(of folder: String, after last: Int32) -> Int32? {
        var next: Int32?
        _ = poll(seconds: 20) {
            next = server(of: folder)
            return next != nil && next != last
        }
        return next == last ? nil : next
    }

    /// What the server tells of itself, once it answers.
    static func report(_ folder: String) throws -> MountReport {
        var found: MountReport?
        _ = poll(seconds: 20) {
            found = try? MountControl(folder).report()
            return found != nil
        }
        return try #require(found)
    }

    static func isAlive(_ process: Int32) -> Bool {
        guard let state = MountHolders.state(of: process) else { return false }
        return state != "Z"
    }
}

/// Clients that know what they were answered, and say at the end what is not so.
struct RememberingClients {
    private let work: String
    private let clients: [ChildProcess]

    /// - Parameter count: of the processes.
    init(_ folder: String, count: Int = 3) throws {
        work = try makeTemporaryFolder("work")
        try TextFile.write("", to: "\(work)/go")
        try TextFile.write(Self.program, to: "\(work)/client.py")
        clients = try (0..<count).map { [work] in
            try ChildProcess(["python3", "\(work)/client.py", folder, "\(work)/go", "\($0)"])
        }
    }

    /// Has them look at everything, and end.
    func finish() throws {
        defer {
            for name in ["go", "client.py"] { unsafe unlink("\(work)/\(name)") }
            unsafe rmdir(work)
        }
        unsafe unlink("\(work)/go")
        for client in clients {
            let outcome = try client.wait(seconds: 60)
            print(outcome.output, terminator: "")
            #expect(outcome.status == 0, "\(outcome.report)")
        }
    }

    /// Arguments: the folder, a file that is there as long as it is to work, a number of its own.
    private static let program = """
        import errno, os, random, sys, time
        root, go, number = sys.argv[1], sys.argv[2], sys.argv[3]
        base = f"{root}/c{number}"
        rng = random.Random(int(number))
        # Over the ring the kernel tells of a request that was under way by ECANCELED or EINTR.
        gone = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EINTR)
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
}
