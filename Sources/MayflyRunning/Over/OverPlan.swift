// What `mayfly run --over` and the options that go with it ask for.

import Glibc
package import Mayfly
package import MayflyHost

/// The options as they were given.
package struct OverPlan: Sendable {
    /// When changes are applied to the folders on disk.
    package enum Applying: Sendable {
        case never
        /// When the command has succeeded.
        case afterSuccess
        case always
        /// When the user says so on the terminal.
        case asking
    }

    package var folders: [PathBytes] = []
    /// Patterns like those of .gitignore.
    package var excludes: [PathBytes] = []
    /// Files with such patterns.
    package var excludeFiles: [PathBytes] = []
    package var applying = Applying.never
    /// Whether changes are applied also where the folder was changed meanwhile.
    package var forces = false
    /// A new file ending in .tar or .mayfly.
    package var keepPath: PathBytes?

    package init() {}

    /// - Parameter others: options of the run that say where it mounts, and whether they were given.
    /// - Throws: `.usage` for options that go with no folder, or not with each other.
    package func check(_ others: [(String, Bool)]) throws(MountError) {
        if folders.isEmpty { return try checkWithout() }
        if let option = others.first(where: \.1) {
            throw MountError(
                .usage,
                "\(option.0) and --over exclude each other, as the command sees the folder as it is: give one"
            )
        }
        if forces, applying == .never {
            throw MountError(.usage, "--force goes with --apply or --ask: give one of them")
        }
        if applying == .asking, isatty(STDIN_FILENO) == 0 {
            throw MountError(
                .usage,
                "--ask needs a terminal as the standard input: give --apply or --keep-changes where there is "
                    + "none")
        }
        if excludes.contains(where: \.bytes.isEmpty) {
            throw MountError(.usage, "--exclude is empty: give a pattern, or leave it out")
        }
        guard let keepPath else { return }
        guard folders.count == 1 else {
            throw MountError(
                .usage, "--keep-changes goes with one --over: leave it out, or the others")
        }
        guard keepPath.hasSuffix(".tar") || keepPath.hasSuffix(".mayfly") else {
            throw MountError(
                .usage, "bad --keep-changes \(keepPath): name a file ending in .tar or .mayfly")
        }
    }

    private func checkWithout() throws(MountError) {
        let given: [(String, Bool)] = [
            ("--exclude", !excludes.isEmpty), ("--exclude-from", !excludeFiles.isEmpty),
            (applying == .asking ? "--ask" : "--apply", applying != .never), ("--force", forces),
            ("--keep-changes", keepPath != nil),
        ]
        if let option = given.first(where: \.1) {
            throw MountError(.usage, "\(option.0) goes with --over DIR: name a folder")
        }
    }
}
