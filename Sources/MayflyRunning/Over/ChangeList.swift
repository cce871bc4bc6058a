// ChangeList: what a command has changed in a folder that was brought into memory, and how it goes from the
// server to the process that applies it.

import Mayfly
import MayflyHost
import MayflyImages

/// One path that is not what it was.
struct TreeChange: Equatable {
    let kind: TreeDifference.Kind
    let aspects: Set<TreeDifference.Aspect>
    /// From the folder on, without a slash in front; empty for the folder itself.
    let path: [UInt8]
    /// What lay there on disk when the folder was brought in; nil for what is new.
    let stamp: SourceStamp?
}

/// Which files a folder had when it was brought in.
final class FolderStamps: @unchecked Sendable {
    // Sendable: the thread that reads the folder fills it, and has ended before it is read.
    private var stamps: [SourceStamp] = []
    private var places: [UInt64: UInt32] = [:]

    func note(_ path: [UInt8], _ stamp: SourceStamp) {
        places[Self.key(path)] = UInt32(stamps.count)
        stamps.append(stamp)
    }

    subscript(path: [UInt8]) -> SourceStamp? {
        places[Self.key(path)].map { stamps[Int($0)] }
    }

    /// 64 bits with a seed of this process: that two of a million paths share one is as likely as 1 in 10^7.
    private static func key(_ path: [UInt8]) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(path)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}

/// Changes as bytes.
enum ChangeList {
    private static let kinds: [TreeDifference.Kind] = [.added, .removed, .changed]

    static func encoded(_ changes: [TreeChange]) -> [UInt8] {
        var bytes: [UInt8] = []
        for change in changes {
            bytes.append(UInt8(kinds.firstIndex(of: change.kind)!))
            var aspects: UInt64 = 0
            for (bit, aspect) in TreeDifference.Aspect.allCases.enumerated()
            where change.aspects.contains(aspect) {
                aspects |= 1 << UInt64(bit)
            }
            put(aspects, &bytes)
            put(change.stamp == nil ? 0 : 1, &bytes)
            for word in change.stamp?.words ?? [] { put(word, &bytes) }
            put(UInt64(change.path.count), &bytes)
            bytes += change.path
        }
        return bytes
    }

    /// - Returns: nil for bytes that are no list.
    static func decoded(_ bytes: [UInt8]) -> [TreeChange]? {
        var rest = bytes[...]
        var changes: [TreeChange] = []
        while let kind = rest.popFirst() {
            guard kind < kinds.count, let bits = take(&rest), let hasStamp = take(&rest) else {
                return nil
            }
            var stamp: SourceStamp?
            if hasStamp == 1 {
                var words: [UInt64] = []
                for _ in 0..<SourceStamp.wordCount {
                    guard let word = take(&rest) else { return nil }
                    words.append(word)
                }
                stamp = SourceStamp(words: words)
            }
            guard let count = take(&rest), count <= rest.count else { return nil }
            let aspects = TreeDifference.Aspect.allCases.enumerated().filter {
                bits >> UInt64($0.offset) & 1 == 1
            }
            changes.append(
                TreeChange(
                    kind: kinds[Int(kind)], aspects: Set(aspects.map(\.element)),
                    path: Array(rest.prefix(Int(count))), stamp: stamp))
            rest = rest.dropFirst(Int(count))
        }
        return changes
    }

    private static func put(_ word: UInt64, _ bytes: inout [UInt8]) {
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
    }

    private static func take(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        guard rest.count >= 8 else { return nil }
        defer { rest = rest.dropFirst(8) }
        return rest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
