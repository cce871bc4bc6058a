// What has changed in the folder meanwhile, and so is not overwritten unless that is forced.

import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

extension ChangeApplier {
    /// Paths that are not on disk what they were when the tree was brought in, with what is wrong.
    func conflicts() -> [String] {
        changes.compactMap { change in
            conflict(change, isStrict: true).map { "\(Self.text(change.path)) \($0)" }
        }
    }

    /// - Parameter isStrict: whether the time of the inode's last change counts, which names that were
    ///   taken from it have changed later.
    func conflict(_ change: TreeChange, isStrict: Bool) -> String? {
        let status: stat
        do throws(Errno) { status = try target.status(of: change.path) } catch {
            switch change.kind {
            case .changed: return "is gone"
            // Who else has removed it wanted the same.
            case .removed: return nil
            case .added:
                if error == .noSuchFileOrDirectory, hasFolder(change.path) { return nil }
                return Self.isBelow(becoming, change.path) ? nil : "has no folder any more"
            }
        }
        guard let stamp = change.stamp else {
            let isFolder = (try? tree.status(of: change.path).isFolder) ?? false
            // A folder that both have made is one.
            return isFolder && status.isFolder ? nil : "was made meanwhile, or left out"
        }
        if stamp.isFolder {
            guard status.isFolder else { return "is no folder any more" }
            guard change.kind == .removed || change.aspects.contains(.type) else { return nil }
            let names = (try? target.names(in: change.path)) ?? []
            guard let other = names.first(where: { !gone.contains(Self.path(change.path, $0)) })
            else { return nil }
            return "has \(Self.text(other)), which was made meanwhile or left out"
        }
        return stamp.matches(status, withChangeTime: isStrict) ? nil : "was changed meanwhile"
    }

    /// The same while changes are applied.
    func conflictNow(_ change: TreeChange) -> String? {
        if let status = try? target.status(of: change.path), touched.contains(FileNumber(status)) {
            return nil
        }
        return conflict(change, isStrict: false)
    }

    /// Whether the folder that a new path lies in is there, or will be.
    func hasFolder(_ path: [UInt8]) -> Bool {
        let above = Self.folder(of: path)
        return above.isEmpty || made.contains(above) || becoming.contains(above)
            || (try? target.status(of: above))?.isFolder == true
    }

    static func isBelow(_ folders: Set<[UInt8]>, _ path: [UInt8]) -> Bool {
        path.indices.contains {
            path[$0] == UInt8(ascii: "/") && folders.contains(Array(path[..<$0]))
        }
    }
}
