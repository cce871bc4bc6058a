// MayflyFuzz: fuzzers that are programs of their own.
//
// `processes`, the differential fuzz with several processes at once, on mounts that are there:
// Threads share a file system context with their process, a table of open files and the kernel's
// idea of who they are; processes share nothing but the mount. Each has a folder of its own, in
// which every operation is compared with tmpfs; afterwards all have one folder together, and what
// must hold however they interleave is looked at.

import ArgumentParser
import Glibc
import MayflyTestSupport

#if !COVERAGE
@main
#endif
struct MayflyFuzz: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look for mistakes at random.",
        subcommands: [
            ProcessesCommand.self, RequestsCommand.self, ImagesCommand.self,
            LayersCommand.self, ArtifactsCommand.self,
        ])
}

/// `MayflyFuzz processes`
struct ProcessesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "processes",
        abstract: "Compare a Mayfly mount with a tmpfs, operation by operation, from processes.",
        discussion: """
            Needs root, and two empty mounts: a tmpfs with nodev, and Mayfly with --allow-other, \
            both with mode 0755. The same seed makes the same histories.

            EXAMPLE:
              MayflyFuzz processes --tmpfs /mnt/t --mayfly /mnt/m --processes 8 --operations 100000

            EXIT STATUS:
              0    both did the same
              1    they differ: the seed and a short history are printed
            """)

    @Option(help: "The tmpfs.") var tmpfs: String
    @Option(help: "The Mayfly mount.") var mayfly: String
    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "Operations of each process, in each of the two forms.")
    var operations = 10_000
    @Option(help: "How many processes.") var processes = 4
    @Option(help: ArgumentHelp("Be one of the processes.", visibility: .hidden)) var worker: Int?
    @Flag(help: ArgumentHelp("Be in the folder of all.", visibility: .hidden)) var together = false

    func validate() throws {
        guard operations > 0, processes > 0, processes <= 256 else {
            throw ValidationError("give at least one operation, and 1 to 256 processes")
        }
    }

    func run() throws {
        do {
            if let worker {
                try work(worker)
            } else {
                try lead()
            }
        } catch let status as ExitCode {
            throw status
        } catch let failure as any CustomStringConvertible {
            print(failure)
            throw ExitCode(1)
        }
    }

    private func lead() throws {
        print("seed \(seed), \(processes) processes, \(operations) operations each")
        try all(extra: [])
        let storm = try DifferentialStorm(root: PosixPath(mayfly), seed: seed)
        try all(extra: ["--together"])
        try storm.check()
    }

    /// Starts every process and waits for all.
    private func all(extra: [String]) throws {
        let own = try PosixPath("/proc/self/exe").linkTarget()
        let arguments = [
            own, "processes", "--tmpfs", tmpfs, "--mayfly", mayfly, "--seed", "\(seed)",
            "--operations",
            "\(operations)",
        ]
        let children = try (0..<processes).map { index in
            try spawnProgram(arguments + extra + ["--worker", "\(index)"])
        }
        let failed = children.filter { exitStatus(of: $0) != 0 }.count
        if failed > 0 {
            print("seed \(seed): \(failed) of \(processes) processes failed")
            throw ExitCode(1)
        }
    }

    private func work(_ index: Int) throws {
        if together {
            try DifferentialStorm(root: PosixPath(mayfly), seed: seed, makesFolder: false)
                .run(thread: index, operations: operations)
        } else {
            try DifferentialRun(
                tmpfs: PosixPath(tmpfs), mayfly: PosixPath(mayfly), name: "p\(index)",
                isShared: true
            ).run(seed: seed &+ 1_000_000 &* UInt64(index + 1), operations: operations)
        }
    }
}
