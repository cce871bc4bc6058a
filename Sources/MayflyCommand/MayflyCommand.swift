import ArgumentParser
import Glibc
import Mayfly
import MayflyHost
import MayflyRunning

/// The command `mayfly`: arguments and printing; what it does is in `Mayfly` and `MayflyRunning`.
@main
struct MayflyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mayfly",
        abstract: "A file system in memory, as near to tmpfs as user space can be.",
        discussion: """
            EXAMPLE:
              mayfly mount /mnt/fast --size 4g
              mayfly run --here make -j8
              mayfly list
              mayfly stat /mnt/fast
              mayfly umount /mnt/fast
              mayfly bench /dev/shm

            EXIT STATUS:
              0    done
              1    wrong arguments, or not permitted
              2    the system refused memory, a process or a descriptor
              32   mounting or unmounting failed
              `mayfly run` has its own: see `mayfly run --help`.
            """,
        version: "mayfly \(MayflyVersion.text)",
        subcommands: [
            MountCommand.self, UmountCommand.self, RunCommand.self, ListCommand.self,
            StatCommand.self, TopCommand.self, ResizeCommand.self, CheckCommand.self,
            SnapshotCommand.self, SnapshotsCommand.self, RollbackCommand.self, ForkCommand.self,
            SaveCommand.self, RecoverCommand.self, UpgradeCommand.self, DiffCommand.self,
            ImageCommand.self,
            FaultCommand.self, CrashCommand.self, SyncCommand.self, UnsyncedCommand.self,
            WatchCommand.self, MetricsCommand.self,
            UnpackCommand.self, CopyCommand.self, RemoveCommand.self, BenchCommand.self,
            InstallCommand.self, UninstallCommand.self,
        ])

    /// Parses, runs, and ends the process; every error is one line on the standard error.
    static func main() {
        let arguments = RunArguments.terminated(Invocation.arguments)
        let failed = arguments.first == "run" ? ExitStatus.runFailed : nil
        HostFacts.fillStandardDescriptors()
        do {
            var command = try parsed(arguments)
            // Neither the help nor an image, which is a file like any other, needs to know of mounts.
            let isHelp = ["help", "mayfly"].contains(
                type(of: command).configuration.commandName ?? "mayfly")
            if !isHelp, arguments.first != "image" { try HostFacts.checkProc() }
            try command.run()
        } catch let error as MountError {
            // The options of mount are those of others too.
            let help = (["mayfly"] + commandPath(arguments) + ["--help"]).joined(separator: " ")
            Console.complain(error.line.replacing("`mayfly mount --help`", with: "`\(help)`"))
            Glibc.exit(failed ?? error.exitCode)
        } catch let status as ExitCode {
            Glibc.exit(status.rawValue)
        } catch {
            if exitCode(for: error).isSuccess {
                print(fullMessage(for: error))
                Glibc.exit(0)
            }
            Console.complain(usageLine(for: error, arguments: arguments))
            Glibc.exit(failed ?? ExitStatus.usage)
        }
        Glibc.exit(0)
    }

    /// A command with what it was given.
    ///
    /// One without commands of its own is parsed alone: that spares the options of all others, a third of
    /// the time. What is wrong, and what asks for help, is left to the whole, which knows the command's full name.
    private static func parsed(_ arguments: [String]) throws -> any ParsableCommand {
        if let named = configuration.subcommands.first(where: {
            $0.configuration.commandName == arguments.first
        }), named.configuration.subcommands.isEmpty,
            let command = try? named.parseAsRoot(Array(arguments.dropFirst())),
            type(of: command) == named
        {
            return command
        }
        return try parseAsRoot(arguments)
    }

    /// What ArgumentParser found wrong, in one line, with the help to look into.
    private static func usageLine(for error: any Error, arguments: [String]) -> String {
        let text = message(for: error).split(separator: "\n").joined(separator: " ")
        let path = commandPath(arguments)
        if let word = arguments.dropFirst(path.count).first, !word.hasPrefix("-"),
            path.isEmpty || !subcommands(path).isEmpty
        {
            let help = (["mayfly"] + path + ["--help"]).joined(separator: " ")
            let command = (path + [ShellQuote.escaped(word)]).joined(separator: " ")
            let near = Suggestion.nearest(
                word, subcommands(path).compactMap { $0.configuration.commandName })
            if let near {
                let meant = (["mayfly"] + path + [near]).joined(separator: " ")
                return
                    "there is no command '\(command)': did you mean `\(meant)`? `\(help)` lists all"
            }
            return "there is no command '\(command)': "
                + "`\(help)` lists them"
        }
        let help = (["mayfly"] + path + ["--help"]).joined(separator: " ")
        let sentence = text.hasSuffix(".") ? text.dropLast() : text[...]
        return "\(sentence.prefix(1).lowercased())\(sentence.dropFirst()) (see `\(help)`)"
    }

    /// The words at the beginning that name a command and one of its own.
    private static func commandPath(_ arguments: [String]) -> [String] {
        var path: [String] = []
        while path.count < arguments.count {
            let word = arguments[path.count]
            guard subcommands(path).contains(where: { $0.configuration.commandName == word }) else {
                break
            }
            path.append(word)
        }
        return path
    }

    private static func subcommands(_ path: [String]) -> [any ParsableCommand.Type] {
        path.reduce(configuration.subcommands) { commands, word in
            commands.first { $0.configuration.commandName == word }?.configuration.subcommands ?? []
        }
    }
}
