// Credentials: who this user is to a registry, from the files that docker(1), podman(1) and skopeo(1) keep, and from
// the programs that they name.
//
// Source: containers-auth.json(5); docs.docker.com/reference/cli/docker/login, "Credential stores".

internal import Glibc
internal import Mayfly
internal import MayflyHost

/// What is sent to a registry, and to nobody else.
struct Credentials: Sendable, Equatable {
    var user: String
    var secret: String
    /// Whether the secret is a token that tokens are asked for with.
    var isIdentity = false

    var basic: String { "Basic " + Base64.encoded(Array("\(user):\(secret)".utf8)) }

    private struct File: Decodable {
        struct Entry: Decodable {
            var auth: String?
            var identitytoken: String?
            var username: String?
            var password: String?
        }
        var auths: [String: Entry]?
        var credHelpers: [String: String]?
        var credsStore: String?
    }

    private struct Answer: Decodable {
        var Username: String?
        var Secret: String?
    }

    /// Files that are looked into, in this order.
    static var files: [PathBytes] {
        var files: [PathBytes] = []
        if let folder = ProcessArguments.variable("XDG_RUNTIME_DIR"), folder.isAbsolute {
            files.append(folder + "/containers/auth.json")
        }
        let home = ProcessArguments.variable("HOME")
        if let folder = ProcessArguments.variable("XDG_CONFIG_HOME"), folder.isAbsolute {
            files.append(folder + "/containers/auth.json")
        } else if let home {
            files.append(home + "/.config/containers/auth.json")
        }
        if let folder = ProcessArguments.variable("DOCKER_CONFIG") {
            files.append(folder + "/config.json")
        } else if let home {
            files.append(home + "/.docker/config.json")
        }
        return files
    }

    /// What is known for a registry; nil where that is nothing.
    ///
    /// - Parameter file: the one that is looked into, in place of those in the usual places. Without it
    ///   $REGISTRY_AUTH_FILE is.
    /// - Throws: `.usage` for a file that was named and cannot be read; `.system` for a helper that fails.
    static func found(
        for reference: RegistryReference, in file: PathBytes?
    ) throws(MountError) -> Credentials? {
        if let file = file ?? ProcessArguments.variable("REGISTRY_AUTH_FILE") {
            guard let bytes = HostFile.bytes(at: file.text, atMost: mostBytes) else {
                throw MountError(
                    .usage,
                    "the file of credentials \(file) cannot be read: name another, or log in "
                        + "(`skopeo login --authfile \(file) \(reference.host)`)")
            }
            return try credentials(bytes, file, reference)
        }
        for file in files {
            guard let bytes = HostFile.bytes(at: file.text, atMost: mostBytes) else { continue }
            if let found = try credentials(bytes, file, reference) { return found }
        }
        return nil
    }

    private static let mostBytes = 4 << 20

    private static func credentials(
        _ bytes: [UInt8], _ path: PathBytes, _ reference: RegistryReference
    ) throws(MountError) -> Credentials? {
        guard let file = ControlJSON.decoded(File.self, bytes) else {
            throw MountError(
                .usage, "the file of credentials \(path) is no JSON as docker and podman write it")
        }
        if let helper = file.credHelpers?[reference.host] {
            return try ask(helper, reference.host)
        }
        // The longest that fits: HOST/PART/OF/REPOSITORY, and then the host.
        var names: [String] = []
        var parts = reference.repository.split(separator: "/")[...]
        while !parts.isEmpty {
            names.append("\(reference.host)/\(parts.joined(separator: "/"))")
            parts = parts.dropLast()
        }
        names.append(reference.host)
        if reference.host == "docker.io" { names.append("index.docker.io") }
        for name in names {
            for (key, entry) in (file.auths ?? [:]).sorted(by: { $0.key < $1.key })
            where bare(key) == name {
                if let found = try credentials(entry, key, path) { return found }
            }
        }
        if let store = file.credsStore, !store.isEmpty { return try ask(store, reference.host) }
        return nil
    }

    private static func credentials(
        _ entry: File.Entry, _ key: String, _ path: PathBytes
    ) throws(MountError) -> Credentials? {
        if let token = entry.identitytoken, !token.isEmpty {
            return Credentials(user: "<token>", secret: token, isIdentity: true)
        }
        if let user = entry.username, let password = entry.password, !user.isEmpty {
            return Credentials(user: user, secret: password)
        }
        guard let auth = entry.auth, !auth.isEmpty else { return nil }
        guard let bytes = Base64.decoded(auth), let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
        else {
            throw MountError(
                .usage, "\(path) has no user and password for \(key) that can be read: log in anew")
        }
        return Credentials(
            user: String(decoding: bytes[..<colon], as: UTF8.self),
            secret: String(decoding: bytes[(colon + 1)...].filter { $0 != 0 }, as: UTF8.self))
    }

    /// A key of older files without its scheme and the path of an interface.
    private static func bare(_ key: String) -> String {
        var name = key[...]
        for scheme in ["https://", "http://"] where name.hasPrefix(scheme) {
            name = name.dropFirst(scheme.count)
        }
        for end in ["/", "/v1", "/v2"] where name.hasSuffix(end) { name = name.dropLast(end.count) }
        return String(name)
    }

    // MARK: helpers

    /// Asks a program for credentials: docker-credential-NAME.
    ///
    /// - Source: github.com/docker/docker-credential-helpers, README.md, "Development".
    private static func ask(
        _ helper: String, _ host: String
    ) throws(MountError) -> Credentials? {
        let isName = helper.utf8.allSatisfy {
            $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/")
        }
        guard isName, !helper.isEmpty else {
            throw MountError(.usage, "'\(helper)' is no name of a credential helper")
        }
        let name = "docker-credential-\(helper)"
        let (status, output) = try HelperProgram.run([name, "get"], input: "\(host)\n")
        guard status == 0 else {
            // A helper says that it has nothing in this way.
            if String(decoding: output, as: UTF8.self).contains("credentials not found") {
                return nil
            }
            throw MountError(
                .system,
                "\(name), which is to know the credentials for \(host), failed with status \(status): run it "
                    + "by hand, or name another file (--auth-file)")
        }
        guard let answer = ControlJSON.decoded(Answer.self, output), let user = answer.Username,
            let secret = answer.Secret
        else {
            throw MountError(.system, "\(name) has answered with something else than credentials")
        }
        return Credentials(user: user, secret: secret, isIdentity: user == "<token>")
    }
}
