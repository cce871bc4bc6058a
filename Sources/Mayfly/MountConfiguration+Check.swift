import Glibc
package import MayflyHost
import SystemPackage

extension MountConfiguration {
    /// Finds what would keep the mount from being made, before anything has been made.
    ///
    /// Replaces the mountpoint by its absolute path without links, which the working directory may
    /// change after, and `.automatic` permission checks by what they come to, which forks are to have
    /// when the server's privileges are gone. Asks nothing of the mount that may already lie there.
    ///
    /// - Throws: two options exclude each other; the mountpoint is missing, is no directory, cannot be
    ///   reached or is a Mayfly mount already; the caller may not mount; there is no /dev/fuse; the ring
    ///   is demanded but switched off.
    public mutating func check() throws(MountError) {
        try MountError.checkPages()
        guard permissionChecks != .never || !allowOther else {
            throw MountError(
                .usage, code: .conflict,
                "noperm and allow_other: with both, anybody might do everything")
        }
        guard !writesBack || durability == .none else {
            throw MountError(
                .usage, code: .conflict,
                "writeback and \(setting: .durability) exclude each other, as the kernel keeps sizes of files with "
                    + "writeback: give one")
        }
        guard !asksSync || durability == .none else {
            throw MountError(
                .usage, code: .conflict,
                "sync and dirsync go with no \(setting: .durability): what is to outlive a power loss is what a program "
                    + "syncs itself; leave them out")
        }
        if survives {
            guard from == nil, durability == .none else {
                throw MountError(
                    .usage, code: .conflict,
                    "\(setting: .survives) goes with an empty tree, and without \(setting: .durability): "
                        + "leave out the other"
                )
            }
        }
        guard arriving == nil || durability == .none else {
            throw MountError(
                .usage, code: .conflict,
                "an image that is not all here yet and \(setting: .durability) exclude each other: give one"
            )
        }
        if profile == .build {
            withoutXattrs = true
            if permissionChecks == .automatic, !allowOther { permissionChecks = .never }
        }
        permissionChecks = checksPermissions ? .always : .never
        // Of a server that died its mount is still there, and answers nothing.
        let path = isRecovery ? mountPath : try Self.directory(mountPath)
        mountPath = path
        if !mayCover, !isRecovery, MountTable.current().entry(at: path)?.isOwn == true {
            throw MountError.mountedAlready("\(path)")
        }
        guard Self.mayMount(status: HostFile.text(at: "/proc/self/status")) else {
            throw MountError.notPermitted
        }
        let device = unsafe open("/dev/fuse", O_RDWR | O_CLOEXEC)
        guard device >= 0 else { throw MountError.noDevice(Errno(rawValue: errno)) }
        close(device)
        if transport == .ring {
            switch RingSwitch.current() {
            case .on: break
            case .off: throw MountError.ringSwitchedOff
            case .absent: throw MountError.ringUnknown
            }
        }
    }

    /// The canonical path of the directory at `path`.
    package static func directory(_ path: PathBytes) throws(MountError) -> PathBytes {
        guard !path.bytes.isEmpty else {
            throw MountError(.usage, "the mountpoint is empty: name a directory")
        }
        var status = stat()
        let isThere = unsafe path.withCString { unsafe stat($0, &status) } == 0
        guard isThere, let canonical = HostFile.canonical(path) else {
            let error = Errno(rawValue: errno)
            switch error {
            case .noSuchFileOrDirectory: throw MountError.missing("\(path)")
            case .notDirectory: throw MountError.notDirectory("\(path)")
            default: throw MountError.unreachable("\(path)", error)
            }
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw MountError.notDirectory("\(path)") }
        return canonical
    }

    /// Whether `/proc/self/status` grants CAP_SYS_ADMIN, which mount(2) asks for.
    package static func mayMount(status: String?) -> Bool {
        effectiveCapabilities(status: status).map { $0 & 1 << 21 != 0 } ?? (geteuid() == 0)
    }

    /// Whether modes and owners refuse the caller nothing, nor others who are of its user and have
    /// given up no capability: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER and
    /// CAP_FSETID of a superuser.
    ///
    /// A user of another number has these in a namespace of his own until he starts a program.
    static func isSuperuser(_ userID: UInt32, status: String?) -> Bool {
        guard userID == 0, let held = effectiveCapabilities(status: status) else { return false }
        return held & 0b11111 == 0b11111
    }

    private static func effectiveCapabilities(status: String?) -> UInt64? {
        HostFile.field("CapEff", in: status ?? "")?.last.flatMap { UInt64($0, radix: 16) }
    }

    /// Whether the kernel is to check modes and owners.
    var checksPermissions: Bool {
        switch permissionChecks {
        case .always: true
        case .never: false
        case .automatic:
            allowOther
                || !Self.isSuperuser(geteuid(), status: HostFile.text(at: "/proc/self/status"))
        }
    }
}

/// The kernel parameter that lets FUSE servers take the ring.
package enum RingSwitch: Sendable {
    case on, off
    /// The kernel has no FUSE over io_uring, or the fuse module is not loaded.
    case absent

    package static let path = "/sys/module/fuse/parameters/enable_uring"

    package static func current() -> RingSwitch { parsed(HostFile.text(at: path)) }

    /// - Source: kernel/params.c, `param_get_bool()`: "Y" or "N".
    static func parsed(_ text: String?) -> RingSwitch {
        guard let first = text?.first else { return .absent }
        return first == "Y" || first == "1" ? .on : .off
    }
}
