import Glibc

/// What the command prints besides help. Lines are written whole, past any buffer, so that they
/// keep their order among the lines of other processes.
enum Console {
    /// A line for the standard output.
    static func say(_ line: String) { write("mayfly: \(line)\n", to: STDOUT_FILENO) }

    /// A line for the standard error.
    static func complain(_ line: String) { write("mayfly: \(line)\n", to: STDERR_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
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
