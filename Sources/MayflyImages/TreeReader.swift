// TreeReader: a directory or an archive as a stream of entries, through libarchive.

internal import CMayflyArchive
internal import CMayflyMemory
internal import Glibc
package import InodeStore
internal import MayflyHost
internal import SystemPackage

/// Where a tree comes from.
package enum TreeSource: Sendable, Equatable {
    /// Sorted by name; with other file systems that are mounted in it or without.
    case directory([UInt8], oneFileSystem: Bool)
    /// What is no directory, under a name.
    case file([UInt8], name: [UInt8])
    /// tar, zip and other forms that libarchive knows, compressed or not.
    case archive([UInt8])
    /// The same from an open descriptor, which need not be seekable.
    case stream(Int32)
}

/// Why a tree could not be read, built or written. One line that says what to do.
package struct TreeError: Error, Equatable, CustomStringConvertible {
    /// Without the advice of `wantsRoom`.
    package let line: String
    /// Whether the tree would fit where there are a larger size and more inodes.
    package let wantsRoom: Bool

    package init(_ line: String, wantsRoom: Bool = false) {
        self.line = line
        self.wantsRoom = wantsRoom
    }

    package var description: String {
        wantsRoom ? "\(line): give a larger size, or more inodes" : line
    }

    /// Why a reader or a writer of archives cannot be begun.
    static func reason(of error: Int32) -> String {
        error == ELIBACC
            ? "libarchive.so.13 cannot be loaded: install Debian's package libarchive13, or your system's"
            : "\(Errno(rawValue: error))"
    }
}

/// One thing in a source.
package struct SourceEntry: Sendable {
    /// Bytes of the path as the source has it.
    package var path: [UInt8]
    /// Type and permissions.
    package var mode: UInt32
    package var attributes: RestoredAttributes
    /// Another path of the source that this is a further name of.
    package var hardLink: [UInt8]?
    package var target: [UInt8]?
    /// As the kernel encodes it (`new_encode_dev()`).
    package var device: UInt32
    /// Bytes; 0 where it is not known before the content.
    package var size: UInt64
    /// A file of the store that is built in, whose content this has.
    package var original: NodeID?
    /// Of what is read from a disk.
    package var stamp = SourceStamp()
    /// Whether it may not be opened, for readers who asked for such entries: the rest is not known then.
    package var isUnreadable = false
}

/// What tells whether a file on a disk is still the one that was read.
package struct SourceStamp: Sendable, Equatable {
    /// st_dev and st_ino.
    package var disk: UInt64 = 0
    package var inode: UInt64 = 0
    /// Type and permissions.
    package var mode: UInt32 = 0
    /// Bytes; 0 for what is no file.
    package var size: UInt64 = 0
    /// Of the content, and of the inode: seconds since 1970, and nanoseconds.
    package var modified: Int64 = 0
    package var modifiedNanoseconds: UInt32 = 0
    package var changed: Int64 = 0
    package var changedNanoseconds: UInt32 = 0

    package init() {}

    /// As many numbers make one.
    package static let wordCount = 8

    /// - Precondition: `wordCount` numbers of `words`.
    package init(words: [UInt64]) {
        (disk, inode, size) = (words[0], words[1], words[3])
        mode = UInt32(truncatingIfNeeded: words[2])
        modified = Int64(bitPattern: words[4])
        modifiedNanoseconds = UInt32(truncatingIfNeeded: words[5])
        changed = Int64(bitPattern: words[6])
        changedNanoseconds = UInt32(truncatingIfNeeded: words[7])
    }

    package var words: [UInt64] {
        [
            disk, inode, UInt64(mode), size, UInt64(bitPattern: modified),
            UInt64(modifiedNanoseconds), UInt64(bitPattern: changed), UInt64(changedNanoseconds),
        ]
    }
}

/// Entries one after the other, each with its content and attributes. One thread.
package protocol EntrySource {
    /// The next entry; nil at the end.
    func next() throws(TreeError) -> SourceEntry?
    /// Calls `body` with each piece of the entry's content; what is between them is a hole.
    func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void) throws(TreeError)
    /// The entry's extended attributes, sorted by name, access lists among them.
    func xattrs() -> [(name: [UInt8], value: [UInt8])]
    /// Whether `xattrs` left somebody out of an access list whom this machine does not know; once.
    func takeUnknownNames() -> Bool
}

