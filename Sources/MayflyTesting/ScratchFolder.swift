// The folder of a test process: what its mounts lie on and its images are in.
//
// One for each process, made with the first mount. A watcher process removes it with all that is
// mounted in it when this process is gone, however it ended.

internal import CMayflyTesting
internal import Glibc
internal import Mayfly
internal import Synchronization

/// A folder that does not outlive the process.
final class ScratchFolder: Sendable {
    let path: String
    private let count = Atomic<Int>(0)

    private static let made = Result<ScratchFolder, MountError> { () throws(MountError) in
        try ScratchFolder()
    }

    /// The one of this process.
    ///
    /// - Throws: `.system` when it cannot be made or watched, each time.
    static func shared() throws(MountError) -> ScratchFolder { try made.get() }

    private init() throws(MountError) {
        let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/mayfly-test-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw MountError(
                .system, "no folder can be made in \(parent): look at its permissions, or set TMPDIR")
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        // Another user's program may be given a path in a mount that lets others in.
        unsafe chmod(path, 0o711)
        if unsafe cmt_watch(path) != 0 {
            unsafe rmdir(path)
            throw MountError(
                .system,
                "no process can be started that clears up after the tests: raise `ulimit -u`")
        }
    }

    /// A path in it that nothing has.
    func freePath() -> String {
        "\(path)/\(count.wrappingAdd(1, ordering: .relaxed).newValue)"
    }

    /// An empty folder in it.
    func makeFolder() throws(MountError) -> String {
        let folder = freePath()
        guard unsafe mkdir(folder, 0o700) == 0 else {
            throw MountError(.system, "\(folder) cannot be made: look whether \(path) is there")
        }
        return folder
    }
}
