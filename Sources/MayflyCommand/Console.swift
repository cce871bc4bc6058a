import Glibc
import Mayfly
import MayflyHost

/// What the command prints besides help. Lines are written whole, past any buffer, so that they
/// keep their order among the lines of other processes.
enum Console {
    /// A line for the standard output.
    static func say(_ line: String) {
        write("mayfly: \(ShellQuote.escaped(line))\n", to: STDOUT_FILENO)
    }

    /// A line for the standard error.
    static func complain(_ line: String) {
        write("mayfly: \(ShellQuote.escaped(line))\n", to: STDERR_FILENO)
    }

    /// A line of a table or a report.
    static func show(_ line: String) { write("\(ShellQuote.escaped(line))\n", to: STDOUT_FILENO) }

    /// A line of a list, ended by a newline, or by NUL and with its names as they are.
    ///
    /// - Parameters:
    ///   - before: what comes before the name.
    ///   - after: what comes after it, such as where a link leads.
    static func list(
        _ before: String, _ name: String, _ after: String = "", link: String? = nil, null: Bool
    ) {
        if null {
            var line = Array(before.utf8) + PathBytes(name).bytes
            if let link { line += Array(" -> ".utf8) + PathBytes(link).bytes }
            return write(line + Array(after.utf8) + [0], to: STDOUT_FILENO)
        }
        let arrow = link.map { " -> \(ShellQuote.quoted($0))" } ?? ""
        write("\(before)\(ShellQuote.quoted(name))\(arrow)\(after)\n", to: STDOUT_FILENO)
    }

    /// Text for the terminal, as it is.
    static func put(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// Text for the terminal that the standard error is, as it is.
    static func draw(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Bytes of a document, and the end of its last line.
    static func write(_ document: [UInt8]) {
        write(document + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        write(Array(text.utf8), to: descriptor)
    }

    private static func write(_ content: [UInt8], to descriptor: Int32) {
        var bytes = content[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(descriptor, buffer.baseAddress, buffer.count)
            }
            if count < 0 {
                if errno == EINTR { continue }
                return  // nobody is left to read it
            }
            bytes = bytes.dropFirst(count)
        }
    }
}
