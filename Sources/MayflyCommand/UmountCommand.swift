import ArgumentParser
import Mayfly

/// `mayfly umount DIR`
struct UmountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "umount",
        abstract: "Unmount a Mayfly file system; everything in it is gone then.",
        discussion: """
            Returns when its server has freed everything. Refuses a mount that is not Mayfly's, \
            and names the processes that keep a busy one so. Also takes away a mount whose server \
            has died. With --force also ends one that is detached or in another mount namespace, \
            by the name that `mayfly list` has in brackets.

            EXAMPLE:
              mayfly umount /mnt/fast

            EXIT STATUS:
              0    unmounted
              1    not a Mayfly mount, wrong arguments, or not permitted
              32   busy, or unmounting failed
            """)

    @Argument(help: "The directory it is mounted on.")
    var directory: String

    @Flag(help: "Take it out of the tree now; it ends when its last user does.")
    var lazy = false

    @Flag(help: "Abort requests that hang: those waiting for them get an error.")
    var force = false

    func run() throws {
        try Unmounting.unmountOwn(directory, lazy: lazy, force: force)
    }
}
