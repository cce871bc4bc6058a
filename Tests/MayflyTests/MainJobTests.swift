// What people mount a file system in memory for, on real input: building, version control,
// databases, package managers.

import Glibc
import Testing

@Suite(
    .serialized, .timeLimit(.minutes(60)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct MainJobTests {
    /// The repository that this file belongs to; nil where the sources came without one.
    static let repository: String? = {
        let sources = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let git = ["git", "-c", "safe.directory=*", "-C", "/\(sources)", "rev-parse"]
        let outcome = try? ChildProcess.run(git + ["--verify", "HEAD"])
        return outcome?.status == 0 ? "/\(sources)" : nil
    }()

    @Test(.enabled(if: repository != nil, "the sources are no git repository with a commit"))
    func aCloneOfThisRepositoryBuildsAndRuns() throws {
        let repository = try #require(Self.repository)
        // A checkout may belong to somebody else, which git refuses to read unless told. A debug build makes more
        // files than one for release, in a third of the time.
        let script = """
            printf '[include]\\n\\tpath = ~/.gitconfig\\n[safe]\\n\\tdirectory = *\\n' > gitconfig
            GIT_CONFIG_GLOBAL="$PWD/gitconfig" git clone --quiet "$1" clone
            cd clone
            git fsck --full --strict
            swift build --product mayfly
            .build/debug/mayfly --version
            .build/debug/mayfly --help
            git status --porcelain
            """
        let outcome = try runInMount(
            .best, script, options: ["--size", "6g"], arguments: [repository], seconds: 40 * 60)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.contains("Build of product 'mayfly' complete!"))
        #expect(outcome.output.contains("\nmayfly "))
        #expect(outcome.output.contains("SUBCOMMANDS:"))
    }

    @Test(arguments: TestTransport.allCases)
    func aTreeOfThousandsOfFilesIsKeptByGit(_ transport: TestTransport) throws {
        try transport.require()
        let script = """
            python3 -c "$1" > tree.tar
            tar xf tree.tar && tar df tree.tar
            test $(find tree -type f | wc -l) = 6000
            cp -a tree copy && diff -r tree copy && rm -rf copy
            cd tree
            export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org
            export GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
            git init --quiet . && git add . && git commit --quiet -m one
            test -z "$(git status --porcelain)"
            for file in d1/*; do echo more >> $file; done
            test $(git status --porcelain | wc -l) = $(ls d1 | wc -l)
            git commit --quiet -a -m two && git reset --quiet --hard HEAD~1
            test -z "$(git status --porcelain)"
            git gc --quiet && git fsck --full --strict
            git clone --quiet . ../again && diff -r -x .git . ../again
            cd .. && mkdir fresh && tar xf tree.tar -C fresh && diff -r -x .git fresh/tree tree
            rm -rf tree again fresh tree.tar && test -z "$(ls -A)"
            test $(df --output=iused . | tail -1) = 1
            test $(df --output=used . | tail -1) = 0
            """
        let outcome = try runInMount(
            transport, script, options: ["--size", "1g"], arguments: [Self.tree], seconds: 300)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    @Test(arguments: TestTransport.allCases)
    func aProjectInCIsMadeAndRun(_ transport: TestTransport) throws {
        try transport.require()
        let script = """
            python3 -c "$1"
            make -s -j2 && ./sum
            make | grep -q "up to date"
            touch unit7.c && test $(make -j2 | grep -c unit7.o) = 2
            make -s clean && test -z "$(ls *.o sum 2>/dev/null)"
            """
        let outcome = try runInMount(
            transport, script, options: ["--size", "256m"], arguments: [Self.project], seconds: 300)
        #expect(outcome.status == 0, "\(outcome.report)")
        // The sum of i * i below 120.
        #expect(outcome.output.contains("568820\n"))
    }

    @Test(arguments: TestTransport.allCases)
    func aDatabaseIsWhole(_ transport: TestTransport) throws {
        try transport.require()
        let outcome = try runInMount(
            transport, "python3 -c \"$1\"", options: ["--size", "512m"],
            arguments: [Self.database], seconds: 300)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output == "wal ok\ndelete ok\ntruncate ok\n")
    }

    @Test(arguments: TestTransport.allCases)
    func aVirtualEnvironmentTakesPackages(_ transport: TestTransport) throws {
        try transport.require()
        let script = """
            python3 -m venv environment
            environment/bin/pip install --quiet six==1.16.0
            environment/bin/python -c 'import six; print(six.__version__, six.__file__)'
            environment/bin/pip uninstall --quiet --yes six
            ! environment/bin/python -c 'import six' 2>/dev/null
            """
        let outcome = try runInMount(
            transport, script, options: ["--size", "256m"], seconds: 300)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.hasPrefix("1.16.0 /tmp/mayfly-job-"), "\(outcome.output)")
    }

    // MARK: what the scripts run

    /// 6,000 files of 0 to 20 kB in 60 folders, as a tar archive on the standard output.
    private static let tree = """
        import io, random, sys, tarfile
        random.seed(6000)
        words = [bytes(random.choices(b'abcdefghijklmnopqrstuvwxyz', k=7)) for _ in range(999)]
        with tarfile.open(fileobj=sys.stdout.buffer, mode='w|') as tar:
            for i in range(6000):
                size = random.choice([0, 40, 800, 3000, 4096, 9000, 20000])
                data = b' '.join(random.choices(words, k=size // 8 + 1))[:size]
                info = tarfile.TarInfo('tree/d%d/%s%d.txt' % (i % 60, 'x' * (i % 90), i))
                info.size = size
                info.mode = random.choice([0o644, 0o755])
                info.mtime = 1500000000 + i
                tar.addfile(info, io.BytesIO(data))
        """

    /// 120 units of C with a header and a Makefile.
    private static let project = """
        for i in range(120):
            with open('unit%d.c' % i, 'w') as f:
                f.write('#include "all.h"\\n')
                f.write('static const int table[%d] = {%d};\\n' % (i + 1, i))
                f.write('long unit%d(long n) { return n + (long)table[0] * %d; }\\n' % (i, i))
        with open('all.h', 'w') as f:
            f.write('#include <stdio.h>\\n#include <stdlib.h>\\n#include <string.h>\\n')
            for i in range(120): f.write('long unit%d(long);\\n' % i)
        with open('main.c', 'w') as f:
            f.write('#include "all.h"\\nint main(void) { long n = 0;\\n')
            for i in range(120): f.write('n = unit%d(n);\\n' % i)
            f.write('printf("%ld\\\\n", n); return 0; }\\n')
        with open('Makefile', 'w') as f:
            f.write('objects = $(patsubst %.c,%.o,$(wildcard *.c))\\n')
            f.write('sum: $(objects)\\n\\t$(CC) -o $@ $^\\n')
            f.write('%.o: %.c all.h\\n\\t$(CC) -O1 -g -c -o $@ $<\\n')
            f.write('clean:\\n\\trm -f sum $(objects)\\n')
        """

    /// Thousands of inserts in each journal mode, through a memory mapping, read by a second
    /// connection and after reopening.
    private static let database = """
        import sqlite3
        def check(c):
            assert c.execute('pragma integrity_check').fetchall() == [('ok',)]
            assert c.execute('select count(*), sum(length(v)) from t').fetchone() == (7000, total)
        for mode in ('wal', 'delete', 'truncate'):
            c = sqlite3.connect(mode + '.db', isolation_level=None)
            c.execute('pragma mmap_size = 67108864')
            assert c.execute('pragma journal_mode = ' + mode).fetchone() == (mode,)
            c.execute('create table t (k integer primary key, v blob)')
            total = 0
            for batch in range(70):
                c.execute('begin immediate')
                for i in range(100):
                    size = (batch * 100 + i) * 37 % 900
                    total += size
                    c.execute('insert into t values (?, ?)', (batch * 100 + i, b'v' * size))
                c.execute('commit')
            for i in range(0, 7000, 7):
                c.execute('update t set v = ? where k = ?', (b'w' * (i * 37 % 900), i))
            c.execute('begin')
            c.execute('delete from t')
            c.execute('rollback')
            other = sqlite3.connect(mode + '.db')
            check(other)
            other.close()
            c.execute('create index x on t (v)')
            c.execute('vacuum')
            check(c)
            c.close()
            c = sqlite3.connect(mode + '.db')
            check(c)
            c.close()
            print(mode, 'ok')
        """
}
