// ServerLog: what a server says of its mounts while nobody watches: on the standard error, which may be the
// journal, or in the background to syslog(3).

internal import CMayflySystem
internal import Glibc
package import Mayfly
internal import MayflyHost

/// Lines with levels.
package struct ServerLog: Sendable {
    /// As syslog(3) and the journal number them.
    package enum Level: Int32, Sendable, CaseIterable, Comparable {
        case error = 3, warning, notice, info

        package static func < (one: Level, other: Level) -> Bool { one.rawValue < other.rawValue }

        /// As `--log` spells it.
        package init?(_ word: String) {
            guard let level = Self.allCases.first(where: { "\($0)" == word }) else { return nil }
            self = level
        }
    }

    package enum Target: Sendable {
        case standardError
        /// The standard error, where every line has its level in front (sd-daemon(3)).
        case journal
        case system
    }

    private let target: Target
    private let level: Level

    /// - Parameters:
    ///   - level: the least important that is said; nil for warnings, and on the journal and in the background
    ///     notices as well.
    ///   - isBackground: whether the standard error leads nowhere.
    package init(level: Level?, isBackground: Bool) {
        target = isBackground ? .system : Self.isJournal ? .journal : .standardError
        self.level = level ?? (target == .standardError ? .warning : .notice)
    }

    init(target: Target, level: Level) {
        self.target = target
        self.level = level
    }

    package func say(_ level: Level, _ line: String) {
        if level > self.level { return }
        // A name may have a newline, which would begin another line.
        let line = ShellQuote.escaped(line)
        switch target {
        case .standardError: unsafe csys_log_line(-1, line)
        case .journal: unsafe csys_log_line(level.rawValue, line)
        case .system: unsafe csys_log_system(level.rawValue, line)
        }
    }

    /// What happened to a mount.
    package func say(_ event: MountEvent) {
        let mount = ShellQuote.quoted(event.mountpoint)
        switch event.event {
        case .mounted, .missed: break
        case .full:
            say(
                .warning,
                "\(mount) is full: \(event.count ?? 0) requests were refused (ENOSPC), \(Self.usage(event)); "
                    + "`mayfly resize` gives it more")
        case .fault:
            guard let fault = event.fault else { return }
            let state =
                event.count == nil
                ? "is in force" : "is taken back, after it was carried out \(fault.fired) times"
            say(.notice, "\(mount): fault \(fault.number) on \(fault.rule.operation) \(state)")
        case .snapshot:
            say(.info, "\(mount): snapshot \(ShellQuote.quoted(event.snapshot?.name ?? ""))")
        case .rollback:
            say(
                .notice,
                "\(mount) is as it was at snapshot \(ShellQuote.quoted(event.rollback?.name ?? ""))"
            )
        case .resized: say(.notice, "\(mount) is resized: \(Self.usage(event))")
        case .crash:
            let crash = event.crash
            say(
                .notice,
                "\(mount) lost \(crash?.namesLost ?? 0) names and \(crash?.pagesLost ?? 0) pages to a power loss, seed "
                    + "\(crash?.seed ?? 0)")
        case .ended:
            say(
                .notice,
                "\(mount) has ended: it held at most \(SizeText.described(bytes: event.bytes?.peak ?? 0)) and "
                    + "\(event.inodes?.peak ?? 0) inodes, and answered \(event.requests ?? 0) requests"
            )
        }
    }

    private static func usage(_ event: MountEvent) -> String {
        guard let bytes = event.bytes, let inodes = event.inodes else { return "" }
        return
            "\(SizeText.described(bytes: bytes.used)) of \(SizeText.described(bytes: bytes.limit)), "
            + "\(inodes.used) of \(inodes.limit) inodes"
    }

    /// Whether the standard error is a stream of the journal.
    ///
    /// - Source: systemd.exec(5), $JOURNAL_STREAM.
    private static var isJournal: Bool {
        var status = stat()
        guard let stream = ProcessArguments.variable("JOURNAL_STREAM")?.text,
            unsafe fstat(STDERR_FILENO, &status) == 0
        else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }
}
