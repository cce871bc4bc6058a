// What the command says of a failure, and exits with.

package import Mayfly

/// What the command exits with.
package enum ExitStatus {
    /// Wrong arguments or missing permission.
    package static let usage: Int32 = 1
    /// The system refused memory, a process or a descriptor.
    package static let system: Int32 = 2
    /// Mounting or unmounting failed.
    package static let mount: Int32 = 32
    /// `mayfly run` itself failed, whatever the reason; the command did not run.
    package static let runFailed: Int32 = 125
    /// `mayfly run` found the command but could not execute it.
    package static let notExecutable: Int32 = 126
    /// `mayfly run` did not find the command.
    package static let notFound: Int32 = 127
    /// Added to the number of the signal that the command died of.
    package static let signalBase: Int32 = 128
}

extension MountError {
    /// The exit status of the command: as mount(8) has them, so that Mayfly can stand in for it.
    package var exitCode: Int32 {
        switch kind {
        case .usage: ExitStatus.usage
        case .system: ExitStatus.system
        case .mount, .busy: ExitStatus.mount
        }
    }

    /// The message, with settings as the command's options.
    package var line: String { text.described(\.option) }
}

extension MountSetting {
    /// As it is typed: "--queue-depth".
    package var option: String {
        switch self {
        case .queueDepth: "--queue-depth"
        case .maxPayload: "--max-payload"
        case .survives: "--survive"
        default: "--\(rawValue)"
        }
    }
}
