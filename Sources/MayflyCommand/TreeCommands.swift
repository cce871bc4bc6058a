import ArgumentParser
import Mayfly
import MayflyHost
import MayflyImages
import MayflyRunning

/// What `unpack` and `copy` have in common.
struct TreeArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Leave out what matches this pattern, and what lies below it, as tar(1) does: it may match the \
            whole path or what follows any slash. May be repeated.
            """, valueName: "pattern"))
    var exclude: [PathBytes] = []

    @Flag(help: "Leave files as they are that are there already, and add what is missing.")
    var keepOld = false

    @Flag(name: .shortAndLong, help: "Print each path.")
    var verbose = false

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    var options: TreeOptions {
        var options = TreeOptions()
        options.excludes = exclude
        options.keepsOld = keepOld
        return options
    }

    /// Says what was done.
    func say(_ summary: TreeSummary, _ verb: String, to path: PathBytes) {
        for warning in summary.warnings { Console.complain(warning) }
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        if quiet { return }
        Console.say(
            "\(verb) \(summary.entries) \(summary.entries == 1 ? "entry" : "entries"), "
                + "\(Numbers.bytes(summary.contentBytes)), to \(path) in "
                + Numbers.time(summary.nanoseconds))
    }

    /// Sends a source, with progress on a terminal.
    func send(
        _ source: TreeSource, to place: MountPlace, at target: TreePlace, _ rights: TreeRights,
        _ options: TreeOptions
    ) throws(MountError) -> TreeSummary {
        let reader: TreeReader
        do throws(TreeError) { reader = try TreeReader(source) } catch {
            throw MountError(.usage, error.description)
        }
        var total: UInt64?
        if case .archive(let path) = source { total = HostFile.size(of: PathBytes(bytes: path)) }
        var bar = BuildLine(isShown: !quiet && !json && !verbose)
        defer { bar.clear() }
        let isDirectory = if case .directory = source { true } else { false }
        return try place.control.put(
            reader, options.filter(isDirectory: isDirectory), at: target, rights, options,
            shown: { entry in
                if verbose, !entry.path.isEmpty { Console.show(ByteText.text(of: entry.path)) }
            },
            progress: { entries, bytes in
                bar.show(
                    BuildProgress(
                        entries: entries, contentBytes: bytes, readBytes: reader.bytesRead,
                        sourceBytes: total))
            })
    }
}

/// `mayfly unpack ARCHIVE DIR`
struct UnpackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpack",
        abstract:
            "Unpack an archive into a mount: whole, at one moment, without a request for each file.",
        discussion: """
            Takes what libarchive reads: tar (compressed or not), cpio, zip and others; - is an archive on \
            the standard input. This command reads the archive and the mount's server builds the tree \
            where nobody sees it, and then links it in. Until then nothing has changed, and if anything \
            fails, or the mount becomes full, nothing will have.

            A directory that is not there is made where its parent is. Into one that is there the \
            archive goes as with tar(1): directories of the same name become one, files are replaced.

            EXAMPLE:
              mayfly unpack linux.tar.xz /mnt/fast
              mayfly unpack src.tar.gz /mnt/fast/src --strip-components 1 --exclude '*.o'
              curl -L https://example.org/a.tar.zst | mayfly unpack - /mnt/fast/a

            EXIT STATUS:
              0    all of it is there
              1    nothing is: the archive is damaged, the mount full, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: "The archive; - for the standard input.", completion: .file())
    var archive: PathBytes

    @Argument(help: "A directory in the mount.", completion: .mounts)
    var directory: PathBytes

    @OptionGroup var tree: TreeArguments

    @Option(
        help: ArgumentHelp("Take this many leading names off each path.", valueName: "count"))
    var stripComponents = 0

    @Flag(
        inversion: .prefixedNo,
        help: "Keep the owners that the archive says, as root does by default; nobody else can.")
    var sameOwner: Bool?

    @Flag(
        name: .shortAndLong,
        help: "Keep permissions as they are, as root does by default, without the umask.")
    var preservePermissions = false

    func run() throws {
        guard stripComponents >= 0 else {
            throw MountError(.usage, "--strip-components is \(stripComponents): give 0 or more")
        }
        var options = tree.options
        options.strippedNames = stripComponents
        let source: TreeSource
        if archive == "-" {
            source = .stream(0)
        } else if HostFile.isDirectory(archive) {
            throw MountError(.usage, "\(archive) is a directory: `mayfly copy` copies it")
        } else {
            source = .archive(archive.bytes)
        }
        let (place, target) = try TreeTarget.directory(directory)
        var rights = TreeTarget.rights(keepsOwners: sameOwner)
        if preservePermissions { rights.umask = 0 }
        let summary = try tree.send(source, to: place, at: target, rights, options)
        tree.say(summary, "unpacked", to: directory)
    }
}

