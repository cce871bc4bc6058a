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
              mayfly fault add /mnt/fast --op write --path db/wal --nth 7 --crash after
              mayfly fault add /mnt/fast --op sync --errno EIO --drop-unsynced --times 1
              mayfly fault add /mnt/fast --rules flaky-disk.json
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

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

    @Option(help: "Reads carry so many bits the other way round, by --seed.")
    var flip: UInt64?

    @Option(
        help: """
            The power fails at the request: before it is carried out, which fails with EIO then, or after. \
            What was not synced is lost as by `mayfly crash`. Takes a mount with --durability fsync.
            """, completion: .list(["before", "after"]))
    var crash: String?

    @Flag(
        help: """
            What a sync that fails was to sync is lost with the next power loss, though later syncs \
            succeed, as on Linux. Takes --durability fsync; give --errno EIO with it.
            """)
    var dropUnsynced = false

    @Option(help: "Only the N-th request that matches.")
    var nth: UInt64?

    @Option(help: "Every N-th request that matches.")
    var every: UInt64?

    @Option(help: "Each request that matches with this probability, 0 to 1.")
    var probability: Double?

    @Option(
        help: """
            Of --probability, --flip and --crash: the same for the same seed. Default: 0; of --crash by \
            chance.
            """)
    var seed: UInt64?

    @Option(help: "Leave the first N requests that match alone.")
    var after: UInt64?

    @Option(help: "At most so often.")
    var times: UInt64?

    @Option(
        help: """
            Add the rules of this file, and no other: JSON as `mayfly fault list --json` has under "rule", \
            one or a list. All are looked at before the first is added.
            """, completion: .file())
    var rules: PathBytes?

    @Flag(help: "Print the rule as JSON.")
    var json = false

    func run() throws {
        if let rules { return try add(from: rules) }
        var rule = FaultRule(operation: op)
        rule.errno = errno
        if let delay { rule.delayNanoseconds = try DurationText.nanoseconds(delay) }
        if short { rule.short = true }
        if let fullAt { rule.fullAtBytes = try SizeText.count(fullAt, option: "--full-at") }
        (rule.nth, rule.every) = (nth, every)
        (rule.probability, rule.seed) = (probability, seed)
        (rule.flipBits, rule.crash, rule.after, rule.times) = (flip, crash, after, times)
        if dropUnsynced { rule.dropUnsynced = true }
        let control = try MountControl(directory)
        rule.path = try path.map { path throws(MountError) in try control.pattern(path).text }
        if let problem = rule.problem(FaultRule.option) {
            throw MountError(.usage, problem.message)
        }
        let record = try control.addFault(rule)
        if json { return Console.write(ControlJSON.encoded(record, isPretty: true)) }
        Self.tell(record, control)
    }

    private func add(from file: PathBytes) throws(MountError) {
        let given: [(String, Bool)] = [
            ("--op", op != "any"), ("--path", path != nil), ("--errno", errno != nil),
            ("--delay", delay != nil), ("--short", short), ("--full-at", fullAt != nil),
            ("--flip", flip != nil), ("--crash", crash != nil), ("--drop-unsynced", dropUnsynced),
            ("--nth", nth != nil), ("--every", every != nil), ("--probability", probability != nil),
            ("--seed", seed != nil), ("--after", after != nil), ("--times", times != nil),
        ]
        if let option = given.first(where: \.1) {
            throw MountError(
                .usage, "\(option.0) and --rules exclude each other: give it in the file")
        }
        let rules = try FaultRule.list(in: file)
        let control = try MountControl(directory)
        let records = try rules.map { rule throws(MountError) in try control.addFault(rule) }
        if json { return Console.write(ControlJSON.encoded(records, isPretty: true)) }
        for record in records { Self.tell(record, control) }
    }

    private static func tell(_ record: FaultRecord, _ control: MountControl) {
        Console.say(
            "fault \(record.number) of \(ShellQuote.quoted(control.mountpoint)): "
                + record.rule.described)
    }
}

struct FaultList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the rules in force, with what they have matched and done.")

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

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

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

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
    /// The option of `mayfly fault add` for a field.
    static func option(_ field: String) -> String {
        let options = [
            "operation": "--op", "delayNanoseconds": "--delay", "fullAtBytes": "--full-at",
            "flipBits": "--flip", "dropUnsynced": "--drop-unsynced",
        ]
        return options[field] ?? "--\(field)"
    }

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
        if let flipBits { words.append("--flip \(flipBits)") }
        if let crash { words.append("--crash \(crash)") }
        if dropUnsynced == true { words.append("--drop-unsynced") }
        if let nth { words.append("--nth \(nth)") }
        if let every { words.append("--every \(every)") }
        if let probability { words.append("--probability \(probability)") }
        if probability != nil || flipBits != nil || seed != nil {
            words.append("--seed \(seed ?? 0)")
        }
        if let after { words.append("--after \(after)") }
        if let times { words.append("--times \(times)") }
        return words.joined(separator: " ")
    }
}
