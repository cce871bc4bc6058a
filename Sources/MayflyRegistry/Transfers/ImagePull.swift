// ImagePull: an image from a registry, a folder or an archive into the store. Files that the store has are not asked
// for. A file is written when its blobs are there and have their digests, is proved as any image that is put into the
// store, and has a name when all that it is on is there. What has come of a file that is not whole yet stays for the
// next time.

internal import Glibc
package import Mayfly
internal import MayflyArena
package import MayflyHost
internal import SystemPackage

/// What a pull has done.
package struct PullSummary: Codable, Sendable, Equatable {
    package var reference: String
    /// In the store.
    package var name: String
    /// Of the image as the store knows it.
    package var digest: String
    package var files: Int
    /// Files that the store had.
    package var presentFiles: Int
    package var blobs: UInt64
    /// Bytes of blobs that came now.
    package var receivedBytes: UInt64
    /// The file in the store.
    package var path: String
}

/// An image elsewhere, as its manifest and its config describe it.
package struct RemoteImage: Codable, Sendable, Equatable {
    package struct File: Codable, Sendable, Equatable {
        package var digest: String
        package var bytes: UInt64
        package var blobs: Int
        package var blobBytes: UInt64
        package var base: String?
    }
    package var reference: String
    /// Of the manifest.
    package var manifest: String
    /// Of the image.
    package var digest: String
    /// The plain image first.
    package var files: [File]
    package var tree: TreeFacts
}

