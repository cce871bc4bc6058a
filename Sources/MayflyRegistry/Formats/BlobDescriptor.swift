// BlobDescriptor: how a manifest names a blob: what it is, its digest and its size.

package import Mayfly
package import MayflyArena

/// A blob of a registry. Nothing of it is believed before its bytes have the digest.
package struct BlobDescriptor: Sendable, Equatable {
    package var mediaType: String
    package var digest: ImageDigest
    /// Bytes.
    package var size: UInt64

    package init(mediaType: String, digest: ImageDigest, size: UInt64) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
    }

    /// A digest as manifests have it.
    ///
    /// - Throws: `.usage` for other algorithms than SHA-256, and for what is no digest.
    package static func digest(_ text: String, of what: String) throws(MountError) -> ImageDigest {
        if text.hasPrefix("sha256:"), let digest = ImageDigest(text) { return digest }
        let algorithm = text.prefix { $0 != ":" }
        if algorithm.count < text.count, algorithm.count <= 20, algorithm != "sha256" {
            throw MountError(
                .usage,
                "\(what) has a digest of \(algorithm), and mayfly compares SHA-256 alone: push it anew"
            )
        }
        throw MountError(.usage, "\(what) has no SHA-256 digest: '\(text.prefix(80))'")
    }
}

/// A descriptor as JSON has it.
struct DescriptorText: Codable {
    var mediaType: String
    var digest: String
    var size: UInt64
    var annotations: [String: String]?

    init(_ blob: BlobDescriptor) {
        mediaType = blob.mediaType
        digest = blob.digest.text
        size = blob.size
    }

    func blob(of what: String) throws(MountError) -> BlobDescriptor {
        BlobDescriptor(
            mediaType: mediaType, digest: try BlobDescriptor.digest(digest, of: what), size: size)
    }
}
