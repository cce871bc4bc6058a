import ArgumentParser
import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import MayflyRegistry
import MayflyRunning
import Synchronization

/// `mayfly image`
struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "Build images, look into them, check, compare, export, push and pull them.",
        discussion: """
            An image is a file that mounts start from at once, sharing its memory: `mayfly mount DIR \
            --from IMAGE`. `mayfly save` makes one of a mount.

            EXAMPLE:
              mayfly image build base.mayfly --from base.tar.zst
              mayfly mount /mnt/test --from base.mayfly
            """,
        subcommands: [
            ImageBuildCommand.self, ImageInfoCommand.self, ImageListCommand.self,
            ImageCheckCommand.self, ImageExportCommand.self, ImageDiffCommand.self,
            ImageFlattenCommand.self, ImagePushCommand.self, ImagePullCommand.self,
            ImageStoreCommand.self,
        ])
}

struct ImageBuildCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Build an image of a directory or an archive.",
        discussion: """
            Owners, modes, times, extended attributes, access lists, hard links, holes and devices \
            are kept. The same input gives the same bytes. OUT is replaced when the image is whole, \
            if it is a regular file.

            EXAMPLE:
              mayfly image build base.mayfly --from ./tree
              mayfly image build base.mayfly --from base.tar.gz
              git archive HEAD | mayfly image build head.mayfly --from -
              mayfly image build newer.mayfly --from ./tree --on base.mayfly

            EXIT STATUS:
              0    built
              1    the source cannot be read, or wrong arguments
              2    there is no room
            """)

    @Argument(help: "The image to write.", completion: .file())
    var out: PathBytes

    @Option(
        help: """
            A directory; an archive (tar, cpio, zip and others, also compressed by gzip, xz, zstd \
            and others); - for an archive on the standard input.
            """)
    var from: PathBytes

    @Option(
        help: "Write a layer on this image: only the pages that differ from it.",
        completion: .file())
    var on: PathBytes?

    @Flag(help: "Leave out what other file systems are mounted with in the directory.")
    var oneFileSystem = false

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        var bar = BuildLine(isShown: !quiet)
        let summary = try TreeImage.build(
            from: from, to: out, on: on, oneFileSystem: oneFileSystem
        ) { bar.show($0) }
        bar.clear()
        for warning in summary.warnings { Console.complain(warning) }
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        if quiet { return }
        Console.say(
            "\(out): \(summary.entries) entries, "
                + "\(Numbers.bytes(summary.contentBytes)) of content, "
                + (on == nil
                    ? "\(Numbers.bytes(summary.fileBytes)) with its holes"
                    : "a layer of \(Numbers.bytes(summary.fileBytes))"))
    }
}

/// Says on a terminal how far a build is, ten times a second.
struct BuildLine {
    private let line: ProgressLine?
    private var next = ContinuousClock.now

    init(isShown: Bool) { line = isShown ? ProgressLine() : nil }

    mutating func show(_ progress: BuildProgress) {
        guard let line, ContinuousClock.now >= next else { return }
        next = .now + .milliseconds(100)
        var bar = ""
        if let all = progress.sourceBytes, all > 0 {
            let share = min(1, Double(progress.readBytes) / Double(all))
            let full = String(repeating: "#", count: Int(share * 30))
            let rest = String(repeating: " ", count: 30 - full.count)
            bar = "[\(full)\(rest)] \(Numbers.percent(share))  "
        }
        line.show("\(bar)\(progress.entries) entries, \(Numbers.bytes(progress.contentBytes))")
    }

    func clear() { line?.clear() }
}

