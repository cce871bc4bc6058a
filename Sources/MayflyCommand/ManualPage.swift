// ManualPage: man pages of the commands, made of what their help is made of, so that they cannot be old.
//
// Source: man(7); the JSON is that of `--experimental-dump-help` of swift-argument-parser.

import ArgumentParser
import Mayfly

/// A page of section 1.
struct ManualPage {
    /// "mayfly-image-build", which man(1) also finds as `man mayfly image build`.
    let name: String
    /// In the language of man(7).
    let text: String

    /// The pages of `mayfly` and of every command.
    static func all() -> [ManualPage] {
        let dump = Array(MayflyCommand._dumpHelp().utf8)
        guard let tool = ControlJSON.decoded(DumpedTool.self, dump) else { return [] }
        return pages(tool.command, path: [])
    }

    private static func pages(_ command: DumpedCommand, path: [String]) -> [ManualPage] {
        let path = path + [command.commandName]
        let subcommands = (command.subcommands ?? []).filter {
            $0.shouldDisplay != false && $0.commandName != "help"
        }
        let page = ManualPage(
            name: path.joined(separator: "-"), text: text(command, subcommands, path))
        return [page] + subcommands.flatMap { pages($0, path: path) }
    }

    private static func text(
        _ command: DumpedCommand, _ subcommands: [DumpedCommand], _ path: [String]
    ) -> String {
        let name = path.joined(separator: "-")
        let arguments = (command.arguments ?? []).filter { $0.shouldDisplay != false }
        var roff = Roff()
        roff.request(".TH", name.uppercased(), "1", "", "mayfly \(MayflyVersion.text)", "Mayfly")
        roff.section("NAME")
        roff.line("\(name) - \(command.abstract ?? "")")
        roff.section("SYNOPSIS")
        roff.bold(path.joined(separator: " "))
        roff.line(synopsis(arguments, hasSubcommands: !subcommands.isEmpty))
        description(command.discussion ?? "", &roff)
        if !subcommands.isEmpty {
            roff.section("COMMANDS")
            for subcommand in subcommands {
                roff.tagged(
                    "\\fB\(Roff.escaped((path + [subcommand.commandName]).joined(separator: "-")))\\fR(1)",
                    subcommand.abstract ?? "")
            }
        }
        let positional = arguments.filter { $0.kind == "positional" }
        if !positional.isEmpty {
            roff.section("ARGUMENTS")
            for argument in positional {
                roff.tagged("\\fI\(Roff.escaped(argument.valueName ?? ""))\\fR", argument.help)
            }
        }
        let options = arguments.filter { $0.kind != "positional" }
        if !options.isEmpty {
            roff.section("OPTIONS")
            for option in options { roff.tagged(option.tag, option.help) }
        }
        let parents = path.dropLast().isEmpty ? [] : [path.dropLast().joined(separator: "-")]
        let related = parents + (path.count == 1 ? ["mount", "tmpfs"] : [])
        roff.section("SEE ALSO")
        roff.line(
            related.map { name in
                "\(name)(\(name == "mount" ? "8" : name == "tmpfs" ? "5" : "1"))"
            }.joined(separator: ", "))
        return roff.text
    }

    private static func synopsis(_ arguments: [DumpedArgument], hasSubcommands: Bool) -> String {
        if hasSubcommands { return "command ..." }
        let words = arguments.filter { $0.kind == "positional" }.map { argument in
            let word =
                (argument.parsingStrategy == "postTerminator" ? "-- " : "")
                + (argument.valueName ?? "") + (argument.isRepeating ? " ..." : "")
            return argument.isOptional ? "[\(word)]" : word
        }
        return (["[options]"] + words).joined(separator: " ")
    }

    /// Paragraphs; a line in capitals with a colon begins a section, and lines that begin with blanks stand as
    /// they are.
    private static func description(_ discussion: String, _ roff: inout Roff) {
        roff.section("DESCRIPTION")
        var isExample = false
        for line in discussion.split(separator: "\n", omittingEmptySubsequences: false) {
            let isIndented = line.hasPrefix(" ")
            if isExample, !isIndented {
                roff.request(".EE")
                isExample = false
            }
            if line.hasSuffix(":"), line.dropLast().allSatisfy({ $0.isUppercase || $0 == " " }) {
                roff.section(String(line.dropLast()))
            } else if line.isEmpty {
                roff.request(".PP")
            } else if isIndented {
                if !isExample { roff.request(".EX") }
                isExample = true
                roff.line(String(line))
            } else {
                roff.line(String(line))
            }
        }
        if isExample { roff.request(".EE") }
    }
}

/// Text for roff(7).
private struct Roff {
    private(set) var text = ""

    static func escaped(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "'": result += "\\(aq"
            case "`": result += "\\(ga"
            case "^": result += "\\(ha"
            case "~": result += "\\(ti"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }

    mutating func request(_ name: String, _ arguments: String...) {
        let quoted = arguments.map { "\"\(Self.escaped($0).replacing("\"", with: "\\(dq"))\"" }
        text += ([name] + quoted).joined(separator: " ") + "\n"
    }

    mutating func section(_ title: String) { request(".SH", title) }

    /// Words that roff may break, or in an example a line as it is.
    mutating func line(_ words: String) {
        let escaped = Self.escaped(words)
        // A line that begins with a dot would be a request.
        text += (escaped.hasPrefix(".") ? "\\&" : "") + escaped + "\n"
    }

    mutating func bold(_ words: String) { text += "\\fB\(Self.escaped(words))\\fR\n" }

    /// - Parameter tag: escaped already.
    mutating func tagged(_ tag: String, _ words: String) {
        text += ".TP\n\(tag)\n"
        line(words.isEmpty ? "\u{a0}" : words)
    }
}

// MARK: what swift-argument-parser tells

private struct DumpedTool: Decodable {
    var command: DumpedCommand
}

private struct DumpedCommand: Decodable {
    var commandName: String
    var abstract: String?
    var discussion: String?
    var shouldDisplay: Bool?
    var arguments: [DumpedArgument]?
    var subcommands: [DumpedCommand]?
}

private struct DumpedArgument: Decodable {
    struct Name: Decodable {
        var kind: String
        var name: String

        var text: String { kind == "long" ? "--\(name)" : "-\(name)" }
    }

    var kind: String
    var valueName: String?
    var abstract: String?
    var discussion: String?
    var isOptional: Bool
    var isRepeating: Bool
    var shouldDisplay: Bool?
    var parsingStrategy: String?
    var names: [Name]?

    var help: String {
        [abstract, discussion].compactMap(\.self).filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// "-o, --option VALUE"
    var tag: String {
        let words = (names ?? []).map { "\\fB\(Roff.escaped($0.text))\\fR" }
        let value = kind == "option" ? " \\fI\(Roff.escaped(valueName ?? ""))\\fR" : ""
        return words.joined(separator: ", ") + value
    }
}
