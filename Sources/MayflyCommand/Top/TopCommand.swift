import ArgumentParser
import Glibc
import Mayfly
import MayflyHost

/// `mayfly top [DIR]`
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch all mounts, or one: rates, latencies, memory, hottest files.",
        discussion: """
            Shows what happened in the last interval, again and again, until q or Ctrl-C is \
            pressed or the mount is gone. Without a directory all mounts are shown, one in a line. The \
            key ? tells what other keys do: sort otherwise, name the processes that use a mount. Opcodes and files get as many lines as the terminal has. \
            The hottest files and directories are those that most of the last requests were about; \
            one request in 16 is looked at. Where the standard \
            output is no terminal there is neither colour nor cursor control, and one picture \
            follows the other. With NO_COLOR set a terminal has no colours either.

            EXAMPLE:
              mayfly top --sort requests
              mayfly top /mnt/fast
              mayfly top /mnt/fast --interval 0.5
              mayfly top /mnt/fast --once > picture.txt

            EXIT STATUS:
              0    ended by q or Ctrl-C, or the mount was unmounted
              128 and its number: ended by another signal
              1    not in a Mayfly mount, another user's, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(
        help: "A directory in the mount. Default: all mounts.", completion: .mounts)
    var directory: PathBytes?

    @Option(help: "Seconds between two pictures, 0.1 to 3600. Default: 1.")
    var interval = "1"

    @Option(
        help:
            "Of all mounts: what comes first, by used, full, requests, memory or mount. Default: used."
    )
    var sort: TopMounts.Order?

    @Flag(help: "Show one picture, of one interval, and end.")
    var once = false

    func run() throws {
        guard let seconds = Double(interval), (0.1...3600).contains(seconds) else {
            throw MountError(.usage, "bad --interval '\(interval)': give 0.1 to 3600 seconds")
        }
        let view = try view()
        let terminal = once ? nil : Terminal()
        defer { terminal?.restore() }
        let style = TopStyle { ProcessArguments.variable($0)?.text }
        // Nobody is to look at an empty screen for a whole interval.
        var pause = terminal == nil ? seconds : min(seconds, Self.firstSeconds)
        var showsHelp = false
        func draw() {
            guard let terminal else { return }
            let size = terminal.size
            terminal.show(
                showsHelp
                    ? view.help(columns: size.columns, style)
                    : view.lines(rows: size.rows, columns: size.columns, style))
        }
        while true {
            switch terminal?.wait(seconds: pause) ?? Self.sleep(pause) {
            case .end(let status):
                if status != 0 { throw ExitCode(status) }
                return
            case .key(let key):
                if key == "?" { showsHelp.toggle() } else { view.press(key) }
                draw()
                continue
            case .damaged:
                draw()
                continue
            case .timeIsOver: break
            }
            pause = seconds
            guard try view.look() else { return }
            draw()
            if terminal == nil {
                for line in view.lines { Console.show(line) }
                if !once { Console.show("") }
            }
            if once { return }
        }
    }

    private func view() throws(MountError) -> any TopView {
        guard let directory else { return TopMounts(by: sort ?? .used) }
        if sort != nil {
            throw MountError(
                .usage, "--sort is for all mounts: leave the directory out, or press s")
        }
        return try TopMount(MountControl(directory), once: once)
    }

    private static let firstSeconds = 0.3

    private static func sleep(_ seconds: Double) -> Terminal.Event {
        usleep(UInt32(seconds * 1_000_000))
        return .timeIsOver
    }
}