/// Reads a source once, from its beginning to its end. One thread.
@safe package final class TreeReader: EntrySource {
    private let reader: OpaquePointer
    private let name: String

    /// - Throws: what keeps it from being opened.
    package init(_ source: TreeSource) throws(TreeError) {
        let opened: OpaquePointer?
        switch source {
        case .directory(let path, let oneFileSystem):
            name = ByteText.text(of: path)
            unsafe opened = carc_read_directory(Self.terminated(path), oneFileSystem ? 1 : 0)
        case .file(let path, let own):
            name = ByteText.text(of: path)
            unsafe opened = carc_read_file(Self.terminated(path), Self.terminated(own))
        case .archive(let path):
            name = ByteText.text(of: path)
            unsafe opened = carc_read_archive(Self.terminated(path), -1)
        case .stream(let descriptor):
            name = "the standard input"
            unsafe opened = carc_read_archive(nil, descriptor)
        }
        guard let opened = unsafe opened else {
            throw TreeError("\(name) cannot be read (\(TreeError.reason(of: errno)))")
        }
        unsafe reader = opened
    }

    deinit { unsafe carc_close(reader) }

    /// Bytes of the source that were read, before decompression.
    package var bytesRead: UInt64 { unsafe carc_bytes_read(reader) }

    /// Has what may not be opened be an entry, and no error.
    package func tellUnreadable() { unsafe carc_tell_unreadable(reader) }

    /// Why the last entry cannot be read.
    package var failure: TreeError {
        let text = unsafe carc_error(reader)
        let bytes = unsafe UnsafeRawBufferPointer(
            start: text, count: text.map { unsafe strlen($0) } ?? 0)
        return TreeError("\(name): \(unsafe ByteText.text(of: Array(bytes)))")
    }

    package func next() throws(TreeError) -> SourceEntry? {
        var entry = unsafe carc_entry()
        switch unsafe carc_next(reader, &entry) {
        case 0: return nil
        case 1: break
        default: throw failure
        }
        var stamp = SourceStamp()
        unsafe stamp.disk = entry.disk
        unsafe stamp.inode = entry.inode
        unsafe stamp.mode = entry.mode
        unsafe stamp.size = entry.size
        unsafe stamp.modified = entry.seconds
        unsafe stamp.modifiedNanoseconds = entry.nanoseconds
        unsafe stamp.changed = entry.change_seconds
        unsafe stamp.changedNanoseconds = entry.change_nanoseconds
        let major = unsafe entry.major
        let minor = unsafe entry.minor
        return unsafe SourceEntry(
            path: Self.bytes(entry.path) ?? [], mode: entry.mode,
            attributes: RestoredAttributes(
                permissions: entry.mode & 0o7777, userID: entry.uid, groupID: entry.gid,
                flags: entry.flags,
                time: cmem_time(
                    seconds: entry.seconds, nanoseconds: min(entry.nanoseconds, 999_999_999))),
            hardLink: Self.bytes(entry.hardlink), target: Self.bytes(entry.symlink),
            // include/linux/kdev_t.h
            device: minor & 0xFF | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12,
            size: entry.size, stamp: stamp, isUnreadable: entry.unreadable != 0)
    }

    /// Leaves out what lies in the directory that was read last.
    package func passOver() { unsafe carc_pass_over(reader) }

    private static func terminated(_ path: [UInt8]) -> [CChar] {
        path.map { CChar(bitPattern: $0) } + [0]
    }

    private static func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8]? {
        guard let text = unsafe text else { return nil }
        return unsafe [UInt8](UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    package func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void
    ) throws(TreeError) {
        var bytes: UnsafeRawPointer?
        var count = 0
        var offset: UInt64 = 0
        while true {
            switch unsafe carc_data(reader, &bytes, &count, &offset) {
            case 0: return
            case 1:
                if count > 0 {
                    try unsafe body(offset, UnsafeRawBufferPointer(start: bytes, count: count))
                }
            default: throw failure
            }
        }
    }

    package func takeUnknownNames() -> Bool { unsafe carc_take_unknown(reader) != 0 }

    package func xattrs() -> [(name: [UInt8], value: [UInt8])] {
        var found: [(name: [UInt8], value: [UInt8])] = []
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var count = 0
        while unsafe carc_xattr(reader, &name, &value, &count) == 1 {
            guard let bytes = unsafe Self.bytes(name) else { continue }
            // An archive may have each twice, for two kinds of readers.
            if found.contains(where: { $0.name == bytes }) { continue }
            found.append(
                (bytes, unsafe [UInt8](UnsafeRawBufferPointer(start: value, count: count))))
        }
        for (isDefault, name) in [
            (false, "system.posix_acl_access"), (true, "system.posix_acl_default"),
        ] {
            var list = [UInt8](repeating: 0, count: 4100)
            let count = unsafe carc_acl(reader, isDefault ? 1 : 0, &list, list.count)
            if count > 0 { found.append((Array(name.utf8), Array(list.prefix(count)))) }
        }
        return found.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }
}