/// `mayfly copy SOURCE... DIR`
struct CopyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Copy trees into a mount, or within one: whole, at one moment.",
        discussion: """
            As `cp -a`: owners, permissions, times, links, holes, extended attributes and access lists \
            are kept. Where the target is a directory the copy lies in it under the source's name. What \
            is copied within one mount is copied by its server, from memory to memory.

            Each source is there whole at one moment, or not at all.

            EXAMPLE:
              mayfly copy ~/project /mnt/fast
              mayfly copy -T ~/project /mnt/fast/work --exclude .git
              mayfly copy /mnt/fast/work /mnt/fast/work2

            EXIT STATUS:
              0    all of it is there
              1    a source is not: it cannot be read, the mount is full, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(
        help: "What to copy, and at the end where to: in a mount.", completion: .file())
    var paths: [PathBytes]

    @OptionGroup var tree: TreeArguments

    @Flag(
        name: [.customShort("T"), .long],
        help: "The target is the copy's own name, not a directory to put it into.")
    var noTargetDirectory = false

    @Flag(
        name: [.customShort("x"), .long],
        help: "Leave out what is mounted in the source.")
    var oneFileSystem = false

    @Flag(name: [.customShort("a"), .customShort("r"), .customShort("R")], help: .hidden)
    var archive = false

    func run() throws {
        guard let last = paths.last, paths.count > 1 else {
            throw MountError(.usage, "there is no target: `mayfly copy SOURCE DIR`")
        }
        let isInto = !noTargetDirectory && HostFile.isDirectory(last)
        let sources = paths.dropLast()
        if sources.count > 1, !isInto {
            throw MountError(
                .usage, "\(last) is no directory, so it cannot take several: make it with mkdir(1)")
        }
        for source in sources { try copy(source, to: last, isInto: isInto) }
    }

    private func copy(_ source: PathBytes, to last: PathBytes, isInto: Bool) throws(MountError) {
        guard let kind = HostFile.kind(of: source) else {
            throw MountError(.usage, "there is no \(source): look at its spelling")
        }
        var target = last
        // As with cp(1), "DIR/." is what lies in DIR.
        if isInto, let own = source.names.last, ![[0x2E], [0x2E, 0x2E]].contains(own) {
            target = last + "/" + PathBytes(bytes: Array(own))
        }
        // A target that is there may be named by a link; what is to be made is no link.
        if HostFile.isDirectory(target) { target = HostFile.canonical(target) ?? target }
        let place = try MountPlace(target)
        try TreeTarget.mayWrite(HostFile.isDirectory(target) ? target : target.parent)
        let summary: TreeSummary
        let inside = try? MountPlace(source)
        if let inside, inside.control.isSame(as: place.control) {
            summary = try place.control.copy(inside.path, to: place.path, tree.options)
        } else if let inside, !tree.verbose, kind != .directory || holdsNoMount(source) {
            summary = try pass(inside, kind, to: place)
        } else {
            var options = tree.options
            options.oneFileSystem = oneFileSystem
            summary = try bring(source, kind, to: place, options)
        }
        tree.say(summary, "copied", to: target)
    }

    private func holdsNoMount(_ folder: PathBytes) -> Bool {
        HostFile.canonical(folder).map { !MountTable.current().hasMount(below: $0) } ?? false
    }

    /// Between two mounts their servers pass it on.
    private func pass(
        _ source: MountPlace, _ kind: HostFile.Kind, to place: MountPlace
    ) throws(MountError) -> TreeSummary {
        let rights = TreeTarget.rights(keepsOwners: nil, keepsPermissions: true)
        let target =
            kind == .directory
            ? TreeTarget.named(place) : TreePlace(directory: place.path.parent, name: nil)
        var bar = BuildLine(isShown: !tree.quiet && !tree.json)
        defer { bar.clear() }
        return try place.control.put(
            source, named: PathBytes(bytes: Array(place.path.names.last ?? [])), at: target, rights,
            tree.options,
            progress: {
                bar.show(
                    BuildProgress(
                        entries: $0, contentBytes: 0, readBytes: 0, sourceBytes: nil))
            })
    }

    private func bring(
        _ source: PathBytes, _ kind: HostFile.Kind, to place: MountPlace, _ options: TreeOptions
    ) throws(MountError) -> TreeSummary {
        let rights = TreeTarget.rights(keepsOwners: nil, keepsPermissions: true)
        guard kind == .directory else {
            return try tree.send(
                .file(source.bytes, name: Array(place.path.names.last ?? [])), to: place,
                at: TreePlace(directory: place.path.parent, name: nil), rights, options)
        }
        return try tree.send(
            .directory(source.bytes, oneFileSystem: options.oneFileSystem), to: place,
            at: TreeTarget.named(place), rights, options)
    }
}

/// `mayfly remove PATH...`
struct RemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove trees from a mount, each at one moment.",
        discussion: """
            As `rm -rf`, but a tree is gone at once, whatever its size: its memory comes back within a \
            moment, in the background. Open files of it go on until they are closed. Where something in \
            it must not be removed (chattr(1), permissions, a mount), nothing of it is.

            EXAMPLE:
              mayfly remove /mnt/fast/node_modules
              mayfly remove -f /mnt/fast/build /mnt/fast/cache

            EXIT STATUS:
              0    gone
              1    one of them is not: it does not exist, must not be removed, or wrong arguments
              32   the server is dead or does not answer, or something is mounted in it
            """)

    @Argument(help: "What to remove.", completion: .file())
    var paths: [PathBytes]

    @Flag(name: .shortAndLong, help: "Say nothing about what does not exist.")
    var force = false

    @Flag(name: [.customShort("r"), .customShort("R")], help: .hidden)
    var recursive = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        var all = RemoveSummary(names: 0, nanoseconds: 0)
        for path in paths {
            if HostFile.kind(of: path) == nil {
                if force { continue }
                throw MountError(.usage, "there is no \(path): look at its spelling, or give -f")
            }
            let place = try MountPlace(path)
            try TreeTarget.mayWrite(path.parent)
            let summary = try place.control.remove(place.path)
            all.names += summary.names
            all.nanoseconds += summary.nanoseconds
        }
        if json { Console.write(ControlJSON.encoded(all, isPretty: true)) }
    }
}

/// Where a tree goes, as the arguments of a command name it.
enum TreeTarget {
    /// A directory that is there, or one whose parent is.
    static func directory(
        _ path: PathBytes
    ) throws(MountError) -> (place: MountPlace, target: TreePlace) {
        let isThere = HostFile.isDirectory(path)
        // What is there may be named by a link.
        let resolved = isThere ? HostFile.canonical(path) ?? path : path
        let place = try MountPlace(resolved)
        try mayWrite(isThere ? resolved : resolved.parent)
        return (
            place, isThere ? TreePlace(directory: place.path, name: nil) : named(place)
        )
    }

    /// The place itself, by its name in its directory.
    static func named(_ place: MountPlace) -> TreePlace {
        guard let name = place.path.names.last else {
            return TreePlace(directory: place.path, name: nil)
        }
        return TreePlace(directory: place.path.parent, name: PathBytes(bytes: Array(name)))
    }

    /// The kernel says what this process may do, and the server takes its word: both are one user's, or
    /// this process is root's.
    static func mayWrite(_ folder: PathBytes) throws(MountError) {
        if let error = HostFile.refusalToWrite(folder) {
            throw MountError(
                .usage, "\(folder) may not be written (\(error)): name a directory of yours")
        }
    }

    /// As tar(1): root keeps owners and permissions, others have what they may.
    static func rights(keepsOwners: Bool?, keepsPermissions: Bool = false) -> TreeRights {
        var rights = TreeRights()
        let isRoot = ProcessFacts.effectiveUserID == 0
        if !(keepsOwners ?? isRoot) || !isRoot {
            rights.userID = ProcessFacts.effectiveUserID
            rights.groupID = ProcessFacts.effectiveGroupID
        }
        if !isRoot, !keepsPermissions { rights.umask = ProcessFacts.umask | 0o7000 }
        return rights
    }
}
