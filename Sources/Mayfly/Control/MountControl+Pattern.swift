// Patterns of faults as somebody writes them who stands outside of the mount.

package import MayflyHost

extension MountControl {
    /// A pattern for paths as the mount has them: what begins with a path to the mount loses that.
    ///
    /// - Throws: `.usage` for a pattern of absolute paths that lie elsewhere, and so would never match.
    package func pattern(_ given: PathBytes) throws(MountError) -> PathBytes {
        guard given.isAbsolute else { return given }
        let parent = Array("..".utf8)[...]
        if let rest = given.below(PathBytes(mountpoint)), !rest.names.contains(parent) {
            return rest
        }
        // As far as it is no pattern, it may lead there by links.
        let slash = UInt8(ascii: "/")
        let wild = Set("*?".utf8)
        let literal = Array(given.names.prefix { !$0.contains(where: wild.contains) })
        let pattern = given.names.dropFirst(literal.count)
        let table = MountTable.current()
        let start = PathBytes(bytes: [slash] + literal.joined(separator: [slash]))
        if let place = table.place(of: start), let entry = table.entry(around: place),
            entry.connection == connection, entry.isOwn, let rest = place.below(entry.mountpoint)
        {
            let names = entry.root.names + rest.names + Array(pattern)
            return PathBytes(bytes: names.joined(separator: [slash]))
        }
        // One that begins with a slash may also mean the mount's own root.
        guard let first = given.names.first,
            HostFile.names(in: "/").contains(where: { PathBytes($0).bytes == Array(first) })
        else { return given }
        throw MountError(
            .usage,
            "\(setting: .path) \(given) is not in the mount \(PathBytes(mountpoint)): give a path from the mount's root, "
                + "without a slash in front")
    }
}

extension PathBytes {
    /// The part of this path below a folder, without a slash in front; nil where it does not lie there.
    func below(_ folder: PathBytes) -> PathBytes? {
        guard folder.contains(self) else { return nil }
        return PathBytes(
            bytes: bytes.dropFirst(folder.bytes.count).drop { $0 == UInt8(ascii: "/") })
    }
}

extension MountedFileSystem {
    /// A rule whose path begins with the mountpoint, as the mount has it.
    func inside(_ rule: FaultRule) -> FaultRule {
        var rule = rule
        if let path = rule.path, let rest = PathBytes(path).below(PathBytes(place)) {
            rule.path = rest.text
        }
        return rule
    }
}
