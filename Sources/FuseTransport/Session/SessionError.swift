package import SystemPackage

/// Why a session could not be mounted or unmounted: one line that says what was wrong and what to
/// do.
package struct SessionError: Error, Sendable, CustomStringConvertible {
    /// One line, without the program's name.
    package let message: String
    /// The system's error behind it, where there is one.
    package let code: Errno?

    package init(_ message: String, code: Errno? = nil) {
        self.message = message
        self.code = code
    }

    package var description: String {
        guard let code else { return message }
        return "\(message) (\(code))"
    }
}
