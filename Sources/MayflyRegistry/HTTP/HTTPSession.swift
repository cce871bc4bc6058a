// HTTPSession: requests by libcurl, one after the other on connections that stay open.

internal import CMayflyCurl
internal import Glibc
internal import Mayfly
internal import MayflyHost
internal import Synchronization

enum HTTPMethod: Sendable { case get, head, post, put }

struct HTTPRequest {
    var method: HTTPMethod = .get
    var url: String
    var headers: [String] = []
    var body: [UInt8] = []
    /// Bytes of an answer that are kept; one that has more is broken off.
    var mostBytes: UInt64 = 64 << 10
}

/// How a request ended.
struct HTTPAnswer {
    enum Outcome: Sendable, Equatable {
        case done, stopped, unreachable, broken, notTLS, untrusted, refused, failed
    }
    var outcome: Outcome
    var status: Int
    /// By their names in small letters; of a name that comes twice all values.
    var headers: [(name: String, value: String)]
    var body: [UInt8]
    /// Of what did not come to an end: why.
    var reason: String
    var retryAfterSeconds: UInt64

    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// What takes the body of an answer of status 200 or 206.
@safe struct BodySink {
    /// Called once, before the first bytes, with the status and the headers; false breaks the request off.
    var begin: (Int, [(name: String, value: String)]) -> Bool
    /// Called with each piece; false breaks the request off.
    var take: (UnsafeRawBufferPointer) -> Bool
}

/// How all requests are made.
struct HTTPSettings: Sendable {
    var isPlainAllowed = false
    var avoidsProxies = false
    /// A file with authorities that are trusted beside the system's.
    var authorities: String?
    var patienceSeconds = 30
}

@safe final class HTTPSession: @unchecked Sendable {
    // Sendable: one thread at a time has it (`RegistryClient.withSession`).
    private let session: OpaquePointer

    private static let library = Mutex<Bool>(false)

    /// - Throws: `.system` where there is no libcurl, or no memory.
    init() throws(MountError) {
        let problem: String? = Self.library.withLock { isLoaded in
            if isLoaded { return nil }
            guard let why = unsafe ccurl_load() else {
                isLoaded = true
                return nil
            }
            return unsafe String(cString: why)
        }
        if let problem {
            throw MountError(
                .system,
                "libcurl, which speaks to registries, cannot be loaded (\(problem)): install libcurl4, or use "
                    + "oci:FOLDER and skopeo")
        }
        guard let session = unsafe ccurl_make() else {
            throw MountError(.system, "there is no memory for a request: free some")
        }
        unsafe self.session = session
    }

    deinit { unsafe ccurl_free(session) }

    /// What a request and the callbacks of libcurl share.
    private final class Exchange {
        var status = 0
        var headers: [(name: String, value: String)] = []
        var body: [UInt8] = []
        let mostBytes: UInt64
        let sink: BodySink?
        let goOn: () -> Bool
        var hasBegun = false
        var isTooLong = false

        init(_ mostBytes: UInt64, _ sink: BodySink?, _ goOn: @escaping () -> Bool) {
            self.mostBytes = mostBytes
            self.sink = sink
            self.goOn = goOn
        }

        func head(_ line: String) {
            if line.hasPrefix("HTTP/") {
                // Of a proxy, or of an answer that another one follows, nothing stays.
                status = Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0
                headers = []
                return
            }
            guard let colon = line.firstIndex(of: ":"), headers.count < 256 else { return }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            headers.append((line[..<colon].lowercased(), String(value)))
        }

        func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
            if let sink, status == 200 || status == 206 {
                if !hasBegun {
                    hasBegun = true
                    if !sink.begin(status, headers) { return false }
                }
                return unsafe sink.take(bytes)
            }
            guard UInt64(body.count + bytes.count) <= mostBytes else {
                isTooLong = true
                return false
            }
            unsafe body.append(contentsOf: bytes)
            return true
        }
    }

