// Unmounting while everybody is at work: it never hangs, nobody is left hanging, and nothing stays.

import Glibc
import Testing

@testable import Mayfly
@testable import MayflyHost
@testable import MayflyRunning

@Suite(
    .serialized, .timeLimit(.minutes(10)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct UnmountTests {
    /// A served mount with four processes in it that write, read, list, rename and remove.
    private struct Scene {
        let folder: String
        let server: ChildProcess
        let load: ChildProcess

        init(_ transport: TestTransport, _ folder: String) throws {
            self.folder = folder
            server = try ChildProcess([
                BuiltCommand.path, "mount", folder, "--foreground", "--size", "256m",
                "--transport", transport.rawValue,
            ])
            let server = server
            try #require(
                poll(seconds: 60) { server.outputSoFar.contains("is mounted over") },
                "\(server.errorsSoFar)")
            load = try ChildProcess([InProcessMount.interpreter, "-ISc", Self.work, folder])
            let load = load
            try #require(
                poll(seconds: 60) { load.outputSoFar.split(separator: "\n").count == 4 },
                "running: \(load.isRunning), \(server.isRunning)\n\(load.outputSoFar)\(load.errorsSoFar)"
            )
        }

        /// The load ends by itself, because its calls fail as those of a dead mount do.
        func expectLoadFails() throws {
            let ended = try load.wait(seconds: 60)
            #expect(ended.status == 0 && !ended.timedOut, "\(ended.report)")
        }

        func expectServerEnds(_ status: Int32) throws {
            let ended = try server.wait(seconds: 60)
            #expect(ended.status == status && !ended.timedOut, "\(ended.report)")
            #expect(MountTable.current().entry(at: folder) == nil)
        }

        /// Whoever loses the mount sees one of these errors, and with them leaves with 0. The third
        /// is the ring's, for requests that were on their way to a server that died; the last is
        /// what reading through the page cache makes of any.
        private static let work = """
            import errno, os, sys
            os.chdir(sys.argv[1])
            ends = ('ENOTCONN', 'ECONNABORTED', 'ECANCELED', 'EIO')
            at_work = False
            def work(n):
                global at_work
                name = 'd%d' % n
                os.makedirs(name, exist_ok=True)
                print(n, 'at work', flush=True)
                at_work = True
                block = os.urandom(300000)
                while True:
                    for i in range(20):
                        with open('%s/f%d' % (name, i), 'wb', buffering=0) as f: f.write(block)
                    for i in range(20):
                        fd = os.open('%s/f%d' % (name, i), os.O_RDONLY)
                        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                        while os.read(fd, 65536): pass
                        os.close(fd)
                        os.rename('%s/f%d' % (name, i), '%s/g%d' % (name, i))
                    for entry in os.scandir(name):
                        entry.stat()
                        os.unlink(entry.path)
            children = []
            for n in range(4):
                child = os.fork()
                if child == 0:
                    try: work(n)
                    except OSError as e:
                        if at_work and errno.errorcode[e.errno] in ends: os._exit(0)
                        print(n, e, file=sys.stderr, flush=True)
                    except BaseException as e: print(e, file=sys.stderr, flush=True)
                    os._exit(1)
                children.append(child)
            sys.exit(sum(os.waitpid(child, 0)[1] for child in children) != 0)
            """
    }

    @Test(arguments: TestTransport.allCases)
    func lazily(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let scene = try Scene(transport, folder)
            let outcome = try BuiltCommand.run(["umount", folder, "--lazy"], seconds: 60)
            #expect(outcome.status == 0, "\(outcome.report)")
            #expect(MountTable.current().entry(at: folder) == nil)
            // Those inside go on, and the server with them.
            usleep(200_000)
            #expect(scene.server.isRunning && scene.load.isRunning)
            _ = try scene.load.wait(seconds: 0)
            try scene.expectServerEnds(0)
        }
    }

    @Test(arguments: TestTransport.allCases)
    func byForce(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let scene = try Scene(transport, folder)
            let outcome = try BuiltCommand.run(
                ["umount", folder, "--force", "--lazy"], seconds: 60)
            #expect(outcome.status == 0, "\(outcome.report)")
            try scene.expectLoadFails()
            try scene.expectServerEnds(0)
        }
    }

    @Test(arguments: TestTransport.allCases)
    func bySignal(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let scene = try Scene(transport, folder)
            scene.server.send(SIGTERM)
            #expect(poll(seconds: 60) { MountTable.current().entry(at: folder) == nil })
            #expect(scene.load.isRunning)
            #expect(poll(seconds: 30) { scene.server.errorsSoFar.contains("is still used by") })
            _ = try scene.load.wait(seconds: 0)
            try scene.expectServerEnds(0)
        }
    }

    @Test(arguments: TestTransport.allCases)
    func byTwoSignals(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let scene = try Scene(transport, folder)
            scene.server.send(SIGTERM)
            #expect(poll(seconds: 60) { MountTable.current().entry(at: folder) == nil })
            scene.server.send(SIGTERM)
            let ended = try scene.server.wait(seconds: 60)
            #expect(!ended.timedOut && ended.status >= 0, "\(ended.report)")
            try scene.expectLoadFails()
        }
    }

    @Test(arguments: TestTransport.allCases)
    func whenTheServerIsKilled(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let scene = try Scene(transport, folder)
            scene.server.send(SIGKILL)
            try scene.expectLoadFails()
            #expect(try scene.server.wait(seconds: 60).status == -SIGKILL)
            // The mount is dead but there, and says so.
            #expect(MountTable.current().entry(at: folder) != nil)
            let listed = try ChildProcess.run(["ls", folder], seconds: 60)
            // ENOTCONN, or ECONNABORTED for who asks while the kernel is still ending it.
            let isToldSo =
                listed.errors.contains("not connected")
                || listed.errors.contains("connection abort")
            #expect(isToldSo, "\(listed.report)")
            let unmounted = try BuiltCommand.run(["umount", folder], seconds: 60)
            #expect(unmounted.status == 0, "\(unmounted.report)")
            #expect(MountTable.current().entry(at: folder) == nil)
        }
    }

    /// A mount is made and goes again while somebody uses it from the first moment on.
    @Test(arguments: TestTransport.allCases)
    func again(_ transport: TestTransport) throws {
        try transport.require()
        for _ in 0..<30 {
            let outcome = try runInMount(
                transport, "(cat /dev/zero | head -c 3000000 > a; ls -l > b) & exec true",
                options: ["--size", "16m"], seconds: 30)
            #expect(outcome.status == 0, "\(outcome.report)")
        }
    }
}
