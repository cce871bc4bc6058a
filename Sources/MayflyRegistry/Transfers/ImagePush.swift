// ImagePush: an image to a registry, a folder or an archive, as far as it is not there yet: its files one after the
// other, the runs of a file by several threads, and the manifest at the end. Until then nobody sees anything new.

internal import Glibc
package import Mayfly
internal import MayflyArena
package import MayflyHost
internal import Synchronization

/// What a push has done.
package struct PushSummary: Codable, Sendable, Equatable {
    package var image: String
    package var reference: String
    /// Of the manifest: "sha256:" and 64 digits.
    package var digest: String
    /// Of the image as the store knows it.
    package var imageDigest: String
    /// Files: the plain image and the layers on it.
    package var files: Int
    package var blobs: UInt64
    package var sentBlobs: UInt64
    package var sentBytes: UInt64
    /// Bytes of blobs that were there before.
    package var presentBytes: UInt64
}

package enum ImagePush {
    /// Pushes an image.
    ///
    /// - Parameters:
    ///   - path: a file, or a name in the store.
    ///   - progress: told how far it is.
    ///   - watch: called ten times a second meanwhile, by this thread.
    /// - Throws: `.usage` for a damaged image, or what the user can mend; `.mount` for a registry that cannot be reached,
    ///   or refuses; `.system` when there is no room. The old image keeps its name then.
    package static func push(
        _ path: PathBytes, to reference: ImageReference, _ options: TransferOptions,
        progress: TransferProgress, watch: () -> Void
    ) throws(MountError) -> PushSummary {
        progress.say("looking at \(path)")
        watch()
        let image = try CarriedImage(proving: path)
        func send(_ target: any ImageTarget) throws(MountError) -> PushSummary {
            try push(image, path, to: target, reference, options, progress, watch)
        }
        switch reference {
        case .registry(let registry):
            return try send(try RegistryPlace(registry, options, writes: true))
        case .layout(let folder, let tag):
            let layout = LayoutFolder(folder, tag: tag)
            try layout.prepare()
            return try send(layout)
        case .archive(let file, let tag):
            var summary: PushSummary?
            try ReplacedFile.write(
                file,
                filling: { descriptor throws(MountError) in
                    summary = try send(try LayoutArchiveWriter(to: descriptor, tag: tag))
                })
            guard let summary else { preconditionFailure("ImagePush.push: nothing was filled") }
            return summary
        }
    }

    /// What one thread needs.
    @safe private final class Worker {
        let packer: RunPacker
        let buffer: UnsafeMutableRawPointer

        init(bytes: Int) throws(MountError) {
            packer = try RunPacker()
            unsafe buffer = UnsafeMutableRawPointer.allocate(
                byteCount: max(1, bytes), alignment: 4096)
        }

        deinit { unsafe buffer.deallocate() }
    }

    private static func push(
        _ image: CarriedImage, _ path: PathBytes, to target: any ImageTarget,
        _ reference: ImageReference, _ options: TransferOptions, _ progress: TransferProgress,
        _ watch: () -> Void
    ) throws(MountError) -> PushSummary {
        let facts = TreeFacts(
            contentBytes: image.contentBytes, inodes: image.inodes, counts: try counts(of: image))
        var blobs: [BlobDescriptor] = []
        var files: [FileRuns] = []
        for (number, file) in image.files.enumerated() {
            progress.say("file \(number + 1) of \(image.files.count)")
            let divided = try send(file, to: target, options, progress, watch)
            files.append(
                FileRuns(
                    digest: file.digest, bytes: file.bytes, base: file.base,
                    runs: divided.map(\.run)))
            blobs += divided.compactMap(\.blob)
        }
        guard blobs.count <= ImageManifest.mostRuns else {
            throw MountError(
                .usage,
                "\(path) has \(blobs.count) runs, and a manifest has room for \(ImageManifest.mostRuns): make "
                    + "one plain image of it (`mayfly image flatten`)")
        }
        try image.checkUnchanged()
        progress.say("the manifest")
        let config = ImageConfig(files: files, tree: facts).encoded
        guard UInt64(config.count) <= ImageConfig.mostBytes else {
            throw MountError(
                .usage,
                "\(path) has more layers than fit: make one plain image of it (`mayfly image flatten`)"
            )
        }
        let configBlob = blob(config, MediaType.config)
        try put(config, as: configBlob, to: target, progress)
        let manifest = ImageManifest(config: configBlob, runs: blobs).encoded
        let digest = unsafe manifest.withUnsafeBytes { unsafe ImageDigest(of: $0) }
        if case .registry(let registry) = reference, let wanted = registry.digest, wanted != digest
        {
            throw MountError(
                .usage,
                "\(reference.text) names a digest, and \(path) makes \(digest.short): push it to a tag"
            )
        }
        try target.putManifest(manifest, digest, progress)
        return PushSummary(
            image: path.text, reference: reference.text, digest: digest.text,
            imageDigest: image.digest.text, files: files.count, blobs: progress.blobCount,
            sentBlobs: progress.carriedBlobs, sentBytes: progress.carriedBytes,
            presentBytes: progress.presentBytes)
    }

    /// What the tree has, which is counted once for as long as nobody changes the image.
    ///
    /// - Complexity: O(bytes of the image) the first time.
    private static func counts(of image: CarriedImage) throws(MountError) -> TreeCounts {
        guard let top = image.files.last else { return try image.counts() }
        if let noted = ImageStore.noted("tree", of: top),
            let counts = ControlJSON.decoded(TreeCounts.self, noted)
        {
            return counts
        }
        let counts = try image.counts()
        ImageStore.note(ControlJSON.encoded(counts), "tree", of: top)
        return counts
    }

    private static func blob(_ bytes: [UInt8], _ mediaType: String) -> BlobDescriptor {
        BlobDescriptor(
            mediaType: mediaType,
            digest: unsafe bytes.withUnsafeBytes { unsafe ImageDigest(of: $0) },
            size: UInt64(bytes.count))
    }

    private static func put(
        _ bytes: [UInt8], as blob: BlobDescriptor, to target: any ImageTarget,
        _ progress: TransferProgress
    ) throws(MountError) {
        let isThere = try target.has(blob, progress)
        if !isThere { try target.put(bytes, as: blob, progress) }
        progress.count(blob, wasThere: isThere)
    }

    /// Sends what of a file is not there.
    ///
    /// - Returns: its runs, each with its blob.
    private static func send(
        _ file: CarriedImage.File, to target: any ImageTarget, _ options: TransferOptions,
        _ progress: TransferProgress, _ watch: () -> Void
    ) throws(MountError) -> [DividedRun] {
        let noted = FileDivision.noted(of: file)
        let pieces: [PageRun]
        if let noted {
            pieces = noted.map { $0.run.offset..<$0.run.offset + $0.run.bytes }
        } else {
            pieces = try FileDivision.pieces(of: file)
        }
        let most = pieces.reduce(0) { max($0, $1.count) }
        progress.expect(pieces.reduce(0) { $0 + UInt64($1.count) })
        let found = Mutex<[DividedRun?]>(Array(repeating: nil, count: pieces.count))
        let changed = Mutex(noted == nil)
        try WorkCrew.run(
            count: pieces.count, workers: options.jobs, stop: { progress.stop() }, watch: watch,
            make: { () throws(MountError) in try Worker(bytes: most) }
        ) { index, worker throws(MountError) in
            defer { progress.advance(UInt64(pieces[index].count)) }
            // What was packed before has the same bytes: nobody has changed the file.
            if let known = noted?[index], let blob = known.blob, try target.has(blob, progress) {
                progress.count(blob, wasThere: true)
                return found.withLock { $0[index] = known }
            }
            guard
                let run = try unsafe FileDivision.run(pieces[index], of: file, into: worker.buffer)
            else { return }
            let frame = try unsafe worker.packer.packed(
                UnsafeRawBufferPointer(start: worker.buffer, count: pieces[index].count))
            let blob = Self.blob(frame, MediaType.run)
            try put(frame, as: blob, to: target, progress)
            let divided = DividedRun(run: run, blob: blob)
            if noted?[index] != divided { changed.withLock { $0 = true } }
            found.withLock { $0[index] = divided }
        }
        let runs = found.withLock { $0.compactMap { $0 } }
        if changed.withLock({ $0 }) { FileDivision.note(runs, of: file) }
        return runs
    }
}
