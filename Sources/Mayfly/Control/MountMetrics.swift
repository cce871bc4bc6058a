// MountMetrics: the figures of many mounts for Prometheus, as `mayfly metrics` gives them.

internal import Glibc
internal import MayflyHTTP
public import MayflyHost
internal import SystemPackage

/// The text format of Prometheus for all mounts, each sample with a label `mount`.
public enum MountMetrics {
    /// - Parameter mounts: those that do not answer are counted, and have no other samples.
    public static func text(_ mounts: [ListedMount]) -> String {
        var text = MetricText()
        let states: [ListedMount.State] = [.serving, .silent, .dead]
        text.add(
            "mayfly_mounts", "gauge", "Mounts, by how their servers are.",
            states.map { state in
                ([("state", state.rawValue)], "\(mounts.count { $0.state == state })")
            })
        for mount in mounts {
            text.labels = [("mount", mount.mountpoint)]
            mount.report?.add(to: &text)
        }
        return text.lines
    }

    /// Writes the text for the textfile collector of the node exporter: a file that is there whole or not at all,
    /// which everybody may read.
    ///
    /// - Throws: `.usage` where the file cannot be made; `.system` when it cannot be written.
    public static func write(_ mounts: [ListedMount], to path: PathBytes) throws(MountError) {
        guard path.bytes.suffix(5).elementsEqual(".prom".utf8) else {
            throw MountError(
                .usage,
                "\(setting: .textfile) \(path) does not end with .prom: the node exporter reads no other files"
            )
        }
        let bytes = Array(text(mounts).utf8)
        try ReplacedFile.write(path, umask: 0o022) { (descriptor: Int32) throws(Errno) in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = unsafe rest.withUnsafeBytes {
                    unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
                }
                if count < 0 {
                    if errno == EINTR { continue }
                    throw Errno(rawValue: errno)
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Answers `GET /metrics` on an address of the loopback, until the process ends.
    ///
    /// - Parameters:
    ///   - address: "127.0.0.1:9469", "[::1]:9469", or a port alone. Port 0 is one that is free.
    ///   - ready: called with the address once it answers.
    /// - Throws: `.usage` for an address that is none, or no address of the loopback; `.system` where it is taken.
    public static func serve(
        _ address: String, ready: (String) -> Void
    ) throws(MountError) -> Never {
        let port = LoopbackAddress(address)
        guard let port else {
            throw MountError(
                .usage,
                "bad \(setting: .listen) '\(address)': give a port, 127.0.0.1:PORT or [::1]:PORT. Other addresses are not for "
                    + "figures that name files: put a proxy in front where others are to ask")
        }
        let socket: Int32
        let bound: UInt16
        do throws(Errno) { (socket, bound) = try port.listen() } catch {
            throw MountError(
                .system, "\(address) cannot be listened to (\(error)): give another port")
        }
        let listener: HTTPListener
        do {
            listener = try HTTPListener(socket: socket, admits: { _ in true }, answer: answer)
        } catch {
            throw MountError(.system, "\(address) cannot be listened to: \(error)")
        }
        ready("\(port.isVersion6 ? "[::1]" : "127.0.0.1"):\(bound)")
        while true { withExtendedLifetime(listener) { _ = pause() } }
    }

    private static func answer(_ question: HTTPQuestion) -> HTTPAnswer {
        guard question.path == "/metrics" else {
            return HTTPAnswer(
                status: 404, type: "text/plain; charset=utf-8",
                body: Array("there is no \(question.path): ask for /metrics\n".utf8))
        }
        guard ["GET", "HEAD"].contains(question.method) else {
            return HTTPAnswer(
                status: 405, type: "text/plain; charset=utf-8",
                body: Array("/metrics does not know \(question.method): use GET\n".utf8))
        }
        // On a thread of its own: servers are asked by HTTP, for which this one must not be waited for.
        return HTTPAnswer(
            status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: [],
            stream: { send in _ = send(Array(text(MountList.current()).utf8)) })
    }
}

/// An address that only this machine reaches.
struct LoopbackAddress: Equatable {
    var isVersion6 = false
    var port: UInt16

    /// nil for what is none.
    init?(_ text: String) {
        var digits = Substring(text)
        for host in ["127.0.0.1:", "localhost:", "[::1]:"] where text.hasPrefix(host) {
            digits = text.dropFirst(host.count)
            isVersion6 = host == "[::1]:"
        }
        guard let port = UInt16(digits), "\(port)" == digits else { return nil }
        self.port = port
    }

    /// - Returns: a listening socket, and its port.
    func listen() throws(Errno) -> (socket: Int32, port: UInt16) {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let made = socket(isVersion6 ? AF_INET6 : AF_INET, type, 0)
        guard made >= 0 else { throw Errno(rawValue: errno) }
        var bound: UInt16?
        var isReused: Int32 = 1
        // A port that a command before this one had.
        unsafe setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &isReused, socklen_t(4))
        if isVersion6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = in6addr_loopback
            if Self.bind(made, &address) { bound = UInt16(bigEndian: address.sin6_port) }
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            if Self.bind(made, &address) { bound = UInt16(bigEndian: address.sin_port) }
        }
        guard let bound, Glibc.listen(made, 16) == 0 else {
            let error = Errno(rawValue: errno)
            close(made)
            throw error
        }
        return (made, bound)
    }

    /// Binds, and sets the address to the one that the kernel gave.
    private static func bind<Address>(_ socket: Int32, _ address: inout Address) -> Bool {
        var size = socklen_t(MemoryLayout<Address>.size)
        return unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe Glibc.bind(socket, pointer, size) == 0
                    && getsockname(socket, pointer, &size) == 0
            }
        }
    }
}
