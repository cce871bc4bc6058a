// ControlRequest: what can be asked of a server (Docs/Control.md), and how it is read from HTTP. All routes
// stand here, with every field that each takes.

internal import MayflyHTTP
internal import MayflyHost
internal import MayflyServing

/// A request to a server that has been understood.
enum ControlRequest: Sendable {
    case report, hot, events, metrics, check, sync
    case limits(LimitChange)
    case unmount(lazy: Bool, force: Bool)
    case snapshots
    case snapshot(name: String?, replacing: Bool)
    case removeSnapshot(String)
    case rollback(name: String?, force: Bool)
    case differences(since: String?)
    case save(PathBytes, on: PathBytes?, umask: UInt32?)
    case fork(PathBytes)
    case faults
    case addFault(FaultRule)
    case clearFaults([Int]?)
    case crash(seed: UInt64?)
    case unsynced
    case tree(TreeTask)
}

/// What a request is answered with before it is carried out.
enum RouteFailure: Error {
    /// 404
    case noSuchPath
    /// 405
    case noSuchMethod
    /// 400
    case fault(RequestFault)
}

/// A method and a path, and what they make of a body.
private struct Route: Sendable {
    let method: String
    let path: String
    var fields: [RequestField] = []
    let make: @Sendable (RequestBody) throws(RequestFault) -> ControlRequest

    /// Without a body.
    init(_ method: String, _ path: String, _ request: ControlRequest) {
        self.method = method
        self.path = path
        make = { (_: RequestBody) throws(RequestFault) in request }
    }

    init(
        _ method: String, _ path: String, _ fields: [RequestField],
        make: @escaping @Sendable (RequestBody) throws(RequestFault) -> ControlRequest
    ) {
        self.method = method
        self.path = path
        self.fields = fields
        self.make = make
    }
}

