// ImageBuilder: an image from a source, in a file that is an image only when it is whole.

internal import CMemory
internal import Glibc
internal import InodeStore
internal import SystemPackage

/// What was built.
package struct BuiltImage: Sendable, Equatable {
    package var entries: UInt64
    package var contentBytes: UInt64
    package var warnings: [String]
}

package enum ImageBuilder {
    /// Fills an empty file with an image of a source.
    ///
    /// The file is what the store lies in, so that memory is bounded whatever the size: what was
    /// written goes to the file when the system wants its pages.
    ///
    /// - Parameters:
    ///   - descriptor: open for reading and writing.
    ///   - progress: called now and then with entries, bytes of content and bytes read of the source.
    package static func build(
        _ source: TreeSource, to descriptor: Int32,
        progress: (_ entries: UInt64, _ content: UInt64, _ read: UInt64) -> Void = { _, _, _ in }
    ) throws(TreeError) -> BuiltImage {
        let reader = try TreeReader(source)
        let store: InodeStore
        do throws(Errno) {
            store = try InodeStore(building: descriptor)
        } catch {
            throw .storing([], error)
        }
        defer { store.unmap() }
        let room = Room(store, descriptor)
        var builder = TreeBuilder(store) { room.reserve($0) }
        try builder.build(from: reader) {
            progress($0.entryCount, $0.contentBytes, reader.bytesRead)
        }
        do throws(Errno) {
            try store.seal(descriptor)
        } catch {
            throw .storing([], error)
        }
        return BuiltImage(
            entries: builder.entryCount, contentBytes: builder.contentBytes,
            warnings: builder.warnings)
    }

    /// Room on disk that is sure.
    private final class Room {
        private let store: InodeStore
        private let descriptor: Int32
        private var reserved: UInt64 = 0

        init(_ store: InodeStore, _ descriptor: Int32) {
            self.store = store
            self.descriptor = descriptor
        }

        func reserve(_ bytes: UInt64) -> Errno? {
            do throws(Errno) {
                try store.reserveRoom(for: bytes, in: descriptor, reserved: &reserved)
                return nil
            } catch { return error }
        }
    }
}
