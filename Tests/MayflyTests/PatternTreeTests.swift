import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

@testable import Mayfly
@testable import MayflyServing

/// Patterns of fault rules, one and many at once.
struct PatternTreeTests {
    /// The rules of a tree that a path matches.
    private func matching(_ tree: inout PatternTree, _ path: String) -> [Int] {
        let parts = path.split(separator: "/").map { Array($0.utf8) }
        var places = tree.start()
        for part in parts {
            places = unsafe part.withUnsafeBytes { bytes in
                tree.advance(places, unsafe Name(bytes))
            }
        }
        return tree.rules(at: places).sorted()
    }

    private func matches(_ pattern: String, _ path: String) -> Bool {
        var tree = PatternTree()
        tree.insert(PathPattern(pattern), rule: 1)
        return matching(&tree, path) == [1]
    }

    @Test func patterns() {
        #expect(matches("db/*", "db/a") && matches("/db/*", "db/a") && matches("db/?", "db/a"))
        #expect(!matches("db/*", "db/a/b") && !matches("db/*", "db") && !matches("db", "db/a"))
        #expect(matches("**", "") && matches("**", "a/b/c") && matches("**/c", "c"))
        #expect(matches("a/**/c", "a/c") && matches("a/**/c", "a/b/b/c"))
        #expect(!matches("a/**/c", "a/b") && matches("**/**/c", "c"))
        #expect(matches("a/**/b/**", "a/x/b") && !matches("a/**/b/**", "a/x"))
        #expect(matches("*a*b*", "xaxxbx") && !matches("*a*b*", "xbxxax") && matches("*", "é"))
        #expect(matches("a*a*a", "aaaa") && !matches("a*a*a", "aa") && !matches("ab*ba", "aba"))
        #expect(matches("x*.log", "x.log") && !matches("x*.log", "y.log"))
        #expect(!matches("x*.log", "x.lo") && matches("x**y", "xay") && !matches("x**y", "x/y"))
    }

    /// Many patterns together say what each says alone, also when some have been taken out.
    @Test func manyAreAsEachAlone() {
        var random = SeededGenerator(seed: 3)
        let parts = ["a", "b", "ab", "*", "a*", "*b", "a*b", "?", "**", "b?"]
        let patterns = (0..<200).map { _ in
            (0..<1 + random.below(4)).map { _ in parts[random.below(parts.count)] }
                .joined(separator: "/")
        }
        var tree = PatternTree()
        for (number, pattern) in patterns.enumerated() {
            tree.insert(PathPattern(pattern), rule: number)
        }
        let removed = Set((0..<60).map { _ in random.below(patterns.count) })
        for number in removed { tree.remove(PathPattern(patterns[number]), rule: number) }
        let names = ["a", "b", "ab", "aab", "bb", "c"]
        for _ in 0..<200 {
            let path = (0..<random.below(5)).map { _ in names[random.below(names.count)] }
                .joined(separator: "/")
            let expected = patterns.indices.filter {
                !removed.contains($0) && matches(patterns[$0], path)
            }
            #expect(matching(&tree, path) == expected, "\(path)")
        }
    }
}
