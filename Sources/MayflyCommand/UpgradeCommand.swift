import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly upgrade DIR`
struct UpgradeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade",
        abstract: "Have this version of mayfly serve a mount that is in use.",
        discussion: """
            For mounts with --survive. The server comes to the end of its requests, and its guardian starts \
            this program in its place, with the options that the mount was made with. Every file is there \
            afterwards. Files that are open are lost: clients get ENOTCONN, and open them again. Where \
            this program cannot serve what is kept, the one before goes on.

            EXAMPLE:
              mayfly upgrade /mnt/fast
              mayfly upgrade --all

            EXIT STATUS:
              0    done
              1    the mount does not survive its server, versions do not fit, or wrong arguments
              32   the server is dead or does not answer, or this program cannot serve the mount
            """)

    @Argument(help: "Directories in mounts.", completion: .mounts)
    var directories: [PathBytes] = []

    @Flag(help: "Upgrade all mounts with --survive that are yours, or for root everyone's.")
    var all = false

    func run() throws {
        guard all != !directories.isEmpty else {
            throw MountError(
                .usage,
                all
                    ? "--all and directories exclude each other: give one"
                    : "upgrade needs a directory: name one, or give --all")
        }
        var paths = directories
        if all {
            let mounts = Upgrade.mounts()
            for mount in mounts.others {
                Console.complain(
                    "\(ShellQuote.quoted(mount)) is left as it is: it was mounted without --survive"
                )
            }
            paths = mounts.surviving.map { PathBytes($0) }
        }
        var failure: MountError?
        for path in paths {
            do throws(MountError) {
                let done = try Upgrade.replace(path) { words in
                    (try? MountCommand.parse(words.map(\.text))) != nil
                }
                Console.say(
                    "\(ShellQuote.quoted(done.mountpoint)) is served by mayfly \(done.after), pid "
                        + "\(done.newServer), in place of \(done.before), pid \(done.oldServer): the change took "
                        + Numbers.duration(done.nanoseconds))
            } catch {
                if let failure { Console.complain(failure.message) }
                failure = error
            }
        }
        if let failure { throw failure }
    }
}
