internal import CMayflyMemory
internal import SystemPackage

/// What a workload's figure is.
package enum BenchUnit: String, Codable, Sendable {
    /// Of one request.
    case microseconds = "us"
    /// Of the whole work.
    case milliseconds = "ms"
    case throughput = "MiB/s"

    /// The figure for what was taken: by one request, by all the work, by one MiB.
    package func value(nanoseconds: Double) -> Double {
        switch self {
        case .microseconds: nanoseconds / 1e3
        case .milliseconds: nanoseconds / 1e6
        case .throughput: nanoseconds > 0 ? 1e9 / nanoseconds : 0
        }
    }
}

/// What one run of a workload took.
package struct Sample: Sendable, Equatable {
    /// Of one request, the median; of one MiB; or of all the work.
    package var nanoseconds: Double
    /// Of one request, what 99 of 100 do not exceed.
    package var p99: Double?

    package init(nanoseconds: Double, p99: Double? = nil) {
        self.nanoseconds = nanoseconds
        self.p99 = p99
    }
}

/// How much work there is to do.
package struct WorkloadScale: Sendable {
    /// Small requests.
    let requests: Int
    let transactions: Int
    /// The file of the workloads that move 1 MiB a call, in MiB, and how often they go over it.
    let mebibytes: Int
    let passes: Int
    let tree: InputTree

    package static let full = WorkloadScale(
        requests: 4000, transactions: 200, mebibytes: 64, passes: 4,
        tree: InputTree(folders: 7, filesPerFolder: 40))

    /// To see whether it works.
    package static let quick = WorkloadScale(
        requests: 100, transactions: 5, mebibytes: 2, passes: 1,
        tree: InputTree(folders: 2, filesPerFolder: 10))
}

/// What a workload gets: a fresh folder.
struct WorkloadPlace: ~Copyable {
    let folder: BenchFile
    let scale: WorkloadScale
    let buffer: BenchBuffer
    let interruption: Interruption

    func stopIfAsked() throws(WorkloadFailure) {
        if interruption.signal != 0 { throw .interrupted }
    }

    /// Times each of many requests, after a tenth as many that do not count.
    ///
    /// - Parameter request: gets a number that it has not had before.
    func requests(
        _ count: Int, _ request: (Int) throws(WorkloadFailure) -> Void
    ) throws(WorkloadFailure) -> Sample {
        for index in 0..<count / 10 { try request(count + index) }
        var taken: [UInt64] = []
        taken.reserveCapacity(count)
        for index in 0..<count {
            try stopIfAsked()
            let begin = cmem_monotonic_nanoseconds()
            try request(index)
            taken.append(cmem_monotonic_nanoseconds() - begin)
        }
        taken.sort()
        return Sample(
            nanoseconds: BenchStatistics.percentile(taken, 0.5),
            p99: BenchStatistics.percentile(taken, 0.99))
    }

    /// Times the work as a whole.
    func whole(_ work: () throws(WorkloadFailure) -> Void) throws(WorkloadFailure) -> Sample {
        let begin = cmem_monotonic_nanoseconds()
        try work()
        return Sample(nanoseconds: Double(cmem_monotonic_nanoseconds() - begin))
    }

    /// Times calls that move 1 MiB each, over a file from its begin to its end, again and again.
    func mebibytes(
        _ call: (_ offset: Int) throws(WorkloadFailure) -> Void
    ) throws(WorkloadFailure) -> Sample {
        let begin = cmem_monotonic_nanoseconds()
        for _ in 0..<scale.passes {
            for index in 0..<scale.mebibytes {
                try stopIfAsked()
                try call(index << 20)
            }
        }
        let taken = Double(cmem_monotonic_nanoseconds() - begin)
        return Sample(nanoseconds: taken / Double(scale.passes * scale.mebibytes))
    }
}

/// Something to do in a folder, with a figure for how fast it was.
package struct Workload: Sendable {
    package let name: String
    /// What it does, in some words.
    package let summary: String
    package let unit: BenchUnit
    /// Room and inodes that it takes at most.
    let room: @Sendable (WorkloadScale) -> (bytes: Int, inodes: Int)
    let run: @Sendable (borrowing WorkloadPlace) throws(WorkloadFailure) -> Sample

    init(
        _ name: String, _ unit: BenchUnit, _ summary: String,
        room: @escaping @Sendable (WorkloadScale) -> (bytes: Int, inodes: Int),
        _ run: @escaping @Sendable (borrowing WorkloadPlace) throws(WorkloadFailure) -> Sample
    ) {
        self.name = name
        self.unit = unit
        self.summary = summary
        self.room = room
        self.run = run
    }

    /// In the order of the table.
    package static let all: [Workload] = requestWorkloads + treeWorkloads + bulkWorkloads
}
