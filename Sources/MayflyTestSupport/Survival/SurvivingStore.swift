// SurvivingStore: a small store in a memory file, and what is left of it when a process dies that
// changes it.

internal import CMayflySystem
internal import CMayflyTestSupport
internal import Glibc
package import InodeStore
internal import MayflyArena
package import SystemPackage

package struct SurvivingStore {
    package let descriptor: Int32
    package let store: InodeStore
    /// Small, so that making it anew costs little.
    static var workers: Int { 2 }

    package init(pages: UInt64 = 2000, inodes: UInt64 = 1000) throws(Errno) {
        descriptor = try Self.memoryFile()
        store = try InodeStore(
            pageLimit: pages, inodeLimit: inodes, workerCount: Self.workers, shardCount: 4,
            owner: .root, backing: .surviving(descriptor: descriptor))
    }

    private init(descriptor: Int32, store: InodeStore) {
        self.descriptor = descriptor
        self.store = store
    }

    /// What a new process makes of the same file, when the one that used it is dead.
    package func recovered() throws(Errno) -> (SurvivingStore, RepairReport) {
        store.unmap()
        let (next, report) = try InodeStore.recover(from: descriptor, workerCount: Self.workers)
        return (SurvivingStore(descriptor: descriptor, store: next), report)
    }

    package func end() {
        store.unmap()
        close(descriptor)
    }

    private static func memoryFile() throws(Errno) -> Int32 {
        let descriptor = unsafe csys_memory_file("mayfly-test")
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        return descriptor
    }

    /// What a new process would make of the file as it is now, in a copy.
    ///
    /// - Parameters:
    ///   - losesNotes: a planted bug: what was noted of the changes under way is gone.
    ///   - body: gets the repaired store and what the repair says.
    package func afterDeath<Result>(
        losesNotes: Bool = false, _ body: (InodeStore, RepairReport) throws -> Result
    ) throws -> Result {
        let copy = try Self.memoryFile()
        defer { close(copy) }
        var status = stat()
        unsafe fstat(descriptor, &status)
        guard ftruncate(copy, status.st_size) == 0 else { throw Errno(rawValue: errno) }
        let code = csys_copy_range(descriptor, copy, 0, UInt64(status.st_size))
        guard code == 0 else { throw Errno(rawValue: code) }
        if losesNotes, let notes = store.arena.survivingMemory.last {
            // All but the page that says what the file is.
            let count = UInt64(notes.bytes) - 4096
            _ = csys_punch(copy, UInt64(status.st_size) - count, count)
        }
        let (store, report) = try InodeStore.recover(from: copy, workerCount: Self.workers)
        defer { store.unmap() }
        return try body(store, report)
    }

    /// Makes a change in another process, which stops after each store to the file.
    ///
    /// - Parameters:
    ///   - look: gets the offset in the region of what was stored; answers whether to go on, or to kill
    ///     the process.
    /// - Returns: stores.
    /// - Throws: what the change throws; `EPROTO` where the process died.
    package func step(
        _ change: () throws(Errno) -> Void, look: (UInt64) -> Bool
    ) throws(Errno) -> Int {
        let memory = store.arena.survivingMemory
        let areas = unsafe memory.map {
            unsafe cps_memory(
                start: UnsafeMutableRawPointer(bitPattern: $0.start), bytes: $0.bytes)
        }
        let base = UInt64(memory[0].start)
        let answer = withoutActuallyEscaping(change) { change in
            withoutActuallyEscaping(look) { look in
                let box = StepBox(change: change, look: { look($0 &- base) })
                return unsafe cps_step_stores(
                    areas, Int32(areas.count), makeChange, lookAtStore,
                    Unmanaged.passUnretained(box).toOpaque())
            }
        }
        guard answer >= 0 else { throw Errno(rawValue: Int32(-answer)) }
        return Int(answer)
    }

    /// Makes changes in another process until it is killed.
    ///
    /// - Returns: whether it was killed before it came to its end.
    package func kill(
        afterNanoseconds time: Int64, _ change: () throws(Errno) -> Void
    ) throws(Errno) -> Bool {
        let answer = withoutActuallyEscaping(change) { change in
            let box = StepBox(change: change, look: { _ in true })
            return unsafe cps_kill_after(
                time, makeChange, Unmanaged.passUnretained(box).toOpaque())
        }
        guard answer >= 0 else { throw Errno(rawValue: Int32(-answer)) }
        return answer == 1
    }
}

private final class StepBox {
    let change: () throws(Errno) -> Void
    let look: (UInt64) -> Bool

    init(change: @escaping () throws(Errno) -> Void, look: @escaping (UInt64) -> Bool) {
        self.change = change
        self.look = look
    }
}

private func box(_ context: UnsafeMutableRawPointer?) -> StepBox {
    unsafe Unmanaged<StepBox>.fromOpaque(context!).takeUnretainedValue()
}

private func makeChange(_ context: UnsafeMutableRawPointer?) -> Int32 {
    do throws(Errno) {
        try unsafe box(context).change()
        return 0
    } catch { return -error.rawValue }
}

private func lookAtStore(_ context: UnsafeMutableRawPointer?, _ address: UInt64) -> Int32 {
    unsafe box(context).look(address) ? 0 : 1
}
