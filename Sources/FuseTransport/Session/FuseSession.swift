// A mounted connection: what was agreed on, its queues, and its end.
//
// Control plane only. The queues share no more than the words of `SessionControl` with it.

internal import CFuseDevice
internal import CFuseKernel
internal import CMayflySystem
internal import Glibc
package import MayflyHost
internal import Synchronization
package import SystemPackage

/// A mounted FUSE connection.
///
/// Life: `mount` answers INIT; the caller takes every ring queue and at least one device queue and
/// serves each on a thread of its own; `unmount` or `end` (or anybody's umount(8)) makes every
/// `wait` return a negative number; the threads leave; the last reference frees the memory.
package final class FuseSession: Sendable {
    /// Which way requests come.
    package enum Transport: String, Sendable {
        case ring
        case device
    }

    let core: SessionCore
    /// Absolute path of the mount point when the mount was made.
    package let mountpoint: String
    /// Which mount was made; nil where it could not be found.
    package let identity: MountIdentity?
    package let plan: RingPlan
    /// INIT flags in force (`CFK_INIT_*`).
    package let initFlags: UInt64
    /// Minor version of the protocol that the kernel speaks.
    package let kernelMinorVersion: UInt32
    /// Why the ring was not taken at mount, nil where it was.
    package let ringRefusal: String?

    init(
        core: SessionCore, mountpoint: String, plan: RingPlan, handshake: Handshake,
        identity: MountIdentity?, ringRefusal: String?
    ) {
        self.core = core
        self.mountpoint = mountpoint
        self.plan = plan
        initFlags = handshake.flags
        kernelMinorVersion = handshake.kernelMinor
        self.identity = identity
        self.ringRefusal = ringRefusal
    }

    /// Nobody can serve the mount any more: it must not outlive this object.
    deinit {
        if state != .ended { end() }
    }

    /// Where the session stands.
    package var state: SessionState { core.state }

    /// Number of the connection under /sys/fs/fuse/connections; 0 where it could not be found.
    package var connection: UInt32 { identity?.connection ?? 0 }

    /// Which way requests come; `device` as well after the kernel has refused the ring.
    package var transportInUse: Transport {
        ringRefusal == nil && core.state != .refused ? .ring : .device
    }

    /// Ring queues to take and serve; 0 where the ring was not taken at mount.
    package var queueCount: Int { ringRefusal == nil ? plan.queueCount : 0 }
    package var queueDepth: Int { plan.queueDepth }
    package var payloadBytes: Int { plan.payloadBytes }

    /// Bytes of the ring's buffers; 0 where there is no ring.
    package var ringMemoryBytes: UInt64 { ringRefusal == nil ? plan.ringMemoryBytes : 0 }

    /// Bytes of them that are in memory, because requests have used them.
    package var residentRingBytes: UInt64 { core.residentBytes }

    /// The errno with which the kernel refused a REGISTER, nil where it did not.
    package var registerRefusal: Errno? {
        let code = unsafe core.control.pointee.refusal.load(ordering: .relaxed)
        return code == 0 ? nil : Errno(rawValue: code)
    }

    /// Counters of what went wrong on the wire; all 0 in a healthy session.
    package var faults: WireFaults { core.faults }

    /// The ring queue of a CPU, to be moved to the thread that serves it.
    ///
    /// - Precondition: `index` is below `queueCount`, and it is asked for once.
    package func queue(at index: Int) -> RingQueue {
        RingQueue(parts: core.take(index), core: core)
    }

    /// A reader of /dev/fuse. At least one must be served for as long as the mount is.
    ///
    /// - Throws: `ENOMEM`.
    package func deviceQueue(
        napMilliseconds: Int32 = DeviceQueue.usualNapMilliseconds
    ) throws(Errno) -> DeviceQueue {
        try DeviceQueue(
            core: core, payloadBytes: plan.payloadBytes, napMilliseconds: napMilliseconds)
    }

    /// Ends the nap of a device reader, so that forgets are taken at once.
    ///
    /// For a file system that is full: what was removed is free only after its FORGET.
    /// `deviceDrains` grows when the reader has found nothing more.
    package func hurryForgets() {
        cfd_wake(core.wake)
    }

    /// How many times a device reader has found /dev/fuse empty.
    package var deviceDrains: UInt64 {
        unsafe core.control.pointee.deviceDrains.load(ordering: .acquiring)
    }

    /// Whether /dev/fuse holds something that nobody has read yet.
    package var hasDeviceRequests: Bool { cfd_poll(core.device, -1, 0) & 1 != 0 }

    /// Ends the session whatever it is doing: open requests fail with `ECONNABORTED`, and the mount
    /// leaves the tree.
    ///
    /// - Returns: false when the kernel did not let us: a mount that is in other namespaces only,
    ///   and no right to fusectl. The end of the process is that of the session then.
    @discardableResult
    package func end() -> Bool {
        let isAborted = unsafe core.control.pointee.abort()
        _ = identity?.unmount(flags: Int32(MNT_DETACH))
        return isAborted
    }

    /// Ends a connection by its number, whoever serves it and wherever it is mounted: requests fail.
    ///
    /// - Returns: false when that takes rights that we have not, or there is no such connection.
    package static func abort(connection: UInt32) -> Bool {
        unsafe csys_abort_connection(connection, 0, "") == 0
    }
}
