// Where the options of `mayfly run` end and the command begins.

/// The arguments of `mayfly run`: as for env(1) and nice(1) the first word that is no option begins the
/// command, and all that follows is the command's.
///
/// The parser would take `-j8` of `mayfly run make -j8` for an option of its own, so `--` is put in front of
/// the command before it sees anything.
enum RunArguments {
    /// The options that take the next word. `RunCommandLineTests` compares them with the help.
    static let optionsWithValue: Set<String> = [
        "--at", "--report", "--keep", "--over", "--exclude", "--exclude-from", "--keep-changes",
        "--save", "--on", "--if-missing", "--profile",
        "--from", "--size", "--inodes", "--mode", "--uid", "--gid", "--queue-depth",
        "--max-payload",
        "--transport", "--durability", "-o",
    ]

    /// The arguments with `--` in front of the command; as they are where they have one, have no command,
    /// or are those of another command of `mayfly`.
    ///
    /// - Parameter arguments: without the program's name.
    static func terminated(_ arguments: [String]) -> [String] {
        guard arguments.first == "run" else { return arguments }
        var index = 1
        while index < arguments.count {
            let word = arguments[index]
            if word == "--" { return arguments }
            guard word.hasPrefix("-"), word != "-" else {
                return Array(arguments[..<index]) + ["--"] + arguments[index...]
            }
            index += optionsWithValue.contains(word) ? 2 : 1
        }
        return arguments
    }
}
