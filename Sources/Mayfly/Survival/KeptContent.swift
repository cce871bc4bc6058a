// KeptContent: what a guardian holds of a mount that no server serves any more (Docs/Survival.md).

internal import Glibc
internal import InodeStore
internal import MayflyArena
package import MayflyHost
internal import SystemPackage

package enum KeptContent {
    /// Writes the content of a mount that was given up to an image. The guardian goes on holding it.
    ///
    /// - Parameters:
    ///   - path: the mountpoint, as it was.
    ///   - out: as `MountedFileSystem.save` has it.
    /// - Returns: bytes of the image.
    /// - Throws: `.usage` where nobody holds such content, or a server has it; `.mount` where it is
    ///   damaged.
    package static func save(_ path: PathBytes, to out: PathBytes) throws(MountError) -> UInt64 {
        let memory = try find(path)
        defer { close(memory) }
        let found: (store: InodeStore, report: RepairReport)
        do throws(Errno) {
            found = try InodeStore.recover(from: memory, workerCount: 1)
        } catch {
            throw MountError(.system, "what is kept of \(path) cannot be opened (\(error))")
        }
        defer { found.store.unmap() }
        if let problem = found.report.problems.first {
            throw MountError(
                .mount, code: .damagedImage,
                "what is kept of \(path) is damaged, and nothing of it is written: \(problem)")
        }
        return try ReplacedFile.write(out) { descriptor throws(Errno) in
            try found.store.writeImage(to: descriptor)
        }
    }

    /// Whether this program can serve what a guardian holds.
    package static func canBeServed(heldBy guardian: Int32) -> Bool {
        let folder = "/proc/\(guardian)/fd"
        return HostFile.names(in: folder).contains { name in
            guard HostFile.link(at: "\(folder)/\(name)")?.hasPrefix(Self.fileName) == true else {
                return false
            }
            let memory = unsafe open("\(folder)/\(name)", O_RDONLY | O_CLOEXEC)
            guard memory >= 0 else { return false }
            defer { close(memory) }
            return canBeServed(memory)
        }
    }

    /// Whether this program can serve what a memory file holds.
    package static func canBeServed(_ memory: Int32) -> Bool {
        (try? SurvivingHeader(reading: memory)) != nil
    }

    private static func find(_ path: PathBytes) throws(MountError) -> Int32 {
        let absolute = HostFile.canonical(path) ?? path
        for process in MountHolders.processIDs() {
            guard HostFile.text(at: "/proc/\(process)/comm") == "mayfly-guard\n" else { continue }
            let folder = "/proc/\(process)/fd"
            for name in HostFile.names(in: folder) {
                guard HostFile.link(at: "\(folder)/\(name)")?.hasPrefix(Self.fileName) == true
                else { continue }
                let memory = unsafe open("\(folder)/\(name)", O_RDWR | O_CLOEXEC)
                guard memory >= 0 else { continue }
                if let header = try? SurvivingHeader(reading: memory),
                    header.path == absolute.bytes || header.path == path.bytes
                {
                    if MountHolders.server(ofConnection: header.mount.connection) == nil {
                        return memory
                    }
                    close(memory)
                    throw MountError(
                        .usage, "\(path) is mounted and served: use `mayfly save \(path) ...`")
                }
                close(memory)
            }
        }
        throw MountError(
            .usage, code: .unsupported,
            "nothing is kept of \(path): only mounts with \(setting: .survives) are, while their guardian lives, "
                + "and by the same user")
    }

    private static let fileName = "/memfd:mayfly-survive"
}