    /// Makes a request, and no other that its answer may lead to.
    ///
    /// - Parameters:
    ///   - sink: takes the body of an answer of status 200 or 206 instead of `HTTPAnswer.body`.
    ///   - goOn: asked about once a second.
    func perform(
        _ request: HTTPRequest, _ settings: HTTPSettings, sink: BodySink? = nil,
        goOn: @escaping () -> Bool
    ) -> HTTPAnswer {
        let exchange = Exchange(request.mostBytes, sink, goOn)
        let context = unsafe Unmanaged.passRetained(exchange)
        defer { unsafe context.release() }
        var lines = unsafe request.headers.map { unsafe UnsafePointer(strdup($0)) }
        defer { unsafe lines.forEach { unsafe free(UnsafeMutablePointer(mutating: $0)) } }
        let authorities = unsafe settings.authorities.flatMap { unsafe strdup($0) }
        let url = unsafe strdup(request.url)
        defer {
            unsafe free(authorities)
            unsafe free(url)
        }
        let answer = FileSignals.held {
            unsafe request.body.withUnsafeBytes { body in
                unsafe lines.withUnsafeMutableBufferPointer { lines in
                    var raw = unsafe ccurl_request()
                    switch request.method {
                    case .get: unsafe raw.method = CCURL_GET
                    case .head: unsafe raw.method = CCURL_HEAD
                    case .post: unsafe raw.method = CCURL_POST
                    case .put: unsafe raw.method = CCURL_PUT
                    }
                    unsafe raw.url = UnsafePointer(url)
                    unsafe raw.headers = UnsafePointer(lines.baseAddress)
                    unsafe raw.header_count = lines.count
                    unsafe raw.body = body.baseAddress
                    unsafe raw.body_bytes = body.count
                    unsafe raw.authorities = UnsafePointer(authorities)
                    unsafe raw.is_plain_allowed = settings.isPlainAllowed
                    unsafe raw.avoids_proxies = settings.avoidsProxies
                    unsafe raw.patience = settings.patienceSeconds
                    unsafe raw.context = context.toOpaque()
                    unsafe raw.take = { context, bytes, count in
                        guard let context = unsafe context else { return false }
                        return unsafe Unmanaged<Exchange>.fromOpaque(context)
                            .takeUnretainedValue()
                            .take(UnsafeRawBufferPointer(start: bytes, count: count))
                    }
                    unsafe raw.head = { context, line, count in
                        guard let context = unsafe context else { return }
                        let bytes = unsafe UnsafeRawBufferPointer(start: line, count: count)
                        let text = unsafe String(
                            decoding: bytes.prefix { $0 != 13 && $0 != 10 }, as: UTF8.self)
                        unsafe Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
                            .head(text)
                    }
                    unsafe raw.go_on = { context in
                        guard let context = unsafe context else { return false }
                        return unsafe Unmanaged<Exchange>.fromOpaque(context)
                            .takeUnretainedValue().goOn()
                    }
                    return unsafe ccurl_perform(session, &raw)
                }
            }
        }
        let outcome: HTTPAnswer.Outcome =
            switch answer.outcome {
            case CCURL_DONE: .done
            case CCURL_STOPPED: .stopped
            case CCURL_UNREACHABLE: .unreachable
            case CCURL_BROKEN: .broken
            case CCURL_NOT_TLS: .notTLS
            case CCURL_UNTRUSTED: .untrusted
            case CCURL_REFUSED: .refused
            default: .failed
            }
        var reason = unsafe withUnsafeBytes(of: answer.reason) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if exchange.isTooLong { reason = "the answer has more than \(request.mostBytes) bytes" }
        return HTTPAnswer(
            outcome: outcome, status: Int(answer.status), headers: exchange.headers,
            body: exchange.body, reason: reason,
            retryAfterSeconds: UInt64(clamping: answer.retry_after))
    }

    /// What a URL leads to from another one; nil where that is none.
    static func resolved(_ location: String, from base: String) -> String? {
        unsafe text { unsafe ccurl_resolve(base, location, $0, $1) }
    }

    /// Scheme, host and port of a URL.
    static func origin(of url: String) -> String? {
        unsafe text { unsafe ccurl_origin(url, $0, $1) }
    }

    private static func text(
        _ body: (UnsafeMutablePointer<CChar>, Int) -> Bool
    ) -> String? {
        let capacity = 8192
        let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: capacity)
        defer { unsafe buffer.deallocate() }
        return unsafe body(buffer, capacity) ? unsafe String(cString: buffer) : nil
    }
}
