// DescriptorLimit: whether a server may open what it needs. Without it a mount would come up without its
// control socket.

internal import FuseTransport
internal import Glibc
internal import MayflyHost

package enum DescriptorLimit {
    /// What a server has open beside its queues: the device, the control socket with its folder, its
    /// event loop and its clients.
    private static let beside = 32

    /// Lets this process open as many files as it may allow itself. What it starts later inherits that.
    static func raise() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0,
            limit.rlim_cur < limit.rlim_max
        else { return }
        limit.rlim_cur = limit.rlim_max
        unsafe _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Finds out before anything is mounted whether a server can have its descriptors.
    ///
    /// - Throws: `.system`.
    package static func check(_ configuration: MountConfiguration) throws(MountError) {
        raise()
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return
        }
        let usesRing = configuration.transport != .device && RingSwitch.current() == .on
        let need =
            HostFile.names(in: "/proc/self/fd").count + beside
            + (usesRing ? Machine.possibleCPUs().count : 0)
        guard limit.rlim_cur < rlim_t(need) else { return }
        throw MountError(
            .system,
            "the server needs \(need) descriptors and may have \(limit.rlim_cur): raise `ulimit -n`"
        )
    }
}
