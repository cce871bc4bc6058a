// ServiceNotification: tells a service manager such as systemd how far a server is.
//
// Source: sd_notify(3): datagrams of lines "NAME=value" to the socket that NOTIFY_SOCKET names.

import Glibc
import Mayfly
import MayflyHost

/// What systemd is told of a service (sd_notify(3)).
package enum ServiceNotification {
    /// The mount answers.
    package static func ready(_ status: String) { send(["READY=1", "STATUS=\(status)"]) }

    /// The mount is being ended.
    package static func stopping() { send(["STOPPING=1"]) }

    /// Sends lines to the service manager; does nothing when there is none.
    ///
    /// - Returns: whether it was sent.
    @discardableResult
    static func send(
        _ lines: [String],
        to name: String? = ProcessArguments.variable("NOTIFY_SOCKET")?.text
    ) -> Bool {
        // A path, or with @ in front a name that is no path.
        guard let name, name.hasPrefix("/") || name.hasPrefix("@"), name.utf8.count > 1 else {
            return false
        }
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let client = socket(AF_UNIX, type, 0)
        guard client >= 0 else { return false }
        defer { close(client) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = PathBytes(name).bytes
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let length = MemoryLayout<sa_family_t>.size + bytes.count
        let message = Array(lines.joined(separator: "\n").utf8)
        let sent = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                unsafe sendto(
                    client, message, message.count, Int32(MSG_NOSIGNAL), generic,
                    socklen_t(length))
            }
        }
        return sent == message.count
    }
}
