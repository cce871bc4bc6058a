// LazyPull: an image is brought into the store while it is mounted already (Docs/Lazy.md). The process that does
// this tells the server by a table which runs are here; each run is compared with its digest before it is said to be.
// Runs that somebody waits for come first. When all runs of a file are here it is proved and named, as `ImagePull`
// does.

internal import CMayflySystem
internal import Glibc
package import Mayfly
internal import MayflyArena
package import MayflyHost
internal import Synchronization
internal import SystemPackage

package struct LazyPull: Sendable {
    /// A file that the store lacks.
    private struct Lacking: Sendable {
        let number: Int
        let file: FileRuns
        let blobs: [BlobDescriptor]
        let folder: PathBytes
        /// Where it is written, without a name.
        let descriptor: Int32
    }

    /// What the threads that fetch share.
    private final class Work: Sendable {
        let source: any ImageSource
        let files: [Lacking]
        let arrival: Arrival
        /// The run of each number: place in `files` and in the file.
        let places: [(file: Int, run: Int)]
        let progress: TransferProgress
        let isOver = Atomic<Bool>(false)
        /// Runs that have failed one after the other.
        let failures = Atomic<Int>(0)

        init(
            _ source: any ImageSource, _ files: [Lacking], _ arrival: Arrival,
            _ progress: TransferProgress
        ) {
            self.source = source
            self.files = files
            self.arrival = arrival
            self.progress = progress
            places = files.enumerated().flatMap { index, one in
                one.file.runs.indices.map { (index, $0) }
            }
        }
    }

    /// What a mount begins with.
    package enum Beginning {
        /// There is no image of that name.
        case nothing
        /// All is in the store, under this path.
        case path(PathBytes)
        /// Some of it is to come.
        case coming(table: Int32, files: [Int32])
    }

    private let source: any ImageSource
    private let options: TransferOptions
    private let progress: TransferProgress
    private let name: PathBytes
    /// Keeps the descriptors open of what the store has.
    private let held: [CarriedImage]
    private let files: [Lacking]
    /// Keeps the folders of parts locked.
    private let locks: [ImageStore.PartsLock]
    private let arrival: Arrival

    /// Learns what the image is, and makes files for what the store lacks.
    ///
    /// - Parameters:
    ///   - name: in the store, when all is here.
    ///   - patienceSeconds: after which a read that waits for what does not come fails.
    ///   - waiting: called where another process receives the image.
    /// - Returns: nil in place of a pull where nothing is to come.
    /// - Throws: as `ImagePull.pull`.
    package static func begin(
        _ reference: ImageReference, as name: PathBytes, _ options: TransferOptions,
        patienceSeconds: UInt64, waiting: () -> Void
    ) throws(MountError) -> (pull: LazyPull?, beginning: Beginning) {
        try ImageStore.checkName(name)
        try ImageStore.checkWritable()
        let progress = TransferProgress()
        let source = try ImagePull.source(reference, options)
        guard let manifest = try ImagePull.manifest(source, progress)?.manifest else {
            return (nil, .nothing)
        }
        let config = try ImagePull.config(manifest, source, progress)
        var first = 0
        var held: [CarriedImage] = []
        var files: [Lacking] = []
        var locks: [ImageStore.PartsLock] = []
        for (number, file) in config.files.enumerated() {
            let blobs = Array(manifest.runs[first..<first + file.runs.count])
            first += file.runs.count
            func isHere() throws(MountError) -> Bool {
                // What lies on a file that is to come cannot be opened yet.
                guard files.isEmpty, let here = try ImageStore.held(file.digest) else {
                    return false
                }
                try ImagePull.checkSame(here, file, blobs, source.name)
                held.append(here)
                return true
            }
            if try isHere() { continue }
            let lock = try ImageStore.PartsLock(of: file.digest, waiting: waiting)
            if try isHere() {
                lock.parts.remove()
                continue
            }
            try ImagePull.checkRoom(file, blobs, in: lock.parts.folder)
            files.append(
                Lacking(
                    number: number, file: file, blobs: blobs, folder: lock.parts.folder,
                    descriptor: try ImageStore.emptyFile(bytes: file.bytes)))
            locks.append(lock)
        }
        guard !files.isEmpty else {
            guard let image = held.last else { return (nil, .nothing) }
            _ = try ImageStore.name(name, image)
            return (nil, .path(try ImageStore.path(of: image)))
        }
        let parts = config.files.enumerated().map { number, file in
            let isComing = files.contains { $0.number == number }
            return Arrival.File(
                isHere: !isComing,
                runs: isComing ? file.runs.map { $0.offset..<$0.offset + $0.bytes } : [])
        }
        let made: (table: Arrival, descriptor: Int32)
        do throws(Errno) {
            made = try Arrival.made(parts, patienceNanoseconds: patienceSeconds * 1_000_000_000)
        } catch {
            throw MountError(
                .system, code: .noMemory,
                "there is no memory for the table of an image (\(error)): free some")
        }
        var opened: [Int32] = []
        for (number, _) in config.files.enumerated() {
            if let lacking = files.first(where: { $0.number == number }) {
                opened.append(lacking.descriptor)
            } else if let file = held.last?.files, file.indices.contains(number) {
                opened.append(file[number].descriptor)
            }
        }
        let pull = LazyPull(
            source: source, options: options, progress: progress, name: name, held: held,
            files: files, locks: locks, arrival: made.table)
        return (pull, .coming(table: made.descriptor, files: opened))
    }

    /// Brings everything. Returns when all is here and has its name, or when nobody waits any more.
    ///
    /// - Parameter server: a socket; the process at its other end has the mount.
    package func run(server: Int32) {
        let work = Work(source, files, arrival, progress)
        var threads: [HostThread] = []
        for index in 0..<max(1, options.jobs) {
            if let thread = try? HostThread.start(
                name: "mayfly-fetch-\(index)", { Self.fetch(work) })
            {
                threads.append(thread)
            }
        }
        if threads.isEmpty {
            arrival.noteFailure("no thread can be started: raise `ulimit -u`")
        }
        var carried: UInt64 = 0
        func look() -> Bool {
            let now = progress.carriedBytes
            if now != carried { arrival.noteProgress() }
            carried = now
            progress.hurry(arrival.isWanted)
            return !Arrival.isGone(server)
        }
        while files.contains(where: { arrival.lacking(of: $0.number) > 0 }) {
            guard look() else { return }
            usleep(20_000)
        }
        work.isOver.store(true, ordering: .relaxed)
        for thread in threads { thread.join() }
        name(while: look)
    }

    /// A thread of those that bring runs.
    private static func fetch(_ work: Work) {
        while !work.isOver.load(ordering: .relaxed) {
            // While somebody waits the link is for what he waits for.
            guard let claimed = work.arrival.claim(wantedOnly: work.arrival.isWanted) else {
                usleep(5000)
                continue
            }
            let place = work.places[claimed.run]
            let file = work.files[place.file]
            do throws(MountError) {
                let blob = file.blobs[place.run]
                let found = try work.source.open(blob, parts: file.folder, work.progress)
                try RunPacking.unpack(
                    found, file.file.runs[place.run], to: file.descriptor,
                    what: "the blob \(blob.digest.short) of \(work.source.name)")
                work.arrival.arrived(claimed.run)
                if work.failures.exchange(0, ordering: .relaxed) > 0 {
                    work.arrival.noteFailure(nil)
                }
            } catch {
                work.arrival.giveBack(claimed.run)
                work.arrival.noteFailure(error.message)
                let failures = work.failures.add(1, ordering: .relaxed).newValue
                rest(work, milliseconds: min(5000, 200 * failures))
            }
        }
    }

    /// Waits before the next attempt, not for as long where somebody waits for what lacks.
    private static func rest(_ work: Work, milliseconds: Int) {
        var left = milliseconds
        let least = milliseconds - min(milliseconds, 300)
        while left > 0, !work.isOver.load(ordering: .relaxed) {
            if left < least, work.arrival.isWanted { return }
            usleep(20_000)
            left -= 20
        }
    }

    /// Has files proved, and gives them and the image their names. What the disk does not take is tried again.
    private func name(while look: () -> Bool) {
        while true {
            do throws(MountError) {
                var image: CarriedImage?
                for (index, one) in files.enumerated() {
                    image = try ImageStore.receive(
                        one.file.digest, from: source.name, writtenTo: one.descriptor)
                    arrival.noteNamed(one.descriptor, file: one.number)
                    if let image, let own = image.files.last {
                        FileDivision.note(
                            zip(one.file.runs, one.blobs).map { DividedRun(run: $0, blob: $1) },
                            of: own)
                    }
                    locks[index].parts.remove()
                }
                if let image { _ = try ImageStore.name(name, image) }
                return arrival.noteComplete()
            } catch {
                arrival.noteFailure(error.message)
                // What is here is here, and the mount answers with it.
                for _ in 0..<250 {
                    guard look() else { return }
                    usleep(20_000)
                }
            }
        }
    }
}
