// ImageConfig: the config of an image: its files, the plain one first, and where in them the blobs of the
// manifest belong. What it says is held against what comes; nothing is written or unpacked beyond it.

package import Mayfly
package import MayflyArena

/// Bytes of a file that follow each other and are one blob.
package struct FileRun: Sendable, Equatable {
    /// In the file.
    package var offset: UInt64
    package var bytes: UInt64
    /// Of the bytes as the file has them.
    package var digest: ImageDigest

    package init(offset: UInt64, bytes: UInt64, digest: ImageDigest) {
        self.offset = offset
        self.bytes = bytes
        self.digest = digest
    }
}

/// A file of an image: what it is known by, and what it holds. Between the runs there are zeros.
package struct FileRuns: Sendable, Equatable {
    package var digest: ImageDigest
    package var bytes: UInt64
    /// Of a layer: what it is on.
    package var base: ImageDigest?
    /// Ascending.
    package var runs: [FileRun]

    package init(digest: ImageDigest, bytes: UInt64, base: ImageDigest?, runs: [FileRun]) {
        self.digest = digest
        self.bytes = bytes
        self.base = base
        self.runs = runs
    }
}

/// What a tree has, as whoever pushed it has counted.
package struct TreeFacts: Codable, Sendable, Equatable {
    /// In whole pages.
    package var contentBytes: UInt64
    package var inodes: UInt64
    package var counts: TreeCounts?

    package init(contentBytes: UInt64, inodes: UInt64, counts: TreeCounts?) {
        self.contentBytes = contentBytes
        self.inodes = inodes
        self.counts = counts
    }
}

/// Everything that a manifest does not say.
package struct ImageConfig: Sendable, Equatable {
    package static let format = 1
    package static let mostBytes: UInt64 = 16 << 20
    /// The plain image and the layers that may lie on it.
    package static let mostFiles = Int(LayerFile.mostDepth) + 1

    /// The plain image first.
    package var files: [FileRuns]
    package var tree: TreeFacts

    package init(files: [FileRuns], tree: TreeFacts) {
        self.files = files
        self.tree = tree
    }

    /// Of the uppermost file, by which the image is known.
    package var digest: ImageDigest { files[files.count - 1].digest }

    private struct Text: Codable {
        struct Run: Codable {
            var offset: UInt64
            var bytes: UInt64
            var digest: String
        }
        struct File: Codable {
            var digest: String
            var bytes: UInt64
            var base: String?
            var runs: [Run]
        }
        var format: Int
        var files: [File]
        var tree: TreeFacts
    }

    /// As it is sent. The same image gives the same bytes.
    package var encoded: [UInt8] {
        ControlJSON.encoded(
            Text(
                format: Self.format,
                files: files.map { file in
                    Text.File(
                        digest: file.digest.text, bytes: file.bytes, base: file.base?.text,
                        runs: file.runs.map {
                            Text.Run(offset: $0.offset, bytes: $0.bytes, digest: $0.digest.text)
                        })
                },
                tree: tree))
    }

    /// Reads a config and looks for everything that cannot be.
    ///
    /// - Parameters:
    ///   - bytes: of which the digest was compared.
    ///   - manifest: whose config it is.
    ///   - origin: what errors call it.
    /// - Throws: `.usage` with what is wrong.
    /// - Complexity: O(bytes).
    package init(
        _ bytes: [UInt8], of manifest: ImageManifest, from origin: String
    ) throws(MountError) {
        func damaged(_ what: String) -> MountError {
            MountError(.usage, "the config of \(origin) is damaged (\(what)): push it anew")
        }
        guard let text = ControlJSON.decoded(Text.self, bytes) else {
            throw damaged("it cannot be read")
        }
        guard text.format == Self.format else {
            throw MountError(
                .usage,
                "\(origin) has format \(text.format), this mayfly reads \(Self.format): use a "
                    + (text.format > Self.format ? "newer mayfly" : "newer image"))
        }
        guard !text.files.isEmpty, text.files.count <= Self.mostFiles else {
            throw damaged("it has \(text.files.count) files")
        }
        files = []
        tree = text.tree
        var seen: Set<ImageDigest> = []
        var blob = 0
        for (number, file) in text.files.enumerated() {
            let digest = try BlobDescriptor.digest(file.digest, of: "file \(number) of \(origin)")
            guard seen.insert(digest).inserted else {
                throw damaged("file \(number) is there twice, so that it would be on itself")
            }
            let base: ImageDigest?
            if let text = file.base {
                base = try BlobDescriptor.digest(
                    text, of: "the base of file \(number) of \(origin)")
            } else {
                base = nil
            }
            guard base == files.last?.digest else {
                throw damaged("file \(number) is not on the one before it")
            }
            guard file.bytes >= 4096, file.bytes < 1 << 48 else {
                throw damaged("file \(number) has \(file.bytes) bytes")
            }
            var end: UInt64 = 0
            var runs: [FileRun] = []
            for run in file.runs {
                guard run.offset >= end, run.bytes > 0, run.bytes <= RunSize.most,
                    run.offset <= file.bytes, run.bytes <= file.bytes - run.offset
                else {
                    throw damaged(
                        "a run of \(run.bytes) bytes from \(run.offset) on cannot be in file \(number)"
                    )
                }
                guard blob < manifest.runs.count else {
                    throw damaged("it has more runs than the manifest has blobs")
                }
                guard manifest.runs[blob].size <= RunSize.mostCompressed(run.bytes) else {
                    throw damaged(
                        "blob \(blob) has \(manifest.runs[blob].size) bytes for \(run.bytes) in the file"
                    )
                }
                runs.append(
                    FileRun(
                        offset: run.offset, bytes: run.bytes,
                        digest: try BlobDescriptor.digest(
                            run.digest, of: "run \(blob) of \(origin)")))
                end = run.offset + run.bytes
                blob += 1
            }
            guard runs.first?.offset == 0 else { throw damaged("file \(number) has no first page") }
            files.append(FileRuns(digest: digest, bytes: file.bytes, base: base, runs: runs))
        }
        guard blob == manifest.runs.count else {
            throw damaged("the manifest has more blobs than it has runs")
        }
    }
}

/// How long the runs of a file are.
package enum RunSize {
    /// Bytes of a run at most, whatever the file.
    package static let most: UInt64 = 64 << 20

    /// Bytes into which a file is divided, so that a change of one page is one run of this size that is sent:
    /// 4 MiB, and more where that would be more than 4,096 runs.
    ///
    /// - Returns: nil for a file that has more than a registry takes.
    package static func of(fileBytes: UInt64) -> UInt64? {
        var size: UInt64 = 4 << 20
        while size <= most {
            if fileBytes / size <= 4096 { return size }
            size *= 2
        }
        return nil
    }

    /// Bytes that zstd makes of a run at most, with room for what another version may do.
    package static func mostCompressed(_ bytes: UInt64) -> UInt64 { bytes + bytes / 128 + 4096 }
}
