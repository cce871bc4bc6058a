import Glibc

/// The terminal while a picture is shown on it again and again.
final class Terminal {
    private static let enter = "\u{1B}[?1049h\u{1B}[?25l"
    private static let leave = "\u{1B}[?25h\u{1B}[?1049l"

    private var before = termios()

    /// nil when the standard output is none, or no key could end it.
    init?() {
        guard isatty(STDOUT_FILENO) == 1, isatty(STDIN_FILENO) == 1,
            unsafe tcgetattr(STDIN_FILENO, &before) == 0
        else { return nil }
        // Keys come one by one and are not shown. Ctrl-C comes as a key, so that it restores all.
        var raw = before
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG)
        guard unsafe tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0 else { return nil }
        Console.put(Self.enter)
    }

    func restore() {
        Console.put(Self.leave)
        unsafe tcsetattr(STDIN_FILENO, TCSANOW, &before)
    }

    /// Waits, or until a key ends it.
    ///
    /// - Returns: whether one did: q, Ctrl-C or the end of the input.
    func wait(seconds: Double) -> Bool {
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&input, 1, Int32(seconds * 1000)) > 0 else { return false }
        var key: UInt8 = 0
        guard unsafe read(STDIN_FILENO, &key, 1) == 1 else { return true }
        return key == UInt8(ascii: "q") || key == UInt8(ascii: "Q") || key == 3
    }

    /// Puts lines in place of those before, as many and as wide as there is room for.
    func show(_ lines: [String]) {
        var size = winsize()
        let isKnown = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 0
        let rows = isKnown ? Int(size.ws_row) : 24
        let columns = isKnown ? Int(size.ws_col) : 80
        let shown = lines.prefix(rows).map { line in
            "\(Self.cut(line, to: columns))\u{1B}[K"
        }
        Console.put("\u{1B}[H\(shown.joined(separator: "\r\n"))\u{1B}[J")
    }

    /// At most so many characters, those that steer not counted.
    private static func cut(_ line: String, to columns: Int) -> String {
        var result = ""
        var width = 0
        var isSteering = false
        for character in line {
            if character == "\u{1B}" { isSteering = true }
            if isSteering {
                result.append(character)
                if character.isLetter { isSteering = false }
            } else if width < columns {
                result.append(character)
                width += 1
            }
        }
        return result
    }
}
