// RegistryPlace: an image in a registry.
//
// Source: github.com/opencontainers/distribution-spec, spec.md, "Pull" and "Push".

internal import CMayflySystem
internal import Glibc
internal import Mayfly
internal import MayflyArena
internal import MayflyHost
internal import SystemPackage

struct RegistryPlace: ImageSource, ImageTarget {
    private let client: RegistryClient
    private let reference: RegistryReference
    var name: String { reference.text }

    init(
        _ reference: RegistryReference, _ options: TransferOptions, writes: Bool
    ) throws(MountError) {
        self.reference = reference
        client = try RegistryClient(reference, options, writes: writes)
    }

    // MARK: pulling

    func manifest(_ progress: TransferProgress) throws(MountError) -> [UInt8]? {
        let accepted = [MediaType.manifest, MediaType.index, MediaType.dockerManifest]
        let answer = try client.send(
            .get, "manifests/\(reference.manifestName)",
            headers: ["Accept: \(accepted.joined(separator: ", "))"],
            mostBytes: ImageManifest.mostBytes, allowed: [200, 404],
            goOn: { !progress.isStopped })
        if answer.status == 404 { return nil }
        let digest = unsafe answer.body.withUnsafeBytes { unsafe ImageDigest(of: $0) }
        if let wanted = reference.digest, wanted != digest {
            throw MountError(
                .mount,
                "\(reference.host) has sent another manifest than \(wanted.short): something between it and "
                    + "this machine changes what it says")
        }
        if let said = answer.header("docker-content-digest"), said.hasPrefix("sha256:"),
            ImageDigest(said) != digest
        {
            throw MountError(
                .mount,
                "\(reference.host) has sent a manifest that is not what its digest says: try again; something "
                    + "between it and this machine may change what it says")
        }
        return answer.body
    }

    func open(
        _ blob: BlobDescriptor, parts: PathBytes, _ progress: TransferProgress
    ) throws(MountError) -> OpenBlob {
        let path = parts + "/" + PathBytes(blob.digest.hexadecimal)
        let file = unsafe path.withCString {
            unsafe Glibc.open($0, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode_t(0o600))
        }
        guard file >= 0 else { throw Self.unwritable(path, Errno(rawValue: errno)) }
        let found = OpenBlob(file, bytes: blob.size, isOwned: true)
        var download = BlobDownload(client, blob, file, progress)
        try download.run(name)
        return found
    }

    static func unwritable(_ path: PathBytes, _ error: Errno) -> MountError {
        MountError(
            .system,
            "\(path) cannot be written (\(error)): look for room there, or remove images "
                + "(`mayfly image store gc --limit SIZE`)")
    }

    // MARK: pushing

    func has(
        _ blob: BlobDescriptor, _ progress: TransferProgress
    ) throws(MountError) -> Bool {
        let answer = try client.send(
            .head, "blobs/\(blob.digest.text)", allowed: [200, 404],
            goOn: { !progress.isStopped })
        return answer.status == 200
    }

    func put(
        _ bytes: [UInt8], as blob: BlobDescriptor, _ progress: TransferProgress
    ) throws(MountError) {
        var plan = RetryPlan()
        while true {
            let begun = try client.send(
                .post, "blobs/uploads/", allowed: [202], goOn: { !progress.isStopped })
            let location = try client.location(of: begun)
            let url = location + (location.contains("?") ? "&" : "?") + "digest=\(blob.digest.text)"
            // An upload that failed is not one that can go on: the next begins anew.
            let answer = try client.exchange(
                .put, url, headers: ["Content-Type: application/octet-stream"], body: bytes,
                goOn: { !progress.isStopped })
            progress.carry(blob.size)
            if answer.outcome == .done, answer.status == 201 { return }
            let isGone = answer.outcome == .done && answer.status == 404
            guard client.isPassing(answer) || isGone, !progress.isStopped,
                let wait = plan.next(retryAfterSeconds: answer.retryAfterSeconds)
            else { throw client.failure(answer) }
            RetryPlan.wait(milliseconds: wait, goOn: { !progress.isStopped })
            if try has(blob, progress) { return }
        }
    }

    func putManifest(
        _ bytes: [UInt8], _ digest: ImageDigest, _ progress: TransferProgress
    ) throws(MountError) {
        let name = reference.tag ?? digest.text
        _ = try client.send(
            .put, "manifests/\(name)", headers: ["Content-Type: \(MediaType.manifest)"],
            body: bytes, allowed: [201], goOn: { !progress.isStopped })
    }
}

/// A blob that comes, goes on where it was broken off, and is compared with its digest at its end.
private struct BlobDownload {
    private let client: RegistryClient
    private let blob: BlobDescriptor
    private let file: Int32
    private let progress: TransferProgress
    /// Times that all bytes came and were others.
    private var wrong = 0
    private static let mostWrong = 2