extension ControlRequest {
    private static let routes: [Route] = {
        var routes: [Route] = []
        // As a list of one expression the compiler takes minutes for it.
        routes.append(Route("GET", "/v1/mount", .report))
        routes.append(Route("GET", "/v1/hot", .hot))
        routes.append(Route("GET", "/v1/events", .events))
        routes.append(Route("GET", "/metrics", .metrics))
        routes.append(Route("POST", "/v1/check", .check))
        routes.append(Route("POST", "/v1/sync", .sync))
        routes.append(Route("GET", "/v1/unsynced", .unsynced))
        routes.append(Route("GET", "/v1/snapshots", .snapshots))
        routes.append(Route("GET", "/v1/faults", .faults))
        routes.append(
            Route(
                "POST", "/v1/limits",
                [RequestField("sizeBytes", .count), RequestField("inodes", .count)]
            ) {
                (body: RequestBody) throws(RequestFault) in
                .limits(try limits(body))
            })
        routes.append(
            Route(
                "POST", "/v1/unmount", [RequestField("lazy", .flag), RequestField("force", .flag)]
            ) {
                (body: RequestBody) throws(RequestFault) in
                .unmount(lazy: body.flag("lazy") ?? false, force: body.flag("force") ?? false)
            })
        let name = RequestField("name", .text)
        routes.append(
            Route("POST", "/v1/snapshots", [name, RequestField("replace", .flag)]) {
                (body: RequestBody) throws(RequestFault) in
                .snapshot(name: try snapshotName(body), replacing: body.flag("replace") ?? false)
            })
        routes.append(
            Route("POST", "/v1/snapshots/remove", [name]) {
                (body: RequestBody) throws(RequestFault) in
                _ = try body.required("name", "the name of a snapshot")
                return .removeSnapshot(try snapshotName(body) ?? "")
            })
        routes.append(
            Route("POST", "/v1/rollback", [name, RequestField("force", .flag)]) {
                (body: RequestBody) throws(RequestFault) in
                .rollback(name: try snapshotName(body), force: body.flag("force") ?? false)
            })
        routes.append(
            Route("POST", "/v1/diff", [name]) { (body: RequestBody) throws(RequestFault) in
                .differences(since: try snapshotName(body))
            })
        let path = RequestField("path", .text)
        routes.append(
            Route(
                "POST", "/v1/save",
                [path, RequestField("umask", .count), RequestField("base", .text)]
            ) {
                (body: RequestBody) throws(RequestFault) in
                .save(
                    try absolutePath(body),
                    on: body.text("base") == nil ? nil : try absolutePath(body, "base"),
                    umask: try umask(body))
            })
        routes.append(
            Route("POST", "/v1/fork", [path]) { (body: RequestBody) throws(RequestFault) in
                .fork(try absolutePath(body))
            })
        routes.append(
            Route("POST", "/v1/faults", ruleFields) { (body: RequestBody) throws(RequestFault) in
                .addFault(try rule(body))
            })
        routes.append(
            Route("POST", "/v1/faults/clear", [RequestField("numbers", .counts)]) {
                (body: RequestBody) throws(RequestFault) in
                .clearFaults(body.counts("numbers").map { $0.map { Int(clamping: $0) } })
            })
        routes.append(
            Route("POST", "/v1/crash", [RequestField("seed", .count)]) {
                (body: RequestBody) throws(RequestFault) in
                .crash(seed: body.count("seed"))
            })
        let to = RequestField("to", .text)
        let from = RequestField("from", .text)
        let choices = [RequestField("exclude", .texts), RequestField("keepOld", .flag)]
        routes.append(
            Route(
                "POST", "/v1/unpack",
                [RequestField("archive", .text), to, RequestField("stripComponents", .count)]
                    + choices
            ) { (body: RequestBody) throws(RequestFault) in
                .tree(
                    .unpack(
                        try absolutePath(body, "archive"), to: try place(body, "to"), options(body))
                )
            })
        routes.append(
            Route("POST", "/v1/copy", [from, RequestField("folder", .text), to] + choices) {
                (body: RequestBody) throws(RequestFault) in
                if body.text("folder") == nil {
                    return .tree(
                        .copy(try place(body, "from"), to: try place(body, "to"), options(body)))
                }
                if body.text("from") != nil {
                    throw RequestFault(
                        message: "from and folder are both given: give one of them", field: "folder"
                    )
                }
                return .tree(
                    .copyIn(
                        try absolutePath(body, "folder"), to: try place(body, "to"), options(body)))
            })
        routes.append(
            Route("POST", "/v1/remove", [path]) { (body: RequestBody) throws(RequestFault) in
                .tree(.remove(try place(body, "path")))
            })
        return routes
    }()

    /// Every operation: "POST /v1/save".
    static var operations: [String] { routes.map { "\($0.method) \($0.path)" } }

    /// Understands a request, or says why not.
    init(_ question: HTTPQuestion) throws(RouteFailure) {
        let routes = Self.routes.filter { $0.path == question.path }
        if routes.isEmpty { throw .noSuchPath }
        // A stream has no length to be asked for.
        let isHead =
            question.method == "HEAD"
            && !["/v1/faults", "/v1/events", "/v1/unsynced"].contains(question.path)
        let method = isHead ? "GET" : question.method
        guard let route = routes.first(where: { $0.method == method }) else { throw .noSuchMethod }
        if let query = question.query, !query.isEmpty, question.path != "/metrics" {
            throw .fault(
                RequestFault(
                    message: "'?\(query)' in the address says nothing here: "
                        + (route.fields.isEmpty ? "leave it out" : "give fields in the body")))
        }
        if ControlInterface.hasNUL(question.body) {
            throw .fault(
                RequestFault(
                    message: "the body has a NUL, which no name or path can have: leave it out"))
        }
        do throws(RequestFault) {
            self = try route.make(RequestBody(question.body, route.fields))
        } catch { throw .fault(error) }
    }

    // MARK: values

    private static func snapshotName(_ body: RequestBody) throws(RequestFault) -> String? {
        guard let given = body.text("name") else { return nil }
        let name = PathBytes(given).text
        guard SnapshotShelf.isName(name) else {
            throw RequestFault(message: SnapshotShelf.badName(name), field: "name")
        }
        return name
    }

