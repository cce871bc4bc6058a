// Arrival: what has come so far of an image that is mounted before all of it is here (Docs/Lazy.md).

internal import CMayflyMemory
internal import Glibc
package import SystemPackage

extension Errno {
    /// Of pages of an image that are not here yet. The request is carried out again when they are.
    package static var missing: Errno {
        @_noLocks get { Errno(rawValue: Int32(truncatingIfNeeded: CMEM_MISSING)) }
    }
}

/// The table that the process that brings an image shares with the server. Ended by its owner.
@safe package struct Arrival: @unchecked Sendable, Equatable {
    // Sendable: the words of the table are atomic, or written before it is shared.
    let pointer: OpaquePointer

    package static func == (one: Arrival, other: Arrival) -> Bool {
        unsafe one.pointer == other.pointer
    }

    /// A file of the image, and what of it is to come.
    package struct File: Sendable {
        /// Whether all of it is here from the beginning.
        package var isHere: Bool
        /// Ascending: what comes in one piece each.
        package var runs: [PageRun]

        package init(isHere: Bool, runs: [PageRun] = []) {
            self.isHere = isHere
            self.runs = runs
        }
    }

    /// What people are told of it.
    package struct Report: Sendable, Equatable {
        package enum State: Sendable { case coming, away, all, ended }
        package var state: State
        package var hereBytes: UInt64
        package var totalBytes: UInt64
        /// Since something has come.
        package var silentNanoseconds: UInt64
        /// Why the last request has failed; empty where none has.
        package var reason: String
    }

    /// Makes a table.
    ///
    /// - Returns: the table, and the descriptor by which another process maps it.
    /// - Throws: `ENOMEM`, `EMFILE`; `EINVAL` for too many files.
    package static func made(
        _ files: [File], patienceNanoseconds: UInt64
    ) throws(Errno) -> (table: Arrival, descriptor: Int32) {
        let descriptor = cmem_presence_create(
            UInt32(files.count), UInt32(files.reduce(0) { $0 + $1.runs.count }))
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        guard let table = Arrival(mapping: descriptor) else {
            close(descriptor)
            throw .noMemory
        }
        unsafe cmem_presence_set_patience(table.pointer, patienceNanoseconds)
        for file in files {
            unsafe cmem_presence_add_file(table.pointer, file.isHere)
            for run in file.runs {
                unsafe cmem_presence_add_run(table.pointer, run.lowerBound, UInt64(run.count))
            }
        }
        return (table, descriptor)
    }

    @_noLocks init(_ pointer: OpaquePointer) { unsafe self.pointer = pointer }

    /// Maps a table that another process has made. The descriptor may be closed afterwards.
    package init?(mapping descriptor: Int32) {
        guard let pointer = unsafe cmem_presence_map(descriptor) else { return nil }
        unsafe self.pointer = pointer
    }

    package func end() { unsafe cmem_presence_unmap(pointer) }

    /// Whether all is here. A load.
    package var isComplete: Bool {
        @_noLocks get { unsafe cmem_presence_is_complete(pointer) }
    }

    /// Whether a request that waits since then has waited enough.
    @_noLocks package func isOverdue(since nanoseconds: UInt64) -> Bool {
        unsafe cmem_presence_is_overdue(pointer, nanoseconds)
    }

    /// Waits for a part of a file.
    ///
    /// - Throws: `EIO` where it does not come.
    package func demand(_ run: PageRun, of file: Int) throws(Errno) {
        let code = unsafe cmem_presence_await(
            pointer, UInt32(file), run.lowerBound, UInt64(run.count))
        if code != 0 { throw Errno(rawValue: code) }
    }

    /// Has a part of a file come soon.
    package func want(_ run: PageRun, of file: Int) {
        unsafe _ = cmem_presence_find(pointer, UInt32(file), run.lowerBound, UInt64(run.count))
    }

    /// Takes over the socket at whose other end the process is that brings the image.
    package func watch(_ socket: Int32) { unsafe cmem_presence_set_peer(pointer, socket) }

    package var report: Report {
        var raw = cmem_presence_report()
        unsafe cmem_presence_report(pointer, &raw)
        let reason = unsafe withUnsafeBytes(of: raw.reason) {
            unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        let state: Report.State =
            switch raw.state {
            case CMEM_PRESENCE_ALL: .all
            case CMEM_PRESENCE_AWAY: .away
            case CMEM_PRESENCE_ENDED: .ended
            default: .coming
            }
        return Report(
            state: state, hereBytes: raw.here_bytes, totalBytes: raw.total_bytes,
            silentNanoseconds: raw.silent, reason: state == .away ? reason : "")
    }

    // MARK: for the process that brings the image

    /// The next run to bring, which nobody else gets: its number among all, and its file. Nil where there is none.
    package func claim(wantedOnly: Bool) -> (run: Int, file: Int)? {
        let run = unsafe cmem_presence_claim(pointer, wantedOnly)
        return run < 0 ? nil : (Int(run), Int(unsafe cmem_presence_file(pointer, run)))
    }

    /// Says that a run is in its file.
    package func arrived(_ run: Int) { unsafe cmem_presence_arrived(pointer, Int64(run)) }
    /// Leaves a run that was claimed to whoever claims it next.
    package func giveBack(_ run: Int) { unsafe cmem_presence_give_back(pointer, Int64(run)) }
    /// Runs of a file that are not here.
    package func lacking(of file: Int) -> Int {
        Int(unsafe cmem_presence_lacking(pointer, UInt32(file)))
    }
    /// Whether somebody waits at this moment.
    package var isWanted: Bool { unsafe cmem_presence_is_wanted(pointer) }
    package func noteProgress() { unsafe cmem_presence_note_progress(pointer) }
    /// - Parameter reason: nil where requests do not fail any more.
    package func noteFailure(_ reason: String?) {
        unsafe cmem_presence_note_failure(pointer, reason)
    }
    package func noteNamed(_ descriptor: Int32, file: Int) {
        unsafe cmem_presence_note_named(pointer, UInt32(file), descriptor)
    }
    package func noteComplete() { unsafe cmem_presence_note_complete(pointer) }

    /// Whether the process at the other end of a socket is gone.
    package static func isGone(_ socket: Int32) -> Bool { cmem_presence_is_gone(socket) }
}
