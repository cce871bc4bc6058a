/// Why a mount could not be had, kept or ended, in one line that says what to do about it.
///
/// Requests inside a mount never throw this: they are answered with an errno. It is what set-up,
/// unmounting and the command report.
public struct MountError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it is; decides the exit status.
    public enum Kind: Sendable, Equatable {
        /// An argument or option is wrong, or the caller may not do this.
        case usage
        /// The system refused something: memory, a thread, a process, a pipe.
        case system
        /// Mounting or unmounting itself failed.
        case mount
        /// The mount is in use, so that it cannot be unmounted unless lazily.
        case busy
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// One line, without the program's name in front and without a full stop.
    public let message: String

    /// An error of a kind, with the line that a user is to read.
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The exit status of the command: as mount(8) has them, so that Mayfly can stand in for it.
    public var exitCode: Int32 {
        switch kind {
        case .usage: ExitStatus.usage
        case .system: ExitStatus.system
        case .mount, .busy: ExitStatus.mount
        }
    }

    public var description: String { message }
}

/// What the command exits with.
public enum ExitStatus {
    /// Wrong arguments or missing permission.
    public static let usage: Int32 = 1
    /// The system refused memory, a process or a descriptor.
    public static let system: Int32 = 2
    /// Mounting or unmounting failed.
    public static let mount: Int32 = 32
    /// `mayfly run` itself failed, whatever the reason; the command did not run.
    public static let runFailed: Int32 = 125
    /// `mayfly run` found the command but could not execute it.
    public static let notExecutable: Int32 = 126
    /// `mayfly run` did not find the command.
    public static let notFound: Int32 = 127
    /// Added to the number of the signal that the command died of.
    public static let signalBase: Int32 = 128
}
