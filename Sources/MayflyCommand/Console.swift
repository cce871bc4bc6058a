import Glibc

/// What the command prints besides help. Lines are written whole, past any buffer, so that they
/// keep their order among the lines of other processes.
enum Console {
    /// A line for the standard output.
    static func say(_ line: String) { write("mayfly: \(line)\n", to: STDOUT_FILENO) }

    /// A line for the standard error.
    static func complain(_ line: String) { write("mayfly: \(line)\n", to: STDERR_FILENO) }

    /// A line of a table or a report, as it is.
    static func show(_ line: String) { write("\(line)\n", to: STDOUT_FILENO) }

    /// Text for the terminal, as it is.
    static func put(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// Text for the terminal that the standard error is, as it is.
    static func draw(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Bytes of a document, and the end of its last line.
    static func write(_ document: [UInt8]) {
        write(document + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }

    /// Text of somebody else's without what would steer the terminal.
    static func printable(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            let isControl = scalar.value < 32 || (127..<160).contains(scalar.value)
            result.unicodeScalars.append(isControl ? "?" : scalar)
        }
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
