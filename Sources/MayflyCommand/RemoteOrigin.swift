// RemoteOrigin: `--from oci://...`: the image is brought into the store before there is a server. A process of its
// own does that, so that no server carries libcurl and what it needs, and this one has one thread when it forks.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import MayflyRegistry

enum RemoteOrigin {
    /// The file of an image that a text names by an address, once it is in the store.
    ///
    /// - Parameters:
    ///   - from: what --from was given.
    ///   - quiet: whether nothing is said.
    ///   - say: told what has come.
    /// - Returns: what was given, where that is no address; nil where there is nothing at the address.
    /// - Throws: as `ImagePull.pull`.
    static func brought(
        _ from: String, quiet: Bool, say: (String) -> Void
    ) throws(MountError) -> String? {
        guard ImageReference.isReference(from) else { return from }
        let reference = try ImageReference(from)
        var ends: [Int32] = [-1, -1]
        guard unsafe csys_pipe(&ends) == 0 else { throw cannotStart(errno) }
        let process = csys_fork()
        if process == 0 {
            close(ends[0])
            send(answer(reference, quiet: quiet), to: ends[1])
            _exit(0)
        }
        let failure = errno
        close(ends[1])
        defer { close(ends[0]) }
        guard process > 0 else { throw cannotStart(failure) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe read(ends[0], &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            bytes += chunk[..<count]
        }
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard let answer = ControlJSON.decoded(Answer.self, bytes) else {
            throw MountError(
                .mount,
                "\(from) was not brought: the process that brings it died (status \(status))")
        }
        if let error = answer.error {
            throw MountError(answer.isUsage ? .usage : answer.isSystem ? .system : .mount, error)
        }
        guard let summary = answer.summary else { return nil }
        if !quiet { say(line(summary)) }
        return summary.path
    }

    static func isAddress(_ from: String) -> Bool { ImageReference.isReference(from) }

    /// The same, where it must be there.
    static func present(
        _ from: String, quiet: Bool, say: (String) -> Void
    ) throws(MountError) -> String {
        if let path = try brought(from, quiet: quiet, say: say) { return path }
        throw missing(try ImageReference(from))
    }

    static func missing(_ reference: ImageReference) -> MountError {
        MountError(
            .usage,
            "there is no image at \(reference.text): look at the name and the tag, or `mayfly image push` one"
        )
    }

    /// What was pulled, in a line.
    static func line(_ summary: PullSummary) -> String {
        let what =
            summary.blobs == 0
            ? "it was there" : "\(summary.blobs) blobs (\(Numbers.bytes(summary.receivedBytes)))"
        return
            "\(summary.reference) is \(summary.name) in the store: \(summary.digest.prefix(19)), \(what)"
    }

    // MARK: the process that brings it

    private struct Answer: Codable {
        var summary: PullSummary?
        var error: String?
        var isUsage = false
        var isSystem = false
    }

    private static func answer(_ reference: ImageReference, quiet: Bool) -> Answer {
        let progress = TransferProgress()
        let line = TransferLine(isShown: !quiet)
        defer { line.clear() }
        do throws(MountError) {
            return Answer(
                summary: try ImagePull.pull(
                    reference, as: reference.ownName, TransferOptions(), progress: progress,
                    watch: { line.show(progress) }))
        } catch {
            return Answer(
                error: error.message, isUsage: error.kind == .usage,
                isSystem: error.kind == .system)
        }
    }

    private static func send(_ answer: Answer, to descriptor: Int32) {
        var bytes = ControlJSON.encoded(answer)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe write(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return }
            bytes = bytes.dropFirst(count)
        }
    }

    private static func cannotStart(_ error: Int32) -> MountError {
        let reason = unsafe String(cString: strerror(error))
        return MountError(.system, "no process can be started (\(reason)): raise `ulimit -u`")
    }
}
