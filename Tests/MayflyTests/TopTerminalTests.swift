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
            def __init__(self, rows, columns):
                self.master, self.slave = pty.openpty()
                self.resize(rows, columns)
                self.before = termios.tcgetattr(self.slave)
                self.text = ''
                self.process = os.fork()
                if self.process == 0:
                    os.setsid()
                    fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
                    for n in range(3): os.dup2(self.slave, n)
                    os.execv(mayfly, ['mayfly', 'top', folder, '--interval', '0.2'])
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
}
