// TransferOptions: what a user may say of a transfer.

package import MayflyHost

package struct TransferOptions: Sendable, Equatable {
    /// Whether a registry that is not this machine may be spoken to without TLS.
    package var plainHTTP = false
    /// Certificates of authorities that are trusted beside the system's.
    package var authorities: PathBytes?
    /// Where credentials are looked for in place of the usual places.
    package var authFile: PathBytes?
    /// Blobs at a time.
    package var jobs = 4
    /// Seconds without a byte after which a connection is given up.
    package var patienceSeconds = 30

    package init() {}
}
