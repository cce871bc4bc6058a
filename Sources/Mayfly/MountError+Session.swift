// What the transport says went wrong, with what to do about it.

internal import FuseTransport
internal import Glibc
internal import SystemPackage

extension MountError {
    /// The error of a mount that the transport could not make.
    static func session(_ error: SessionError, _ mountpoint: String) -> MountError {
        switch error.code {
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem:
            MountError(
                .system, code: .noDescriptors,
                "no descriptor is left for the mount: raise `ulimit -n` or fs.file-max")
        case .noMemory:
            MountError(
                .system, code: .noMemory,
                "no memory for the queues, or too little that may be locked: raise `ulimit -l`, "
                    + "or lower \(setting: .queueDepth) or \(setting: .maxPayload)")
        case .resourceTemporarilyUnavailable:
            MountError(.system, code: .noThreads, "no thread can be started: raise `ulimit -u`")
        case .resourceBusy:
            MountError(
                .busy, "mountpoint \(mountpoint) is busy: end what uses it, or name another")
        case .notPermitted, .permissionDenied, .socketNotConnected, .noSuchFileOrDirectory,
            .notDirectory, Errno(rawValue: ENODEV):
            mounting(mountpoint, error.code ?? .ioError)
        default:
            MountError(.mount, error.description)
        }
    }
}
