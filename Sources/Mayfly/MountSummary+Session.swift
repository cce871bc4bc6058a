// The summary of a mount that has been made.

internal import FuseTransport
internal import MayflyHost

extension MountSummary {
    init(
        _ configuration: MountConfiguration, _ session: FuseSession,
        limits: (sizeBytes: UInt64, inodes: UInt64), storeBytes: UInt64
    ) {
        let isRing = session.transportInUse == .ring
        var absence: RingAbsence?
        if !isRing {
            if configuration.transport == .device {
                absence = .notAsked
            } else {
                absence =
                    RingAbsence.fromSwitch()
                    ?? .failed(session.ringRefusal ?? "the kernel refused it")
            }
        }
        let readers = UInt64(max(2, Processors.online))
        let buffers =
            isRing ? session.ringMemoryBytes : readers * 2 * UInt64(session.payloadBytes + 8192)
        self.init(
            mountpoint: configuration.mountpoint, transport: isRing ? .ring : .device,
            ringAbsence: absence, queueCount: session.queueCount,
            queueDepth: session.queueDepth, payloadBytes: session.payloadBytes,
            ringMemoryBytes: buffers, sizeBytes: limits.sizeBytes, inodes: limits.inodes,
            maximumMemoryBytes: storeBytes + buffers)
    }
}
