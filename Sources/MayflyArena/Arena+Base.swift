// Arena and its base: freezing a region as a file that it is a private mapping of.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
package import SystemPackage

extension Arena {
    /// Makes what is in use now the content of a memory file, and the region a private mapping of
    /// it, so that changes from here on are private pages.
    ///
    /// Chunk by chunk: each gives its memory back when the file has it, so that no more is taken than
    /// there was.
    ///
    /// - Precondition: nobody else uses the arena; it has no base yet.
    /// - Returns: the descriptor of the file, which nobody can change.
    /// - Throws: `ENOMEM`, `EMFILE`, `EFBIG`, `ENOSPC`; nothing is changed then.
    /// - Complexity: O(bytes in use).
    package func makeBase() throws(Errno) -> Int32 {
        if Overdraft.isBeyond(Overdraft.change) { throw .noMemory }
        let descriptor = unsafe csys_memory_file("mayfly-base")
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        do throws(Errno) {
            try makeBase(in: descriptor)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// The same in an empty file.
    func makeBase(in descriptor: Int32) throws(Errno) {
        precondition(baseBytes == 0 && !isShared, "Arena.makeBase: there is one")
        let bytes = usedEnd
        // What is shown of the file already.
        var shown: UInt64 = 0
        do throws(Errno) {
            guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw Errno(rawValue: errno) }
            func show(to end: UInt64) throws(Errno) {
                if end == shown { return }
                try region.map(shown, end - shown, MAP_PRIVATE, descriptor)
                shown = end
            }
            // What was written is written to the file also where it is zero: a hole that is read in a
            // mapping takes memory when nobody expects it.
            try forEachWrittenRun { run throws(Errno) in
                try show(to: run.lowerBound & ~(Geometry.chunkBytes - 1))
                let code = unsafe csys_write_all(
                    descriptor, region.pointer(run.lowerBound), run.count, run.lowerBound)
                if code != 0 { throw Errno(rawValue: code) }
            }
            try show(to: bytes)
            // Whoever may open it through procfs changes nothing; a file on disk has no seals.
            _ = csys_seal(descriptor)
        } catch {
            takeBack(shown, descriptor)
            throw error
        }
        region.clearMarks(0..<bytes)
        setBase(bytes)
    }

    /// Makes the first bytes of the region ordinary memory again.
    private func takeBack(_ shown: UInt64, _ descriptor: Int32) {
        var buffer = [UInt8](repeating: 0, count: Int(Geometry.chunkBytes))
        for start in stride(from: 0, to: shown, by: Int(Geometry.chunkBytes)) {
            let code = unsafe csys_read_all(descriptor, &buffer, buffer.count, start)
            do throws(Errno) {
                if code != 0 { throw Errno(rawValue: code) }
                try region.map(start, Geometry.chunkBytes, MAP_PRIVATE | MAP_ANONYMOUS, -1)
            } catch {
                preconditionFailure("Arena.makeBase: a chunk cannot be taken back (\(error))")
            }
            _ = csys_punch(descriptor, start, Geometry.chunkBytes)
            for run in region.writtenRuns(in: start..<start + Geometry.chunkBytes) {
                unsafe buffer.withUnsafeBytes { bytes in
                    let from = unsafe bytes.baseAddress! + Int(run.lowerBound - start)
                    unsafe cmem_copy(
                        region.pointer(writing: run.lowerBound, UInt64(run.count)), from, run.count)
                }
            }
        }
    }
}
