// ImageManifest: the manifest of an image, as the OCI image specification has it.
//
// Source: github.com/opencontainers/image-spec, manifest.md, "Guidelines for Artifact Usage".

package import Mayfly
internal import MayflyArena

/// The blobs of an image, in the order of the runs of its config.
package struct ImageManifest: Sendable, Equatable {
    /// Bytes that a manifest may have: what registries take.
    package static let mostBytes: UInt64 = 4 << 20
    /// Runs of all files together, of which the manifest is just as long as that.
    package static let mostRuns = 20_000

    package var config: BlobDescriptor
    package var runs: [BlobDescriptor]

    package init(config: BlobDescriptor, runs: [BlobDescriptor]) {
        self.config = config
        self.runs = runs
    }

    private struct Text: Codable {
        var schemaVersion: Int
        var mediaType: String?
        var artifactType: String?
        var config: DescriptorText?
        var layers: [DescriptorText]?
        var manifests: [DescriptorText]?
    }

    /// As it is sent. The same image gives the same bytes.
    package var encoded: [UInt8] {
        ControlJSON.encoded(
            Text(
                schemaVersion: 2, mediaType: MediaType.manifest, artifactType: MediaType.artifact,
                config: DescriptorText(config), layers: runs.map(DescriptorText.init)))
    }

    /// Reads a manifest.
    ///
    /// - Parameters:
    ///   - bytes: of which the digest was compared, where one is known.
    ///   - origin: what errors call it.
    /// - Throws: `.usage` for what is no manifest of an image.
    package init(_ bytes: [UInt8], from origin: String) throws(MountError) {
        guard UInt64(bytes.count) <= Self.mostBytes,
            let text = ControlJSON.decoded(Text.self, bytes), text.schemaVersion == 2
        else { throw MountError(.usage, "\(origin) has no manifest that mayfly can read") }
        if text.manifests != nil || text.mediaType == MediaType.index
            || text.mediaType == MediaType.dockerList
        {
            throw MountError(
                .usage,
                "\(origin) is an index of several manifests, and not an image of mayfly: name one of them "
                    + "by its digest")
        }
        guard let config = text.config, let layers = text.layers else {
            throw MountError(.usage, "\(origin) has no manifest that mayfly can read")
        }
        guard config.mediaType == MediaType.config,
            text.artifactType == nil || text.artifactType == MediaType.artifact
        else {
            let what = text.artifactType ?? config.mediaType
            throw MountError(
                .usage,
                "\(origin) is no image of mayfly but '\(what.prefix(100))': `mayfly image build --from` "
                    + "makes an image of a folder or an archive")
        }
        self.config = try config.blob(of: "the config of \(origin)")
        guard !layers.isEmpty, layers.count <= Self.mostRuns else {
            throw MountError(
                .usage,
                "\(origin) has \(layers.count) blobs, and mayfly takes 1 to \(Self.mostRuns)")
        }
        runs = try layers.enumerated().map { entry throws(MountError) in
            let blob = try entry.element.blob(of: "blob \(entry.offset) of \(origin)")
            guard blob.mediaType == MediaType.run else {
                throw MountError(
                    .usage,
                    "blob \(entry.offset) of \(origin) is '\(blob.mediaType.prefix(100))', which this mayfly "
                        + "does not know: use a newer one")
            }
            return blob
        }
    }
}
