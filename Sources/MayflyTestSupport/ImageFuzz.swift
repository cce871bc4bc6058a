// ImageFuzz: images that were changed, opened and looked into. Whatever is in them, they are refused
// or read, and nothing crashes or hangs.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyImages
internal import SystemPackage

/// Mutations of one image, by seed.
package final class ImageFuzz {
    private let descriptor: Int32
    private let bytes: UInt64
    /// Pages that hold anything: where a change is felt.
    private let pages: [UInt64]
    /// What is in them, to put back what was cut off.
    private let contents: [[UInt8]]
    private var random: SeededGenerator

    /// How many mutations came how far.
    package private(set) var refused = 0
    package private(set) var unsound = 0
    package private(set) var sound = 0
    /// Images that were mounted, in a way: opened as a mount opens them, and answered from.
    package private(set) var served = 0
    /// Requests that got an answer, and those among the images that were changed under the store.
    package private(set) var requests = 0
    package private(set) var changed = 0

    /// Makes an image of a tree with some of everything.
    package init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        // One worker has its units in few chunks, which are soon looked through; several have lists
        // of their own.
        let history = try StoreHistory(
            seed: seed, pageLimit: 4096, inodeLimit: 500, workers: seed.isMultiple(of: 4) ? 3 : 1)
        try history.fill(operations: 600)
        let file = unsafe csys_memory_file("fuzzed-image")
        guard file >= 0 else { throw Errno(rawValue: errno) }
        descriptor = file
        try history.store.writeImage(to: file)
        bytes = history.store.arena.usedEnd
        history.store.unmap()
        (pages, contents) = Self.used(file, bytes)
    }

    deinit { close(descriptor) }

    private static func used(_ file: Int32, _ bytes: UInt64) -> ([UInt64], [[UInt8]]) {
        let zeros = [UInt8](repeating: 0, count: 4096)
        var page = zeros
        var pages: [UInt64] = []
        var contents: [[UInt8]] = []
        for offset in stride(from: 0, to: bytes, by: 4096)
        where unsafe csys_read_all(file, &page, 4096, offset) == 0 && page != zeros {
            pages.append(offset)
            contents.append(page)
        }
        return (pages, contents)
    }

    /// Changes the image, looks into it, and puts it back.
    package func step() {
        if random.oneIn(40) { return lookAtPart() }
        var old: [(offset: UInt64, value: [UInt8])] = []
        for _ in 0..<(1 + random.below(4)) { mutate(&old) }
        if !random.oneIn(10) { sealHeader(&old) }
        look()
        serve(&old)
        for change in old.reversed() {
            unsafe _ = csys_write_all(descriptor, change.value, change.value.count, change.offset)
        }
    }

    private func lookAtPart() {
        let length = UInt64(random.below(Int(bytes)))
        ftruncate(descriptor, off_t(length))
        look()
        ftruncate(descriptor, off_t(bytes))
        for (page, content) in zip(pages, contents) where page + 4096 > length {
            unsafe _ = csys_write_all(descriptor, content, content.count, page)
        }
    }

    private func read(_ offset: UInt64, _ count: Int) -> [UInt8] {
        var value = [UInt8](repeating: 0, count: count)
        unsafe _ = csys_read_all(descriptor, &value, count, offset)
        return value
    }

    private func put(
        _ offset: UInt64, _ value: [UInt8], _ old: inout [(offset: UInt64, value: [UInt8])]
    ) {
        old.append((offset, read(offset, value.count)))
        unsafe _ = csys_write_all(descriptor, value, value.count, offset)
    }

    private func mutate(_ old: inout [(offset: UInt64, value: [UInt8])]) {
        // The first page now and then: mostly it is refused at once.
        let page = random.oneIn(6) ? pages[0] : random.pick(pages)
        let word = page + UInt64(random.below(512)) * 8
        let now = read(word, 8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.1) << ($1.0 * 8) }
        let value: UInt64
        switch random.below(8) {
        case 0: value = now ^ 1 << UInt64(random.below(64))
        case 1: value = now &+ UInt64(random.below(17)) &- 8
        case 2: value = random.next()
        case 3: value = random.pick([0, 1, .max, 1 << 63, 1 << 47, 1 << 40, 0xFFFF_FFFF])
        case 4: value = random.pick(pages) + UInt64(random.below(64)) * 64
        case 5: value = now << 8 | now >> 56
        case 6:
            // A whole page of another place.
            return put(page, read(random.pick(pages), 4096), &old)
        default: value = bytes &- UInt64(random.below(5)) * 8
        }
        put(word, (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }, &old)
    }

    /// Lets the header's checksum be right, so that what is behind it is looked at.
    private func sealHeader(_ old: inout [(offset: UInt64, value: [UInt8])]) {
        var page = read(0, 4096)
        let place = Int(Superblock.headerChecksum)
        for byte in 0..<8 { page[place + byte] = 0 }
        var words = [UInt64](repeating: 0, count: 512)
        for index in 0..<512 {
            words[index] = (0..<8).reduce(0) { $0 | UInt64(page[index * 8 + $1]) << ($1 * 8) }
        }
        let sum = unsafe cmem_page_checksum(words, 1)
        put(
            Superblock.headerChecksum,
            (0..<8).map { UInt8(truncatingIfNeeded: sum >> ($0 * 8)) }, &old)
    }

    private func look() {
        let store: InodeStore
        do throws(ImageError) {
            store = try InodeStore(image: descriptor, pageLimit: 1, inodeLimit: 1, workerCount: 1)
        } catch {
            refused += 1
            return
        }
        defer { store.unmap() }
        guard store.worker(0).check().isSound else {
            unsound += 1
            return
        }
        // What is called sound must stand being used.
        sound += 1
        _ = store.arena.bodyChecksum()
        let null = unsafe open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(null) }
        _ = try? TreeExporter.writeTar(store, to: null)
    }
}

