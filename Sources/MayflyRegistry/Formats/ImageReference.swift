// ImageReference: where an image is, outside of this machine's store: in a registry, in a folder of the OCI
// image layout, or in an archive of one.

package import Mayfly
package import MayflyArena
package import MayflyHost

/// A place that images are pushed to and pulled from.
package enum ImageReference: Sendable, Equatable {
    case registry(RegistryReference)
    /// Folder, and the name of the image in it.
    case layout(PathBytes, tag: String?)
    case archive(PathBytes, tag: String?)

    /// Whether a text names such a place and no file: for options that take either.
    package static func isReference(_ text: String) -> Bool {
        ["oci://", "oci+http://", "oci:", "oci-archive:"].contains { text.hasPrefix($0) }
    }

    /// Reads what users type: [oci://]HOST/REPOSITORY[:TAG][@DIGEST], oci:FOLDER[:TAG] or
    /// oci-archive:FILE[:TAG].
    ///
    /// - Throws: `.usage` with what is wrong with it.
    package init(_ text: String) throws(MountError) {
        if text.hasPrefix("oci://") {
            self = .registry(try RegistryReference(text.dropFirst(6), text, isPlain: false))
        } else if text.hasPrefix("oci+http://") {
            self = .registry(try RegistryReference(text.dropFirst(11), text, isPlain: true))
        } else if text.hasPrefix("oci-archive:") {
            let (path, tag) = Self.split(text.dropFirst(12))
            if path.isEmpty { throw Self.refusal(text) }
            self = .archive(PathBytes(path), tag: tag)
        } else if text.hasPrefix("oci:") {
            let (path, tag) = Self.split(text.dropFirst(4))
            if path.isEmpty { throw Self.refusal(text) }
            self = .layout(PathBytes(path), tag: tag)
        } else {
            self = .registry(try RegistryReference(text[...], text, isPlain: false))
        }
    }

    /// A path with a tag behind its last colon.
    private static func split(_ text: Substring) -> (path: String, tag: String?) {
        guard let colon = text.lastIndex(of: ":") else { return (String(text), nil) }
        let tag = text[text.index(after: colon)...]
        guard RegistryReference.isTag(tag) else { return (String(text), nil) }
        return (String(text[..<colon]), String(tag))
    }

    static func refusal(_ text: String) -> MountError {
        MountError(
            .usage,
            "'\(text)' is no place for images: give HOST/REPOSITORY:TAG (localhost:5000/team/app:v1), "
                + "oci:FOLDER:TAG or oci-archive:FILE")
    }

    /// What an image that comes from there is called in the store, where nobody says otherwise: the last part of the
    /// repository, or of the path without its ending.
    package var defaultName: PathBytes? {
        let name: String
        switch self {
        case .registry(let reference):
            name = reference.repository.split(separator: "/").last.map(String.init) ?? ""
        case .layout(let path, let tag), .archive(let path, let tag):
            let last = path.names.last.map { String(decoding: $0, as: UTF8.self) } ?? ""
            let stem = last.split(separator: ".").first.map(String.init) ?? ""
            name = tag ?? stem
        }
        return ImageStore.isName(PathBytes(name)) ? PathBytes(name) : nil
    }

    /// A name in the store that leads to no other place.
    package var ownName: PathBytes {
        PathBytes(
            bytes: PathBytes(text).bytes.prefix(255).map {
                $0 <= 32 || $0 == 127 || $0 == UInt8(ascii: "/") ? UInt8(ascii: "+") : $0
            })
    }

    /// As it can be typed again.
    package var text: String {
        switch self {
        case .registry(let reference): reference.text
        case .layout(let path, let tag): "oci:\(path)" + (tag.map { ":\($0)" } ?? "")
        case .archive(let path, let tag): "oci-archive:\(path)" + (tag.map { ":\($0)" } ?? "")
        }
    }
}

/// An image in a registry.
package struct RegistryReference: Sendable, Equatable {
    /// With its port, where one was given.
    package var host: String
    package var repository: String
    /// Nil where a digest was given alone.
    package var tag: String?
    package var digest: ImageDigest?
    /// Whether plain HTTP was asked for by the scheme.
    package var isPlain: Bool

    init(_ text: Substring, _ whole: String, isPlain: Bool) throws(MountError) {
        self.isPlain = isPlain
        guard let slash = text.firstIndex(of: "/") else { throw ImageReference.refusal(whole) }
        host = String(text[..<slash])
        var rest = text[text.index(after: slash)...]
        if let at = rest.firstIndex(of: "@") {
            digest = try BlobDescriptor.digest(
                String(rest[rest.index(after: at)...]), of: "'\(whole)'")
            rest = rest[..<at]
        }
        if let colon = rest.lastIndex(of: ":") {
            let tag = rest[rest.index(after: colon)...]
            guard Self.isTag(tag) else { throw ImageReference.refusal(whole) }
            self.tag = String(tag)
            rest = rest[..<colon]
        } else if digest == nil {
            tag = "latest"
        }
        repository = String(rest)
        let isHost = host == "localhost" || host.contains(".") || host.contains(":")
        guard isHost, Self.isHost(host), Self.isRepository(repository) else {
            throw ImageReference.refusal(whole)
        }
    }

    package var text: String {
        "\(host)/\(repository)" + (tag.map { ":\($0)" } ?? "")
            + (digest.map { "@\($0.text)" } ?? "")
    }

    /// What a manifest is asked for by.
    var manifestName: String { digest?.text ?? tag ?? "latest" }

    /// Host and port that answer: those of Docker Hub are called otherwise.
    var endpoint: String { host == "docker.io" ? "registry-1.docker.io" : host }

    /// The host without its port.
    var hostName: String {
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            return String(host[host.index(after: host.startIndex)..<end])
        }
        return String(host.prefix { $0 != ":" })
    }

    /// Whether the host is this machine.
    var isLoopback: Bool {
        let name = hostName
        if name == "localhost" || name.hasSuffix(".localhost") || name == "::1" { return true }
        let numbers = name.split(separator: ".", omittingEmptySubsequences: false)
            .map { UInt8($0) }
        return numbers.count == 4 && numbers[0] == 127 && !numbers.contains(nil)
    }

    private static func isHost(_ text: String) -> Bool {
        var name = text[...]
        if let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") {
            guard let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
                return false
            }
            name = text[..<colon]
        }
        if name.hasPrefix("["), name.hasSuffix("]") {
            return name.dropFirst().dropLast().utf8.allSatisfy {
                $0 == UInt8(ascii: ":") || isHexadecimal($0)
            }
        }
        return !name.isEmpty && name.utf8.count < 254
            && name.utf8.allSatisfy {
                isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
            } && name.first != "-" && name.first != "."
    }

    /// Source: github.com/opencontainers/distribution-spec, spec.md, "Pulling manifests".
    static func isRepository(_ text: String) -> Bool {
        guard !text.isEmpty, text.utf8.count < 256 else { return false }
        return text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.utf8.first, let last = part.utf8.last else { return false }
            return isSmall(first) && isSmall(last) && !part.contains("..")
                && part.utf8.allSatisfy { isSmall($0) || "._-".utf8.contains($0) }
        }
    }

    static func isTag(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 128 else { return false }
        return (isLetterOrDigit(first) || first == UInt8(ascii: "_"))
            && text.utf8.allSatisfy { isLetterOrDigit($0) || "._-".utf8.contains($0) }
    }

    private static func isSmall(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || isDigit(byte)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}
