// Layers in a history: what lies in a chain of them is what the store was, however it came there.

internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyImages
internal import SystemPackage

/// The files of a chain of layers; closed with it.
final class LayerChain {
    let pages: ImagePages

    init(_ pages: ImagePages) { self.pages = pages }

    deinit { pages.close() }

    /// A plain image of a store, which is unmapped.
    convenience init(plain store: InodeStore) throws {
        let file = unsafe csys_memory_file("plain")
        defer { store.unmap() }
        try store.writeImage(to: file)
        let header = try ImageHeader(reading: file)
        guard let digest = header.digest else { throw Errno.ioError }
        self.init(ImagePages(plain: file, header, digest: digest))
    }

    /// A layer on this image of a store, which is unmapped.
    ///
    /// - Parameter base: what the store began as.
    func with(_ store: InodeStore, base: SnapshotBase) throws -> LayerChain {
        let file = unsafe csys_memory_file("layer")
        defer { store.unmap() }
        _ = try store.writeLayer(
            to: file, over: pages, named: Array("base".utf8), base: base.mapping)
        let layer = try LayerFile(reading: file)
        try layer.checkPages(of: file)
        guard layer.base == pages.digests[0] else { throw Errno.ioError }
        return LayerChain(
            ImagePages(
                try pages.duplicated(), with: ImagePages.Layer(descriptor: file, file: layer)))
    }

    /// The image as a mount opens it, and as `mayfly image` does.
    func opened(
        isOnlyRead: Bool, smallBytes: UInt64
    ) throws -> (store: InodeStore, base: SnapshotBase) {
        let header =
            try pages.layers.last.map {
                try ImageHeader(ofLayer: $0.file, $0.descriptor)
            } ?? ImageHeader(reading: pages.descriptor)
        let mapping = try BaseFile.mapping(
            of: try pages.duplicated(), header, isOnlyRead: isOnlyRead, smallBytes: smallBytes)
        let base = SnapshotBase(image: mapping, name: "chain")
        let store = try InodeStore(
            image: base, header: header, pageLimit: 1 << 16, inodeLimit: 1 << 16, workerCount: 1)
        let report = store.worker(0).checkForServing()
        guard report.isSound else {
            throw StoreHistory.Mismatch(
                description: "a layer: \(report.problems.joined(separator: "\n"))")
        }
        return (store, base)
    }
}

extension StoreHistory {
    /// Puts what the store is now on the chain, and compares what the chain makes with the model.
    func lookAtLayer() throws {
        log.append("layer \(chain?.pages.layers.count ?? 0)")
        let snapshot = try store.snapshot(base: base)
        base = snapshot.base
        let fork = try opened(snapshot)
        if let below = chain, below.pages.layers.count < 4 {
            chain = try below.with(fork, base: snapshot.base)
        } else {
            chain = try LayerChain(plain: fork)
        }
        guard let chain else { return }
        for (isOnlyRead, small) in [(true, UInt64.max), (true, 0), (false, .max), (false, 0)] {
            let (image, base) = try chain.opened(isOnlyRead: isOnlyRead, smallBytes: small)
            defer { image.unmap() }
            try compare(image, with: model)
            if !isOnlyRead { try goOn(from: image, base, chain) }
            withExtendedLifetime(base) {}
        }
    }

    /// Changes what began as the chain, and has a layer made of what was changed: on the chain, and on
    /// the plain image below it.
    private func goOn(
        from image: InodeStore, _ base: SnapshotBase, _ chain: LayerChain
    ) throws {
        let worker = image.worker(0)
        for number in 0..<40 {
            let size = random.below(20_000)
            _ = try? worker.request { () throws(Errno) in
                let file = try worker.makeFile(.root, "new \(number)")
                _ = try worker.write(file, offset: 0, [UInt8](repeating: 7, count: size))
            }
            for (name, _) in model.root.entries where random.oneIn(5) {
                _ = try? worker.request { () throws(Errno) in
                    try Name.with(name) { name throws(Errno) in try worker.unlink(.root, name) }
                }
            }
        }
        let moment = try image.snapshot(base: base)
        let plain = ImagePages(
            plain: fcntl(chain.pages.descriptor, F_DUPFD_CLOEXEC, 0),
            try ImageHeader(reading: chain.pages.descriptor), digest: chain.pages.digest)
        for below in [chain, LayerChain(plain)] {
            let top = try below.with(try opened(moment), base: base)
            let (again, files) = try top.opened(isOnlyRead: random.oneIn(2), smallBytes: 0)
            let truth = try opened(moment)
            defer {
                again.unmap()
                truth.unmap()
            }
            var different: [TreeDifference] = []
            TreeDiff.compare(truth, again) {
                different.append($0)
                return true
            }
            withExtendedLifetime(files) {}
            try expect(different.isEmpty, "a layer on \(below.pages.layers.count): \(different)")
        }
    }
}
