// NamePlace: a name that a request is about.

internal import CFuseKernel
internal import FuseTransport
internal import InodeStore

/// A name in a directory.
package struct NamePlace: Hashable, Sendable {
    /// Nodeid of the directory.
    package var parent: UInt64
    package var name: [UInt8]

    package init(parent: UInt64, name: [UInt8]) {
        self.parent = parent
        self.name = name
    }

    /// The names that a request is about; of RENAME the old one and the new one.
    static func all(of operation: Opcode, _ request: FuseRequest) -> [NamePlace] {
        var places: [NamePlace] = []
        forEach(of: operation, request) { parent, name in
            unsafe places.append(
                NamePlace(
                    parent: parent,
                    name: Array(UnsafeRawBufferPointer(start: name.bytes, count: Int(name.count)))))
        }
        return places
    }

    /// What a request of these says for itself alone: a name in a directory.
    private static let naming: Set<Opcode> = [
        .lookup, .mknod, .mkdir, .symlink, .link, .create, .unlink, .rmdir, .rename, .rename2,
    ]

    /// The same without a copy: the names are valid as long as the request.
    static func forEach(
        of operation: Opcode, _ request: FuseRequest, _ body: (UInt64, Name) -> Void
    ) {
        guard naming.contains(operation), let first = unsafe request.name() else {
            return
        }
        guard operation == .rename || operation == .rename2 else {
            return unsafe body(request.nodeID, Name(first))
        }
        guard let second = unsafe request.name(at: first.count + 1) else { return }
        let directory = request.argument(as: cfk_rename_in.self).newdir
        unsafe body(request.nodeID, Name(first))
        unsafe body(directory, Name(second))
    }
}
