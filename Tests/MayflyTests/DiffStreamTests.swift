import Testing

/// Answers of any length over the control socket.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct DiffStreamTests {
    private static let scene = #"""
        import socket
        number = os.minor(os.stat(m).st_dev)
        place = [p for p in ["/run/mayfly/%d.sock", "/tmp/mayfly-0/%d.sock"] if os.path.exists(p % number)][0]
        long = "l" * 200
        def many(count):
            os.mkdir(m + "/" + long)
            for n in range(count): os.mknod(m + "/" + long + "/" + "n" * 200 + str(n))
        def asked():
            s = socket.socket(socket.AF_UNIX); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(place % number)
            s.sendall(b"POST /v1/diff HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); return s

        """#

    /// More than 4 MiB of paths, which used to be taken for a server that does not answer.
    @Test func aLongAnswerIsWhole() throws {
        try MountedPython.run(
            .best, "",
            Self.scene + #"""
                run("snapshot", m); many(12000)
                told = subprocess.run([mayfly, "diff", m], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                lines = told.stdout.splitlines()
                assert told.returncode == 1 and told.stderr == b"" and len(lines) == 12001, (told.returncode, told.stderr)
                assert len(told.stdout) > 4 << 20 and len(set(lines)) == 12001
                told = subprocess.run([mayfly, "diff", m, "--json"], stdout=subprocess.PIPE)
                assert len([json.loads(line)["path"] for line in told.stdout.splitlines()]) == 12001
                # On the socket it is one JSON array.
                s = asked(); answer = b"".join(iter(lambda: s.recv(1 << 16), b""))
                head, rest = answer.split(b"\r\n\r\n", 1); assert b"chunked" in head, head
                body = b""
                while True:
                    size, rest = rest.split(b"\r\n", 1); size = int(size, 16)
                    if size == 0: break
                    body += rest[:size]; rest = rest[size + 2:]
                assert len(json.loads(body)) == 12001
                run("rollback", m); told = subprocess.run([mayfly, "diff", m]); assert told.returncode == 0
                """#)
    }

    /// Clients that ask and do not read hold up nobody, not even the end of the mount.
    @Test func whoDoesNotReadHoldsUpNobody() throws {
        try MountedPython.script(
            .best,
            #"""
            start
            python '
            \#(Self.scene)
            run("snapshot", m); many(6000)
            idle = [asked() for _ in range(5)]
            for s in idle: assert s.recv(10).startswith(b"HTTP/1.1 2")
            start = time.monotonic(); run("stat", m); run("snapshot", m, "two")
            told = subprocess.run([mayfly, "diff", m, "1"], stdout=subprocess.PIPE)
            assert len(told.stdout.splitlines()) == 6001
            run("umount", m); assert time.monotonic() - start < 9
            '
            """#)
    }
}
