// TrustedAuthorities: certificates of authorities that a user trusts beside the system's: those of --ca, of
// $SSL_CERT_FILE, and of the folders in which docker(1) and podman(1) look for a registry's.
//
// Source: containers-certs.d(5).

internal import CMayflySystem
internal import Glibc
internal import Mayfly
internal import MayflyHost

/// A file in memory that libcurl reads them from; there is none where the system's are all.
final class TrustedAuthorities: Sendable {
    private let descriptor: Int32

    /// The file's path; nil where there are none.
    var path: String? { descriptor < 0 ? nil : "/proc/self/fd/\(descriptor)" }

    /// - Throws: `.usage` where a file that was named cannot be read.
    init(for reference: RegistryReference, named: PathBytes?) throws(MountError) {
        var all: [UInt8] = []
        for file in [named, ProcessArguments.variable("SSL_CERT_FILE")] {
            guard let file, !file.bytes.isEmpty else { continue }
            guard let bytes = HostFile.bytes(at: file.text, atMost: 16 << 20) else {
                throw MountError(
                    .usage,
                    "the certificates \(file) cannot be read: name a file in the form of PEM")
            }
            all += bytes + [10]
        }
        var folders: [PathBytes] = [
            "/etc/containers/certs.d", "/etc/docker/certs.d",
        ]
        if let home = ProcessArguments.variable("HOME") {
            folders.insert(home + "/.config/containers/certs.d", at: 0)
        }
        for folder in folders {
            let folder = folder + "/" + PathBytes(reference.host)
            for name in (HostFile.namesIfReadable(in: folder, limit: 256) ?? []).sorted()
            where name.hasSuffix(".crt") {
                let path = folder + "/" + PathBytes(name)
                all += (HostFile.bytes(at: path.text, atMost: 16 << 20) ?? []) + [10]
            }
        }
        if all.isEmpty {
            descriptor = -1
            return
        }
        let file = unsafe csys_memory_file("mayfly-authorities")
        guard file >= 0, unsafe csys_write_all(file, all, all.count, 0) == 0 else {
            if file >= 0 { close(file) }
            throw MountError(.system, "no file in memory can be made: raise `ulimit -n`")
        }
        descriptor = file
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