// MARK: serving

extension ImageFuzz {
    /// Opens the image as a mount does and answers requests from it, while it is changed now and then.
    ///
    /// Half of the images count as small ones, all of which is copied; of the others content and
    /// whatever lies among it stays the file's.
    private func serve(_ old: inout [(offset: UInt64, value: [UInt8])]) {
        guard let header = try? ImageHeader(reading: descriptor) else { return }
        let duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard duplicate >= 0, let digest = header.digest,
            let mapping = try? BaseFile.mapping(
                of: ImagePages(plain: duplicate, header, digest: digest), header, isOnlyRead: false,
                smallBytes: random.oneIn(2) ? .max : 0)
        else {
            close(duplicate)
            return
        }
        let base = SnapshotBase(image: mapping, name: "fuzzed")
        // Two workers need two shards, which is more than some headers say.
        guard
            let store = try? InodeStore(
                image: base, header: header, pageLimit: 8192, inodeLimit: 1000, workerCount: 2)
        else { return }
        guard store.worker(0).checkForServing().isSound else { return store.unmap() }
        served += 1
        var isCut = false
        switch random.below(4) {
        case 0:
            // What was found good is in the file no more.
            for page in pages where random.oneIn(3) {
                put(page, (0..<512).flatMap { _ in bytes(of: random.next()) }, &old)
            }
            changed += 1
        case 1:
            isCut = true
            changed += 1
            ftruncate(descriptor, off_t(UInt64(random.below(Int(self.bytes)))))
        default: break
        }
        var fuzz = RequestFuzz(
            RequestFuzz.input(seed: random.next()), serving: store, nodes: nodes(of: store))
        _ = fuzz.run()
        requests += fuzz.count
        if isCut { restoreCut(&old) }
        withExtendedLifetime(base) {}
    }

    private func bytes(of word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
    }

    /// Puts back what was cut off, but for the changes that the step undoes by itself.
    private func restoreCut(_ old: inout [(offset: UInt64, value: [UInt8])]) {
        ftruncate(descriptor, off_t(bytes))
        for (page, content) in zip(pages, contents) {
            unsafe _ = csys_write_all(descriptor, content, content.count, page)
        }
        old.removeAll()
    }

    /// Up to a hundred inodes of a tree.
    private func nodes(of store: InodeStore) -> [UInt64] {
        var found: [UInt64] = [1]
        var next = 0
        while next < found.count, found.count < 100 {
            let node = NodeID(rawValue: found[next])
            next += 1
            let worker = store.worker(0)
            let entries = try? worker.request { () throws(Errno) in
                try worker.list(node, limit: 100)
            }
            for entry in entries ?? [] where !found.contains(entry.node) {
                found.append(entry.node)
            }
        }
        return found
    }
}
