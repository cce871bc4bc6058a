import Testing

@testable import Mayfly

/// Rules by the thousand. Few of them do not show what a request pays for those that do not match.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct FaultRuleScaleTests {
    /// Rules that do not match cost a request nothing that grows with their number: when each of them
    /// was looked at, 2,000 made a write a hundred times as long.
    @Test func rulesThatDoNotMatchCostLittle() throws {
        try InProcessMount.with(.best) { mount in
            let measure = #"""
                import time
                os.makedirs("a/b", exist_ok=True)
                file = os.open("a/b/file", os.O_RDWR | os.O_CREAT)
                def best():
                    times = []
                    for _ in range(20):
                        start = time.perf_counter()
                        for _ in range(100): os.pwrite(file, b"x", 0)
                        times.append(time.perf_counter() - start)
                    return min(times)

                """#
            let scale = mount.folder + ".scale"
            try mount.python(measure + "open('\(scale)', 'w').write(str(best()))")
            for number in 0..<500 {
                // With literals in front, behind, on both sides, and across directories.
                for path in [
                    "d\(number)/*", "a/*-\(number)", "a/b/x\(number)*.log", "**/\(number)",
                ] {
                    var rule = FaultRule(operation: "write", path: path)
                    rule.errno = "EIO"
                    try mount.fileSystem.addFault(rule)
                }
            }
            try mount.python(
                measure + "now = best(); before = float(open('\(scale)').read())\n"
                    + "os.unlink('\(scale)')\nassert now < 8 * before, (before, now)")
            #expect(try mount.fileSystem.faults().count == 2000)
            #expect(try mount.fileSystem.faults().allSatisfy { $0.matched == 0 })
        }
    }

    /// The rule that matches among many is found, whatever its pattern, and all are listed and cleared.
    @Test func theOneThatMatchesIsFound() throws {
        try MountedPython.run(
            .best, "",
            #"""
            import http.client, socket
            number = os.minor(os.stat(m).st_dev)
            place = [p for p in ["/run/mayfly/%d.sock", "/tmp/mayfly-0/%d.sock"] if os.path.exists(p % number)][0]
            def ask(method, path, body=None):
                c = http.client.HTTPConnection("mayfly"); c.sock = socket.socket(socket.AF_UNIX)
                c.sock.connect(place % number); c.request(method, path, body)
                return json.loads(c.getresponse().read())
            os.makedirs(m + "/a/b"); write("a/b/file.log", "")
            held = os.open(m + "/a/b/file.log", os.O_WRONLY)
            put = lambda: os.pwrite(held, b"x", 0)
            for n in range(300):
                ask("POST", "/v1/faults", json.dumps(
                    {"operation": ["write", "read", "any"][n % 3], "path": "a/*/%d.log" % n, "errno": "EIO"}))
            put()
            for path in ["a/b/file.log", "a/*/f*.log", "**/file.*", "a/**", "?/?/????????"]:
                added = add("--op", "write", "--path", path, "--errno", "EROFS"); fails(errno.EROFS, put)
                clear(str(added)); put()
            assert [r["number"] for r in listed()] == list(range(1, 301)) and ask("GET", "/v1/faults") == listed()
            # By every name that a file has, of which each comes and goes.
            os.link(m + "/a/b/file.log", m + "/other"); add("--op", "write", "--path", "oth*", "--errno", "EDQUOT")
            fails(errno.EDQUOT, put); os.rename(m + "/other", m + "/a/else"); put()
            os.rename(m + "/a/else", m + "/other"); fails(errno.EDQUOT, put); os.unlink(m + "/other"); put()
            clear(); assert listed() == []
            """#)
    }
}
