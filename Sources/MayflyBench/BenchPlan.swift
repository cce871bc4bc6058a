internal import Glibc
package import Mayfly
internal import SystemPackage

/// Where a run is.
package struct BenchProgress: Sendable {
    package let round: Int
    package let rounds: Int
    package let workload: String
    package let folder: String
    /// 0 to 1.
    package let share: Double
}

/// What is measured where, and how often.
package struct BenchPlan: Sendable {
    package var folders: [BenchFolder]
    package var workloads = Workload.all
    package var rounds = 5
    package var scale = WorkloadScale.full

    package init(_ folders: [BenchFolder]) { self.folders = folders }

    /// The workloads of a list such as "walk,copy", in the table's order.
    ///
    /// - Throws: `.usage` when one is unknown.
    package static func workloads(named list: String) throws(MountError) -> [Workload] {
        let names = list.split(separator: ",").map(String.init)
        for name in names where !Workload.all.contains(where: { $0.name == name }) {
            throw MountError(
                .usage, "unknown workload '\(name)' in --only: `mayfly bench --list` has them")
        }
        guard !names.isEmpty else {
            throw MountError(.usage, "--only is empty: `mayfly bench --list` has the workloads")
        }
        return Workload.all.filter { names.contains($0.name) }
    }

    /// Runs all workloads in all folders, round by round: A B, B A, A B. What troubles the machine
    /// for a while troubles all alike, and no folder is always the first.
    ///
    /// Nothing is left in the folders, whichever way it ends.
    package func run(
        _ interruption: Interruption, progress: (BenchProgress) -> Void
    ) throws(BenchError) -> BenchReport {
        var results = BenchResults(folders: folders.count, workloads: workloads.count)
        let report = BenchReport(plan: self)
        do throws(MountError) {
            var rooms: [BenchRoom] = []
            for folder in folders {
                try folder.check(workloads, scale)
                rooms.append(try BenchRoom(in: folder))
            }
            try measure(rooms, interruption, &results, progress)
        } catch {
            if interruption.signal != 0 { throw .interrupted(interruption.signal) }
            throw .failed(error)
        }
        if interruption.signal != 0 { throw .interrupted(interruption.signal) }
        return report.filled(results, workloads)
    }

    private func measure(
        _ rooms: [BenchRoom], _ interruption: Interruption, _ results: inout BenchResults,
        _ progress: (BenchProgress) -> Void
    ) throws(MountError) {
        let buffer = BenchBuffer(1 << 20)
        var done = 0
        for round in 0..<rounds {
            for (row, workload) in workloads.enumerated() {
                let order = round % 2 == 0 ? Array(rooms.indices) : rooms.indices.reversed()
                for column in order {
                    if interruption.signal != 0 { return }
                    let share = Double(done) / Double(rounds * workloads.count * rooms.count)
                    done += 1
                    guard results.notes[row][column] == nil else { continue }
                    let folder = rooms[column].owner
                    progress(
                        BenchProgress(
                            round: round + 1, rounds: rounds, workload: workload.name,
                            folder: folder.label, share: share))
                    do throws(WorkloadFailure) {
                        results.samples[row][column].append(
                            try rooms[column].run(workload, scale, buffer, interruption))
                    } catch {
                        switch error {
                        case .interrupted: return
                        case .unsupported(let what):
                            results.samples[row][column] = []
                            results.notes[row][column] = what
                        case .call(let call, let reason):
                            throw .bench("\(folder.path)", workload.name, call, reason)
                        }
                    }
                }
            }
        }
    }
}

/// What has been measured, by workload and folder.
struct BenchResults {
    var samples: [[[Sample]]]
    var notes: [[String?]]

    init(folders: Int, workloads: Int) {
        samples = Array(repeating: Array(repeating: [], count: folders), count: workloads)
        notes = Array(repeating: Array(repeating: nil, count: folders), count: workloads)
    }
}
