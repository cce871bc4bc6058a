// ArchiveForm: what the end of a file's name says of the archive that is to be in it. A name that promises
// what the file would not be is refused.

package import MayflyHost

/// A tar archive, and how it is compressed.
package struct ArchiveForm: Sendable, Equatable {
    /// The filter's name in libarchive; nil for none.
    let filter: String?
    /// What tar(1) takes for it, and the program that tar starts then.
    package let tarOption: String?
    package let program: String?

    private static let plain = ArchiveForm(filter: nil, tarOption: nil, program: nil)

    private static let compressions: [(ends: [String], form: ArchiveForm)] = [
        (
            [".gz", ".tgz", ".taz"],
            ArchiveForm(filter: "gzip", tarOption: "--gzip", program: "gzip")
        ),
        (
            [".bz2", ".tbz", ".tbz2", ".tz2"],
            ArchiveForm(filter: "bzip2", tarOption: "--bzip2", program: "bzip2")
        ),
        ([".xz", ".txz"], ArchiveForm(filter: "xz", tarOption: "--xz", program: "xz")),
        ([".zst", ".tzst"], ArchiveForm(filter: "zstd", tarOption: "--zstd", program: "zstd")),
        ([".lzma", ".tlz"], ArchiveForm(filter: "lzma", tarOption: "--lzma", program: "lzma")),
        ([".lz"], ArchiveForm(filter: "lzip", tarOption: "--lzip", program: "lzip")),
        (
            [".lz4"],
            ArchiveForm(filter: "lz4", tarOption: "--use-compress-program=lz4", program: "lz4")
        ),
    ]

    /// Ends of names of archives that are not tar, or are compressed otherwise.
    private static let others = [
        ".zip", ".7z", ".cpio", ".rar", ".iso", ".xar", ".jar", ".deb", ".rpm", ".lzo", ".tar.z",
        ".taz2",
        ".br", ".lrz", ".ar",
    ]

    /// What a tar archive of this name is.
    ///
    /// - Parameter option: for errors, such as "--tar".
    /// - Throws: `.usage` for a name of another kind of archive.
    static func ofTar(_ path: PathBytes, option: String) throws(MountError) -> ArchiveForm {
        let name = lowercased(path)
        if let found = compressions.first(where: { $0.ends.contains(where: name.hasSuffix) }) {
            return found.form
        }
        guard let other = others.first(where: name.hasSuffix) else { return plain }
        throw MountError(
            .usage,
            "\(option) \(path) would be a tar archive, not what \(other) says: end its name in .tar, "
                + ".tar.gz, .tar.bz2, .tar.xz, .tar.zst, .tar.lz4, .tar.lz or .tar.lzma")
    }

    /// The archive that a name is of, where it is one's.
    ///
    /// - Returns: nil for a name that promises no archive.
    /// - Throws: `.usage` for a name of an archive that is not made here.
    package static func named(_ path: PathBytes, option: String) throws(MountError) -> ArchiveForm?
    {
        let name = lowercased(path)
        let ends = [".tar"] + compressions.flatMap(\.ends) + others
        guard ends.contains(where: name.hasSuffix) else { return nil }
        return try ofTar(path, option: option)
    }

    /// Only ASCII: a name is in no particular encoding.
    private static func lowercased(_ path: PathBytes) -> PathBytes {
        PathBytes(
            bytes: path.bytes.map { byte in
                (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte + 32 : byte
            })
    }
}

extension MountError {
    /// Of "-" where a file is needed, for what must be read and written as one.
    package static func noStream(_ option: String, _ what: String) -> MountError {
        MountError(
            .usage,
            "\(option) is -, and \(what) is no stream: name a file, or ./- for one of that name")
    }
}
