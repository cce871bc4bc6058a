import Glibc
import MayflyTestSupport
import Testing

/// The structure of the package is what Docs/Architecture.md says: who imports whom, and no circle.
@Suite struct PackageStructureTests {
    private static let root =
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// Swift and C modules of this package, by the name of their folder in Sources.
    private static let targets = Set(names(in: "Sources")).subtracting(others)
    /// Folders that SwiftPM knows nothing of.
    private static let others: Set<String> = ["Node", "Packaging", "Python"]

    /// What a target imports of this package and of others; the system's modules are left out.
    private static func imports(ofTarget target: String) -> Set<String> {
        let files = swiftFiles(below: "Sources/\(target)")
        var found = Set(files.flatMap { importedModules(in: $0) })
        for file in filesWithSuffix([".c", ".h"], below: "Sources/\(target)") {
            found.formUnion(includedModules(in: file))
        }
        return found.subtracting(system).subtracting([target])
    }

    private static let system: Set<String> = ["Glibc", "Synchronization", "Testing", "Foundation"]

    // MARK: the table

    /// The rows of the table of modules: the target, and what its last column names.
    private static let table: [String: Set<String>] = {
        var rows: [String: Set<String>] = [:]
        var isTable = false
        for line in text("Docs/Architecture.md").split(
            separator: "\n", omittingEmptySubsequences: false)
        {
            if line.hasPrefix("| target |") { isTable = true; continue }
            if isTable, !line.hasPrefix("|") { break }
            let cells = line.split(separator: "|").map { $0.trimmingBlanks() }
            guard isTable, cells.count == 3, let target = codeSpans(in: cells[0]).first else {
                continue
            }
            rows[target] = Set(codeSpans(in: cells[2]))
        }
        return rows
    }()

    /// What a program embeds knows no command line: its errors speak of settings (`ErrorText`).
    @Test(arguments: [
        "Mayfly", "MayflyArena", "MayflyHTTP", "MayflyHost", "MayflyImages", "MayflyServing",
        "MayflyTesting",
        "FuseTransport", "InodeStore",
    ])
    func noErrorOfTheLibraryNamesAnOption(_ target: String) throws {
        // A command that is to be typed as a whole, and what is said to other programs.
        let others = ["`mayfly ", "unshare --user", "tarOption: "]
        var named: [String] = []
        for file in Self.swiftFiles(below: "Sources/\(target)") {
            for line in Self.text(file).split(separator: "\n") {
                let code = line.drop { $0 == " " }
                guard !code.hasPrefix("//"), let quote = code.firstIndex(of: "\"") else { continue }
                let text = Array(code[quote...])
                let isOption = text.indices.dropLast(2).contains {
                    text[$0] == "-" && text[$0 + 1] == "-" && text[$0 + 2].isLetter
                }
                guard isOption, !others.contains(where: { code.contains($0) }) else { continue }
                named.append("\(file): \(code)")
            }
        }
        #expect(named.isEmpty, "\(named.joined(separator: "\n"))")
    }

    @Test func theTableNamesEveryTarget() {
        #expect(Set(Self.table.keys) == Self.targets)
    }

    @Test(arguments: targets.sorted())
    func aTargetImportsWhatTheTableSays(_ target: String) throws {
        let row = try #require(Self.table[target], "\(target) has no row in Docs/Architecture.md")
        let imports = Self.imports(ofTarget: target)
        #expect(imports.subtracting(row).isEmpty, "imported, and not in the table")
        #expect(row.subtracting(imports).isEmpty, "in the table, and not imported")
    }

    /// What SwiftPM links is what is imported.
    @Test(arguments: targets.sorted())
    func thePackageDescriptionSaysTheSame(_ target: String) throws {
        let declared = try #require(Self.dependencies[target], "\(target) is not in Package.swift")
        let modules = Self.imports(ofTarget: target).intersection(Self.targets)
        #expect(declared.intersection(Self.targets) == modules)
    }

    // MARK: circles

    @Test func noCircleOfTargets() {
        let edges = Dictionary(
            uniqueKeysWithValues: Self.targets.map { ($0, Self.imports(ofTarget: $0)) })
        #expect(Self.circle(in: edges) == nil)
    }

    /// Folders of one target use each other in one direction: by the types that their files declare.
    @Test(arguments: targets.sorted())
    func noCircleOfFolders(_ target: String) {
        let edges = Self.folderUses(ofTarget: target).mapValues { Set($0.keys) }
        if let circle = Self.circle(in: edges) {
            let uses = Self.folderUses(ofTarget: target)
            let reasons = zip(circle, circle.dropFirst()).map { one, other in
                "\(one) uses \(uses[one]?[other]?.sorted().joined(separator: ", ") ?? "") of \(other)"
            }
            Issue.record("\(target): \(reasons.joined(separator: "; "))")
        }
    }

    /// The test of circles finds one where there is one.
    @Test func aCircleIsFound() {
        #expect(Self.circle(in: ["a": ["b"], "b": ["c"], "c": ["a"], "d": []])?.count == 4)
        #expect(Self.circle(in: ["a": ["b", "c"], "b": ["c"], "c": []]) == nil)
    }

    /// A circle as a path that ends where it began; nil where there is none.
    private static func circle(in edges: [String: Set<String>]) -> [String]? {
        var done: Set<String> = []
        func visit(_ node: String, _ path: [String]) -> [String]? {
            if let start = path.firstIndex(of: node) { return Array(path[start...]) + [node] }
            if done.contains(node) { return nil }
            for next in (edges[node] ?? []).sorted() {
                if let found = visit(next, path + [node]) { return found }
            }
            done.insert(node)
            return nil
        }
        for node in edges.keys.sorted() { if let found = visit(node, []) { return found } }
        return nil
    }
}

