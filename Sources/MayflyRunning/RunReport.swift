// What `mayfly run` tells when it has ended: one line for people, one JSON object for programs.

import Glibc
import Mayfly
import MayflyHost
import SystemPackage

/// What a run was and what it used.
struct RunReport: Equatable {
    var command: [PathBytes]
    /// What `mayfly run` exits with.
    var exitStatus: Int32
    /// The signal that the command died of.
    var signal: Int32?
    /// From the command's start to its end.
    var nanoseconds: UInt64
    var statistics: MountStatistics
    var summary: MountSummary
    /// What it had left running.
    var leftRunning: [MountHolder] = []
    /// What became of the folders of `--over`.
    var over: [OverReport] = []
    /// Where its tree was copied to.
    var kept: PathBytes?
    /// Where it was saved: a file, or a name in the store.
    var saved: PathBytes?

    /// Requests that another profile would have spared; 0 where it is the mount's.
    var spared: UInt64 = 0

    /// What another profile would have spared, where that is worth a line.
    var advice: String? {
        guard spared >= 1000, spared * 50 >= statistics.requests else { return nil }
        return "--profile build would have spared \(spared) of these requests or more "
            + "(Docs/Options.md)"
    }

    var line: String {
        let inodes = statistics.peakInodes
        let requests = statistics.requests
        return "used at most \(SizeText.described(bytes: statistics.peakBytes)) and "
            + "\(inodes) \(inodes == 1 ? "inode" : "inodes"), answered \(requests) "
            + "\(requests == 1 ? "request" : "requests") in \(seconds(digits: 2)) s"
    }

    /// Keys stay; new ones may come.
    var json: String {
        let left = leftRunning.map {
            "{\"pid\": \($0.processID), \"command\": \(Self.quoted($0.command))}"
        }
        let fields: [(String, String)] = [
            ("command", Self.list(command.map { Self.quoted($0.text) })),
            ("exitStatus", "\(exitStatus)"),
            ("signal", signal.map(String.init) ?? "null"),
            ("seconds", seconds(digits: 6)),
            ("peakBytes", "\(statistics.peakBytes)"),
            ("peakInodes", "\(statistics.peakInodes)"),
            ("requests", "\(statistics.requests)"),
            ("mountpoint", Self.quoted(summary.mountpoint)),
            ("transport", summary.transport == .ring ? "\"ring\"" : "\"dev\""),
            ("sizeBytes", "\(summary.sizeBytes)"),
            ("inodes", "\(summary.inodes)"),
            ("maximumMemoryBytes", "\(summary.maximumMemoryBytes)"),
            ("leftRunning", Self.list(left)),
            ("over", Self.list(over.map(\.json))),
            ("saved", saved.map { Self.quoted($0.text) } ?? "null"),
            ("kept", kept.map { Self.quoted($0.text) } ?? "null"),
        ]
        let lines = fields.map { "  \(Self.quoted($0.0)): \($0.1)" }
        return "{\n" + lines.joined(separator: ",\n") + "\n}\n"
    }

    /// Seconds with so many decimals, rounded.
    private func seconds(digits: Int) -> String {
        let scale = (0..<digits).reduce(UInt64(1)) { scale, _ in scale * 10 }
        let unit = 1_000_000_000 / scale
        let count = (nanoseconds + unit / 2) / unit
        let fraction = String(count % scale)
        let padding = String(repeating: "0", count: digits - fraction.count)
        return "\(count / scale).\(padding)\(fraction)"
    }

    private static func list(_ items: [String]) -> String {
        "[" + items.joined(separator: ", ") + "]"
    }

    /// A JSON string.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// The file that `--report` names, opened before the command runs so that a wrong name is told
/// then.
struct ReportFile: ~Copyable {
    private let path: PathBytes
    /// nil for the standard output, which is neither opened nor cut.
    private let file: OutputFile?

    /// - Parameter path: "-" for the standard output.
    init(_ path: PathBytes) throws(MountError) {
        self.path = path
        guard path != "-" else {
            file = nil
            return
        }
        let file = try OutputFile(path, option: "--report ")
        if file.isRegular { ftruncate(file.descriptor, 0) }
        self.file = file
    }

    func write(_ report: RunReport) throws(MountError) {
        var bytes = Array(report.json.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(
                    file?.descriptor ?? STDOUT_FILENO, buffer.baseAddress, buffer.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw MountError(
                    .system,
                    "--report \(path) cannot be written (\(Errno(rawValue: errno))): look at the "
                        + "room on its file system")
            }
            bytes = bytes.dropFirst(count)
        }
    }
}
