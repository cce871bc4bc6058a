// INIT: what the kernel offers, what is wanted, and what both agree on.

package import CFuseKernel

/// What INIT has agreed on.
package struct Handshake {
    /// Protocol 7.36 (Linux 5.17) brought the second flag word; older ones are not served.
    package static let oldestMinor: UInt32 = 36

    /// Flags the transport cannot do without, whatever the file system wants.
    package static let required =
        CFK_INIT_INIT_EXT | CFK_INIT_MAX_PAGES | CFK_INIT_BIG_WRITES | CFK_INIT_SETXATTR_EXT

    package var kernelMinor: UInt32
    /// Flags that are in force.
    package var flags: UInt64
    package var reply: cfk_init_out

    /// Whether the ring was offered and is taken.
    package var usesRing: Bool { flags & CFK_INIT_OVER_IO_URING != 0 }

    /// Answers an INIT.
    ///
    /// - Parameters:
    ///   - ring: Whether the ring is taken if it is offered.
    /// - Throws: `SessionError` where the kernel is too old.
    package init(
        request: cfk_init_in, configuration: SessionConfiguration, payloadBytes: Int, ring: Bool,
        pageBytes: Int
    ) throws(SessionError) {
        guard request.major == UInt32(CFK_KERNEL_VERSION), request.minor >= Self.oldestMinor else {
            throw SessionError(
                "the kernel speaks FUSE \(request.major).\(request.minor),"
                    + " 7.\(Self.oldestMinor) or later (Linux 5.17) is needed")
        }
        let offered = UInt64(request.flags) | UInt64(request.flags2) << 32
        guard offered & Self.required == Self.required else {
            throw SessionError("the kernel lacks FUSE features that every Linux since 5.17 has")
        }
        var wanted = configuration.wantedInitFlags | Self.required
        wanted &= ~CFK_INIT_OVER_IO_URING
        if ring { wanted |= CFK_INIT_OVER_IO_URING }
        flags = offered & wanted
        kernelMinor = request.minor
        var reply = cfk_init_out()
        reply.major = UInt32(CFK_KERNEL_VERSION)
        reply.minor = min(UInt32(CFK_KERNEL_MINOR_VERSION), request.minor)
        reply.max_readahead = request.max_readahead
        reply.flags = UInt32(truncatingIfNeeded: flags)
        reply.flags2 = UInt32(truncatingIfNeeded: flags >> 32)
        reply.max_background = max(1, configuration.maxBackground)
        reply.congestion_threshold = max(
            1, UInt16(UInt32(reply.max_background) * 3 / 4))
        reply.max_write = UInt32(payloadBytes)
        reply.max_pages = UInt16(clamping: max(1, payloadBytes / pageBytes))
        reply.time_gran = configuration.timeGranularity
        self.reply = reply
    }
}
