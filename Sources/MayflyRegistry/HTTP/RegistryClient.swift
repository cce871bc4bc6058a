// RegistryClient: requests to one repository: who asks, by what scheme, where an answer leads to, and what is made
// again. Credentials go to the registry and to the token service that it names, and nowhere else: a redirection to
// another host is followed without them.
//
// Source: github.com/opencontainers/distribution-spec, spec.md; distribution.github.io/distribution/spec/auth/token.

internal import Glibc
internal import Mayfly
internal import Synchronization

final class RegistryClient: Sendable {
    let reference: RegistryReference
    private let options: TransferOptions
    private let credentials: Credentials?
    private let authorities: TrustedAuthorities
    private let isPlainAllowed: Bool
    /// What is asked for with a token.
    private let scope: String

    private struct State {
        var scheme: String
        var authorization: String?
        /// Nobody has them at the moment.
        var sessions: [HTTPSession] = []
    }
    private let state: Mutex<State>
    private static let mostRedirections = 5

    /// - Parameter writes: whether blobs are pushed.
    init(
        _ reference: RegistryReference, _ options: TransferOptions, writes: Bool
    ) throws(MountError) {
        self.reference = reference
        self.options = options
        credentials = try Credentials.found(for: reference, in: options.authFile)
        authorities = try TrustedAuthorities(for: reference, named: options.authorities)
        let isTold = options.plainHTTP || reference.isPlain
        isPlainAllowed = isTold || reference.isLoopback
        scope = "repository:\(reference.repository):\(writes ? "pull,push" : "pull")"
        state = Mutex(State(scheme: isTold ? "http" : "https"))
        // An error of libcurl before anything is asked.
        state.withLock { $0.sessions = [] }
        let first = try HTTPSession()
        giveBack(first)
    }

    // MARK: sessions

    private func withSession<Result>(
        _ body: (HTTPSession) -> Result
    ) throws(MountError) -> Result {
        let session: HTTPSession
        if let free = state.withLock({ $0.sessions.popLast() }) {
            session = free
        } else {
            session = try HTTPSession()
        }
        defer { giveBack(session) }
        return body(session)
    }

    private func giveBack(_ session: HTTPSession) {
        state.withLock { $0.sessions.append(session) }
    }

    // MARK: requests

    /// Makes a request, and again what fails for a while.
    ///
    /// - Parameters:
    ///   - path: below the repository, such as "blobs/uploads/"; or a whole URL.
    ///   - allowed: statuses that are answers.
    /// - Throws: `.mount` for a registry that cannot be reached or refuses; `.usage` for what the user can mend.
    func send(
        _ method: HTTPMethod, _ path: String, headers: [String] = [], body: [UInt8] = [],
        mostBytes: UInt64 = 64 << 10, allowed: Set<Int>, goOn: @escaping () -> Bool
    ) throws(MountError) -> HTTPAnswer {
        var plan = RetryPlan()
        while true {
            let answer = try exchange(
                method, path, headers: headers, body: body, mostBytes: mostBytes, sink: nil,
                goOn: goOn)
            if answer.outcome == .done, allowed.contains(answer.status) { return answer }
            guard isPassing(answer), goOn(),
                let wait = plan.next(retryAfterSeconds: answer.retryAfterSeconds)
            else { throw failure(answer) }
            RetryPlan.wait(milliseconds: wait, goOn: goOn)
        }
    }

    /// Whether a failure may be over when the request is made again.
    func isPassing(_ answer: HTTPAnswer) -> Bool {
        switch answer.outcome {
        case .done: [408, 429, 500, 502, 503, 504].contains(answer.status)
        case .unreachable, .broken: true
        default: false
        }
    }

