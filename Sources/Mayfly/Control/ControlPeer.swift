// ControlPeer: the other end of a control socket, as the kernel tells it.

internal import CMayflySystem
internal import Glibc

/// A connected socket, and the process that listens at its other end.
final class ControlPeer: Sendable {
    let descriptor: Int32
    /// As this process's pid namespace has it; 0 where it cannot be seen there.
    let processID: Int32
    let userID: UInt32

    /// - Parameter descriptor: a connected Unix socket, taken over.
    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        let peer = csys_peer(descriptor)
        processID = peer.process
        userID = peer.user
    }

    deinit { close(descriptor) }

    /// Another descriptor of the socket, for whoever takes it over; -1 where there is none.
    func duplicate() -> Int32 { fcntl(descriptor, F_DUPFD_CLOEXEC, 3) }
}
