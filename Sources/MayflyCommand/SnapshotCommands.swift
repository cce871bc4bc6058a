import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly snapshot DIR [NAME]`
struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Keep what a mount holds now, to roll back to.",
        discussion: """
            Requests wait while what differs from the base is copied; the first time, for a mount \
            that began empty, that is all it holds. A snapshot lives as long as the mount.

            EXAMPLE:
              mayfly snapshot /mnt/fast clean
              make -C /mnt/fast test; mayfly rollback /mnt/fast clean

            EXIT STATUS:
              0    taken
              1    the name is taken, or wrong arguments
              32   the server is dead, does not answer, or has no memory for it
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Argument(
        help: "What to call it. Default: the next free number.", completion: .snapshots)
    var name: PathBytes?

    @Flag(help: "Give a snapshot of that name up for the new one.")
    var replace = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let control = try MountControl(directory)
        let record = try control.snapshot(name?.text, replacing: replace)
        if json { return Console.write(ControlJSON.encoded(record, isPretty: true)) }
        Console.say(
            "snapshot \(ShellQuote.quoted(record.name)) of \(ShellQuote.quoted(control.mountpoint)):"
                + " \(Numbers.bytes(record.bytes)), \(record.inodes) inodes, "
                + "\(Numbers.bytes(record.privateBytes)) of its own")
    }
}

/// `mayfly snapshots DIR`
struct SnapshotsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshots",
        abstract: "List the snapshots of a mount, with the memory that is shared and private.",
        discussion: """
            A mount that was started from an image or as a fork has a snapshot "start". PRIVATE is \
            what a snapshot takes beside what it has in common with the mount and the other snapshots.

            EXAMPLE:
              mayfly snapshots /mnt/fast
              mayfly snapshots /mnt/fast --remove clean

            EXIT STATUS:
              0    done, also when there is none
              1    there is none of that name, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Option(help: "Give this snapshot up first.")
    var remove: PathBytes?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let control = try MountControl(directory)
        let list =
            try remove.map { name in try control.removeSnapshot(name.text) }
            ?? control.snapshots()
        if json { return Console.write(ControlJSON.encoded(list, isPretty: true)) }
        var table = Table(
            ("SNAPSHOT", .left), ("BYTES", .right), ("INODES", .right), ("PRIVATE", .right))
        for snapshot in list.snapshots {
            table.add(
                ShellQuote.quoted(snapshot.name), Numbers.bytes(snapshot.bytes),
                "\(snapshot.inodes)", Numbers.bytes(snapshot.privateBytes))
        }
        if !list.snapshots.isEmpty { for line in table.lines { Console.show(line) } }
        let shared = list.sharedBytes.map { "\(Numbers.bytes($0)) shared" } ?? "nothing shared yet"
        Console.show(
            "\(ShellQuote.quoted(control.mountpoint)): \(shared), "
                + "\(Numbers.bytes(list.privateBytes)) private")
    }
}

/// `mayfly rollback DIR [NAME]`
struct RollbackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback",
        abstract: "Make a mount what it was when a snapshot was taken.",
        discussion: """
            When it returns every process sees the old tree, through open files and whatever the \
            kernel had cached. Files that did not exist then and are open answer ESTALE. Snapshots \
            stay, also younger ones. Mounts in the tree stay on their folders; where a folder or file \
            that carries one was not there then, nothing is done.

            EXAMPLE:
              mayfly rollback /mnt/fast              # to the newest, or to the image it began with
              mayfly rollback /mnt/fast clean

            EXIT STATUS:
              0    rolled back
              1    there is no such snapshot, a mount would be taken away, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Argument(help: "The snapshot. Default: the newest.", completion: .snapshots)
    var name: PathBytes?

    @Flag(help: "Take mounts away with folders and files that did not exist then.")
    var force = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let control = try MountControl(directory)
        let summary = try control.rollback(to: name?.text, force: force)
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        Console.say(
            "\(ShellQuote.quoted(control.mountpoint)) is as it was at snapshot "
                + "\(ShellQuote.quoted(summary.name)): \(summary.pages) pages dropped, "
                + "\(summary.changedNodes) files and directories changed, in "
                + Numbers.time(summary.nanoseconds))
    }
}

/// `mayfly fork DIR NEWDIR`
struct ForkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fork",
        abstract: "Mount a copy of a mount elsewhere, which shares its memory.",
        discussion: """
            The fork begins as the mount is now, and from then on the two know nothing of each other. \
            It has the mount's options, and is served by the same process until it is unmounted.

            EXAMPLE:
              mkdir /tmp/copy && mayfly fork /mnt/fast /tmp/copy
              mayfly umount /tmp/copy

            EXIT STATUS:
              0    mounted
              1    wrong arguments, or not permitted
              2    the system refused memory, a thread or a descriptor
              32   the server is dead or does not answer, or mounting failed
            """)

    @Argument(help: "A directory in the mount.", completion: .mounts)
    var directory: PathBytes

    @Argument(help: "The directory to mount the copy on.", completion: .directory)
    var target: PathBytes

    @Flag(help: "Print what `mayfly stat --json` does of the fork.")
    var json = false

    func run() throws {
        let control = try MountControl(directory)
        let report = try control.fork(to: target)
        if json { return Console.write(ControlJSON.encoded(report, isPretty: true)) }
        Console.say(
            "\(ShellQuote.quoted(report.mountpoint)) is a fork of "
                + "\(ShellQuote.quoted(control.mountpoint)): \(Numbers.bytes(report.bytes.used)), "
                + "\(report.inodes.used) inodes")
    }
}

/// `mayfly save DIR OUT`
struct SaveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "save",
        abstract: "Write what a mount holds now to an image.",
        discussion: """
            The image is of one moment; requests wait as for a snapshot, and go on while it is \
            written. The server writes it: its user's rights and your umask count. OUT is replaced \
            when the image is whole, if it is a regular file, and keeps its permissions.

            With --on, OUT is a layer: it holds only the pages that differ from BASE, and a mount from \
            it needs BASE beside it or in the store. That is quick where the mount began with BASE.

            EXAMPLE:
              mayfly save /mnt/fast ~/built.mayfly
              mayfly mount /mnt/again --from ~/built.mayfly
              mayfly save /mnt/again ~/tested.mayfly --on ~/built.mayfly

            EXIT STATUS:
              0    written
              1    OUT cannot be made, or wrong arguments
              32   the server is dead or does not answer, or there is no room
            """)

    @Argument(help: "A directory in the mount.", completion: .mounts)
    var directory: PathBytes

    @Argument(help: "The image to write.", completion: .file())
    var out: PathBytes

    @Option(
        help: "Write a layer on this image, or on the image of this name in the store.",
        completion: .file())
    var on: PathBytes?

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let summary = try MountControl(directory).save(to: out, on: on)
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        if let base = on, let pages = summary.pageBytes {
            return Console.say(
                "\(ShellQuote.quoted(summary.path)) is written: a layer of \(Numbers.bytes(pages)) "
                    + "on \(ShellQuote.quoted(base))")
        }
        Console.say(
            "\(ShellQuote.quoted(summary.path)) is written: \(Numbers.bytes(summary.bytes)) with its "
                + "holes")
    }
}
