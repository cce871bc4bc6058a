// PatternTree: many path patterns at once. A path is matched in one pass over its components, and a
// component is looked up by hash among the literals, and among the globs by what is literal at their
// ends; so what does not match costs nothing.

package import InodeStore

/// Patterns with the numbers of their rules. A value, guarded by its owner.
package struct PatternTree: Sendable {
    /// A place between two components of some patterns.
    private struct Node: Sendable {
        /// By hash of the component.
        var literals: [UInt64: [(bytes: [UInt8], child: Int)]] = [:]
        /// By hash of head and tail, for each pair of their lengths.
        var globs: [UInt64: [(pattern: NamePattern, child: Int)]] = [:]
        var shapes: [(head: Int, tail: Int)] = []
        /// Where `**` leads, which matches no component as well.
        var anyNumber: Int?
        /// Whether it is such a place, which any component leads back to.
        var isLoop = false
        var rules: [Int] = []

        var isLeaf: Bool { literals.isEmpty && globs.isEmpty && anyNumber == nil && !isLoop }
    }

    private var nodes = [Node()]
    /// Which step has met a node last.
    private var stamps: [UInt64] = [0]
    private var step: UInt64 = 0
    /// Components of the longest pattern; as many as there may be where one has `**`.
    private(set) var longest = 0

    // MARK: patterns

    package init() {}

    package mutating func insert(_ pattern: PathPattern, rule: Int) {
        let isEndless = pattern.components.contains(PathPattern.anyNumber)
        longest = isEndless ? .max : max(longest, pattern.components.count)
        var at = 0
        for component in pattern.components { at = child(at, component) ?? grow(at, component) }
        nodes[at].rules.append(rule)
    }

    /// - Precondition: it was inserted. Its nodes stay, for those that come later.
    mutating func remove(_ pattern: PathPattern, rule: Int) {
        var at = 0
        for component in pattern.components {
            guard let next = child(at, component) else { return }
            at = next
        }
        nodes[at].rules.removeAll { $0 == rule }
    }

    private func child(_ at: Int, _ component: [UInt8]) -> Int? {
        if component == PathPattern.anyNumber {
            return nodes[at].isLoop ? at : nodes[at].anyNumber
        }
        guard let glob = NamePattern(component) else {
            return nodes[at].literals[Self.hash(component)]?.first { $0.bytes == component }?.child
        }
        return nodes[at].globs[Self.hash(glob)]?.first { $0.pattern == glob }?.child
    }

    private mutating func grow(_ at: Int, _ component: [UInt8]) -> Int {
        let made = nodes.count
        nodes.append(Node())
        stamps.append(0)
        if component == PathPattern.anyNumber {
            nodes[made].isLoop = true
            nodes[at].anyNumber = made
        } else if let glob = NamePattern(component) {
            nodes[at].globs[Self.hash(glob), default: []].append((glob, made))
            let shape = (head: glob.headCount, tail: glob.tailCount)
            if !nodes[at].shapes.contains(where: { $0 == shape }) { nodes[at].shapes.append(shape) }
        } else {
            nodes[at].literals[Self.hash(component), default: []].append((component, made))
        }
        return made
    }

    private static func hash(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe Name($0).hash().rawValue }
    }

    private static func hash(_ pattern: NamePattern) -> UInt64 {
        unsafe pattern.bytes.withUnsafeBytes { bytes in
            unsafe hash(bytes, head: pattern.headCount, tail: pattern.tailCount)
        }
    }

    private static func hash(_ bytes: UnsafeRawBufferPointer, head: Int, tail: Int) -> UInt64 {
        let first = unsafe Name(UnsafeRawBufferPointer(rebasing: bytes.prefix(head))).hash()
            .rawValue
        let last = unsafe Name(UnsafeRawBufferPointer(rebasing: bytes.suffix(tail))).hash().rawValue
        return first &+ last &* 0x9E37_79B9_7F4A_7C15
    }

    // MARK: matching

    /// Where a match stands: the places that the components so far lead to.
    package typealias Places = [Int]

    package mutating func start() -> Places {
        step += 1
        var places: Places = []
        reach(0, &places)
        return places
    }

    /// Goes on by one component; nowhere where no pattern can match.
    package mutating func advance(_ places: Places, _ name: Name) -> Places {
        step += 1
        var next: Places = []
        let hash = name.hash().rawValue
        let bytes = unsafe UnsafeRawBufferPointer(start: name.bytes, count: Int(name.count))
        for place in places {
            if nodes[place].isLoop { reach(place, &next) }
            for (literal, child) in nodes[place].literals[hash] ?? []
            where unsafe literal.count == bytes.count && literal.elementsEqual(bytes) {
                reach(child, &next)
            }
            for (head, tail) in nodes[place].shapes where head + tail <= bytes.count {
                let key = unsafe Self.hash(bytes, head: head, tail: tail)
                for (pattern, child) in nodes[place].globs[key] ?? []
                where unsafe pattern.matches(bytes) {
                    reach(child, &next)
                }
            }
        }
        return next
    }

    private mutating func reach(_ node: Int, _ places: inout Places) {
        if stamps[node] == step { return }
        stamps[node] = step
        places.append(node)
        if let more = nodes[node].anyNumber { reach(more, &places) }
    }

    /// Rules whose patterns end here.
    package func rules(at places: Places) -> [Int] { places.flatMap { nodes[$0].rules } }

    package func hasRules(at places: Places) -> Bool {
        places.contains { !nodes[$0].rules.isEmpty }
    }

    /// Whether a longer path can match.
    func goesOn(from places: Places) -> Bool { places.contains { !nodes[$0].isLeaf } }

    /// The only names that lead on; nil where others may.
    func literals(from places: Places) -> [[UInt8]]? {
        if places.contains(where: { nodes[$0].isLoop || !nodes[$0].shapes.isEmpty }) { return nil }
        return places.flatMap { nodes[$0].literals.values.joined().map(\.bytes) }
    }

    /// Appends the rules that a path matches.
    ///
    /// - Parameter components: the last one first.
    mutating func match(_ components: [Name], _ found: inout [Int]) {
        var places = start()
        for component in components.reversed() {
            places = advance(places, component)
            if places.isEmpty { return }
        }
        for place in places { found.append(contentsOf: nodes[place].rules) }
    }
}