    init(
        _ client: RegistryClient, _ blob: BlobDescriptor, _ file: Int32,
        _ progress: TransferProgress
    ) {
        self.client = client
        self.blob = blob
        self.file = file
        self.progress = progress
    }

    private var have: UInt64 {
        var status = stat()
        return unsafe fstat(file, &status) == 0 ? UInt64(max(0, status.st_size)) : 0
    }

    /// - Parameter place: where it comes from, for errors.
    mutating func run(_ place: String) throws(MountError) {
        var plan = RetryPlan()
        if have > blob.size { ftruncate(file, 0) }
        progress.advance(have)
        while true {
            let start = have
            if start == blob.size {
                if OpenBlob(file, bytes: blob.size, isOwned: false).digest == blob.digest { return }
                forget(start)
                wrong += 1
                guard wrong < Self.mostWrong else {
                    throw MountError(
                        .mount,
                        "the blob \(blob.digest.short) of \(place) came \(wrong) times with other bytes than its "
                            + "digest says: the registry, or something on the way, changes it")
                }
                continue
            }
            let writer = BlobWriter(file, from: start, of: blob.size, progress)
            let answer = try client.exchange(
                .get, "blobs/\(blob.digest.text)",
                headers: start > 0 ? ["Range: bytes=\(start)-"] : [], sink: writer.sink,
                goOn: { [progress] in !progress.isStopped })
            if let error = writer.error { throw RegistryPlace.unwritable("a blob", error) }
            if writer.isTooLong {
                throw MountError(
                    .mount,
                    "\(place) sends more for the blob \(blob.digest.short) than the \(blob.size) bytes that it "
                        + "should have")
            }
            let now = have
            if answer.outcome == .done, [200, 206].contains(answer.status) {
                if now == blob.size { continue }
                // It ended early, without saying so.
            } else if answer.outcome == .done, answer.status == 404 {
                throw MountError(
                    .mount,
                    "\(place) lacks the blob \(blob.digest.short) that its manifest names: push it anew"
                )
            } else if answer.outcome == .done, answer.status == 416 {
                forget(now)
            } else if !client.isPassing(answer), !writer.isMisplaced {
                throw client.failure(answer)
            }
            if progress.isStopped { throw client.failure(answer) }
            // A connection that brings a good piece each time may break as often as it likes.
            if now > start + 256 << 10 { plan.reset() }
            guard let wait = plan.next(retryAfterSeconds: answer.retryAfterSeconds) else {
                if answer.outcome == .done, answer.status < 300 {
                    throw MountError(
                        .mount,
                        "\(place) ends the blob \(blob.digest.short) after \(now) of \(blob.size) bytes, again "
                            + "and again: try later; what has come is kept")
                }
                throw client.failure(answer)
            }
            RetryPlan.wait(
                milliseconds: wait,
                goOn: { [progress] in !progress.isStopped && !progress.isHurried })
        }
    }

    private func forget(_ bytes: UInt64) {
        ftruncate(file, 0)
        progress.takeBack(bytes)
    }
}

/// Writes what comes of a blob.
private final class BlobWriter {
    private let file: Int32
    private let most: UInt64
    private let progress: TransferProgress
    private var at: UInt64
    private(set) var error: Errno?
    private(set) var isTooLong = false
    /// Whether another range came than was asked for.
    private(set) var isMisplaced = false

    init(_ file: Int32, from start: UInt64, of most: UInt64, _ progress: TransferProgress) {
        self.file = file
        self.most = most
        self.progress = progress
        at = start
    }

    var sink: BodySink {
        unsafe BodySink(
            begin: { self.begin($0, $1) },
            take: { unsafe self.take($0) })
    }

    private func begin(_ status: Int, _ headers: [(name: String, value: String)]) -> Bool {
        if status == 206 {
            let range = headers.first { $0.name == "content-range" }?.value ?? ""
            guard range.hasPrefix("bytes \(at)-") else {
                isMisplaced = true
                ftruncate(file, 0)
                progress.takeBack(at)
                return false
            }
        } else if at > 0 {
            // The registry knows no ranges: from the beginning.
            ftruncate(file, 0)
            progress.takeBack(at)
            at = 0
        }
        return true
    }

    private func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard UInt64(bytes.count) <= most - at else {
            isTooLong = true
            return false
        }
        let code = unsafe csys_write_all(file, bytes.baseAddress, bytes.count, at)
        guard code == 0 else {
            error = Errno(rawValue: code)
            return false
        }
        at += UInt64(bytes.count)
        progress.advance(UInt64(bytes.count))
        progress.carry(UInt64(bytes.count))
        return true
    }
}
