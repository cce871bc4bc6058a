// HelperProgram: a program that is asked one question: a credential helper.

internal import CMayflySystem
internal import Glibc
internal import Mayfly
internal import MayflyHost
internal import SystemPackage

enum HelperProgram {
    private static let mostBytes = 1 << 20

    /// Runs a program from PATH with our standard error, gives it its input and takes its output.
    ///
    /// - Returns: its exit status, 128 and the number of a signal that it died of; and up to 1 MiB of output.
    /// - Throws: `.system` where it cannot be started.
    static func run(
        _ words: [String], input: String
    ) throws(MountError) -> (status: Int32, output: [UInt8]) {
        func failure(_ code: Int32) -> MountError {
            MountError(
                .system,
                "\(words[0]) cannot be started (\(Errno(rawValue: code))): install it, or name another file of "
                    + "credentials (--auth-file)")
        }
        var (given, taken): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
        guard unsafe csys_pipe(&given) == 0 else { throw failure(errno) }
        defer { close(given[0]) }
        guard unsafe csys_pipe(&taken) == 0 else {
            close(given[1])
            throw failure(errno)
        }
        defer { close(taken[0]) }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe _ = posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, given[0], STDIN_FILENO)
        unsafe posix_spawn_file_actions_adddup2(&actions, taken[1], STDOUT_FILENO)
        var vector = unsafe words.map { unsafe strdup($0) }
        unsafe vector.append(nil)
        defer { unsafe vector.forEach { unsafe free($0) } }
        var process: pid_t = 0
        let code = unsafe posix_spawnp(
            &process, words[0], &actions, nil, &vector, csys_environment())
        close(taken[1])
        guard code == 0 else {
            close(given[1])
            throw failure(code)
        }
        FileSignals.held {
            var bytes = Array(input.utf8)[...]
            while !bytes.isEmpty {
                let count = unsafe bytes.withUnsafeBytes {
                    unsafe write(given[1], $0.baseAddress, $0.count)
                }
                if count < 0, errno == EINTR { continue }
                if count <= 0 { break }
                bytes = bytes.dropFirst(count)
            }
        }
        close(given[1])
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while output.count < mostBytes {
            let count = unsafe read(taken[0], &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            output += chunk[..<count]
        }
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7F
        return (signal == 0 ? (status >> 8) & 0xFF : 128 + signal, output)
    }
}
