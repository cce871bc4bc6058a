import Glibc
import Testing

@testable import Mayfly
@testable import MayflyCommand

/// `mayfly top` in a terminal, which it gives back as it was.
@Suite(
    .serialized, .timeLimit(.minutes(2)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct TopTerminalTests {
    /// Plays somebody at a terminal: `top(ROWS, COLUMNS)` starts it, `type` presses keys, `until`
    /// waits for text, `left` says how it ended and whether the terminal is as before.
    private static let terminal = #"""
        import fcntl, os, pty, re, select, signal, struct, sys, termios, time
        mayfly, folder = sys.argv[1:3]
        class Top:
            def __init__(self, rows, columns, place=[folder], **environment):
                self.master, self.slave = pty.openpty()
                self.resize(rows, columns)
                self.before = termios.tcgetattr(self.slave)
                self.text = ''
                self.process = os.fork()
                if self.process == 0:
                    os.setsid()
                    fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
                    for n in range(3): os.dup2(self.slave, n)
                    os.execve(mayfly, ['mayfly', 'top', *place, '--interval', '0.2'], os.environ | environment)
            def resize(self, rows, columns):
                fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
            def type(self, keys): os.write(self.master, keys.encode())
            def kill(self, number): os.kill(self.process, number)
            def until(self, text, seconds=60):
                end = time.time() + seconds
                while text not in self.text:
                    if time.time() > end: sys.exit('no %r in %r' % (text, self.text))
                    if select.select([self.master], [], [], 0.1)[0]:
                        self.text += os.read(self.master, 65536).decode()
                before, self.text = self.text.split(text, 1)
                return before
            def forget(self):
                while select.select([self.master], [], [], 0)[0]: os.read(self.master, 65536)
                self.text = ''
            def stopped(self):
                return os.WIFSTOPPED(os.waitpid(self.process, os.WUNTRACED)[1])
            def picture(self):
                self.until('\x1b[H')
                text = re.sub('\x1b\\[[0-9;?]*[A-Za-z]', '', self.until('\x1b[J'))
                return [line.rstrip() for line in text.split('\n')]
            def is_as_before(self): return termios.tcgetattr(self.slave) == self.before
            def left(self):
                self.until('\x1b[?1049l')
                status = os.waitpid(self.process, 0)[1]
                print(os.waitstatus_to_exitcode(status), self.is_as_before())
        """#

    private func play(_ script: String, before: String = "") throws -> ChildProcess.Outcome {
        try BuiltCommand.script(
            """
            "$mayfly" mount "$folder" --size 8m > /dev/null
            trap 'cd /; umount -l "$folder" 2> /dev/null || true; rmdir "$folder"' EXIT
            mkdir "$folder/d"
            for n in 1 2 3 4 5 6 7 8 9; do
                for m in 1 2 3 4 5 6 7 8 9; do head -c 5000 /dev/zero > "$folder/d/f$m"; done
            done
            \(before)
            python3 - "$mayfly" "$folder" <<'END'
            \(Self.terminal)
            \(script)
            END
            """)
    }

    @Test func everyPartIsShownInATerminalOfAnySize() throws {
        let outcome = try play(
            """
            top = Top(24, 80)
            def check(rows, columns):
                # The first pictures after another size may be of the old one.
                for _ in range(100):
                    top.until('HOT DIRECTORIES')
                    picture = top.picture()
                    fits = len(picture) <= rows, max(map(len, picture)) <= columns
                    if all(fits): break
                print(*fits)
                for part in ('requests ', 'p99 ', 'memory ', 'queues ', 'OPCODE', 'HOT FILES'):
                    if not any(part in line for line in picture): print(part, picture)
            check(24, 80)
            for size in ((16, 60), (60, 200), (14, 80)):
                top.resize(*size)
                top.forget()
                check(*size)
            top.type('x'); top.type('q'); top.left()
            """)
        #expect(
            outcome.output == String(repeating: "True True\n", count: 4) + "0 True\n",
            "\(outcome.report)")
    }

    @Test func theTerminalIsGivenBackHoweverItEnds() throws {
        let outcome = try play(
            #"""
            for end in ('q', '\x03', '\x1c', signal.SIGTERM, signal.SIGHUP):
                top = Top(24, 80)
                top.until('HOT FILES')
                if top.is_as_before(): print('keys are shown')
                if isinstance(end, str): top.type(end)
                else: top.kill(end)
                top.left()
            top = Top(24, 80)
            top.until('HOT FILES')
            top.kill(signal.SIGTSTP)
            top.until('\x1b[?1049l')
            print(top.stopped(), top.is_as_before())
            top.kill(signal.SIGCONT)
            top.until('\x1b[?1049h'); top.until('HOT FILES')
            top.type('q'); top.left()
            """#)
        #expect(
            outcome.output
                == "0 True\n0 True\n131 True\n143 True\n129 True\nTrue True\n0 True\n",
            "\(outcome.report)")
    }

    @Test func itEndsWithTheMount() throws {
        let outcome = try play(
            """
            top = Top(24, 80)
            top.until('HOT FILES')
            os.system('umount ' + folder)
            top.left()
            """)
        #expect(outcome.output == "0 True\n", "\(outcome.report)")
    }

    @Test func aServerThatDiesIsAnError() throws {
        let outcome = try play(
            """
            top = Top(24, 80)
            top.until('HOT FILES')
            os.kill(int(os.environ['server']), 9)
            top.left()
            """,
            before: #"""
                export server=$("$mayfly" list --json | tr -d ' \n' |
                    grep -o "\"mountpoint\":\"$folder\",\"processID\":[0-9]*" | grep -o '[0-9]*$')
                """#)
        #expect(outcome.output == "32 True\n", "\(outcome.report)")
    }

    @Test func allMountsAreShownWithoutADirectory() throws {
        let outcome = try play(
            #"""
            import subprocess
            other = folder + '/../' + os.path.basename(folder) + '-other'; other = os.path.normpath(other)
            os.mkdir(other)
            subprocess.run([mayfly, 'mount', other, '--size', '16k'], check=True, capture_output=True)
            open(other + '/full', 'wb').write(b'x' * (1 << 14))
            top = Top(24, 200, [], LANG='C.UTF-8', TERM='xterm', NO_COLOR='')
            def names(picture): return [line.split()[0] for line in picture if line.startswith('/')]
            def shown(sorted):
                for _ in range(50):
                    picture = top.picture()
                    if any('sorted by ' + sorted in line for line in picture): return picture
                sys.exit('never sorted by ' + sorted)
            ours = lambda picture: [name for name in names(picture) if name in (folder, other)]
            # The first has more in it, the second is full.
            print(ours(shown('used')) == [folder, other])
            top.type('s'); full = shown('full'); print(ours(full) == [other, folder])
            line, = [line for line in full if line.startswith(other + ' ')]
            print('━━━━━━━━━━ ' in line, '100' in line, '16 KiB' in line)
            top.until('\x1b[31m━━━━━━━━━━\x1b[0m')
            top.type('?'); top.until('sorts by another column'); top.type('?'); shown('full')
            top.resize(7, 60); top.forget()
            for _ in range(50):
                small = top.picture()
                if len(small) <= 7 and max(map(len, small)) <= 60: break
            else: sys.exit(small)
            top.type('q'); top.left()
            plain = Top(24, 80, [], LANG='C', TERM='xterm', NO_COLOR='1'); plain.until('##########')
            plain.until('sorted by'); plain.type('q'); plain.left()
            once = subprocess.run([mayfly, 'top', '--once', '--sort', 'full', '--interval', '0.1'], capture_output=True, text=True)
            print(once.returncode, ours(once.stdout.splitlines()) == [other, folder], '\x1b' in once.stdout)
            wrong = subprocess.run([mayfly, 'top', folder, '--sort', 'full'], capture_output=True, text=True)
            print(wrong.returncode, '--sort is for all mounts' in wrong.stderr)
            subprocess.run([mayfly, 'umount', other], check=True); os.rmdir(other)
            """#)
        #expect(
            outcome.output
                == "True\nTrue\nTrue True True\n0 True\n0 True\n0 True False\n1 True\n",
            "\(outcome.report)")
    }

    @Test func whoUsesAMountIsShownOnRequest() throws {
        let outcome = try play(
            """
            held = open(folder + '/d/f1')
            top = Top(40, 120)
            top.until('HOT DIRECTORIES'); top.type('u'); top.until('USED BY'); top.until('python3')
            top.type('u'); top.forget(); top.until('HOT DIRECTORIES')
            top.type('q'); top.left()
            """)
        #expect(outcome.output == "0 True\n", "\(outcome.report)")
    }

    @Test func barsAndHistoriesAreDrawnAsTheTerminalCan() {
        let colourful = TopStyle { ["LANG": "C.UTF-8", "TERM": "xterm"][$0] }
        let plain = TopStyle {
            ["LC_ALL": "C", "LANG": "de_DE.UTF-8", "TERM": "xterm", "NO_COLOR": "1"][$0]
        }
        #expect(colourful.isUnicode && colourful.hasColour && !plain.isUnicode && !plain.hasColour)
        #expect(!TopStyle { _ in nil }.hasColour)
        #expect(plain.bar(0, columns: 4) == "....")
        #expect(plain.bar(0.001, columns: 4) == "#...")
        #expect(plain.bar(0.5, columns: 4) == "##..")
        #expect(plain.bar(1, columns: 4) == "####")
        #expect(colourful.history([0, 1, 2, 4], columns: 3) == "▃▅█")
        #expect(
            colourful.history([0, 0], columns: 3).isEmpty && plain.history([1], columns: 3).isEmpty)
        for (share, colour) in [(0.5, 32), (0.9, 33), (1, 31)] {
            #expect(
                colourful.painted("a \(colourful.bar(share, columns: 10)) b")
                    .hasPrefix("a \u{1B}[\(colour)m━"), "\(share)")
        }
        #expect(plain.painted("a ## b") == "a ## b")
    }
}
