// ArtifactFuzz: manifests, configs, indices, archives and packed runs that were changed at random and read. Whatever is
// in them, they are refused or read, nothing crashes or hangs, and no file gets more than it was to have.

internal import CMayflySystem
internal import Glibc
internal import MayflyRegistry

/// Mutations of the documents and frames of an artifact, by seed.
package final class ArtifactFuzz {
    private let samples: [ArtifactSample.Kind: [UInt8]]
    private let sample: ArtifactSample
    private var random: SeededGenerator

    /// How many mutations came how far: refused as they were read, read and found wrong, and taken.
    package private(set) var refused = 0
    package private(set) var unsound = 0
    package private(set) var sound = 0

    /// Makes an artifact of a file of some runs, with a layer that lies on it.
    package init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        var bytes = [UInt8](repeating: 0, count: 40_000 + Int(seed % 7) * 5000)
        for index in 0..<bytes.count where index % 3 != 0 {
            bytes[index] = UInt8(truncatingIfNeeded: random.below(index % 5 == 0 ? 256 : 4))
        }
        sample = try ArtifactSample(of: bytes)
        samples = sample.documents
    }

    /// Changes one of them, and reads it.
    package func step() {
        let kind = ArtifactSample.Kind.allCases[random.below(ArtifactSample.Kind.allCases.count)]
        var bytes = samples[kind] ?? []
        for _ in 0..<(1 + random.below(3)) { mutate(&bytes) }
        switch sample.look(at: kind, bytes) {
        case .refused: refused += 1
        case .unsound: unsound += 1
        case .sound: sound += 1
        }
    }

    /// Words that mean something to readers of such documents.
    private static let words = [
        "18446744073709551615", "-1", "0", "9223372036854775808", "1e400", "null", "{}", "[]",
        "\"\"",
        "\"sha512:00\"", "\"sha256:\"", "\"../../etc/passwd\"", "[[[[[[[[[[", "4294967296",
        "\u{0}", "\u{FFFD}",
    ].map { Array($0.utf8) }

    private func mutate(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return bytes.append(UInt8(random.below(256))) }
        let at = random.below(bytes.count)
        switch random.below(8) {
        case 0: bytes[at] ^= 1 << UInt8(random.below(8))
        case 1: bytes[at] = UInt8(random.below(256))
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(64)))
        case 3: bytes.insert(contentsOf: Self.words[random.below(Self.words.count)], at: at)
        case 4: bytes.removeLast(random.below(bytes.count))
        case 5:
            // A part of it once more.
            let part = bytes[at..<min(bytes.count, at + 1 + random.below(512))]
            bytes.insert(contentsOf: part, at: random.below(bytes.count))
        case 6:
            // A number in place of a number.
            guard let digit = bytes[at...].firstIndex(where: { (48...57).contains($0) }) else {
                return
            }
            let end = bytes[digit...].firstIndex { !(48...57).contains($0) } ?? bytes.count
            bytes.replaceSubrange(digit..<end, with: Self.words[random.below(4)])
        default:
            for index in at..<min(bytes.count, at + 8) { bytes[index] = 0xFF }
        }
    }
}
