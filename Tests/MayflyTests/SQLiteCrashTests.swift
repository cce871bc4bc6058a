import Testing

/// A real database through power losses: what it committed with synchronous writes is there, and the
/// test can tell, for without them transactions are lost.
///
/// `MAYFLY_CRASHES` asks for another number of power losses for each journal mode.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct SQLiteCrashTests {
    private static var crashes: String {
        BuiltCommand.variable("MAYFLY_CRASHES") ?? "6"
    }

    /// The database's process is killed at a moment that the seed chooses, then the power fails.
    ///
    /// A transaction n writes a row that says n over and over, removes an old one, and counts; what
    /// was committed is told through a pipe.
    private static let body = #"""
        import sqlite3, hashlib
        mode, synchronous, crashes = MODE, SYNCHRONOUS, CRASHES
        child = """
        import hashlib, os, sqlite3, sys
        path, mode, synchronous = sys.argv[1:]
        db = sqlite3.connect(path, isolation_level=None)
        assert db.execute("pragma journal_mode=" + mode).fetchone()[0] == mode
        db.execute("pragma synchronous=" + synchronous); db.execute("pragma wal_autocheckpoint=20")
        db.execute("pragma cache_size=10")
        db.execute("create table if not exists t (n integer primary key, content blob)")
        n = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
        while True:
            n += 1
            content = hashlib.sha256(b"%d" % n).digest() * (1 + n * 7 % 300)
            db.execute("begin"); db.execute("insert into t values (?, ?)", (n, content))
            db.execute("delete from t where n = ?", (n - 40,)); db.execute("commit")
            os.write(1, b"%d\\n" % n)
        """
        base = m + "/db/data.sqlite"; lost = broken = 0; os.mkdir(m + "/db"); sync("db"); sync(".")
        for seed in range(crashes):
            chance = random.Random(seed)
            writer = subprocess.Popen([sys.executable, "-ISc", child, base, mode, synchronous], stdout=subprocess.PIPE)
            for n in range(chance.randrange(1, 12)): committed = int(writer.stdout.readline())
            time.sleep(chance.random() * 0.02)
            writer.kill(); rest = writer.stdout.read().split(); writer.wait()
            if rest: committed = int(rest[-1])
            crash(seed)
            try:
                db = sqlite3.connect(base)
                assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
                rows = db.execute("select n, content from t order by n").fetchall(); db.close()
                last = rows[-1][0] if rows else 0
                assert [n for n, _ in rows] == list(range(max(1, last - 39), last + 1)), "a hole"
                for n, content in rows:
                    assert content == hashlib.sha256(b"%d" % n).digest() * (1 + n * 7 % 300), n
                if last < committed: lost += 1
            except (AssertionError, sqlite3.DatabaseError) as error:
                broken += 1; print("seed", seed, "broken:", error)
                try: db.close()
                except Exception: pass
                for name in os.listdir(m + "/db"): os.unlink(m + "/db/" + name)
            if (lost or broken) and synchronous != "off": raise SystemExit("seed %d: %d lost, %d broken" % (seed, lost, broken))
        print(mode, synchronous, crashes, "crashes:", lost, "lost", broken, "broken")
        if synchronous == "off": assert lost + broken > 0, "nothing was ever lost"
        """#

    private func run(_ mode: String, _ synchronous: String, _ crashes: String) throws {
        let body = Self.body.replacing("MODE", with: "\"\(mode)\"", maxReplacements: 1)
            .replacing("SYNCHRONOUS", with: "\"\(synchronous)\"", maxReplacements: 1)
            .replacing("CRASHES", with: crashes, maxReplacements: 1)
        try MountedPython.run(
            .best, "--durability fsync", body,
            seconds: 60 + 5 * (Int(crashes) ?? 0))
    }

    @Test func nothingCommittedIsLostWithAWriteAheadLog() throws {
        try run("wal", "full", Self.crashes)
    }

    /// With `full` the removal of the journal, which commits, is not synced: SQLite's documentation
    /// has `extra` for that.
    @Test func nothingCommittedIsLostWithARollbackJournal() throws {
        try run("delete", "extra", Self.crashes)
    }

    @Test(arguments: ["wal", "delete"])
    func lossesAreFoundWithoutSyncing(mode: String) throws {
        try run(mode, "off", "6")
    }
}
