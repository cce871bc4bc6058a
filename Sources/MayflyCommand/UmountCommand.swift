import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly umount DIR...`
struct UmountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "umount",
        abstract: "Unmount a Mayfly file system; everything in it is gone then.",
        discussion: """
            Returns when its server has freed everything. Where bind mounts of it, copies in other \
            mount namespaces or open files are left, they go on with their server, and a line says \
            so. Refuses a mount that is not Mayfly's, and names the processes that keep a busy one \
            so. Also takes away a mount whose server has died. With --force also ends one that is \
            detached or in another mount namespace, by the name that `mayfly list` has in brackets.

            Of several directories each is unmounted, whatever became of the others.

            EXAMPLE:
              mayfly umount /mnt/fast
              mayfly umount /mnt/a /mnt/b
              mayfly umount --all

            EXIT STATUS:
              0    unmounted, also where the server goes on
              1    not a Mayfly mount, wrong arguments, or not permitted
              32   busy, or unmounting failed
            """)

    @Argument(help: "The directories they are mounted on.", completion: .mounts)
    var directories: [PathBytes] = []

    @Flag(help: "Unmount every Mayfly mount that is seen here.")
    var all = false

    @Flag(help: "Take it out of the tree now; it ends when its last user does.")
    var lazy = false

    @Flag(
        help: """
            Abort requests that hang: those waiting for them get an error. This ends the file system \
            wherever else it is mounted.
            """)
    var force = false

    func run() throws {
        if all, !directories.isEmpty {
            throw MountError(.usage, "--all and directories exclude each other: give one")
        }
        if directories.isEmpty, !all {
            throw MountError(.usage, "umount needs a directory: name one, or give --all")
        }
        let places =
            all ? Unmounting.ownMountpoints : Unmounting.leaveWorkingDirectory(for: directories)
        var failure: MountError?
        for place in places {
            do throws(MountError) {
                let line = try Unmounting.unmountOwn(place, lazy: lazy, force: force)
                if let line { Console.complain(line) }
            } catch {
                // Only the last is told by who called.
                if let failure { Console.complain(failure.line) }
                failure = error
            }
        }
        if let failure { throw failure }
    }
}
