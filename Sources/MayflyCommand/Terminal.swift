import Glibc
import Synchronization

/// The terminal while a picture is shown on it again and again.
///
/// It has the alternate screen, so that what stood there before comes back, and is as it was
/// whenever this process does not run in its foreground: after the end, by whatever signal that can
/// be caught, and while it is stopped.
final class Terminal {
    /// Why `wait` came back.
    enum Event: Equatable {
        case timeIsOver
        /// The picture must be drawn anew: another size, or the terminal has been somebody else's.
        case damaged
        /// A key was pressed that is not the end.
        case key(Character)
        /// Somebody asks for the end; 0, or what the process is to exit with.
        case end(status: Int32)
    }

    // Alternate screen, no cursor, and lines that are too long end at the edge.
    private static let enter = "\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l"
    private static let leave = "\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l"

    private static let signals = [SIGWINCH, SIGTSTP, SIGINT, SIGTERM, SIGHUP, SIGQUIT]
    /// Where the signal handler writes the signal's number; it is set before there is a handler.
    private static let arrivals = Atomic<Int32>(-1)

    private var before = termios()
    private let signalled: Int32

    /// nil when the standard output is none, or no key could end it.
    init?() {
        guard isatty(STDOUT_FILENO) == 1, isatty(STDIN_FILENO) == 1,
            unsafe tcgetattr(STDIN_FILENO, &before) == 0
        else { return nil }
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { return nil }
        // A full pipe must not hold the handler up: what waits in it is enough to wake us.
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        signalled = ends[0]
        Self.arrivals.store(ends[1], ordering: .sequentiallyConsistent)
        for number in Self.signals {
            signal(number) { number in
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: number)
                unsafe _ = write(Terminal.arrivals.load(ordering: .relaxed), &byte, 1)
                errno = saved
            }
        }
        take()
    }

    func restore() {
        Console.put(Self.leave)
        unsafe tcsetattr(STDIN_FILENO, TCSANOW, &before)
    }

    /// Rows and columns.
    var size: (rows: Int, columns: Int) {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0,
            size.ws_col > 0
        else { return (24, 80) }
        return (Int(size.ws_row), Int(size.ws_col))
    }

    /// Waits for a time, or until something happens that asks for the end or another picture.
    func wait(seconds: Double) -> Event {
        var now = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        let deadline = Self.milliseconds(now) + Int(seconds * 1000)
        while true {
            unsafe clock_gettime(CLOCK_MONOTONIC, &now)
            let left = max(0, deadline - Self.milliseconds(now))
            var inputs = [
                pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signalled, events: Int16(POLLIN), revents: 0),
            ]
            let count = unsafe poll(&inputs, 2, Int32(clamping: left))
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return .timeIsOver }
            if inputs[1].revents != 0, let event = takeSignal() { return event }
            if inputs[0].revents != 0 { return takeKey() }
        }
    }

    /// Puts lines in place of those before, as many as there is room for.
    func show(_ lines: [String]) {
        let text = lines.prefix(size.rows).map { "\($0)\u{1B}[K" }.joined(separator: "\r\n")
        Console.put("\u{1B}[H\(text)\u{1B}[J")
    }

    /// Keys come one by one and are not shown from now on.
    private func take() {
        var raw = before
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
        unsafe tcsetattr(STDIN_FILENO, TCSANOW, &raw)
        Console.put(Self.enter)
    }

    private func takeSignal() -> Event? {
        var number: UInt8 = 0
        guard unsafe read(signalled, &number, 1) == 1 else { return nil }
        switch Int32(number) {
        case SIGWINCH: return .damaged
        case SIGINT: return .end(status: 0)
        case SIGTSTP:
            restore()
            // Returns when the shell lets us go on.
            raise(SIGSTOP)
            take()
            return .damaged
        default: return .end(status: 128 + Int32(number))
        }
    }

    /// The end is q, or that of the input.
    private func takeKey() -> Event {
        var key: UInt8 = 0
        guard unsafe read(STDIN_FILENO, &key, 1) == 1,
            ![UInt8(ascii: "q"), UInt8(ascii: "Q")].contains(key)
        else { return .end(status: 0) }
        return .key(Character(Unicode.Scalar(key)))
    }

    private static func milliseconds(_ time: timespec) -> Int {
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}
