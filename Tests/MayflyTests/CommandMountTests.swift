// The command from the outside: what it hands through, what its options do, and that what it mounts
// is gone when it says so.

import Glibc
import Testing

@testable import Mayfly
@testable import MayflyHost
@testable import MayflyRunning

@Suite(
    .serialized, .timeLimit(.minutes(10)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct CommandMountTests {
    // MARK: run

    @Test(
        arguments: [
            (["true"], 0), (["sh", "-c", "exit 7"], 7), (["no-such-command"], 127),
            (["/etc/passwd"], 126), (["/tmp"], 126), (["./x"], 127),
            (["sh", "-c", "kill -TERM $$"], 128 + SIGTERM),
            (["sh", "-c", "kill -KILL $$"], 128 + SIGKILL),
        ] as [([String], Int32)])
    func theStatusOfTheCommandIsPassedOn(_ command: [String], _ status: Int32) throws {
        let before = MountTable.current().entries.count {
            $0.mountpoint.text.contains("mayfly-run-")
        }
        let outcome = try BuiltCommand.run(["run", "--quiet", "--"] + command)
        #expect(outcome.status == status, "\(outcome.report)")
        let isOurs = status == ExitStatus.notFound || status == ExitStatus.notExecutable
        #expect(outcome.errors.hasPrefix("mayfly: \(command[0]) ") == isOurs, "\(outcome.errors)")
        let after = MountTable.current().entries.count {
            $0.mountpoint.text.contains("mayfly-run-")
        }
        #expect(after <= before)
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT])
    func signalsGoToTheCommand(_ signal: Int32) throws {
        try withFolder { folder in
            let script = "trap 'exit 42' \(signal); echo ready; while :; do sleep 0.05; done"
            let run = try ChildProcess(
                [BuiltCommand.path, "run", "--at", folder, "--", "sh", "-c", script])
            #expect(poll(seconds: 60) { run.outputSoFar == "ready\n" })
            run.send(signal)
            let outcome = try run.wait(seconds: 60)
            #expect(outcome.status == 42, "\(outcome.report)")
            #expect(MountTable.current().entry(at: folder) == nil)
        }
    }

    @Test(arguments: TestTransport.allCases)
    func theCommandFindsItselfInTheMount(_ transport: TestTransport) throws {
        try transport.require()
        let script = """
            test "$PWD" = "$MAYFLY_ROOT" && test "$TMPDIR" = "$MAYFLY_ROOT"
            test -z "$(ls -A)"
            cp /bin/true program && ./program
            findmnt --noheadings --output FSTYPE,SOURCE --target . | grep -q '^fuse.mayfly *mayfly$'
            """
        let outcome = try runInMount(transport, script, seconds: 60)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    }

    @Test func whatTheCommandLeavesRunningIsNamedAndEnded() throws {
        try withFolder { folder in
            let outcome = try BuiltCommand.run([
                "run", "--at", folder, "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 &",
            ])
            #expect(outcome.status == 0, "\(outcome.report)")
            let words = outcome.errors.split(whereSeparator: \.isWhitespace)
            let name = try #require(words.firstIndex(of: "(sleep)"), "\(outcome.errors)")
            let left = try #require(pid_t(words[name - 1]))
            #expect(!Self.isAlive(left))
            #expect(MountTable.current().entry(at: folder) == nil)
        }
    }

    // MARK: mount and umount

    @Test(arguments: TestTransport.allCases)
    func theBackgroundServerEndsWithItsMount(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let mounted = try BuiltCommand.run([
                "mount", folder, "--size", "64m", "--transport", transport.rawValue,
            ])
            #expect(mounted.status == 0 && mounted.errors.isEmpty, "\(mounted.report)")
            let way = transport == .ring ? "io_uring: " : "/dev/fuse, "
            #expect(mounted.output.hasPrefix("mayfly: \(folder) is mounted over \(way)"))
            #expect(
                mounted.output.contains(" of memory now, and more as it is filled, at most ")
                    && mounted.output.contains(": 64 MiB size, "))

            let server = try #require(Self.server(of: folder))
            let used = try ChildProcess.run([
                "sh", "-ec", "echo text > $0/file; grep -q text $0/file; mkdir $0/d", folder,
            ])
            #expect(used.status == 0, "\(used.report)")

            let again = try BuiltCommand.run(["mount", folder])
            #expect(again.status == 32 && again.output.isEmpty, "\(again.report)")
            #expect(again.errors.hasPrefix("mayfly: \(folder) is a mayfly mount already: "))
            #expect(Self.server(of: folder) == server)

            let unmounted = try BuiltCommand.run(["umount", folder])
            #expect(unmounted.status == 0 && unmounted.errors.isEmpty, "\(unmounted.report)")
            #expect(MountTable.current().entry(at: folder) == nil)
            #expect(poll(seconds: 30) { !Self.isAlive(server) })
            let twice = try BuiltCommand.run(["umount", folder])
            #expect(twice.status == 1, "\(twice.report)")
        }
    }

    @Test func aBusyMountIsRefusedAndNamesWhoKeepsItSo() throws {
        try withFolder { folder in
            #expect(try BuiltCommand.run(["mount", folder]).status == 0)
            let sitter = try ChildProcess(["sh", "-c", "cd $0 && echo in && exec sleep 60", folder])
            #expect(poll(seconds: 60) { sitter.outputSoFar == "in\n" })
            let refused = try BuiltCommand.run(["umount", folder])
            #expect(refused.status == 32, "\(refused.report)")
            #expect(refused.errors.contains("\(sitter.processID) ("), "\(refused.errors)")
            sitter.send(SIGKILL)
            _ = try sitter.wait(seconds: 60)
            #expect(try BuiltCommand.run(["umount", folder]).status == 0)
        }
    }

    @Test(arguments: TestTransport.allCases)
    func optionsTakeEffect(_ transport: TestTransport) throws {
        try transport.require()
        let options = [
            "--size", "10m", "--inodes", "50", "--mode", "0751", "--uid", "daemon", "--gid", "7",
            "--queue-depth", "2", "--max-payload", "64k",
        ]
        let script = """
            test "$(stat --format '%a %u %g' .)" = "751 1 7"
            test "$(df --block-size=1 --output=size,avail . | tail -1 | xargs)" = "10485760 10485760"
            test "$(df --output=itotal,iused . | tail -1 | xargs)" = "50 1"
            seq -f file%g 49 | xargs touch
            ! touch one-too-many 2>/dev/null
            test "$(df --output=iavail . | tail -1 | xargs)" = 0
            rm file1 && touch again
            """
        let outcome = try runInMount(transport, script, options: options, seconds: 60)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    @Test(arguments: TestTransport.allCases)
    func aReadOnlyMountRefusesChanges(_ transport: TestTransport) throws {
        try transport.require()
        let outcome = try runInMount(
            transport, "ls; touch file", options: ["--read-only"], seconds: 60)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("Read-only file system"), "\(outcome.errors)")
    }

    @Test(arguments: TestTransport.allCases)
    func spaceEndsExactlyAtTheLimit(_ transport: TestTransport) throws {
        try transport.require()
        let outcome = try runInMount(
            transport, "python3 -c \"$1\"", options: ["--size", "8m"],
            arguments: [Self.fill], seconds: 60)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// Fills 8 MiB in several ways; every time exactly 8 MiB go in, and come free again.
    private static let fill = """
        import errno, os
        size = 8 << 20
        def free(): return os.statvfs('.').f_bavail * os.statvfs('.').f_frsize
        def fill(fd, piece):
            done = 0
            while True:
                try: done += os.write(fd, b'x' * piece)
                except OSError as e:
                    assert e.errno == errno.ENOSPC, e
                    return done
        for piece in (4096, 65536, 1 << 20, 3 << 20):
            # A direct write of several requests fails as a whole when one of them does.
            for flags in (0, os.O_DIRECT) if piece <= 1 << 20 else (0,):
                assert free() == size, free()
                fd = os.open('file', os.O_CREAT | os.O_WRONLY | flags)
                assert fill(fd, piece) == size
                assert free() == 0 and os.fstat(fd).st_size == size
                os.lseek(fd, 0, 0)
                assert os.write(fd, b'y' * 4096) == 4096  # what is there can be written over
                os.close(fd)
                os.unlink('file')
        for i in range(size // 4096):
            with open('f%d' % i, 'w') as f: f.write('a small file')
        assert free() == 0, free()
        try:
            with open('more', 'w') as f: f.write('x')
            assert False
        except OSError as e: assert e.errno == errno.ENOSPC
        os.unlink('f0')
        with open('more', 'w') as f: f.write('x')
        """

    // MARK: --debug-fuse

    /// A reader of the trace that goes away ends neither the server nor the command.
    @Test func aTraceThatNobodyReadsEndsNothing() throws {
        try withFolder { folder in
            let script = """
                {
                    {
                        "$0" run --debug-fuse --at "$1" -- sh -c 'cd "$MAYFLY_ROOT";
                            for i in $(seq 500); do echo $i > file$i; done; cat file500'
                        echo "status $?" >&3
                    } 2>&1 >&3 | head -n 3 >/dev/null
                } 3>&1
                """
            let outcome = try ChildProcess.run(
                ["sh", "-c", script, BuiltCommand.path, folder], seconds: 30)
            #expect(outcome.output == "500\nstatus 0\n", "\(outcome.report)")
        }
    }

    @Test(arguments: TestTransport.allCases)
    func everyRequestIsPrinted(_ transport: TestTransport) throws {
        try transport.require()
        let outcome = try runInMount(
            transport, "python3 -c \"$1\"", options: ["--debug-fuse"], arguments: [Self.readsBack],
            seconds: 60)
        #expect(outcome.status == 0, "\(outcome.report)")
        // The last line is about the whole run.
        let lines = outcome.errors.split(separator: "\n").dropLast()
        let word = transport == .ring ? "cqe" : "dev"
        let request = try Regex(
            #"(cqe|dev) unique: (\d+), opcode: ([A-Z_0-9]+) \(\d+\), nodeid: \d+, insize: \d+, pid: \d+"#
        )
        let reply = try Regex(#"unique: \d+, result=-?\d+"#)
        for line in lines {
            #expect(
                line.wholeMatch(of: request) != nil || line.wholeMatch(of: reply) != nil, "\(line)")
        }
        #expect(lines.first?.hasPrefix("dev unique: ") == true)
        #expect(lines.first?.contains("opcode: INIT (26), nodeid: 0, insize: 64, pid: 0") == true)
        for opcode in ["GETATTR (3)", "LOOKUP (1)", "MKNOD (8)", "WRITE (16)", "READ (15)"] {
            let ofOpcode = lines.filter { $0.contains("opcode: \(opcode)") }
            #expect(!ofOpcode.isEmpty, "no \(opcode)")
            #expect(ofOpcode.allSatisfy { $0.hasPrefix("\(word) ") })
        }
        // 8 MiB directly, in requests of 1 MiB that the kernel makes before it waits for one. A
        // reader of /dev/fuse takes them singly all the same.
        let mostInFlight = Self.mostInFlight(lines, "READ (15)")
        #expect(mostInFlight > 1 || transport == .device, "\(mostInFlight) at once")
        #expect(lines.contains { $0.hasSuffix("result=1048576") })
        // Buffered after the cache was dropped: by readahead.
        #expect(lines.contains { $0.hasSuffix("result=131072") })
    }

    private static let readsBack = """
        import mmap, os
        block = os.urandom(1 << 20)
        fd = os.open('file', os.O_CREAT | os.O_RDWR)
        for i in range(8): os.write(fd, block)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(fd, 0, 0)
        for i in range(8): assert os.read(fd, 1 << 20) == block
        direct = os.open('file', os.O_RDONLY | os.O_DIRECT)
        target = mmap.mmap(-1, 8 << 20)
        for i in range(30): assert os.preadv(direct, [target], 0) == 8 << 20
        assert target[:] == block * 8
        """

    /// How many requests of one opcode were taken and not yet answered at the same time.
    private static func mostInFlight(_ lines: ArraySlice<Substring>, _ opcode: String) -> Int {
        var waiting: Set<Substring> = []
        var most = 0
        for line in lines {
            let fields = line.drop { $0 != ":" }.dropFirst(2)
            let unique = fields.prefix { $0 != "," }
            if line.contains("result=") { waiting.remove(unique) }
            if line.contains("opcode: \(opcode)") { waiting.insert(unique) }
            most = max(most, waiting.count)
        }
        return most
    }

    // MARK: processes

    /// The process that serves the mount at `folder`.
    static func server(of folder: String) -> pid_t? {
        MountTable.current().entry(at: folder)?.connection.flatMap(
            MountHolders.server(ofConnection:))
    }

    /// Whether a process is there and no zombie.
    static func isAlive(_ process: pid_t) -> Bool {
        guard let text = HostFile.text(at: "/proc/\(process)/stat") else { return false }
        return text.split(separator: ")").last?.hasPrefix(" Z") == false
    }
}
