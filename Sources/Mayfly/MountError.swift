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

    public var description: String { message }
}