    /// Makes a request once: with what the registry wants to know of who asks, and where it sends us.
    func exchange(
        _ method: HTTPMethod, _ path: String, headers: [String] = [], body: [UInt8] = [],
        mostBytes: UInt64 = 64 << 10, sink: BodySink? = nil, goOn: @escaping () -> Bool
    ) throws(MountError) -> HTTPAnswer {
        var redirections = 0
        var hasAuthenticated = false
        var target: String?
        while true {
            let (scheme, authorization) = state.withLock { ($0.scheme, $0.authorization) }
            let base = "\(scheme)://\(reference.endpoint)"
            let url =
                target
                ?? (path.contains("://") ? path : "\(base)/v2/\(reference.repository)/\(path)")
            let isOwn = HTTPSession.origin(of: url) == HTTPSession.origin(of: base)
            var request = HTTPRequest(method: method, url: url, headers: headers, body: body)
            request.mostBytes = mostBytes
            request.headers += ["User-Agent: mayfly/\(MayflyVersion.text)", "Expect:"]
            if isOwn, let authorization {
                request.headers.append("Authorization: \(authorization)")
            }
            let answer = try perform(request, sink: sink, goOn: goOn)
            if answer.outcome == .notTLS, scheme == "https", reference.isLoopback, target == nil,
                !path.contains("://")
            {
                // Nobody but this machine hears it.
                state.withLock { $0.scheme = "http" }
                continue
            }
            guard answer.outcome == .done else { return answer }
            if answer.status == 401, isOwn, !hasAuthenticated {
                hasAuthenticated = true
                try authenticate(answer, instead: authorization, goOn: goOn)
                continue
            }
            guard [301, 302, 303, 307, 308].contains(answer.status),
                method == .get || method == .head, let location = answer.header("location"),
                redirections < Self.mostRedirections,
                let next = HTTPSession.resolved(location, from: url)
            else { return answer }
            // What began with TLS stays with it.
            if url.hasPrefix("https:"), !next.hasPrefix("https:") {
                throw MountError(
                    .mount,
                    "\(reference.host) sends us from HTTPS to plain HTTP, where anybody may listen: ask who runs "
                        + "it")
            }
            redirections += 1
            target = next
        }
    }

    private func perform(
        _ request: HTTPRequest, sink: BodySink?, goOn: @escaping () -> Bool
    ) throws(MountError) -> HTTPAnswer {
        let settings = HTTPSettings(
            isPlainAllowed: isPlainAllowed, avoidsProxies: reference.isLoopback,
            authorities: authorities.path, patienceSeconds: options.patienceSeconds)
        return try withSession { $0.perform(request, settings, sink: sink, goOn: goOn) }
    }

    /// Where an upload goes on, from the answer that names it.
    func location(of answer: HTTPAnswer) throws(MountError) -> String {
        let base = "\(state.withLock { $0.scheme })://\(reference.endpoint)/"
        guard let location = answer.header("location"),
            let url = HTTPSession.resolved(location, from: base)
        else {
            throw MountError(
                .mount,
                "\(reference.host) does not say where a blob is to be sent to: is it a registry?")
        }
        guard url.hasPrefix("https:") || isPlainAllowed else {
            throw MountError(
                .mount, "\(reference.host) wants a blob to be sent over plain HTTP: ask who runs it"
            )
        }
        return url
    }

    // MARK: who asks

    private struct Token: Decodable {
        var token: String?
        var access_token: String?
    }

    /// Finds out what the registry wants to be told.
    ///
    /// - Parameter old: what it was told and did not take.
    private func authenticate(
        _ answer: HTTPAnswer, instead old: String?, goOn: @escaping () -> Bool
    ) throws(MountError) {
        // Another thread may have found it out meanwhile.
        let now = state.withLock { $0.authorization }
        if now != old { return }
        let challenges = answer.headers.filter { $0.name == "www-authenticate" }
            .compactMap { Challenge($0.value) }
        if let bearer = challenges.first(where: { $0.scheme == "bearer" }) {
            let token = try token(bearer, goOn: goOn)
            return state.withLock { $0.authorization = "Bearer \(token)" }
        }
        guard challenges.contains(where: { $0.scheme == "basic" }) else { return }
        guard let credentials, !credentials.isIdentity else { throw loginNeeded }
        if old == credentials.basic { return }
        state.withLock { $0.authorization = credentials.basic }
    }

