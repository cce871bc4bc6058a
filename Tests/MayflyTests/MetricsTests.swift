import MayflyTestSupport
import Testing

@testable import Mayfly

/// `mayfly metrics`.
@Suite(
    .serialized, .timeLimit(.minutes(1)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct MetricsTests {
    /// Every line is one that Prometheus reads, each name stands together, and each sample has its mount.
    @Test func allMountsAreTold() throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir one 'the "other"'
            "$mayfly" mount --quiet --size 16m one
            "$mayfly" mount --quiet --size 16m 'the "other"'
            head -c 20m /dev/zero > one/big || true
            "$mayfly" metrics > printed
            "$mayfly" metrics --textfile mayfly.prom
            "$mayfly" metrics --listen 127.0.0.1:0 > said & server=$!
            until_true 'grep -q answers said'
            address=$(sed -n 's|.*\\(http://[^ ]*\\).*|\\1|p' said)
            python3 - "$address" <<'END'
            import re, sys, urllib.error, urllib.request
            served = urllib.request.urlopen(sys.argv[1]).read().decode()
            try: urllib.request.urlopen(sys.argv[1] + "/nothing")
            except urllib.error.HTTPError as error: assert error.code == 404, error
            else: assert False
            for text in [open("printed").read(), open("mayfly.prom").read(), served]:
                names, family = [], None
                for line in text.splitlines():
                    if line.startswith("# TYPE "):
                        family = line.split()[2]
                        assert family not in names, family
                        names.append(family)
                    elif not line.startswith("# HELP "):
                        name, labels = re.fullmatch(r'([a-z_]+)(?:\\{(.*)\\})? [0-9.]+', line).groups()
                        assert name.startswith(family), line
                        assert name == "mayfly_mounts" or 'mount="' in labels, line
                where = sys.path[0] or "."
                full = re.findall(r'mayfly_request_errors_total\\{mount="[^"]*/one",errno="ENOSPC"\\} (\\d+)', text)
                assert len(full) == 1 and int(full[0]) > 0, full
                assert 'the \\\\"other\\\\""} 16777216' in text, text
                assert re.search(r'mayfly_mounts\\{state="serving"\\} [2-9]', text), text
            END
            kill $server
            stat -c %a mayfly.prom
            "$mayfly" umount one; "$mayfly" umount 'the "other"'
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output == "644\n", "\(outcome.report)")
    }

    @Test(arguments: [
        (["--listen", "0.0.0.0:80"], "bad --listen '0.0.0.0:80'"),
        (["--listen", "127.0.0.1"], "bad --listen '127.0.0.1'"),
        (["--listen", "127.0.0.1:99999"], "bad --listen"),
        (["--textfile", "/tmp/mayfly.txt"], "--textfile /tmp/mayfly.txt does not end with .prom"),
        (["--textfile", "/nowhere/mayfly.prom"], "/nowhere/mayfly.prom cannot be made"),
        (
            ["--textfile", "/tmp/x.prom", "--listen", "1"],
            "--textfile and --listen exclude each other"
        ),
    ])
    func whatCannotBeIsRefused(_ words: [String], _ start: String) throws {
        let outcome = try BuiltCommand.run(["metrics"] + words)
        #expect(outcome.status == 1, "\(outcome.report)")
        #expect(outcome.errors.hasPrefix("mayfly: \(start)"), "\(outcome.report)")
    }

    @Test func addresses() {
        #expect(LoopbackAddress("9469")?.port == 9469)
        #expect(LoopbackAddress("[::1]:0")?.isVersion6 == true)
        #expect(LoopbackAddress("localhost:1")?.isVersion6 == false)
        for bad in ["", ":1", "1:2", "10.0.0.1:80", "[::]:80", "+1", "01"] {
            #expect(LoopbackAddress(bad) == nil, "\(bad)")
        }
    }
}
