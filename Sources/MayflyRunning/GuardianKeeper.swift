// GuardianKeeper: a server's watch over its guardian. When that is killed, the content would end with the
// server, and nobody would know: the server says so, and starts another guardian.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import Synchronization

/// Watches the guardian of the mount that this process serves.
final class GuardianKeeper: Sendable {
    private let fileSystem: MountedFileSystem
    private let memory: Int32
    /// Guardians that were killed.
    private let killed = Mutex(0)
    /// After so many none is started any more.
    private static let most = 8

    /// - Parameter memory: the memory file.
    init(_ fileSystem: MountedFileSystem, memory: Int32) {
        self.fileSystem = fileSystem
        self.memory = memory
    }

    /// Never fails: a mount that answers is worth more than one that is guarded.
    func start() {
        let parent = getppid()
        // It may have been killed while this server began.
        guard HostFile.text(at: "/proc/\(parent)/comm") == "mayfly-guard\n",
            (try? watch(parent, isChild: false)) != nil
        else { return replace() }
    }

    private func watch(_ process: Int32, isChild: Bool) throws(MountError) {
        let owner = try MountOwner.process(process)
        fileSystem.setGuardian(process)
        try owner.watch { [self] in
            if isChild { while waitpid(process, nil, 0) < 0, errno == EINTR {} }
            replace()
        }
    }

    private func replace() {
        fileSystem.setGuardian(0)
        let isLeft = killed.withLock { killed in
            killed += 1
            return killed <= Self.most
        }
        let place = fileSystem.place
        if isLeft,
            let next = Guardian.start(
                arguments: ProcessArguments.separated.dropFirst(2).map { PathBytes($0) },
                mountPath: fileSystem.configuration.mountPath, memory: memory),
            (try? watch(next, isChild: true)) != nil
        {
            unsafe csys_log("the guardian of \(place) was killed; process \(next) is another one")
            return
        }
        unsafe csys_log(
            "the guardian of \(place) was killed and no other can be started: the content ends with this "
                + "server, so copy it to another place")
    }
}
