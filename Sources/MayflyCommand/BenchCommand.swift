import ArgumentParser
import Glibc
import Mayfly
import MayflyBench
import MayflyHost
import MayflyRunning

/// `mayfly bench [DIR...]`
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure folders side by side, a fresh Mayfly among them.",
        discussion: """
            Runs each workload in each folder in turn, round by round, so that what troubles the \
            machine troubles all alike, and prints the medians of the rounds. A ratio tells how \
            many times as long as in the first folder it took. The Mayfly is mounted as \
            `mayfly run` does it, where nobody else sees it, and is the last folder; the options \
            from --size on are for it. What is made in the folders is removed, also on Ctrl-C.

            EXAMPLE:
              mayfly bench /dev/shm
              mayfly bench /dev/shm /var/tmp --only create,walk,copy --plot out.html
              mayfly bench /dev/shm --json old.json; mayfly bench /dev/shm --compare old.json
              mayfly bench --no-mayfly /mnt/one /mnt/two --json - | jq .workloads

            EXIT STATUS:
              0    done
              1    wrong arguments, a folder that cannot be used, or not permitted
              2    the system refused memory or a process, or a folder filled up or failed
              32   mounting or unmounting failed
              128 and the number of the signal that ended it
            """)

    @Argument(
        help: ArgumentHelp("The folders to measure in, before the Mayfly.", valueName: "directory"),
        completion: .directory)
    var directories: [PathBytes] = []

    @Option(help: "How often each workload runs in each folder, 1 to 1000.")
    var rounds = "5"

    @Option(help: "Run these workloads alone: names from --list, separated by commas.")
    var only: String?

    @Flag(help: "List the workloads.")
    var list = false

    @Flag(help: "Measure the named folders alone.")
    var noMayfly = false

    @Flag(help: "Do little of everything: to see whether it works, for the figures say nothing.")
    var quick = false

    @Option(
        help: """
            Write the figures as JSON to this file, - for the standard output in place of the \
            table.
            """)
    var json: PathBytes?

    @Option(
        help: """
            Say below the table how this differs from an earlier run, whose figures --json wrote to \
            this file.
            """, completion: .file(extensions: ["json"]))
    var compare: PathBytes?

    @Option(
        help: "Draw the ratios: FILE.svg, or FILE.html with the figures below the picture.",
        completion: .file(extensions: ["svg", "html"]))
    var plot: PathBytes?

    /// In the process that runs inside the scratch mount: measure that too.
    @Flag(help: .hidden)
    var inside = false

    @OptionGroup var options: MountOptions

    func run() throws {
        if list {
            for line in BenchPicture.list() { Console.show(line) }
            return
        }
        let folders = try directories.map { path throws(MountError) in try BenchFolder(path) }
        var plan = BenchPlan(folders)
        guard let count = Int(rounds), (1...1000).contains(count) else {
            throw MountError(.usage, "bad --rounds '\(rounds)': give 1 to 1000")
        }
        plan.rounds = count
        if let only { plan.workloads = try BenchPlan.workloads(named: only) }
        if quick { plan.scale = .quick }
        try check()
        if noMayfly {
            try measure(plan)
        } else if inside, let root = ProcessArguments.variable("MAYFLY_ROOT") {
            plan.folders.append(BenchFolder(scratch: root))
            try measure(plan)
        } else {
            try measureInside(plan)
        }
    }

    private func check() throws(MountError) {
        if noMayfly, directories.isEmpty {
            throw MountError(.usage, "no folder: name one, or leave out --no-mayfly")
        }
        if compare != nil, json == "-" {
            throw MountError(
                .usage, "--compare and --json - exclude each other: give --json a file")
        }
        guard let plot else { return }
        guard plot.hasSuffix(".svg") || plot.hasSuffix(".html") else {
            throw MountError(.usage, "bad --plot '\(plot)': name a file ending in .svg or .html")
        }
        if directories.count + (noMayfly ? 0 : 1) < 2 {
            throw MountError(.usage, "--plot compares folders: name a directory more")
        }
    }

    /// Mounts and does it all there, in a process that sees the mount. The server is this one, so
    /// that its time is not the benchmark's.
    private func measureInside(_ plan: BenchPlan) throws {
        var scratch = ScratchRun.Options()
        scratch.quiet = true
        scratch.visiblePaths = plan.folders.map(\.path)
        var command: [PathBytes] = [
            "/proc/self/exe", "bench", "--inside", "--rounds", PathBytes(rounds),
        ]
        if let only { command += ["--only", PathBytes(only)] }
        if quick { command.append("--quick") }
        // That process begins in the mount.
        if let json { command += ["--json", json == "-" ? json : BenchOutput.absolute(json)] }
        if let compare { command += ["--compare", BenchOutput.absolute(compare)] }
        if let plot { command += ["--plot", BenchOutput.absolute(plot)] }
        let status = try ScratchRun.run(
            options.configuration(mountpoint: ""),
            command: command + ["--"] + plan.folders.map(\.path), options: scratch,
            say: Console.complain)
        if status != 0 { throw ExitCode(status) }
    }

    private func measure(_ plan: BenchPlan) throws {
        let comparison = try compare.map { path throws(MountError) in try BenchComparison(path) }
        let interruption = try Interruption.watching()
        let jsonFile = try json.flatMap { path throws(MountError) in
            path == "-" ? nil : try BenchOutput(path, option: "--json")
        }
        let plotFile = try plot.map { path throws(MountError) in
            try BenchOutput(path, option: "--plot")
        }
        let line = ProgressLine()
        let report: BenchReport
        do throws(BenchError) {
            report = try plan.run(interruption) { progress in
                line?.show(
                    "\(Int(progress.share * 100)) %, round \(progress.round) of "
                        + "\(progress.rounds): \(progress.workload) in \(progress.folder)")
            }
        } catch {
            line?.clear()
            jsonFile?.abandon()
            plotFile?.abandon()
            switch error {
            case .failed(let reason): throw reason
            case .interrupted(let signal): throw ExitCode(ExitStatus.signalBase + signal)
            }
        }
        line?.clear()
        let document = ControlJSON.encoded(report, isPretty: true)
        try jsonFile?.write(document + [UInt8(ascii: "\n")])
        if let plotFile, let plot, let picture = BenchPlot(report) {
            try plotFile.write(Array((plot.hasSuffix(".svg") ? picture.svg : picture.html).utf8))
        }
        if json == "-" {
            Console.write(document)
        } else {
            let difference = comparison?.lines(report) ?? []
            for line in BenchPicture.lines(report) + difference { Console.show(line) }
        }
    }
}
