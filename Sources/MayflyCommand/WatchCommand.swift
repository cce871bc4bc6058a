import ArgumentParser
import Mayfly
import MayflyHost
import Synchronization

/// `mayfly watch [DIR]...`
struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Tell what happens to mounts, as it happens.",
        discussion: """
            A line for each event: mounted, full, fault, snapshot, rollback, resized, crash and \
            ended. Without a directory of every mount that you may ask, and of those that come. \
            Ends with the mounts that were named, or at Ctrl-C.

            EXAMPLE:
              mayfly watch
              mayfly watch /mnt/fast --json | jq -r 'select(.event == "full") | .mountpoint'

            EXIT STATUS:
              0    the mounts have ended
              1    no mount of yours, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: "Directories in mounts. Default: all mounts.", completion: .mounts)
    var directories: [PathBytes] = []

    @Flag(help: "Print JSON: an object for each event, one on each line.")
    var json = false

    func run() throws {
        let json = json
        try MountWatch(directories) { event in
            if json { return Console.write(ControlJSON.encoded(event)) }
            Console.show(event.line)
        } complain: {
            Console.complain($0)
        }.run()
    }
}

extension MountEvent {
    /// For people.
    fileprivate var line: String {
        "\(clock)  \(ShellQuote.quoted(mountpoint))  \(event.rawValue)\(detail.isEmpty ? "" : "  \(detail)")"
    }

    /// The time of day in UTC.
    private var clock: String {
        let seconds = timeNanoseconds / 1_000_000_000
        func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(two(seconds / 3600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60))Z"
    }

    private var detail: String {
        switch event {
        case .mounted: usage
        case .full: "\(count ?? 0) requests refused (ENOSPC), \(usage)"
        case .fault:
            "rule \(fault?.number ?? 0) carried out \(count ?? 0) times, \(fault?.fired ?? 0) in all"
        case .snapshot: ShellQuote.quoted(snapshot?.name ?? "")
        case .rollback:
            "to \(ShellQuote.quoted(rollback?.name ?? "")), \(rollback?.changedNodes ?? 0) files and "
                + "directories changed"
        case .resized: usage
        case .crash:
            "seed \(crash?.seed ?? 0): \(crash?.namesLost ?? 0) names and \(crash?.pagesLost ?? 0) pages lost"
        case .ended:
            "at most \(Numbers.bytes(bytes?.peak ?? 0)) and \(inodes?.peak ?? 0) inodes, "
                + "\(requests ?? 0) requests"
        case .missed: "\(count ?? 0) events, as they came faster than they were read"
        }
    }

    private var usage: String {
        guard let bytes, let inodes else { return "" }
        return "\(Numbers.bytes(bytes.used)) of \(Numbers.bytes(bytes.limit)), "
            + "\(inodes.used) of \(inodes.limit) inodes"
    }
}
