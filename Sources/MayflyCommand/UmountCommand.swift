import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly umount DIR`
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

            EXAMPLE:
              mayfly umount /mnt/fast

            EXIT STATUS:
              0    unmounted, also where the server goes on
              1    not a Mayfly mount, wrong arguments, or not permitted
              32   busy, or unmounting failed
            """)

    @Argument(help: "The directory it is mounted on.", completion: .mounts)
    var directory: PathBytes

    @Flag(help: "Take it out of the tree now; it ends when its last user does.")
    var lazy = false

    @Flag(
        help: """
            Abort requests that hang: those waiting for them get an error. This ends the file system \
            wherever else it is mounted.
            """)
    var force = false

    func run() throws {
        let line = try Unmounting.unmountOwn(
            Unmounting.leaveWorkingDirectory(for: directory), lazy: lazy, force: force)
        if let line { Console.complain(line) }
    }
}
