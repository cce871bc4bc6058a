// ArtifactSample: the readers of everything that comes from elsewhere, on bytes at hand: for fuzzers and tests.

internal import CMayflySystem
internal import Glibc
internal import Mayfly
internal import MayflyArena
internal import SystemPackage

/// An artifact in memory.
package struct ArtifactSample {
    /// What is read of an artifact.
    package enum Kind: CaseIterable, Sendable { case manifest, config, index, archive, run }

    /// How a reader took it.
    package enum Verdict: Sendable { case refused, unsound, sound }

    /// A right one of each.
    package private(set) var documents: [Kind: [UInt8]] = [:]
    private let manifest: ImageManifest
    private let run: FileRun

    /// Makes an artifact of a plain file and a layer with the same bytes.
    package init(of bytes: [UInt8]) throws {
        let packer = try RunPacker()
        func descriptor(_ bytes: [UInt8], _ type: String) -> BlobDescriptor {
            BlobDescriptor(
                mediaType: type,
                digest: unsafe bytes.withUnsafeBytes { unsafe ImageDigest(of: $0) },
                size: UInt64(bytes.count))
        }
        let frame = try unsafe bytes.withUnsafeBytes { body throws(MountError) in
            try unsafe packer.packed(body)
        }
        let run = FileRun(
            offset: 0, bytes: UInt64(bytes.count),
            digest: unsafe bytes.withUnsafeBytes { unsafe ImageDigest(of: $0) })
        let plain = FileRuns(
            digest: run.digest, bytes: UInt64(bytes.count) + 8192, base: nil, runs: [run])
        let layer = FileRuns(
            digest: descriptor(frame, "").digest, bytes: UInt64(bytes.count), base: plain.digest,
            runs: [run])
        let config = ImageConfig(
            files: [plain, layer], tree: TreeFacts(contentBytes: 4096, inodes: 2, counts: nil)
        ).encoded
        let blob = descriptor(frame, MediaType.run)
        manifest = ImageManifest(config: descriptor(config, MediaType.config), runs: [blob, blob])
        self.run = run
        var index = LayoutIndex()
        index.set("v1", to: descriptor(manifest.encoded, MediaType.manifest))
        var archive: [UInt8] = []
        for (name, content) in [
            ("oci-layout", LayoutIndex.versionFile), ("index.json", index.encoded),
            ("blobs/sha256/\(blob.digest.hexadecimal)", frame),
        ] {
            archive += TarIndex.header(name, bytes: UInt64(content.count)) + content
            archive += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
        }
        archive += [UInt8](repeating: 0, count: 1024)
        documents = [
            .manifest: manifest.encoded, .config: config, .index: index.encoded,
            .archive: archive, .run: frame,
        ]
    }

    /// Reads bytes as if they had come, with a right digest.
    ///
    /// - Returns: `.unsound` where they can be read and hold what they should not.
    package func look(at kind: Kind, _ bytes: [UInt8]) -> Verdict {
        do throws(MountError) {
            switch kind {
            case .manifest:
                let read = try ImageManifest(bytes, from: "sample")
                return read == manifest ? .sound : .unsound
            case .config:
                let config = try ImageConfig(bytes, of: manifest, from: "sample")
                // What was let through can be worked with.
                for file in config.files {
                    precondition(
                        file.runs.allSatisfy {
                            $0.bytes <= RunSize.most && $0.offset + $0.bytes <= file.bytes
                        }, "ArtifactSample: a run outside of its file")
                }
                return .sound
            case .index:
                var index = try LayoutIndex(bytes, from: "sample")
                _ = try index.manifest("v1", from: "sample")
                index.set("v2", to: manifest.config)
                _ = try LayoutIndex(index.encoded, from: "sample")
                return .sound
            case .archive:
                let members = try TarIndex.members(
                    bytes: UInt64(bytes.count), from: "sample",
                    read: { offset, count in
                        guard offset + UInt64(count) <= UInt64(bytes.count) else { return nil }
                        return Array(bytes[Int(offset)..<Int(offset) + count])
                    })
                precondition(
                    members.values.allSatisfy { $0.offset + $0.bytes <= UInt64(bytes.count) },
                    "ArtifactSample: a member outside of its archive")
                return .sound
            case .run: return try unpack(bytes)
            }
        } catch { return .refused }
    }

    private func unpack(_ frame: [UInt8]) throws(MountError) -> Verdict {
        let (source, target) = unsafe (csys_memory_file("frame"), csys_memory_file("run"))
        defer {
            close(source)
            close(target)
        }
        unsafe _ = csys_write_all(source, frame, frame.count, 0)
        var failure: MountError?
        do throws(MountError) {
            try RunPacking.unpack(
                OpenBlob(source, bytes: UInt64(frame.count), isOwned: false), run, to: target,
                what: "the sample")
        } catch { failure = error }
        var status = stat()
        unsafe _ = fstat(target, &status)
        precondition(
            UInt64(status.st_size) <= run.offset + run.bytes,
            "ArtifactSample: \(status.st_size) bytes were unpacked, of at most \(run.bytes)")
        if let failure { throw failure }
        return .sound
    }
}
