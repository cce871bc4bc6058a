import ArgumentParser
import Glibc
import Mayfly
import MayflyHost

/// `mayfly top DIR`
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Watch a mount: rates, latencies, memory, hottest files.",
        discussion: """
            Shows what happened in the last interval, again and again, until q or Ctrl-C is \
            pressed or the mount is gone. Opcodes and files get as many lines as the terminal has. \
            The hottest files and directories are those that most of the last requests were about; \
            one request in 16 is looked at. Where the standard \
            output is no terminal there is neither colour nor cursor control, and one picture \
            follows the other.

            EXAMPLE:
              mayfly top /mnt/fast
              mayfly top /mnt/fast --interval 0.5
              mayfly top /mnt/fast --once > picture.txt

            EXIT STATUS:
              0    ended by q or Ctrl-C, or the mount was unmounted
              128 and its number: ended by another signal
              1    not in a Mayfly mount, another user's, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Option(help: "Seconds between two pictures, 0.1 to 3600. Default: 1.")
    var interval = "1"

    @Flag(help: "Show one picture, of one interval, and end.")
    var once = false

    func run() throws {
        guard let seconds = Double(interval), (0.1...3600).contains(seconds) else {
            throw MountError(.usage, "bad --interval '\(interval)': give 0.1 to 3600 seconds")
        }
        let control = try MountControl(directory)
        var last = try control.report()
        let terminal = once ? nil : Terminal()
        defer { terminal?.restore() }
        // Nobody is to look at an empty screen for a whole interval.
        var pause = terminal == nil ? seconds : min(seconds, Self.firstSeconds)
        var picture: TopPicture?
        while true {
            switch terminal?.wait(seconds: pause) ?? Self.sleep(pause) {
            case .end(let status):
                if status != 0 { throw ExitCode(status) }
                return
            case .damaged:
                if let picture { terminal?.show(picture) }
                continue
            case .timeIsOver: break
            }
            pause = seconds
            let now: MountReport
            let hot: [HotNode]
            do throws(MountError) {
                now = try control.report()
                hot = try control.hotNodes()
            } catch {
                // Unmounted while we watched.
                if !once, error.kind == .mount, !control.isMounted { return }
                throw error
            }
            let next = TopPicture(from: last, to: now, hot: hot)
            if let terminal {
                terminal.show(next)
            } else {
                for line in next.lines { Console.show(line) }
                if !once { Console.show("") }
            }
            if once { return }
            last = now
            picture = next
        }
    }

    private static let firstSeconds = 0.3

    private static func sleep(_ seconds: Double) -> Terminal.Event {
        usleep(UInt32(seconds * 1_000_000))
        return .timeIsOver
    }
}

extension Terminal {
    func show(_ picture: TopPicture) {
        let size = size
        show(picture.lines(rows: size.rows, columns: size.columns))
    }
}
