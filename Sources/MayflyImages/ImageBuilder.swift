// ImageBuilder: an image from a source, in a file that is an image only when it is whole.

internal import CMayflyMemory
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import SystemPackage

/// What was built.
package struct BuiltImage: Sendable, Equatable {
    package var entries: UInt64
    package var contentBytes: UInt64
    package var warnings: [String]
}

/// What an image may hold: what is beyond is an error while it is built.
package struct ImageLimits: Sendable {
    /// Content in pages of 4 KiB.
    package var pages: UInt64 = 1 << 32
    package var inodes: UInt64 = 1 << 31

    package init() {}
}

package enum ImageBuilder {
    /// Fills an empty file with an image of a source.
    ///
    /// The file is what the store lies in, so that memory is bounded whatever the size: what was
    /// written goes to the file when the system wants its pages.
    ///
    /// - Parameters:
    ///   - descriptor: open for reading and writing.
    ///   - inMemory: whether the file takes memory, which is asked for before it grows.
    ///   - progress: called now and then with entries, bytes of content and bytes read of the source.
    package static func build(
        _ source: TreeSource, to descriptor: Int32, within limits: ImageLimits = ImageLimits(),
        inMemory: Bool = false,
        progress: (_ entries: UInt64, _ content: UInt64, _ read: UInt64) -> Void = { _, _, _ in }
    ) throws(TreeError) -> BuiltImage {
        let reader = try TreeFeed(source)
        return try build(
            reader, to: descriptor, within: limits, inMemory: inMemory,
            bytesRead: { reader.bytesRead }, progress: progress)
    }

    /// The same for a source that is opened, and used, by a thread of its own, which has ended when this returns.
    package static func build<Source: EntrySource & SendableMetatype>(
        opening open: @escaping @Sendable () throws(TreeError) -> Source, to descriptor: Int32,
        within limits: ImageLimits
    ) throws(TreeError) -> BuiltImage {
        let feed = try TreeFeed(opening: open, bytesRead: { _ in 0 })
        return try build(feed, to: descriptor, within: limits, inMemory: true)
    }

    /// - Parameter bytesRead: of the source, so far.
    private static func build(
        _ reader: TreeFeed, to descriptor: Int32, within limits: ImageLimits,
        inMemory: Bool, bytesRead: () -> UInt64 = { 0 },
        progress: (_ entries: UInt64, _ content: UInt64, _ read: UInt64) -> Void = { _, _, _ in }
    ) throws(TreeError) -> BuiltImage {
        let store: InodeStore
        do throws(Errno) {
            if inMemory, !Room.takeMemory(InodeStore.buildingBytes) { throw .noMemory }
            store = try InodeStore(
                building: descriptor, pageLimit: limits.pages, inodeLimit: limits.inodes,
                shardCount: Geometry.shardCount(workers: sysconf(Int32(_SC_NPROCESSORS_CONF)) + 2))
        } catch {
            throw .storing([], error, inMemory ? .memory : .disk)
        }
        defer { store.unmap() }
        let room = Room(store, descriptor, inMemory: inMemory)
        var builder = TreeBuilder(store, inMemory: inMemory) { room.reserve($0) }
        try builder.build(from: reader) {
            progress($0.entryCount, $0.contentBytes, bytesRead())
        }
        do throws(Errno) {
            try store.seal(descriptor)
        } catch {
            throw .storing([], error, inMemory ? .memory : .disk)
        }
        return BuiltImage(
            entries: builder.entryCount, contentBytes: builder.contentBytes,
            warnings: builder.warnings)
    }

    /// Room on disk, or in memory, that is sure.
    private final class Room {
        private let store: InodeStore
        private let descriptor: Int32
        private let inMemory: Bool
        private var reserved: UInt64

        init(_ store: InodeStore, _ descriptor: Int32, inMemory: Bool) {
            self.store = store
            self.descriptor = descriptor
            self.inMemory = inMemory
            reserved = InodeStore.buildingBytes
        }

        func reserve(_ bytes: UInt64) -> Errno? {
            do throws(Errno) {
                try store.reserveRoom(for: bytes, in: descriptor, reserved: &reserved) { more in
                    !inMemory || Self.takeMemory(more)
                }
                return nil
            } catch { return error }
        }

        static func takeMemory(_ bytes: UInt64) -> Bool { cmem_budget_take(Int64(bytes >> 12)) }
    }
}
