import Glibc
import Mayfly
import MayflyHost

/// A file that a report goes to: opened before anything is measured, so that a wrong name is told
/// then, and changed only when there is a report.
final class BenchOutput {
    private let path: PathBytes
    private let option: String
    private let descriptor: Int32
    private let isNew: Bool

    init(_ path: PathBytes, option: String) throws(MountError) {
        self.path = path
        self.option = option
        let new = unsafe path.withCString {
            unsafe open($0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        }
        isNew = new >= 0
        descriptor =
            new >= 0 ? new : unsafe path.withCString { unsafe open($0, O_WRONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw failure("name another file") }
    }

    deinit { close(descriptor) }

    func write(_ content: [UInt8]) throws(MountError) {
        var bytes = content[...]
        // A pipe or a terminal has no end that could be cut off.
        _ = ftruncate(descriptor, 0)
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(descriptor, buffer.baseAddress, buffer.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("look at the room on its file system") }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Leaves the file as it was.
    func abandon() { if isNew { _ = unsafe path.withCString { unsafe unlink($0) } } }

    private func failure(_ advice: String) -> MountError {
        let reason = unsafe String(cString: strerror(errno))
        return MountError(.usage, "\(option) \(path) cannot be written (\(reason)): \(advice)")
    }

    /// `path` from the root on.
    static func absolute(_ path: PathBytes) -> PathBytes {
        guard !path.isAbsolute, let folder = unsafe getcwd(nil, 0) else { return path }
        defer { unsafe free(folder) }
        let bytes = unsafe UnsafeRawBufferPointer(start: folder, count: strlen(folder))
        return unsafe PathBytes(bytes: bytes) + "/" + path
    }
}

/// The line on a terminal's last row that says how far a command is.
struct ProgressLine {
    /// nil where the standard error is no terminal.
    init?() {
        guard isatty(STDERR_FILENO) == 1 else { return nil }
    }

    func show(_ text: String) {
        var size = winsize()
        let isKnown = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        let room = Int(isKnown ? size.ws_col : 80) - 1
        Console.draw("\r\u{1B}[K\(ShellQuote.escaped(text).prefix(room))")
    }

    func clear() { Console.draw("\r\u{1B}[K") }
}
