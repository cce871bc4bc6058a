import Testing

@testable import Mayfly

/// Faults of the disk behind a mount: power that fails at a request, syncs that lose what they were to sync,
/// and bits that are the other way round.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct FaultPowerTests {
    @Test(arguments: TestTransport.allCases)
    func thePowerFailsAtARequest(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--faults --durability fsync",
            #"""
            def records(when, seed):
                write("log", ""); sync("log"); sync("."); f = os.open(m + "/log", os.O_RDWR)
                add("--op", "write", "--path", "log", "--nth", "3", "--crash", when, "--seed", str(seed))
                failed = []
                for number in range(6):
                    try: os.pwrite(f, bytes([65 + number]) * 4096, number * 4096); os.fsync(f)
                    except OSError as error: assert error.errno == errno.EIO, error; failed.append(number)
                # Who looks sees what is left, at once.
                data = read("log"); fired = listed()[0]["fired"]; clear(); os.close(f)
                return failed, data, fired
            for seed in range(4):
                # What was synced before is there, and the third never was.
                failed, data, fired = records("before", seed)
                assert 2 in failed and fired == 1 and data[:8192] == "A" * 4096 + "B" * 4096, (failed, data[:9000:4096])
                assert "C" not in data, seed
            for seed in (0, 4):
                # The third was made and not synced: seed 0 keeps nothing of that.
                failed, data, fired = records("after", seed)
                assert fired == 1 and data[:8192] == "A" * 4096 + "B" * 4096 and "C" not in data, (failed, len(data))
            # By a name, of which nothing is synced.
            add("--op", "rename", "--times", "1", "--crash", "before", "--seed", "0"); write("a", "x"); sync("a"); sync(".")
            fails(errno.EIO, lambda: os.rename(m + "/a", m + "/b"))
            assert os.path.exists(m + "/a") and not os.path.exists(m + "/b"); os.rename(m + "/a", m + "/b")
            assert os.listdir(m).count("b") == 1; clear()
            """#)
    }

    /// The fsync(2) of Linux that fails, after which the next one succeeds and the data is not there.
    @Test(arguments: TestTransport.allCases)
    func aFailedSyncLosesTheData(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--faults --durability fsync",
            #"""
            write("f", "o" * 16384); sync("f"); sync("."); f = os.open(m + "/f", os.O_RDWR)
            add("--op", "fsync", "--errno", "EIO", "--drop-unsynced", "--times", "1")
            os.pwrite(f, b"n" * 12288, 0); fails(errno.EIO, lambda: os.fsync(f))
            os.fsync(f); assert read("f") == "n" * 12288 + "o" * 4096, "in memory it is there"
            dropped = json.loads(run("unsynced", m, "--json"))
            assert dropped == [{"path": "f", "change": "content", "pages": 3, "isDropped": True}], dropped
            # What is written anew reaches the disk.
            os.pwrite(f, b"N" * 4096, 4096); os.fsync(f)
            for seed in (3, 0):
                lost = crash(seed)
                assert read("f") == "o" * 4096 + "N" * 4096 + "o" * 8192, (seed, read("f")[::4096])
            assert crash(0)["lost"] == []
            # Twice: what the disk has is what it had before the first.
            clear(); add("--op", "sync", "--errno", "EIO", "--drop-unsynced", "--times", "2")
            for text in (b"1", b"2"): os.pwrite(f, text * 4096, 0); fails(errno.EIO, lambda: os.fsync(f))
            os.fsync(f); lost = crash(3); assert read("f")[0] == "o"
            assert lost["lost"] == [{"path": "f", "change": "content", "pages": 1}], lost
            # A file that is removed, and `mayfly sync`, leave nothing of it.
            clear(); add("--op", "fsync", "--errno", "EIO", "--drop-unsynced")
            os.pwrite(f, b"3" * 4096, 0); fails(errno.EIO, lambda: os.fsync(f)); run("sync", m)
            assert json.loads(run("unsynced", m, "--json")) == [] and run("unsynced", m) == ""
            crash(0); assert read("f")[0] == "3"
            os.pwrite(f, b"4" * 4096, 0); fails(errno.EIO, lambda: os.fsync(f)); os.close(f); os.unlink(m + "/f")
            clear(); sync("."); assert run("unsynced", m) == ""; run("check", m)
            """#)
    }

    @Test(arguments: TestTransport.allCases)
    func whatIsNotSyncedIsListed(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            #"""
            os.makedirs(m + "/d/e"); write("d/old", "x"); write("d/gone", "x"); write("mode", ""); run("sync", m)
            assert run("unsynced", m) == ""
            write("d/e/new", "n" * 5000); os.unlink(m + "/d/gone"); write("t", "t"); os.rename(m + "/t", m + "/d/old")
            os.chmod(m + "/mode", 0o600)
            found = {(p["path"], p["change"], p.get("pages")) for p in json.loads(run("unsynced", m, "--json"))}
            wanted = {("d/e/new", "made", None), ("d/gone", "removed", None), ("d/old", "replaced", None),
                ("d/e/new", "content", 2), ("d/old", "content", 1), ("mode", "attributes", 0)}
            assert found == wanted, found
            assert "d/e/new  (content, 2 pages)\n" in run("unsynced", m), run("unsynced", m)
            said = run("crash", m, "--seed", "0"); assert "  d/gone  (removed)\n" in said, said
            assert os.path.exists(m + "/d/gone") and not os.path.exists(m + "/d/e/new")
            lost = crash(0); assert lost["lost"] == [], lost
            """#)
    }

    @Test(arguments: TestTransport.allCases)
    func bitsFlipAndRulesHaveLimits(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--faults",
            #"""
            write("f", "x" * 8192)
            def flipped(seed):
                add("--op", "read", "--path", "f", "--flip", "3", "--seed", str(seed)); data = []
                with open(m + "/f", "rb", buffering=0) as file:
                    for _ in range(2): file.seek(0); data.append(file.read(8192))
                clear(); return data
            def bits(data): return sum(bin(byte ^ ord("x")).count("1") for byte in data)
            one = flipped(1); assert [bits(data) for data in one] == [3, 3] and one[0] != one[1], [bits(data) for data in one]
            assert flipped(1) == one and flipped(2) != one and read("f") == "x" * 8192
            g = os.open(m + "/g", os.O_RDWR | os.O_CREAT)
            def tries(count):
                done = ""
                for _ in range(count):
                    try: os.pwrite(g, b"x", 0); done += "."
                    except OSError: done += "!"
                return done
            for words, wanted in [(["--after", "2"], "..!!!!"), (["--times", "2"], "!!...."),
                (["--after", "1", "--times", "2"], ".!!..."), (["--every", "2", "--times", "2"], ".!.!.."),
                (["--nth", "2", "--after", "2"], "...!..")]:
                add("--op", "write", "--path", "g", "--errno", "EIO", *words); assert tries(6) == wanted, (words, wanted); clear()
            # Rules from a file: one, or a list, and none where one is wrong.
            rules = folder + "/rules.json"
            def put(value): open(rules, "w").write(value if isinstance(value, str) else json.dumps(value))
            put([{"operation": "write", "errno": "EIO", "times": 1}, {"operation": "read", "path": m + "/f", "flipBits": 1}])
            said = run("fault", "add", m, "--rules", rules); assert said.count("\n") == 2 and "--times 1" in said, said
            assert [r["rule"].get("path") for r in listed()] == [None, "f"], listed(); clear()
            put({"operation": "write", "errno": "EIO"}); run("fault", "add", m, "--rules", rules); clear()
            put([{"operation": "write", "errno": "EIO"}, {"operation": "write", "erno": "EIO"}])
            refused("rule 2 of", "fault", "add", m, "--rules", rules); assert listed() == []
            put("["); refused("is no JSON", "fault", "add", m, "--rules", rules)
            refused("--rules exclude each other", "fault", "add", m, "--rules", rules, "--nth", "2")
            refused("cannot be read", "fault", "add", m, "--rules", rules + "x")
            # What cannot be.
            refused("mount with --durability fsync", "fault", "add", m, "--op", "write", "--crash", "after")
            refused("mount with --durability fsync", "fault", "add", m, "--op", "sync", "--drop-unsynced")
            refused("give before or after", "fault", "add", m, "--op", "write", "--crash", "now")
            refused("only reads can have bits flipped", "fault", "add", m, "--op", "write", "--flip", "1")
            refused("only syncs can be lost", "fault", "add", m, "--op", "write", "--drop-unsynced")
            refused("bad --flip 0", "fault", "add", m, "--op", "read", "--flip", "0")
            refused("give --times of at least 1", "fault", "add", m, "--op", "read", "--errno", "EIO", "--times", "0")
            refused("mount with --durability fsync", "unsynced", m)
            """#)
    }
}