    private static func absolutePath(
        _ body: RequestBody, _ field: String = "path"
    ) throws(RequestFault) -> PathBytes {
        let path = PathBytes(try body.required(field, "an absolute path"))
        // The server's working directory is nobody's business.
        guard path.isAbsolute else {
            throw RequestFault(
                message: "\(field) '\(path)' is no absolute path: begin it with a slash",
                field: field, known: ["an absolute path"])
        }
        return path
    }

    /// A path in the mount, from its root on.
    private static func place(
        _ body: RequestBody, _ field: String
    ) throws(RequestFault) -> PathBytes {
        let path = PathBytes(try body.required(field, "a path from the mount's root on"))
        guard !path.names.contains(Array("..".utf8)[...]) else {
            throw RequestFault(
                message: "\(field) '\(path)' has \"..\" in it: give a path without", field: field,
                known: ["a path from the mount's root on"])
        }
        return path
    }

    private static func options(_ body: RequestBody) -> TreeOptions {
        var options = TreeOptions()
        options.excludes = (body.texts("exclude") ?? []).map { PathBytes($0) }
        options.strippedNames = Int(clamping: body.count("stripComponents") ?? 0)
        options.keepsOld = body.flag("keepOld") ?? false
        return options
    }

    private static func umask(_ body: RequestBody) throws(RequestFault) -> UInt32? {
        guard let mask = body.count("umask") else { return nil }
        guard mask <= 0o777 else {
            throw RequestFault(
                message: "umask is \(mask): give 0 to 511, which is 0777", field: "umask",
                known: ["0 to 511"])
        }
        return UInt32(mask)
    }

    private static func limits(_ body: RequestBody) throws(RequestFault) -> LimitChange {
        let change = LimitChange(sizeBytes: body.count("sizeBytes"), inodes: body.count("inodes"))
        if let bytes = change.sizeBytes, bytes < SizeText.pageBytes {
            throw RequestFault(
                message:
                    "the size is \(bytes): give sizeBytes of at least \(SizeText.pageBytes), a page",
                field: "sizeBytes", known: ["at least \(SizeText.pageBytes)"])
        }
        if change.inodes == 0 {
            throw RequestFault(
                message: "the inodes are 0: give inodes of at least 1", field: "inodes",
                known: ["at least 1"])
        }
        return change
    }

    static let ruleFields = [
        RequestField("operation", .text), RequestField("path", .text), RequestField("errno", .text),
        RequestField("delayNanoseconds", .count), RequestField("short", .flag),
        RequestField("fullAtBytes", .count), RequestField("nth", .count),
        RequestField("every", .count), RequestField("probability", .fraction),
        RequestField("seed", .count), RequestField("flipBits", .count),
        RequestField("crash", .text), RequestField("dropUnsynced", .flag),
        RequestField("after", .count), RequestField("times", .count),
    ]

    static func rule(_ body: RequestBody) throws(RequestFault) -> FaultRule {
        var rule = FaultRule(
            operation: try body.required("operation", "one of \(FaultOperations.names)"),
            path: body.text("path").map { PathBytes($0).text })
        rule.errno = body.text("errno")
        rule.delayNanoseconds = body.count("delayNanoseconds")
        rule.short = body.flag("short")
        rule.fullAtBytes = body.count("fullAtBytes")
        (rule.nth, rule.every) = (body.count("nth"), body.count("every"))
        (rule.probability, rule.seed) = (body.fraction("probability"), body.count("seed"))
        (rule.flipBits, rule.crash) = (body.count("flipBits"), body.text("crash"))
        rule.dropUnsynced = body.flag("dropUnsynced")
        (rule.after, rule.times) = (body.count("after"), body.count("times"))
        if let problem = rule.problem() {
            throw RequestFault(message: problem.message, field: problem.field, known: problem.known)
        }
        return rule
    }
}
