import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly fault add|list|clear DIR`
struct FaultCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fault",
        abstract: "Have requests to a mount fail, wait or be cut short, as a rule says.",
        discussion: """
            EXAMPLE:
              mayfly fault add /mnt/fast --op write --path 'db/*' --errno EIO --nth 3
              mayfly fault list /mnt/fast
              mayfly fault clear /mnt/fast

            EXIT STATUS:
              0    done: the rules are in force when the command returns
              1    wrong arguments, or a rule that the mount cannot have
              32   the server is dead or does not answer
            """,
        subcommands: [FaultAdd.self, FaultList.self, FaultClear.self])
}

struct FaultAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Add a rule; it is in force when the command returns.",
        discussion: """
            Rules are looked at in the order in which they were added: the first error counts, delays \
            add up. --nth, --every and --probability choose among the requests that match. Paths \
            are those of the mount: '*' stays within a directory, '**' does not.

            Reads that the kernel answers from its cache do not fail: mount with --faults, and open \
            the file after the rule was added. A delay holds up the other requests of its CPU too.

            EXAMPLE:
              mayfly fault add /mnt/fast --op sync --errno EIO
              mayfly fault add /mnt/fast --op write --path '**/*.log' --full-at 1m
              mayfly fault add /mnt/fast --op any --delay 20ms --probability 0.1 --seed 7
              mayfly fault add /mnt/fast --op read --path 'db/*' --short --every 2
            """)

    @Argument(help: "A directory in the mount.", completion: .mounts)
    var directory: PathBytes

    @Option(
        help: """
            An operation as `mayfly stat` lists it, or a group: read, write, create, rename, unlink, \
            open, sync, stat, list, xattr, any.
            """, completion: .operations)
    var op = "any"

    @Option(
        help: """
            A pattern for paths in the mount, from its root; one that begins with the mountpoint is taken \
            from there. Default: everything, also what has no path.
            """)
    var path: PathBytes?

    @Option(
        help: "Fail with this error: a name such as EIO, or a number.", completion: .errnos)
    var errno: String?

    @Option(help: "Answer so much later: a number with ns, us, ms or s.")
    var delay: String?

    @Flag(help: "Read and write half of the bytes.")
    var short = false

    @Option(help: "A file has no room from this byte on: ENOSPC. A number with k, m or g.")
    var fullAt: String?

    @Option(help: "Only the N-th request that matches.")
    var nth: UInt64?

    @Option(help: "Every N-th request that matches.")
    var every: UInt64?

    @Option(help: "Each request that matches with this probability, 0 to 1.")
    var probability: Double?

    @Option(help: "Of the probability: the same requests for the same seed. Default: 0.")
    var seed: UInt64?

    @Flag(help: "Print the rule as JSON.")
    var json = false

    func run() throws {
        var rule = FaultRule(operation: op)
        rule.errno = errno
        if let delay { rule.delayNanoseconds = try DurationText.nanoseconds(delay) }
        if short { rule.short = true }
        if let fullAt { rule.fullAtBytes = try SizeText.count(fullAt, option: "--full-at") }
        (rule.nth, rule.every) = (nth, every)
        (rule.probability, rule.seed) = (probability, seed)
        let control = try MountControl(directory)
        rule.path = try path.map { path throws(MountError) in try control.pattern(path).text }
        if let problem = rule.problem(.options) { throw MountError(.usage, problem.message) }
        let record = try control.addFault(rule)
        if json { return Console.write(ControlJSON.encoded(record, isPretty: true)) }
        Console.say(
            "fault \(record.number) of \(ShellQuote.quoted(control.mountpoint)): "
                + record.rule.described)
    }
}

struct FaultList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the rules in force, with what they have matched and done.")

    @Argument(help: "A directory in the mount.", completion: .mounts)
    var directory: PathBytes

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let records = try MountControl(directory).faults()
        if json { return Console.write(ControlJSON.encoded(records, isPretty: true)) }
        var table = Table(
            ("FAULT", .right), ("MATCHED", .right), ("FIRED", .right), ("RULE", .left))
        for record in records {
            table.add(
                "\(record.number)", "\(record.matched)", "\(record.fired)",
                record.rule.described)
        }
        for line in table.lines { Console.show(line) }
    }
}

struct FaultClear: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clear", abstract: "Take rules back: all of them, or those of some numbers.")

    @Argument(help: "A directory in the mount.", completion: .mounts)
    var directory: PathBytes

    @Argument(help: "Numbers of rules. Default: all.")
    var numbers: [Int] = []

    @Flag(help: "Print the rules that are left as JSON.")
    var json = false

    func run() throws {
        let control = try MountControl(directory)
        let left = try control.clearFaults(numbers.isEmpty ? nil : numbers)
        if json { return Console.write(ControlJSON.encoded(left, isPretty: true)) }
        Console.say("\(ShellQuote.quoted(control.mountpoint)) has \(left.count) faults now")
    }
}

extension FaultRule {
    /// As the command line has it.
    fileprivate var described: String {
        var words = ["--op \(operation)"]
        if let path { words.append("--path \(ShellQuote.quoted(path))") }
        if let errno { words.append("--errno \(errno)") }
        if let delayNanoseconds {
            words.append("--delay \(DurationText.described(nanoseconds: delayNanoseconds))")
        }
        if short == true { words.append("--short") }
        if let fullAtBytes { words.append("--full-at \(fullAtBytes)") }
        if let nth { words.append("--nth \(nth)") }
        if let every { words.append("--every \(every)") }
        if let probability { words.append("--probability \(probability) --seed \(seed ?? 0)") }
        return words.joined(separator: " ")
    }
}
