import ArgumentParser
import Glibc
import Mayfly
import MayflyHost

/// What `install` and `uninstall` have in common.
struct InstallOptions: ParsableArguments {
    @Option(
        help: "Where bin, share and lib are. Default: /usr/local.", completion: .directory)
    var prefix: PathBytes?

    @Option(
        help: "Put this in front of every path, to make a package. Default: nothing.",
        completion: .directory)
    var root: PathBytes?

    @Flag(help: "Print the paths as JSON.")
    var json = false

    func installation() throws(MountError) -> Installation {
        func absolute(_ path: PathBytes, _ option: String) throws(MountError) -> String {
            guard path.isAbsolute, !path.bytes.contains(UInt8(ascii: "\n")) else {
                throw MountError(
                    .usage, "\(option) \(path) is no absolute path: begin it with a slash")
            }
            return "/"
                + path.text.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
        }
        let prefix = try absolute(prefix ?? "/usr/local", "--prefix")
        guard prefix != "/", !prefix.split(separator: "/").contains("..") else {
            throw MountError(
                .usage, "--prefix \(prefix) is no place for programs: give /usr/local or ~/.local")
        }
        let root = try root.map { path throws(MountError) in try absolute(path, "--root") }
        return Installation(prefix: prefix, root: root == "/" ? "" : root ?? "")
    }

    func report(_ paths: [String], _ line: String) {
        if json { return Console.write(ControlJSON.encoded(paths, isPretty: true)) }
        Console.say(line)
    }
}

/// `mayfly install`
struct InstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "install",
        abstract: "Install this program with its man pages and completions.",
        discussion: """
            Copies this program to PREFIX/bin, and writes man pages and completions for bash, zsh and \
            fish below PREFIX/share. With the prefix /usr or /usr/local also a unit of systemd, and links in /sbin \
            by which mount(8) and /etc/fstab know the type mayfly. Files that an earlier installation wrote \
            are replaced; others are not, without --force.

            EXAMPLE:
              sudo mayfly install
              mayfly install --prefix ~/.local
              man mayfly-run

            EXIT STATUS:
              0    installed
              1    not permitted, something else is there, or wrong arguments
              2    a file cannot be written
            """)

    @OptionGroup var options: InstallOptions

    @Flag(help: "Replace files that somebody else has written.")
    var force = false

    func run() throws {
        let installation = try options.installation()
        let paths = try installation.install(force: force)
        options.report(
            paths,
            "\(paths.count) files are installed below \(ShellQuote.quoted(installation.prefix))"
                + (installation.isSystemWide
                    ? "" : ", without a unit of systemd and links for mount(8)"))
    }
}

/// `mayfly uninstall`
struct UninstallCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uninstall",
        abstract: "Remove what `mayfly install` has installed.",
        discussion: """
            Removes the files that PREFIX/share/mayfly/files lists, and nothing else. Mounts go on.

            EXAMPLE:
              sudo mayfly uninstall

            EXIT STATUS:
              0    removed
              1    nothing is installed there, not permitted, or wrong arguments
            """)

    @OptionGroup var options: InstallOptions

    func run() throws {
        let installation = try options.installation()
        let paths = try installation.uninstall()
        options.report(
            paths,
            "\(paths.count) files below \(ShellQuote.quoted(installation.prefix)) are removed")
    }
}
