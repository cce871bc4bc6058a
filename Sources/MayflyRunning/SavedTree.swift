// `mayfly run --save`: what becomes of the tree when the command has succeeded.

import Glibc
package import Mayfly
package import MayflyHost
import SystemPackage

/// Where the tree is to go: a name in the store, or a file.
package struct SavedTree: Sendable {
    private enum Place: Sendable {
        case store(PathBytes)
        /// Absolute; with the image that a layer is to be on, absolute.
        case file(PathBytes, on: PathBytes?)
    }
    private let place: Place

    /// - Parameters:
    ///   - target: a file, where it has a slash or ends in .mayfly; else a name in the store.
    ///   - base: an image that a file is to be a layer on.
    /// - Throws: `.usage` where it cannot be made: before the command has run.
    package init(_ target: PathBytes, on base: PathBytes?) throws(MountError) {
        if target == "-" { throw MountError.noStream("--save", "an image") }
        guard target.bytes.contains(UInt8(ascii: "/")) || target.hasSuffix(".mayfly") else {
            guard base == nil else {
                throw MountError(
                    .usage,
                    "--on goes with a file, and --save \(target) is a name in the store, where a tree is "
                        + "kept as a layer on what it began with: leave --on out, or give ./\(target)"
                )
            }
            try ImageStore.checkName(target)
            try ImageStore.checkWritable()
            place = .store(target)
            return
        }
        guard let path = HostFile.canonicalParent(target) else {
            throw MountError(
                .usage, "--save \(target) cannot be made: the folder that it lies in must exist")
        }
        let above = path.bytes[...(path.bytes.lastIndex(of: UInt8(ascii: "/")) ?? 0)]
        let code = unsafe PathBytes(bytes: above).withCString {
            unsafe faccessat(AT_FDCWD, $0, W_OK | X_OK, AT_EACCESS)
        }
        guard code == 0 else {
            throw MountError(
                .usage,
                "--save \(target) cannot be made (\(Errno(rawValue: errno))): name a file in a folder "
                    + "of yours")
        }
        place = .file(
            path,
            on: try base.map { base throws(MountError) in
                try ImageStore.absolute(base)
            })
    }

    /// Where a file is to be; nil for the store.
    var file: PathBytes? { if case .file(let path, _) = place { path } else { nil } }

    /// Writes what the mount holds.
    ///
    /// - Returns: a line that says what was written, and where.
    func save(_ fileSystem: MountedFileSystem) throws(MountError) -> (line: String, path: PathBytes)
    {
        switch place {
        case .store(let name):
            let kept = try ImageStore.keep(fileSystem, as: name)
            let what =
                kept.pageBytes.map { "a layer of \(SizeText.described(bytes: $0))" }
                ?? "an image of \(SizeText.described(bytes: kept.image.diskBytes))"
            return ("the tree is kept as \(name) in the store: \(what)", name)
        case .file(let path, let base?):
            let summary = try fileSystem.save(to: path, on: base)
            let bytes = SizeText.described(bytes: summary.pageBytes ?? 0)
            return ("the tree is kept in \(path): a layer of \(bytes) on \(base)", path)
        case .file(let path, nil):
            let bytes = try fileSystem.save(to: path)
            return ("the tree is kept in \(path): \(SizeText.described(bytes: bytes))", path)
        }
    }
}
