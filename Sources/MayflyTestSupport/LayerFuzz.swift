// LayerFuzz: layers that were changed, opened over their base and looked into. Whatever is in them, they
// are refused or read, and nothing crashes or hangs.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyImages
internal import SystemPackage

/// Mutations of one layer, by seed.
package final class LayerFuzz {
    private let base: LayerChain
    private let bytes: [UInt8]
    private let runs: [LayerRun]
    private var random: SeededGenerator

    /// How many mutations came how far.
    package private(set) var refused = 0
    package private(set) var unsound = 0
    package private(set) var sound = 0

    /// Makes a layer of one tree on another, so that it holds some of everything.
    package init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        func history(_ seed: UInt64) throws -> InodeStore {
            let history = try StoreHistory(seed: seed, pageLimit: 4096, inodeLimit: 500, workers: 1)
            try history.fill(operations: 500)
            return history.store
        }
        base = try LayerChain(plain: history(seed))
        let file = unsafe csys_memory_file("fuzzed-layer")
        defer { close(file) }
        let other = try history(seed &+ 1)
        defer { other.unmap() }
        _ = try other.writeLayer(to: file, over: base.pages, named: Array("base".utf8), base: nil)
        let layer = try LayerFile(reading: file)
        runs = layer.runs
        var bytes = [UInt8](repeating: 0, count: Int(layer.fileBytes))
        let code = unsafe csys_read_all(file, &bytes, bytes.count, 0)
        if code != 0 { throw Errno(rawValue: code) }
        self.bytes = bytes
    }

    /// Changes the layer and looks into it.
    package func step() {
        var changed = bytes
        for _ in 0..<(1 + random.below(3)) { mutate(&changed) }
        if !random.oneIn(10) { seal(&changed) }
        if random.oneIn(30) { changed.removeLast(random.below(changed.count)) }
        if random.oneIn(30) { changed += [UInt8](repeating: 0, count: 64) }
        look(changed)
    }

    private func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        guard offset + 8 <= bytes.count else { return 0 }
        return (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
    }

    private func put(_ bytes: inout [UInt8], _ offset: Int, _ value: UInt64) {
        guard offset + 8 <= bytes.count else { return }
        for byte in 0..<8 { bytes[offset + byte] = UInt8(truncatingIfNeeded: value >> (byte * 8)) }
    }

    private func mutate(_ bytes: inout [UInt8]) {
        let table = bytes.count - runs.count * 64
        let offset: Int
        switch random.below(8) {
        case 0: offset = random.below(40) * 8  // the first page's words
        case 1, 2: offset = table + random.below(runs.count) * 64 + random.below(2) * 8
        default: offset = 4096 + random.below((table - 4096) / 8) * 8
        }
        let now = word(bytes, offset)
        let value: UInt64
        switch random.below(7) {
        case 0: value = now ^ 1 << UInt64(random.below(64))
        case 1: value = now &+ UInt64(random.below(17)) &- 8
        case 2: value = random.next()
        case 3: value = random.pick([0, 1, .max, 1 << 63, 1 << 47, 1 << 40, 4096, 2 << 20])
        case 4: value = random.pick(runs).pages.lowerBound
        case 5: value = now << 8 | now >> 56
        default: value = now &+ 4096
        }
        put(&bytes, offset, value)
    }

    /// Lets digests and checksums be right, so that what is behind them is looked at.
    private func seal(_ bytes: inout [UInt8]) {
        let table = bytes.count - runs.count * 64
        // The image's own first page, which is the layer's first.
        put(&bytes, 4096 + Int(Superblock.headerChecksum), 0)
        put(&bytes, 4096 + Int(Superblock.headerChecksum), checksum(bytes, 4096))
        for (index, run) in runs.enumerated() {
            let start = Int(run.place)
            put(&bytes, digest(bytes, start..<start + run.pages.count), table + index * 64 + 32)
        }
        put(
            &bytes, digest(bytes, table..<table + runs.count * 64), Int(LayerWord.tableDigest))
        put(&bytes, Int(LayerWord.checksum), 0)
        put(&bytes, Int(LayerWord.checksum), checksum(bytes, 0))
    }

    private func put(_ bytes: inout [UInt8], _ digest: [UInt8], _ offset: Int) {
        bytes.replaceSubrange(offset..<offset + 32, with: digest)
    }

    private func digest(_ bytes: [UInt8], _ range: Range<Int>) -> [UInt8] {
        var sum = cmem_sha256()
        var digest = [UInt8](repeating: 0, count: 32)
        unsafe cmem_sha256_begin(&sum)
        unsafe bytes.withUnsafeBytes {
            unsafe cmem_sha256_add(&sum, $0.baseAddress! + range.lowerBound, range.count)
        }
        unsafe cmem_sha256_end(&sum, &digest)
        return digest
    }

    private func checksum(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        let words = (0..<512).map { word(bytes, offset + $0 * 8) }
        return unsafe cmem_page_checksum(words, 1)
    }

    private func look(_ bytes: [UInt8]) {
        let file = unsafe csys_memory_file("fuzzed-layer")
        unsafe _ = csys_write_all(file, bytes, bytes.count, 0)
        let chain: LayerChain
        do {
            let layer = try LayerFile(reading: file)
            chain = LayerChain(
                ImagePages(
                    try base.pages.duplicated(),
                    with: ImagePages.Layer(descriptor: file, file: layer)))
        } catch {
            close(file)
            refused += 1
            return
        }
        let small: UInt64 = random.oneIn(2) ? .max : 0
        do {
            let (store, files) = try chain.opened(
                isOnlyRead: random.oneIn(2), smallBytes: small)
            defer {
                store.unmap()
                withExtendedLifetime(files) {}
            }
            sound += 1
            let null = unsafe open("/dev/null", O_WRONLY | O_CLOEXEC)
            defer { close(null) }
            guard store.worker(0).check().isSound else { return }
            _ = try? TreeExporter.writeTar(store, to: null)
        } catch is ImageError {
            refused += 1
        } catch {
            unsound += 1
        }
    }
}