package enum ImagePull {
    /// Bytes that must be left on the store's disk.
    private static let reservedBytes: UInt64 = 16 << 20

    /// Pulls an image into the store.
    ///
    /// - Parameters:
    ///   - name: in the store.
    ///   - progress: told how far it is.
    ///   - watch: called ten times a second meanwhile, by this thread.
    /// - Returns: nil where there is no image of that name; what was pulled otherwise.
    /// - Throws: `.usage` for what is no image or is damaged; `.mount` for a registry that cannot be reached, refuses or
    ///   sends something else; `.system` when there is no room. Nothing has the name then that it had not before.
    package static func pull(
        _ reference: ImageReference, as name: PathBytes, _ options: TransferOptions,
        progress: TransferProgress, watch: () -> Void
    ) throws(MountError) -> PullSummary? {
        try ImageStore.checkName(name)
        try ImageStore.checkWritable()
        progress.say("the manifest")
        watch()
        let source = try source(reference, options)
        guard let manifest = try manifest(source, progress)?.manifest else { return nil }
        let config = try config(manifest, source, progress)
        var first = 0
        var (present, blobs): (Int, UInt64) = (0, 0)
        var image: CarriedImage?
        // Each is held until the last one has its name.
        var held: [CarriedImage] = []
        for (number, file) in config.files.enumerated() {
            let runs = Array(manifest.runs[first..<first + file.runs.count])
            first += file.runs.count
            let part: CarriedImage
            if let here = try ImageStore.held(file.digest) {
                try checkSame(here, file, runs, source.name)
                present += 1
                part = here
            } else {
                progress.say("file \(number + 1) of \(config.files.count)")
                part = try receive(file, runs, from: source, options, progress, watch)
                blobs += UInt64(runs.count)
            }
            held.append(part)
            image = part
        }
        guard let image else { preconditionFailure("ImagePull.pull: a config without files") }
        _ = try ImageStore.name(name, image)
        let path = try ImageStore.path(of: image)
        withExtendedLifetime(held) {}
        return PullSummary(
            reference: reference.text, name: name.text, digest: image.digest.text,
            files: config.files.count, presentFiles: present, blobs: blobs,
            receivedBytes: progress.carriedBytes, path: path.text)
    }

    /// Looks at an image and brings nothing of it.
    ///
    /// - Returns: nil where there is none of that name.
    package static func inspect(
        _ reference: ImageReference, _ options: TransferOptions
    ) throws(MountError) -> RemoteImage? {
        let progress = TransferProgress()
        let source = try source(reference, options)
        guard let (manifest, digest) = try manifest(source, progress) else { return nil }
        let config = try config(manifest, source, progress)
        var first = 0
        let files = config.files.map { file in
            let blobs = manifest.runs[first..<first + file.runs.count]
            first += file.runs.count
            return RemoteImage.File(
                digest: file.digest.text, bytes: file.bytes, blobs: blobs.count,
                blobBytes: blobs.reduce(0) { $0 + $1.size }, base: file.base?.text)
        }
        return RemoteImage(
            reference: reference.text, manifest: digest.text, digest: config.digest.text,
            files: files, tree: config.tree)
    }

    static func source(
        _ reference: ImageReference, _ options: TransferOptions
    ) throws(MountError) -> any ImageSource {
        switch reference {
        case .registry(let registry): try RegistryPlace(registry, options, writes: false)
        case .layout(let folder, let tag): LayoutFolder(folder, tag: tag)
        case .archive(let file, let tag): try LayoutArchive(file, tag: tag)
        }
    }

    static func manifest(
        _ source: any ImageSource, _ progress: TransferProgress
    ) throws(MountError) -> (manifest: ImageManifest, digest: ImageDigest)? {
        guard let bytes = try source.manifest(progress) else { return nil }
        let digest = unsafe bytes.withUnsafeBytes { unsafe ImageDigest(of: $0) }
        return (try ImageManifest(bytes, from: source.name), digest)
    }

    static func config(
        _ manifest: ImageManifest, _ source: any ImageSource, _ progress: TransferProgress
    ) throws(MountError) -> ImageConfig {
        guard manifest.config.size <= ImageConfig.mostBytes else {
            throw MountError(
                .usage,
                "the config of \(source.name) has \(manifest.config.size) bytes, more than mayfly takes"
            )
        }
        let folder = try makeTemporaryFolder()
        defer {
            for name in HostFile.namesIfReadable(in: folder) ?? [] {
                _ = unsafe (folder + "/" + PathBytes(name)).withCString { unsafe unlink($0) }
            }
            _ = unsafe folder.withCString { unsafe rmdir($0) }
        }
        guard let bytes = try source.open(manifest.config, parts: folder, progress).content else {
            throw MountError(
                .system, "the config of \(source.name) cannot be read again: look at the disk")
        }
        return try ImageConfig(bytes, of: manifest, from: source.name)
    }

    private static func makeTemporaryFolder() throws(MountError) -> PathBytes {
        let parent = ProcessArguments.variable("TMPDIR") ?? "/tmp"
        var name = (parent + "/mayfly-config-XXXXXX").bytes.map { CChar(bitPattern: $0) } + [0]
        guard unsafe mkdtemp(&name) != nil else {
            throw MountError(
                .system,
                "no folder can be made in \(parent) (\(Errno(rawValue: errno))): set TMPDIR")
        }
        return PathBytes(bytes: name.dropLast().map { UInt8(bitPattern: $0) })
    }

    /// A file that the store has by its digest is the same as that of the registry, or the image on it is not what was
    /// pushed: the digest of a plain image finds damage, and nothing that somebody means (Docs/ImageFormat.md).
    static func checkSame(
        _ here: CarriedImage, _ file: FileRuns, _ blobs: [BlobDescriptor], _ origin: String
    ) throws(MountError) {
        guard let own = here.files.last else { return }
        let runs = try FileDivision.runs(of: own)
        guard own.bytes == file.bytes, runs.map(\.run) == file.runs else {
            throw MountError(
                .usage,
                "\(origin) has another image by the digest \(file.digest.short) than the store: one of them was "
                    + "changed on purpose. Remove the one of the store if you trust the other")
        }
        // Its blobs are known by these names where it is pushed again.
        if runs.contains(where: { $0.blob == nil }) {
            FileDivision.note(
                zip(runs, blobs).map { DividedRun(run: $0.run, blob: $0.blob ?? $1) }, of: own)
        }
    }

    private static func receive(
        _ file: FileRuns, _ blobs: [BlobDescriptor], from source: any ImageSource,
        _ options: TransferOptions, _ progress: TransferProgress, _ watch: () -> Void
    ) throws(MountError) -> CarriedImage {
        let parts = try ImageStore.Parts(
            of: file.digest,
            waiting: {
                progress.say("another process receives it: waiting")
                watch()
            })
        // Whoever had the folder has perhaps brought all of it.
        if let here = try ImageStore.held(file.digest) {
            try checkSame(here, file, blobs, source.name)
            parts.remove()
            return here
        }
        let folder = parts.folder
        try checkRoom(file, blobs, in: folder)
        progress.expect(blobs.reduce(0) { $0 &+ $1.size })
        let image = try ImageStore.receive(file.digest, from: source.name) {
            descriptor throws(MountError) in
            guard ftruncate(descriptor, off_t(file.bytes)) == 0 else {
                throw RegistryPlace.unwritable(folder, Errno(rawValue: errno))
            }
            try WorkCrew.run(
                count: blobs.count, workers: options.jobs, stop: { progress.stop() },
                watch: watch, make: { () throws(MountError) in }
            ) { index, _ throws(MountError) in
                let blob = try source.open(blobs[index], parts: folder, progress)
                try RunPacking.unpack(
                    blob, file.runs[index], to: descriptor,
                    what: "the blob \(blobs[index].digest.short) of \(source.name)")
                progress.count(blobs[index], wasThere: false)
            }
            progress.say("comparing")
            watch()
        }
        if let own = image.files.last {
            FileDivision.note(
                zip(file.runs, blobs).map { DividedRun(run: $0, blob: $1) }, of: own)
        }
        parts.remove()
        return image
    }

    /// Refuses what cannot fit, before anything is written.
    static func checkRoom(
        _ file: FileRuns, _ blobs: [BlobDescriptor], in folder: PathBytes
    ) throws(MountError) {
        var status = statvfs()
        guard unsafe folder.withCString({ unsafe statvfs($0, &status) }) == 0 else { return }
        let free = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        if free.overflow { return }
        // Blobs and what they hold are there at the same time. Neither sum overflows: there are at most 20,000 runs of
        // 64 MiB.
        let needed =
            blobs.reduce(UInt64(0)) { $0 + $1.size } + file.runs.reduce(0) { $0 + $1.bytes }
        guard needed <= free.partialValue, reservedBytes <= free.partialValue else {
            throw MountError(
                .system,
                "the image may take \(needed) bytes, and \(free.partialValue) are free at \(folder): remove images "
                    + "(`mayfly image store gc --limit SIZE`)")
        }
    }
}
