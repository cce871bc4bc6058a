// What a benchmark has found, as programs read it: the names are those of the JSON and part of the
// interface (Docs/Benchmarks.md).

internal import Glibc
internal import Mayfly
internal import MayflyHost

package struct BenchReport: Codable, Sendable, Equatable {
    package struct Folder: Codable, Sendable, Equatable {
        package var label: String
        package var path: String
        /// "tmpfs" for instance.
        package var fileSystem: String
    }

    /// A workload in a folder.
    package struct Cell: Codable, Sendable, Equatable {
        package var folder: String
        /// In the workload's unit, one for each round; empty when it cannot be carried out there.
        package var rounds: [Double]
        package var median: Double?
        package var p99: Double?
        /// How many times as long as in the first folder it took, round by round.
        package var ratio: BenchRange?
        /// Why there is no figure.
        package var note: String?
    }

    package struct Row: Codable, Sendable, Equatable {
        package var workload: String
        package var summary: String
        package var unit: BenchUnit
        package var cells: [Cell]
    }

    package var version: String
    package var kernel: String
    package var processors: Int
    /// Of the last minute before it began: above the number of processors the figures say little.
    package var load: Double
    package var rounds: Int
    package var folders: [Folder]
    package var workloads: [Row]

    init(plan: BenchPlan) {
        version = MayflyVersion.text
        kernel = HostFacts.kernel
        processors = Processors.online
        var average = 0.0
        load = unsafe getloadavg(&average, 1) == 1 ? average : 0
        rounds = plan.rounds
        folders = plan.folders.map {
            Folder(
                label: $0.label, path: $0.path.text,
                fileSystem: HostFacts.fileSystemType(at: $0.path.text) ?? "unknown")
        }
        workloads = []
    }

    func filled(_ results: BenchResults, _ all: [Workload]) -> BenchReport {
        var report = self
        report.workloads = all.enumerated().map { row, workload in
            let cells = folders.enumerated().map { column, folder in
                let samples = results.samples[row][column]
                let values = samples.map { workload.unit.value(nanoseconds: $0.nanoseconds) }
                let slowest = samples.compactMap(\.p99).map {
                    workload.unit.value(nanoseconds: $0)
                }
                return Cell(
                    folder: folder.label, rounds: values,
                    median: BenchStatistics.median(values), p99: BenchStatistics.median(slowest),
                    ratio: column == 0
                        ? nil : BenchStatistics.ratios(samples, to: results.samples[row][0]),
                    note: results.notes[row][column])
            }
            return Row(
                workload: workload.name, summary: workload.summary, unit: workload.unit,
                cells: cells)
        }
        return report
    }
}
