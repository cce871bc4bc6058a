import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly image store`
struct ImageStoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store",
        abstract: "Keep images by name.",
        discussion: """
            The store is a folder of yours: $XDG_DATA_HOME/mayfly, or ~/.local/share/mayfly, or \
            /var/lib/mayfly for root. Wherever an image is asked for, a name without a slash that is no \
            file in the working directory is looked up there.

            EXAMPLE:
              mayfly image store add base.mayfly
              mayfly mount /mnt/test --from base
            """,
        subcommands: [
            ImageStoreListCommand.self, ImageStoreAddCommand.self, ImageStoreRemoveCommand.self,
            ImageStoreGCCommand.self, ImageStorePathCommand.self,
        ])
}

struct ImageStoreListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the images in the store.",
        discussion: """
            Images without a name are those that others are layers on.

            EXAMPLE:
              mayfly image store list

            EXIT STATUS:
              0    listed, also when there is none
            """)

    @Flag(help: "Print JSON: an object in each line.")
    var json = false

    func run() throws {
        let images = try ImageStore.list()
        if json {
            for image in images { Console.write(ControlJSON.encoded(image)) }
            return
        }
        var table = Table(
            ("NAME", .left), ("DIGEST", .left), ("BYTES", .right), ("LAYERS", .right),
            ("USED", .left))
        for image in images {
            table.add(
                image.name.map { ShellQuote.quoted($0) } ?? "-", String(image.digest.prefix(19)),
                Numbers.bytes(image.diskBytes), "\(image.depth)",
                image.usedSeconds.map { ImageListCommand.time($0) } ?? "-")
        }
        if !images.isEmpty { for line in table.lines { Console.show(line) } }
    }
}

struct ImageStoreAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Copy an image into the store.",
        discussion: """
            The image is compared with its digests first. What a layer is on must be in the store.

            EXAMPLE:
              mayfly image store add base.mayfly
              mayfly image store add /tmp/built.mayfly --name nightly

            EXIT STATUS:
              0    it is in the store
              1    it is no image or damaged, or wrong arguments
              2    there is no room
            """)

    @Argument(help: "The image.", completion: .file())
    var image: PathBytes

    @Option(help: "What to call it. Default: as the file, without .mayfly.")
    var name: PathBytes?

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let stored = try ImageStore.add(image, as: name)
        if json { return Console.write(ControlJSON.encoded(stored, isPretty: true)) }
        Console.say(
            "\(ShellQuote.quoted(stored.name ?? "")) is in the store: \(stored.digest), "
                + Numbers.bytes(stored.diskBytes))
    }
}

struct ImageStoreRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Give names up, and what nothing needs any more.",
        discussion: """
            An image stays as long as a layer in the store is on it, or a mount uses it.

            EXAMPLE:
              mayfly image store remove nightly

            EXIT STATUS:
              0    removed
              1    there is none of that name, or wrong arguments
            """)

    @Argument(help: "The names.")
    var names: [PathBytes]

    func run() throws { try ImageStore.remove(names) }
}

struct ImageStoreGCCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "Remove what was not used for longest.",
        discussion: """
            Without --limit only what a killed process left, and what nothing needs. Images in use stay.

            EXAMPLE:
              mayfly image store gc --limit 20g

            EXIT STATUS:
              0    done
              1    the store takes more than the limit all the same, or wrong arguments
            """)

    @Option(help: "Bytes that the store may take on disk: a number with k, m, g or t.")
    var limit: String?

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    func run() throws {
        let most = try limit.map { try SizeText.count($0, option: "--limit") }
        let (removed, bytes) = try ImageStore.collect(limit: most)
        if !quiet {
            for name in removed { Console.say("\(name) is removed") }
            Console.say("the store takes \(Numbers.bytes(bytes))")
        }
        if let most, bytes > most {
            throw MountError(
                .usage, "the store takes more than \(Numbers.bytes(most)), as all of it is in use")
        }
    }
}

struct ImageStorePathCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "path",
        abstract: "Tell where the store is, or an image in it.",
        discussion: """
            EXAMPLE:
              mayfly image store path
              cp "$(mayfly image store path nightly)" nightly.mayfly

            EXIT STATUS:
              0    told
              1    there is none of that name
            """)

    @Argument(help: "A name in the store.")
    var name: PathBytes?

    func run() throws { Console.show(try ImageStore.place(of: name).text) }
}
