// RequestBodies: what this client sends to a server; what the server takes stands in ControlRequest.

/// What is missing has the default that the command has.
struct SnapshotRequest: Encodable {
    var name: String?
    var replace: Bool?
    var force: Bool?
}

struct PathRequest: Encodable {
    /// Absolute.
    var path: String
    /// Of a file that is made: the client's umask; without it the server's counts.
    var umask: UInt32?
    /// Of a save: the image that a layer is to be on, absolute.
    var base: String?
}

struct FaultClearing: Encodable {
    /// nil for all.
    var numbers: [Int]?
}

struct CrashRequest: Encodable {
    /// nil for one by chance.
    var seed: UInt64?
}

struct CopyRequest: Encodable {
    var from: String
    var to: String
    var exclude: [String]
    var keepOld: Bool
}

/// Of what takes no fields.
struct EmptyRequest: Encodable {}
