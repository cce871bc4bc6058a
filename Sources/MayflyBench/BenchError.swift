package import Mayfly
internal import SystemPackage

/// Why a benchmark ended before it was through. What it had made is removed then.
package enum BenchError: Error, Equatable {
    case failed(MountError)
    /// The signal that ended it.
    case interrupted(Int32)
}

/// Why a workload has no figure.
enum WorkloadFailure: Error {
    case call(String, Errno)
    /// The file system does not offer what the workload is about.
    case unsupported(String)
    case interrupted

    /// The failure of the call that has just left its errno.
    static func last(_ call: String) -> WorkloadFailure {
        .call(call, BenchFile.lastError)
    }
}

extension MountError {
    /// The error for a call that failed in a folder.
    ///
    /// - Parameter workload: which one called; nil before the first.
    static func bench(
        _ folder: String, _ workload: String?, _ call: String, _ error: Errno
    ) -> MountError {
        let leave = workload.map { ", or leave out \($0) by --only" } ?? ""
        return switch error {
        case .noSpace, .diskQuotaExceeded:
            MountError(
                .system,
                "\(folder) is full: make room\(leave)")
        case .readOnlyFileSystem:
            MountError(.usage, "\(folder) is read-only: name a folder that can be written")
        case .permissionDenied, .notPermitted:
            MountError(
                .usage, "\(folder) cannot be written (\(error)): name a folder that you may write")
        default:
            MountError(
                .system,
                "\(call) failed in \(folder) (\(error)): name another folder\(leave)")
        }
    }
}