struct ImageInfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Tell what an image is and holds.",
        discussion: """
            Of a layer, what it is on is looked for and told as well. Of an image elsewhere the manifest and the \
            config are read, and nothing is brought.

            EXAMPLE:
              mayfly image info base.mayfly
              mayfly image inspect built.mayfly --tree --json
              mayfly image inspect oci://localhost:5000/team/built:v1

            EXIT STATUS:
              0    it is an image
              1    it is none, or a damaged one, or wrong arguments
              32   the registry cannot be reached, or refuses
            """,
        aliases: ["inspect"])

    @Argument(
        help: "The image; or oci://HOST/REPOSITORY:TAG, oci:FOLDER:TAG, oci-archive:FILE.",
        completion: .images)
    var image: PathBytes

    @Flag(help: "Count files, directories and links, too: looks at all of the image.")
    var tree = false

    @OptionGroup var transfer: TransferArguments

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        if ImageReference.isReference(image.text) {
            return try RemoteInfo.tell(
                ImageReference(image.text), transfer.options(), json: json)
        }
        let counts = try tree ? CarriedImage(proving: image).counts() : nil
        let info = try TreeImage(image).information
        if json {
            return Console.write(
                ControlJSON.encoded(LocalInfo(info: info, tree: counts), isPretty: true))
        }
        Console.show("image    \(ShellQuote.quoted(info.path)), format \(info.formatVersion)")
        Console.show(
            "file     \(Numbers.bytes(info.fileBytes)), of them \(Numbers.bytes(info.diskBytes)) "
                + "on disk")
        Console.show(
            "holds    \(Numbers.bytes(info.contentBytes)) in whole pages, \(info.inodes) inodes")
        Console.show("shards   \(info.shards), so for mounts of up to as many threads")
        Console.show("digest   \(info.digest)")
        if let pages = info.pageBytes { Console.show("layer    \(Numbers.bytes(pages)) of pages") }
        for base in info.bases {
            Console.show("base     \(ShellQuote.quoted(base.name)), \(base.digest)")
        }
        if let counts { Console.show("tree     \(RemoteInfo.text(counts))") }
    }
}

struct ImageFlattenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flatten",
        abstract: "Make one plain image of a layer and all that it is on.",
        discussion: """
            The image is checked first. OUT is replaced when it is whole, if it is a regular file.

            EXAMPLE:
              mayfly image flatten tested.mayfly alone.mayfly

            EXIT STATUS:
              0    written
              1    the layer or what it is on is damaged or missing, or wrong arguments
              2    there is no room
            """)

    @Argument(help: "The layer.", completion: .images)
    var image: PathBytes

    @Argument(help: "The image to write.", completion: .file())
    var out: PathBytes

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    func run() throws {
        let bytes = try TreeImage(image).flatten(to: out)
        if quiet { return }
        Console.say("\(out) is written: \(Numbers.bytes(bytes)) with its holes")
    }
}

struct ImageListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List what is in an image.",
        discussion: """
            Mode, owner and group, bytes, time in UTC, and path, as tar does. A name that a shell would \
            not take as it stands is quoted, as by `ls --quoting-style=shell-escape`. The image is \
            checked first.

            EXAMPLE:
              mayfly image list base.mayfly usr/lib

            EXIT STATUS:
              0    listed
              1    the image is damaged, there is no such path, or wrong arguments
            """)

    @Argument(help: "The image.", completion: .images)
    var image: PathBytes

    @Argument(help: "List only what is at and below this path.")
    var path: PathBytes?

    @Flag(help: "Print JSON: an object in each line.")
    var json = false

    @Flag(name: [.customShort("z"), .long], help: "End lines by NUL, with names as they are.")
    var null = false

    func run() throws {
        try TreeImage(image).list(at: path) { entry in
            if json { return Console.write(ControlJSON.encoded(entry)) }
            Console.list(
                "\(Self.mode(entry.mode)) \(entry.userID)/\(entry.groupID) \(entry.size) "
                    + "\(Self.time(entry.modified[0])) ", entry.path, link: entry.target, null: null
            )
        }
    }

    /// "-rwxr-x---" with the letters of ls(1).
    static func mode(_ mode: UInt32) -> String {
        let types: [UInt32: Character] = [
            0o010000: "p", 0o020000: "c", 0o040000: "d", 0o060000: "b", 0o120000: "l",
            0o140000: "s",
        ]
        var letters = Array("rwxrwxrwx")
        for bit in 0..<9 where mode & (1 << UInt32(8 - bit)) == 0 { letters[bit] = "-" }
        for (bit, place, letter) in [(0o4000, 2, "s"), (0o2000, 5, "s"), (0o1000, 8, "t")]
        where mode & UInt32(bit) != 0 {
            letters[place] = Character(letters[place] == "x" ? letter : letter.uppercased())
        }
        return String(types[mode & 0o170000] ?? "-") + String(letters)
    }

    /// Days and minutes of the Gregorian calendar.
    ///
    /// - Source: H. Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    static func time(_ seconds: Int64) -> String {
        let days = (seconds >= 0 ? seconds : seconds - 86_399) / 86_400
        let minutes = (seconds - days * 86_400) / 60
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let day = shifted - era * 146_097
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
        let ofYear = day - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        let ofMonth = ofYear - (153 * month + 2) / 5 + 1
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return
            "\(year + era * 400 + (month < 10 ? 0 : 1))-\(two(month < 10 ? month + 3 : month - 9))"
            + "-\(two(ofMonth)) \(two(minutes / 60)):\(two(minutes % 60))"
    }
}

