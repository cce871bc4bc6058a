// TreeExporter: a store as a tar archive, with everything that an image can hold.

internal import CMayflyArchive
internal import CMayflyMemory
internal import Glibc
package import InodeStore
internal import MayflyHost
internal import SystemPackage

package enum TreeExporter {
    private static let blockBytes: UInt64 = 1 << 20

    /// Writes the whole tree of a store that nobody else uses.
    ///
    /// - Parameters:
    ///   - descriptor: what the archive goes to; need not be seekable.
    ///   - filter: libarchive's name of a compression; nil for none.
    ///   - progress: called with the bytes of content that were written, now and then.
    /// - Returns: what is not in the archive: a line for each socket, which tar has no form for.
    /// - Throws: what could not be written, with its path.
    package static func writeTar(
        _ store: InodeStore, to descriptor: Int32, filter: String? = nil,
        progress: (UInt64) -> Void = { _ in }
    ) throws(TreeError) -> [String] {
        try writeTar(
            store, to: descriptor, filter: filter, wants: { _ in true }, progress: progress)
    }

    /// Writes some paths of a store that nobody else uses, and names that are gone, as layers of containers
    /// have them: an empty file whose name is ".wh." and theirs.
    ///
    /// - Source: image-spec of the Open Container Initiative, layer.md, "Whiteouts".
    package static func writeTar(
        _ store: InodeStore, of paths: Set<[UInt8]>, gone: [[UInt8]], to descriptor: Int32
    ) throws(TreeError) -> [String] {
        try writeTar(store, to: descriptor, filter: nil, gone: gone, wants: paths.contains)
    }

    private static func writeTar(
        _ store: InodeStore, to descriptor: Int32, filter: String?, gone: [[UInt8]] = [],
        wants: ([UInt8]) -> Bool, progress: (UInt64) -> Void = { _ in }
    ) throws(TreeError) -> [String] {
        var left: [String] = []
        let begun: OpaquePointer?
        if let filter {
            unsafe begun = unsafe carc_write_tar(descriptor, filter)
        } else {
            unsafe begun = unsafe carc_write_tar(descriptor, nil)
        }
        guard let writer = unsafe begun else {
            throw TreeError("the archive cannot be begun (\(TreeError.reason(of: errno)))")
        }
        var export = unsafe Export(writer: writer, worker: store.worker(0))
        var failure: TreeError?
        do throws(TreeError) {
            for path in gone { try export.write(gone: path) }
            try store.worker(0).walk { entry throws(TreeError) in
                if !wants(entry.path) { return }
                if entry.type == FileMode.socket {
                    return left.append(
                        "\(ByteText.shortened(entry.path)) is a socket, and not in the archive")
                }
                try export.write(entry)
                progress(export.bytes)
            }
        } catch { failure = error }
        let code = unsafe carc_finish(writer)
        if let failure { throw failure }
        if code != 0 { throw TreeError("the archive cannot be ended: look for room there") }
        return left
    }

    @safe private struct Export {
        let writer: OpaquePointer
        let worker: StoreWorker
        /// Which of its names each inode that has several was met by first.
        private var firstNames: [UInt64: UInt64] = [:]
        private var isFurtherName = false
        var bytes: UInt64 = 0
        var buffer = [UInt8](repeating: 0, count: Int(TreeExporter.blockBytes))

        init(writer: OpaquePointer, worker: StoreWorker) {
            unsafe self.writer = writer
            self.worker = worker
        }

        private func failed(_ entry: TreeEntry) -> TreeError {
            let why = unsafe String(cString: carc_writer_error(writer))
            return TreeError("\(ByteText.shortened(entry.path)) cannot be written: \(why)")
        }

        /// Writes that a name is gone.
        func write(gone path: [UInt8]) throws(TreeError) {
            let name = path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
            let marked = path[..<name] + Array(".wh.".utf8) + path[name...]
            var header = unsafe carc_entry()
            unsafe header.mode = FileMode.regular | 0o600
            let isBegun = unsafe (marked + [0]).withUnsafeBufferPointer { bytes in
                unsafe header.path = Self.text(bytes)
                guard unsafe carc_entry_set(writer, &header) == 0 else { return false }
                return unsafe carc_entry_begun(writer) == 0
            }
            if !isBegun {
                throw TreeError(
                    "\(ByteText.shortened(path)) cannot be written: look for room there")
            }
        }

        mutating func write(_ entry: TreeEntry) throws(TreeError) {
            do throws(Errno) {
                try begin(entry)
                if entry.type == FileMode.regular, unsafe carc_entry_begun(writer) == 0 {
                    if !isFurtherName { try content(entry) }
                    return
                }
                guard entry.type != FileMode.regular, unsafe carc_entry_begun(writer) == 0 else {
                    throw Errno.ioError
                }
            } catch { throw failed(entry) }
        }

        private func path(_ node: NodeID, name: UInt64) -> [UInt8] {
            var components: [Name] = []
            _ = worker.appendComponents(of: node, name: name, to: &components)
            return unsafe Array(
                components.reversed().map { name in
                    unsafe UnsafeRawBufferPointer(start: name.bytes, count: Int(name.count))
                }.joined(separator: [UInt8(ascii: "/")]))
        }

        private mutating func begin(_ entry: TreeEntry) throws(Errno) {
            let a = entry.attributes
            isFurtherName = false
            var header = unsafe carc_entry()
            unsafe header.mode = a.mode
            unsafe header.uid = a.userID
            unsafe header.gid = a.groupID
            unsafe header.flags = a.flags & InodeFlags.settable
            unsafe header.major = (a.device >> 8) & 0xFFF
            unsafe header.minor = (a.device & 0xFF) | ((a.device >> 12) & 0xFFF00)
            unsafe header.seconds = a.modificationTime.seconds
            unsafe header.nanoseconds = a.modificationTime.nanoseconds
            if entry.type == FileMode.regular { unsafe header.size = a.size }
            let path = entry.path.isEmpty ? Array(".".utf8) : entry.path
            var target: [UInt8] = []
            if entry.type == FileMode.symlink {
                target = unsafe [UInt8](try worker.readLink(entry.node))
            }
            var link: [UInt8] = []
            if entry.type != FileMode.directory && a.links > 1 {
                if let first = firstNames[entry.node.rawValue] {
                    link = self.path(entry.node, name: first)
                    isFurtherName = true
                } else {
                    firstNames[entry.node.rawValue] = (0..<worker.names(of: entry.node)).first {
                        self.path(entry.node, name: $0) == entry.path
                    }
                }
            }
            unsafe (path + [0]).withUnsafeBufferPointer { path in
                unsafe (target + [0]).withUnsafeBufferPointer { target in
                    unsafe (link + [0]).withUnsafeBufferPointer { link in
                        unsafe header.path = Self.text(path)
                        if target.count > 1 { unsafe header.symlink = Self.text(target) }
                        if link.count > 1 { unsafe header.hardlink = Self.text(link) }
                        unsafe _ = carc_entry_set(writer, &header)
                    }
                }
            }
            if !link.isEmpty { return }
            try attributes(entry)
            guard entry.type == FileMode.regular else { return }
            let extents = try worker.dataExtents(entry.node, size: a.size)
            // A file without holes is written as it always was.
            if extents.count == 1 && extents[0] == (0, a.size) || a.size == 0 { return }
            for extent in extents { try stretch(extent.offset, extent.bytes) }
            // Where the file ends, so that a hole at its end is one.
            if extents.last.map({ $0.offset + $0.bytes }) != a.size { try stretch(a.size, 0) }
        }

        private func stretch(_ offset: UInt64, _ count: UInt64) throws(Errno) {
            guard unsafe carc_entry_extent(writer, offset, count) == 0 else { throw .noMemory }
        }

        private static func text(
            _ bytes: UnsafeBufferPointer<UInt8>
        ) -> UnsafePointer<CChar>? {
            unsafe UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
        }

        private func attributes(_ entry: TreeEntry) throws(Errno) {
            for (name, value) in try worker.allXattrs(entry.node) {
                switch String(decoding: name, as: UTF8.self) {
                case "system.posix_acl_access":
                    unsafe _ = carc_entry_acl(writer, 0, value, value.count)
                case "system.posix_acl_default":
                    unsafe _ = carc_entry_acl(writer, 1, value, value.count)
                default:
                    unsafe (name + [0]).withUnsafeBufferPointer { name in
                        unsafe _ = carc_entry_xattr(
                            writer, Self.text(name), value, value.count)
                    }
                }
            }
        }

        private mutating func content(_ entry: TreeEntry) throws(Errno) {
            let size = entry.attributes.size
            for extent in try worker.dataExtents(entry.node, size: size) {
                var at = extent.offset
                while at < extent.offset + extent.bytes {
                    let count = UInt64(
                        try worker.read(
                            entry.node, offset: at, into: &buffer,
                            atMost: extent.offset + extent.bytes - at))
                    guard count > 0, unsafe carc_write(writer, buffer, count) == 0 else {
                        throw .ioError
                    }
                    at += count
                    bytes += count
                }
            }
        }
    }
}