// MARK: reading sources

extension PackageStructureTests {
    private static func text(_ path: String) -> String {
        TextFile.text(at: "\(root)/\(path)") ?? ""
    }

    private static func names(in folder: String) -> [String] {
        guard let directory = unsafe opendir("\(root)/\(folder)") else { return [] }
        defer { unsafe closedir(directory) }
        var result: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { result.append(name) }
        }
        return result.sorted()
    }

    private static func filesWithSuffix(_ suffixes: [String], below folder: String) -> [String] {
        names(in: folder).flatMap { name -> [String] in
            let path = "\(folder)/\(name)"
            if suffixes.contains(where: name.hasSuffix) { return [path] }
            return name.contains(".") ? [] : filesWithSuffix(suffixes, below: path)
        }
    }

    private static func swiftFiles(below folder: String) -> [String] {
        filesWithSuffix([".swift"], below: folder)
    }

    private static func importedModules(in file: String) -> [String] {
        text(file).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            guard let at = words.firstIndex(of: "import"), words.count == at + 2,
                words[..<at].allSatisfy({
                    ["internal", "package", "public", "@testable"].contains($0)
                })
            else { return nil }
            return words[at + 1]
        }
    }

    /// Modules of this package whose headers a C file includes.
    private static func includedModules(in file: String) -> [String] {
        text(file).split(separator: "\n").compactMap { line in
            guard line.hasPrefix("#include"),
                let name = line.split(whereSeparator: { "\"<>".contains($0) }).dropFirst().first
            else { return nil }
            return targets.first { target in
                headers[target]?.contains(String(name)) == true
                    && !file.hasPrefix("Sources/\(target)/")
            }
        }
    }

    /// The headers of each C target; of one that stands for a library, that library's.
    private static let headers = Dictionary(
        uniqueKeysWithValues: targets.map { target in
            let own = filesWithSuffix([".h"], below: "Sources/\(target)")
            let map = text("Sources/\(target)/module.modulemap")
            guard
                let library = map.pieces(behindEach: ["link \""]).first?.prefix(while: {
                    $0 != "\""
                })
            else {
                return (target, Set(own.map { String($0.split(separator: "/").last!) }))
            }
            let included = own.flatMap { text($0).pieces(behindEach: ["#include <"]) }
                .map { String($0.prefix { $0 != ">" }) }
            return (target, Set(included.filter { !$0.contains("/") && $0.contains(library) }))
        })

    private static func codeSpans(in cell: String) -> [String] {
        cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .filter { !$0.offset.isMultiple(of: 2) }.map { String($0.element) }
    }

    /// Names in quotes behind `dependencies:` of each target in Package.swift.
    private static let dependencies: [String: Set<String>] = {
        var result: [String: Set<String>] = [:]
        for piece in text("Package.swift").pieces(behindEach: ["arget(", "systemLibrary("]) {
            let quoted = piece.split(separator: "\"", omittingEmptySubsequences: false)
            guard quoted.count > 1, quoted[0].hasSuffix("name: ") else { continue }
            let declared = piece.pieces(behindEach: ["dependencies: ["]).first?.prefix { $0 != "]" }
            let names = (declared ?? "").split(separator: "\"", omittingEmptySubsequences: false)
            let odd = names.enumerated().filter { !$0.offset.isMultiple(of: 2) }
            result[String(quoted[1])] = Set(odd.map { String($0.element) })
        }
        return result
    }()

    /// Which folder of a target uses which other, and by which types.
    private static func folderUses(ofTarget target: String) -> [String: [String: Set<String>]] {
        let files = swiftFiles(below: "Sources/\(target)")
        func folder(_ file: String) -> String {
            let parts = file.split(separator: "/").dropFirst(2)
            // What lies in no folder is what the folders have in common.
            return parts.count > 1 ? String(parts.first!) : ""
        }
        var owners: [String: String] = [:]
        var code: [String: [Substring]] = [:]
        for file in files {
            let lines = text(file).split(separator: "\n").map { $0.beforeComment() }
            let words = lines.map { $0.split { !($0.isLetter || $0.isNumber || $0 == "_") } }
            for (line, words) in zip(lines, words) where !line.hasPrefix(" ") {
                guard
                    let at = words.firstIndex(where: {
                        ["struct", "class", "enum", "protocol"].contains($0)
                    }),
                    at + 1 < words.count
                else { continue }
                owners[String(words[at + 1])] = folder(file)
            }
            code[file] = words.flatMap { $0 }
        }
        var uses: [String: [String: Set<String>]] = [:]
        for file in files {
            for word in code[file] ?? [] {
                guard let owner = owners[String(word)], owner != folder(file),
                    !owner.isEmpty, !folder(file).isEmpty
                else { continue }
                uses[folder(file), default: [:]][owner, default: []].insert(String(word))
            }
        }
        return uses
    }
}

extension StringProtocol {
    fileprivate func trimmingBlanks() -> String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    /// What stands behind each of these marks, up to the next one.
    fileprivate func pieces(behindEach marks: [String]) -> [String] {
        var result: [String] = []
        var rest = Substring(self)
        while let next = marks.compactMap({ rest.firstRange(of: $0) }).min(by: {
            $0.lowerBound < $1.lowerBound
        }) {
            rest = rest[next.upperBound...]
            let end = marks.compactMap { rest.firstRange(of: $0)?.lowerBound }.min()
            result.append(String(rest[..<(end ?? rest.endIndex)]))
        }
        return result
    }
}

extension Substring {
    fileprivate func beforeComment() -> Substring {
        firstRange(of: "//").map { self[..<$0.lowerBound] } ?? self
    }
}
