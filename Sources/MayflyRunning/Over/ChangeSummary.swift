// ChangeSummary: what was changed in a folder, summed up.

import Mayfly
import MayflyHost
import MayflyImages

/// What the report of a run has of a folder.
struct OverReport: Equatable {
    let path: PathBytes
    let added: Int
    let changed: Int
    let removed: Int
    var isApplied = false
    var kept: PathBytes?

    init(_ path: PathBytes, _ changes: [TreeChange]) {
        self.path = path
        func count(_ kind: TreeDifference.Kind) -> Int { changes.count { $0.kind == kind } }
        added = count(.added)
        changed = count(.changed)
        removed = count(.removed)
    }

    var json: String {
        "{\"path\": \(RunReport.quoted(path.text)), \"added\": \(added), \"changed\": \(changed), "
            + "\"removed\": \(removed), \"applied\": \(isApplied), "
            + "\"kept\": \(kept.map { RunReport.quoted($0.text) } ?? "null")}"
    }
}

enum ChangeSummary {
    /// Lines that are shown at most.
    private static let mostLines = 20

    /// As `mayfly diff` tells changes, but of a folder that came or went with all that is in it only how
    /// much that is.
    static func lines(_ changes: [TreeChange], in folder: PathBytes) -> [String] {
        if changes.isEmpty { return ["nothing was changed in \(folder)"] }
        let report = OverReport(folder, changes)
        var lines: [String] = []
        var below = 0
        var top: TreeChange?
        func end() {
            if below > 0 { lines[lines.count - 1] += "  (and \(below) in it)" }
            below = 0
        }
        for change in changes {
            if let top, top.kind == change.kind, top.kind != .changed,
                change.path.starts(with: top.path + [UInt8(ascii: "/")])
            {
                below += 1
                continue
            }
            end()
            top = change
            let sign =
                switch change.kind {
                case .added: "+"
                case .removed: "-"
                case .changed: "~"
                }
            let aspects = TreeDifference.Aspect.allCases.filter(change.aspects.contains)
            let words = aspects.map(\.rawValue).joined(separator: ", ")
            lines.append(
                "  \(sign) \(ChangeApplier.text(change.path))"
                    + (words.isEmpty ? "" : "  (\(words))"))
        }
        end()
        let more = lines.count - mostLines
        if more > 0 { lines = lines.prefix(mostLines) + ["  ... and \(more) more"] }
        return [
            "changed in \(folder): \(report.added) added, \(report.changed) changed, "
                + "\(report.removed) removed"
        ] + lines
    }
}
