import Glibc
import MayflyHTTP
import MayflyTestSupport
import Testing

@testable import Mayfly

/// Requests to a server say what they mean, or are refused with what there is.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct RequestStrictTests {
    /// Every route that takes a body, with one that is right but for what a test adds.
    private static let routes: [(path: String, body: String, fields: [String])] = [
        ("/v1/limits", "", ["sizeBytes", "inodes"]), ("/v1/check", "", []), ("/v1/sync", "", []),
        ("/v1/unmount", "", ["lazy", "force"]),
        ("/v1/snapshots", #""name":"good""#, ["name", "replace"]),
        ("/v1/snapshots/remove", #""name":"good""#, ["name"]),
        ("/v1/rollback", "", ["name", "force"]), ("/v1/diff", "", ["name"]),
        ("/v1/fork", #""path":"/nowhere""#, ["path"]),
        ("/v1/save", #""path":"/nowhere/x""#, ["path", "umask", "base"]),
        (
            "/v1/faults", #""operation":"write","errno":"EIO""#,
            [
                "operation", "path", "errno", "delayNanoseconds", "short", "fullAtBytes", "nth",
                "every",
                "probability", "seed", "flipBits", "crash", "dropUnsynced", "after", "times",
            ]
        ),
        (
            "/v1/unpack", #""archive":"/nowhere","to":"a""#,
            ["archive", "to", "stripComponents", "exclude", "keepOld"]
        ),
        (
            "/v1/copy", #""from":"nothing","to":"b""#,
            ["from", "folder", "to", "exclude", "keepOld"]
        ),
        ("/v1/remove", #""path":"nothing""#, ["path"]),
        ("/v1/faults/clear", "", ["numbers"]), ("/v1/crash", "", ["seed"]),
    ]

    /// What a server answers.
    private struct Outcome {
        let status: Int
        let failure: ControlFailure?
        let text: String
    }

    private func ask(
        _ mount: ControlledMount, _ method: String, _ path: String, _ body: String
    ) throws -> Outcome {
        let peer = try mount.client.connect()
        let answer = try HTTPClient.ask(
            method, path, body: Array(body.utf8), socket: peer.duplicate(), seconds: 60)
        return Outcome(
            status: answer.status, failure: ControlJSON.decoded(ControlFailure.self, answer.body),
            text: String(decoding: answer.body, as: UTF8.self))
    }

    /// Nothing that was asked wrongly is carried out.
    private func refuses(
        _ mount: ControlledMount, _ path: String, _ body: String, field: String?,
        says words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try ask(mount, "POST", path, body)
        #expect(
            outcome.status == 400, "\(path) \(body): \(outcome.text)",
            sourceLocation: sourceLocation)
        #expect(
            outcome.failure?.field == field, "\(path) \(body): \(outcome.text)",
            sourceLocation: sourceLocation)
        for word in words {
            #expect(
                outcome.failure?.error.contains(word) == true, "\(path) \(body): \(outcome.text)",
                sourceLocation: sourceLocation)
        }
    }

    @Test func everyRouteKnowsItsFieldsAndNoOthers() throws {
        let mount = try ControlledMount()
        _ = try mount.fileSystem.snapshot("good")
        for (path, body, fields) in Self.routes {
            func with(_ more: String) -> String {
                "{" + [body, more].filter { !$0.isEmpty }.joined(separator: ",") + "}"
            }
            for name in ["nam", "Name", "pth", "delay", "", "n\u{e4}me"] {
                let outcome = try ask(mount, "POST", path, with("\"\(name)\":\"x\""))
                #expect(
                    outcome.status == 400 && outcome.failure?.field == name,
                    "\(path): \(outcome.text)")
                #expect(outcome.failure?.known == fields, "\(path): \(outcome.text)")
                for field in fields { #expect(outcome.failure?.error.contains(field) == true) }
            }
            for text in [
                "{", "[]", "\"x\"", "null", "7", "{} {}", "{\"a\"}", "{'name':'x'}",
                "{\"name\":1,}", "tru", "\u{feff}{}",
            ] {
                try refuses(mount, path, text, field: nil, says: "the body is")
            }
            try refuses(mount, path, with("\"a\":1,\"a\":1"), field: nil, says: "comes twice")
            try refuses(
                mount, path, with("\"a\":\"\\ud800\""), field: nil, says: "half a character")
            for field in fields { try refusesWrongTypes(mount, path, body, field) }
            // What stands in the address is no field.
            let query = try ask(mount, "POST", path + "?name=good", "{\(body)}")
            #expect(query.status == 400, "\(path): \(query.text)")
        }
        #expect(try mount.fileSystem.snapshots().snapshots.map(\.name) == ["good"])
        #expect(try mount.fileSystem.faults() == [])
        #expect(mount.fileSystem.report()?.inodes.limit == 1000)
    }

    private func refusesWrongTypes(
        _ mount: ControlledMount, _ path: String, _ body: String, _ field: String
    ) throws {
        let right: Set<String>
        switch field {
        case "name", "path", "operation", "errno", "archive", "from", "folder", "to", "base":
            right = [#""x""#]
        case "lazy", "force", "replace", "short", "keepOld": right = ["true"]
        case "numbers": right = ["[]"]
        case "exclude": right = ["[]", "[\"x\"]"]
        case "probability": right = ["7", "1.5", "-1", "1e3"]
        default: right = ["7"]
        }
        let others = body.split(separator: ",").filter { !$0.hasPrefix("\"\(field)\"") }
        for value in [
            #""x""#, "true", "7", "1.5", "-1", "1e3", "18446744073709551616", "null", "[]",
            "[\"x\"]", "{}",
        ]
        where !right.contains(value) && !(field == "probability" && value == "18446744073709551616")
        {
            let text = (others + ["\"\(field)\":\(value)"]).joined(separator: ",")
            try refuses(mount, path, "{\(text)}", field: field, says: field)
        }
    }

    @Test func valuesThatCannotBeAreNamed() throws {
        let mount = try ControlledMount { $0.faults = true }
        let rule = "/v1/faults"
        try refuses(
            mount, rule, #"{"operation":"wrote","errno":"EIO"}"#, field: "operation", says: "wrote",
            "write")
        try refuses(mount, rule, #"{"errno":"EIO"}"#, field: "operation", says: "missing")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"EWHAT"}"#, field: "errno", says: "EWHAT",
            "EIO")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"134"}"#, field: "errno", says: "133")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"ENOSYS"}"#, field: "errno", says: "ENOSYS")
        try refuses(mount, rule, #"{"operation":"write"}"#, field: nil, says: "delayNanoseconds")
        try refuses(
            mount, rule, #"{"operation":"write","short":false}"#, field: nil, says: "does nothing")
        try refuses(
            mount, rule, #"{"operation":"write","delayNanoseconds":60000000001}"#,
            field: "delayNanoseconds", says: "60s")
        try refuses(
            mount, rule, #"{"operation":"mkdir","short":true}"#, field: "short", says: "only reads")
        try refuses(
            mount, rule, #"{"operation":"read","fullAtBytes":1}"#, field: "fullAtBytes",
            says: "only writes")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"EIO","nth":0}"#, field: "nth",
            says: "from 1")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"EIO","nth":1,"every":2}"#, field: "every",
            says: "nth and every")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"EIO","probability":30}"#,
            field: "probability", says: "0 to 1")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"EIO","seed":1}"#, field: "seed",
            says: "probability")
        try refuses(
            mount, rule, #"{"operation":"write","errno":"EIO","path":"a/../b"}"#, field: "path",
            says: "..")
        try refuses(mount, "/v1/snapshots", #"{"name":"a b"}"#, field: "name", says: "a b")
        try refuses(
            mount, "/v1/rollback", #"{"name":""}"#, field: "name", says: "bad snapshot name")
        try refuses(mount, "/v1/snapshots/remove", "{}", field: "name", says: "missing")
        try refuses(mount, "/v1/fork", "", field: "path", says: "missing")
        try refuses(mount, "/v1/fork", #"{"path":"m"}"#, field: "path", says: "absolute")
        try refuses(
            mount, "/v1/save", #"{"path":"/tmp/x","umask":512}"#, field: "umask", says: "511")
        try refuses(mount, "/v1/limits", #"{"sizeBytes":4095}"#, field: "sizeBytes", says: "4096")
        try refuses(mount, "/v1/limits", #"{"inodes":0}"#, field: "inodes", says: "at least 1")
        // What the mount does not allow now is not a wrong request.
        #expect(try ask(mount, "POST", "/v1/rollback", #"{"name":"none"}"#).status == 409)
        #expect(try ask(mount, "POST", "/v1/crash", "{}").status == 409)
        #expect(try ask(mount, "PUT", "/v1/faults", "").status == 405)
        #expect(try ask(mount, "GET", "/v1/rollback", "").status == 405)
        #expect(try ask(mount, "POST", "/v1/rollbacks", "{}").status == 404)
        #expect(try ask(mount, "GET", "/v1/mount", "{\"a\":1}").status == 400)
        #expect(try ask(mount, "GET", "/metrics?x=1", "").status == 200)
        #expect(try mount.fileSystem.faults() == [])
    }

    /// A path that begins with the mountpoint is the mount's.
    @Test func theMountpointIsTakenOffARulesPath() throws {
        let mount = try ControlledMount()
        for (path, kept) in [
            ("\(mount.mountpoint)/db/*", "db/*"), ("\(mount.mountpoint)", ""), ("/db/*", "/db/*"),
            ("\(mount.mountpoint)x/y", "\(mount.mountpoint)x/y"),
        ] {
            let outcome = try ask(
                mount, "POST", "/v1/faults",
                #"{"operation":"write","errno":"EIO","path":"\#(path)"}"#)
            #expect(outcome.status == 200, "\(outcome.text)")
            #expect(try mount.fileSystem.faults().last?.rule.path == kept)
        }
    }

    @Test func JSONAsItStands() throws {
        func value(_ text: String) -> String {
            do throws(JSONFault) {
                return "\(try JSONReader.value(of: Array(text.utf8)))"
            } catch { return error.reason }
        }
        for text in [
            "01", "+1", "1.", ".5", "1e", "-", "--1", "0x1", "NaN", "\"\t\"", "\"\\x\"",
            "\"\\u12\"", "\"\\u+123\"",
            "\"\\udc00\"", "\"\\ud800\\u0041\"", "[1,]", "[1 2]", "{\"a\":}", "{,}", "\"", "", " ",
            "truefalse",
            String(repeating: "[", count: 100),
        ] {
            #expect(value(text).contains("(byte"), "\(text): \(value(text))")
        }
        #expect(value(#" {"a" : [ -0.5e+3 , "\ud83d\ude00\n\/" , null ] } "#).contains("-0.5e+3"))
        let text = #"{"b":[-0.5e+3,12345678901234567890,null,true],"a":"\"\\\u0001é/"}"#
        #expect(try JSONReader.value(of: Array(text.utf8)).encoded == Array(text.utf8))
        #expect(value(#""\u00e9\udbff\udce9""#) == #"text("é\#u{10FCE9}")"#)
    }
}