struct ImageCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Prove that an image is whole and sound.",
        discussion: """
            Looks at every file, directory and piece of memory in it, and compares all of it with the \
            checksum that was written. A mount from an image checks all but what files hold.

            EXAMPLE:
              mayfly image check base.mayfly

            EXIT STATUS:
              0    everything is as it must be
              1    something is not, and is named; or wrong arguments
            """)

    @Argument(help: "The image.", completion: .images)
    var image: PathBytes

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let summary = try TreeImage(image).check()
        try CheckCommand.tell(summary, of: image.text, json: json)
    }
}

struct ImageExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write what is in an image as a tar archive.",
        discussion: """
            In the form of pax(1), with extended attributes, access lists and holes, compressed as the \
            end of the name says (.gz, .bz2, .xz, .zst, .lz4, .lz, .lzma). Sockets, which tar has no \
            form for, are left out and named. The image is checked first.

            EXAMPLE:
              mayfly image export base.mayfly --tar base.tar
              mayfly image export base.mayfly --tar - | zstd > base.tar.zst

            EXIT STATUS:
              0    written
              1    the image is damaged, or wrong arguments
              2    the archive cannot be written
            """)

    @Argument(help: "The image.", completion: .images)
    var image: PathBytes

    @Option(help: "The archive to write; - for the standard output.", completion: .file())
    var tar: PathBytes

    func run() throws {
        let image = try TreeImage(image)
        let left =
            try tar == "-" ? image.exportTar(to: STDOUT_FILENO) : image.exportTar(toFile: tar)
        for line in left { Console.complain(line) }
    }
}

struct ImageDiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Tell what differs between two images.",
        discussion: """
            A line for each path: + added in B, - removed, ~ changed, and what of it changed. A name \
            that a shell would not take as it stands is quoted, as by `ls --quoting-style=shell-escape`. \
            Both images are checked first.

            EXAMPLE:
              mayfly image diff before.mayfly after.mayfly

            EXIT STATUS:
              0    nothing differs
              1    something does
              2    an image is damaged, or wrong arguments
            """)

    @Argument(help: "The older image.", completion: .images)
    var a: PathBytes

    @Argument(help: "The newer image.", completion: .images)
    var b: PathBytes

    @Flag(help: "Print JSON: an object in each line.")
    var json = false

    @Flag(name: [.customShort("z"), .long], help: "End lines by NUL, with names as they are.")
    var null = false

    func run() throws {
        var count = 0
        do throws(MountError) {
            let (old, new) = (try TreeImage(a), try TreeImage(b))
            try old.compare(with: new) { difference in
                count += 1
                DiffCommand.tell(difference, json: json, null: null)
            }
        } catch {
            Console.complain(error.line)
            throw ExitCode(2)
        }
        if count > 0 { throw ExitCode(1) }
    }
}

/// `mayfly diff DIR [NAME]`
struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Tell what has changed in a mount since a snapshot.",
        discussion: """
            A line for each path: + added, - removed, ~ changed, and what of it changed. A name that a \
            shell would not take as it stands is quoted, as by `ls --quoting-style=shell-escape`.

            EXAMPLE:
              mayfly diff /mnt/fast              # since the newest, or the image it began with
              mayfly diff /mnt/fast clean --json

            EXIT STATUS:
              0    nothing has changed
              1    something has
              2    there is no such snapshot, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Argument(help: "The snapshot. Default: the newest.", completion: .snapshots)
    var name: PathBytes?

    @Flag(help: "Print JSON: an object in each line.")
    var json = false

    @Flag(name: [.customShort("z"), .long], help: "End lines by NUL, with names as they are.")
    var null = false

    func run() throws {
        let hasChanges = Atomic<Bool>(false)
        do throws(MountError) {
            try MountControl(directory).differences(since: name?.text) { [json, null] difference in
                hasChanges.store(true, ordering: .relaxed)
                Self.tell(difference, json: json, null: null)
            }
        } catch {
            guard error.kind == .usage else { throw error }
            Console.complain(error.line)
            throw ExitCode(2)
        }
        if hasChanges.load(ordering: .relaxed) { throw ExitCode(1) }
    }

    static func tell(_ difference: TreeDifference, json: Bool, null: Bool) {
        if json { return Console.write(ControlJSON.encoded(difference)) }
        let sign =
            switch difference.kind {
            case .added: "+"
            case .removed: "-"
            case .changed: "~"
            }
        let aspects = difference.aspects.map(\.rawValue).joined(separator: ", ")
        Console.list(
            "\(sign) ", difference.path, aspects.isEmpty ? "" : "  (\(aspects))", null: null)
    }
}