    private func token(
        _ challenge: Challenge, goOn: @escaping () -> Bool
    ) throws(MountError) -> String {
        guard let realm = challenge.parameters["realm"],
            realm.hasPrefix("https://") || (isPlainAllowed && realm.hasPrefix("http://"))
        else {
            throw MountError(
                .mount,
                "\(reference.host) wants a token from '\(challenge.parameters["realm"] ?? "")', which is no "
                    + "address that credentials may be sent to")
        }
        var query = ["scope=\(Challenge.escaped(challenge.parameters["scope"] ?? scope))"]
        // What was asked for first is perhaps less than what will be needed.
        if challenge.parameters["scope"] != nil, challenge.parameters["scope"] != scope {
            query.append("scope=\(Challenge.escaped(scope))")
        }
        if let service = challenge.parameters["service"] {
            query.append("service=\(Challenge.escaped(service))")
        }
        var request = HTTPRequest(url: realm)
        request.mostBytes = 1 << 20
        request.headers = ["Accept: application/json", "Expect:"]
        if let credentials, credentials.isIdentity {
            request.method = .post
            request.headers.append("Content-Type: application/x-www-form-urlencoded")
            let fields =
                query + [
                    "grant_type=refresh_token", "client_id=mayfly",
                    "refresh_token=\(Challenge.escaped(credentials.secret))",
                ]
            request.body = Array(fields.joined(separator: "&").utf8)
        } else {
            request.url += (realm.contains("?") ? "&" : "?") + query.joined(separator: "&")
            if let credentials { request.headers.append("Authorization: \(credentials.basic)") }
        }
        var plan = RetryPlan()
        while true {
            let answer = try perform(request, sink: nil, goOn: goOn)
            if answer.outcome == .done, answer.status == 200 {
                guard let found = ControlJSON.decoded(Token.self, answer.body),
                    let token = found.token ?? found.access_token, !token.isEmpty,
                    token.utf8.allSatisfy({ $0 > 32 && $0 < 127 })
                else {
                    throw MountError(
                        .mount,
                        "the token service of \(reference.host) has answered without a token")
                }
                return token
            }
            if answer.outcome == .done, [400, 401, 403].contains(answer.status) {
                throw loginNeeded
            }
            guard isPassing(answer), goOn(),
                let wait = plan.next(retryAfterSeconds: answer.retryAfterSeconds)
            else { throw failure(answer) }
            RetryPlan.wait(milliseconds: wait, goOn: goOn)
        }
    }

    // MARK: what went wrong

    private var loginNeeded: MountError {
        guard let credentials else {
            return MountError(
                .usage,
                "\(reference.host) wants a user and a password for \(reference.repository): log in "
                    + "(`skopeo login \(reference.host)`, `docker login`), or name a file of credentials "
                    + "(--auth-file, $REGISTRY_AUTH_FILE)")
        }
        return MountError(
            .usage,
            "\(reference.host) does not let \(credentials.user) do this in \(reference.repository): log in as "
                + "somebody else, or ask who runs it")
    }

    private struct Errors: Decodable {
        struct One: Decodable {
            var code: String?
            var message: String?
        }
        var errors: [One]?
    }

    /// What a request that failed is to the user.
    func failure(_ answer: HTTPAnswer) -> MountError {
        let host = reference.host
        switch answer.outcome {
        case .stopped where answer.reason.contains("bytes"):
            return MountError(.mount, "\(host) sends more than it should (\(answer.reason))")
        case .stopped: return MountError(.mount, "the transfer was stopped")
        case .unreachable:
            return MountError(
                .mount,
                "\(host) cannot be reached (\(answer.reason)): look at its name, its port and $https_proxy"
            )
        case .broken:
            return MountError(
                .mount,
                "the connection to \(host) broke again and again (\(answer.reason)): try later; what has come "
                    + "is kept")
        case .notTLS:
            return MountError(
                .mount,
                "\(host) does not speak TLS as it should (\(answer.reason)): where it is meant to be plain HTTP, "
                    + "say --plain-http or oci+http://")
        case .untrusted:
            return MountError(
                .mount,
                "the certificate of \(host) is not trusted (\(answer.reason)): name its authority with --ca or "
                    + "$SSL_CERT_FILE, or put it into /etc/containers/certs.d/\(host)/ca.crt")
        case .refused, .failed:
            return MountError(.mount, "a request to \(host) failed (\(answer.reason))")
        case .done: break
        }
        if answer.status == 401 || answer.status == 403 { return loginNeeded }
        let said = ControlJSON.decoded(Errors.self, answer.body)?.errors?.first
        let words = [said?.code, said?.message].compactMap { $0 }.joined(separator: ": ")
        let what = words.isEmpty ? "" : " (\(words.prefix(200)))"
        if answer.status == 429 || answer.status == 503 {
            let wait =
                answer.retryAfterSeconds > 0
                ? "in \(answer.retryAfterSeconds) s" : "later"
            return MountError(
                .mount,
                "\(host) has too much to do: it answers with \(answer.status)\(what): try \(wait)")
        }
        return MountError(.mount, "\(host) answers with status \(answer.status)\(what)")
    }
}
