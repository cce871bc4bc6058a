// LayoutIndex: index.json of an OCI image layout, in which the images of others stay as they are.
//
// Source: github.com/opencontainers/image-spec, image-layout.md.

package import Mayfly
internal import MayflyArena

/// Which images there are in a folder or an archive.
package struct LayoutIndex: Sendable, Equatable {
    package static let mostBytes: UInt64 = 16 << 20
    static let versionFile = Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8)
    private static let nameKey = "org.opencontainers.image.ref.name"

    private var value: JSONValue
    private var manifests: [JSONValue]

    /// Of no image.
    package init() {
        value = .object([
            JSONMember("schemaVersion", .number("2")),
            JSONMember("mediaType", .text(MediaType.index)),
        ])
        manifests = []
    }

    /// - Parameter origin: what errors call it.
    package init(_ bytes: [UInt8], from origin: String) throws(MountError) {
        guard let value = try? JSONReader.value(of: bytes), case .object = value,
            let manifests = value["manifests"]?.list
        else {
            throw MountError(.usage, "\(origin) has no index.json of an OCI image layout")
        }
        self.value = value
        self.manifests = manifests
    }

    /// The manifest of a name; of the only image where no name is given.
    ///
    /// - Returns: nil where there is none of the name.
    package func manifest(
        _ tag: String?, from origin: String
    ) throws(MountError) -> BlobDescriptor? {
        let found = manifests.filter { tag == nil || Self.name(of: $0) == tag }
        guard let only = found.first else { return nil }
        if found.count > 1 {
            let names = manifests.compactMap { Self.name(of: $0) }.sorted().prefix(10)
            throw MountError(
                .usage,
                "\(origin) has \(found.count) images"
                    + (tag == nil ? ": say which, by one of its names" : " of that name")
                    + (names.isEmpty ? "" : " (\(names.joined(separator: ", ")))"))
        }
        guard let digest = only["digest"]?.text, let size = only["size"]?.integer, size >= 0 else {
            throw MountError(
                .usage, "index.json of \(origin) has a manifest without digest or size")
        }
        let type = only["mediaType"]?.text ?? ""
        guard type == MediaType.manifest else {
            throw MountError(
                .usage, "\(origin) is '\(type.prefix(100))', and not an image of mayfly")
        }
        return BlobDescriptor(
            mediaType: type,
            digest: try BlobDescriptor.digest(digest, of: "the manifest of \(origin)"),
            size: UInt64(size))
    }

    private static func name(of manifest: JSONValue) -> String? {
        manifest["annotations"]?[nameKey]?.text
    }

    /// Gives a manifest a name, which others lose.
    package mutating func set(_ tag: String?, to manifest: BlobDescriptor) {
        manifests.removeAll { entry in
            Self.name(of: entry) == tag
                && (tag != nil || entry["digest"]?.text == manifest.digest.text)
        }
        var entry = [
            JSONMember("mediaType", .text(manifest.mediaType)),
            JSONMember("digest", .text(manifest.digest.text)),
            JSONMember("size", .number("\(manifest.size)")),
            JSONMember("artifactType", .text(MediaType.artifact)),
        ]
        if let tag {
            entry.append(
                JSONMember("annotations", .object([JSONMember(Self.nameKey, .text(tag))])))
        }
        manifests.append(.object(entry))
    }

    package var encoded: [UInt8] {
        guard case .object(var members) = value else { return [] }
        members.removeAll { $0.name == "manifests" }
        members.append(JSONMember("manifests", .list(manifests)))
        return JSONValue.object(members).encoded
    }
}
