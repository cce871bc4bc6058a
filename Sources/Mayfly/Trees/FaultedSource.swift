// FaultedSource: a source whose entries meet the fault rules that are in force, as if each came in a request
// of its own.

internal import FuseTransport
internal import Glibc
internal import MayflyHost
internal import MayflyImages
internal import MayflyServing
internal import SystemPackage

struct FaultedSource<Source: EntrySource>: EntrySource {
    let source: Source
    let hooks: RequestHooks
    /// Where the tree will be, from the mount's root on.
    let directory: [UInt8]

    func next() throws(TreeError) -> SourceEntry? {
        guard let entry = try source.next() else { return nil }
        guard hooks.isOn.hasFaults, !entry.path.isEmpty else { return entry }
        var operations: [Opcode] =
            switch entry.mode & S_IFMT {
            case _ where entry.hardLink != nil: [.link]
            case S_IFDIR: [.mkdir]
            case S_IFLNK: [.symlink]
            default: [.mknod]
            }
        if entry.mode & S_IFMT == S_IFREG, entry.size > 0 { operations.append(.write) }
        let path = directory + [UInt8(ascii: "/")] + entry.path
        for operation in operations {
            let effect = hooks.faultEffect(of: operation, on: path)
            let isFull = operation == .write && effect.fullAt.map { entry.size > $0 } == true
            let error = isFull ? ENOSPC : effect.errno
            if error != 0 {
                throw TreeError(
                    "\(ByteText.shortened(entry.path)) cannot be put in (\(Errno(rawValue: error))): "
                        + "a fault rule")
            }
        }
        return entry
    }

    func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void
    ) throws(TreeError) { try unsafe source.forEachPiece(body) }
    func xattrs() -> [(name: [UInt8], value: [UInt8])] { source.xattrs() }
    func takeUnknownNames() -> Bool { source.takeUnknownNames() }
}

extension RequestHooks {
    /// What the rules make of a change that comes in no request; its delay is over.
    func faultEffect(of operation: Opcode, on path: [UInt8]) -> FaultEffect {
        guard isOn.hasFaults else { return FaultEffect() }
        let effect = faults.effect(of: operation, on: path)
        if effect.delayNanoseconds > 0 {
            usleep(UInt32(clamping: effect.delayNanoseconds / 1000))
        }
        return effect
    }
}
