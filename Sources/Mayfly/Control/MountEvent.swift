// MountEvent: what `GET /v1/events` and `mayfly watch --json` tell, one for each line.
//
// The names are those of the JSON and part of the interface (Docs/Control.md): fields are added and never
// renamed.

/// Something that happened to a mount.
public struct MountEvent: Codable, Sendable, Equatable {
    /// What happened.
    public enum Kind: String, Codable, Sendable {
        /// The first of every stream: the mount is there.
        case mounted
        /// Requests were refused because the mount is full (ENOSPC).
        case full
        /// A fault rule was carried out.
        case fault
        /// A snapshot was taken.
        case snapshot
        /// The mount went back to a snapshot.
        case rollback
        /// The limits were changed.
        case resized
        /// A power loss.
        case crash
        /// The mount is gone; the last of a stream.
        case ended
        /// The listener was too slow, and some events were dropped.
        case missed
    }

    /// What happened.
    public var event: Kind
    /// When it was noticed, in nanoseconds since 1970. The time of `full` and `fault` is up to a second late.
    public var timeNanoseconds: UInt64
    /// Where the mount was made.
    public var mountpoint: String
    /// Of `full` the requests refused, of `fault` the times the rule was carried out, of `missed` the events
    /// dropped; each since the last such event.
    public var count: UInt64?
    /// Of `mounted`, `full`, `resized` and `ended`: content in bytes.
    public var bytes: MountReport.Usage?
    /// Of the same: files, directories and further links.
    public var inodes: MountReport.Usage?
    /// Of `mounted` and `ended`: requests answered since mounting.
    public var requests: UInt64?
    /// Of `fault`.
    public var fault: FaultRecord?
    /// Of `snapshot`.
    public var snapshot: SnapshotRecord?
    /// Of `rollback`.
    public var rollback: RollbackSummary?
    /// Of `crash`.
    public var crash: CrashSummary?

    init(_ event: Kind, _ mountpoint: String) {
        self.event = event
        self.mountpoint = mountpoint
        timeNanoseconds = WallClock.nanoseconds
    }
}
