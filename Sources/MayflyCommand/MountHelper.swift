// `mount -t mayfly` and /etc/fstab: mount(8) calls this program by the name of a link to it,
// /sbin/mount.mayfly or /sbin/mount.fuse.mayfly, with arguments of its own.

import Glibc
import Mayfly
import MayflyHost

/// What the program was called with, as the subcommands take it.
enum Invocation {
    /// The arguments after the program's name.
    static let arguments: [String] = {
        let all = ProcessArguments.separated
        let given = Array(all.dropFirst())
        guard let program = all.first, MountHelper.isCalled(by: program) else { return given }
        return MountHelper(given).arguments
    }()
}

/// The call `mount.mayfly SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`.
///
/// - Source: mount(8), "EXTERNAL HELPERS".
struct MountHelper: Equatable {
    private(set) var operands: [String] = []
    private(set) var options: [String] = []
    /// "-f": everything but the mount itself.
    private(set) var isFake = false
    private(set) var isVerbose = false
    private(set) var unknown: [String] = []

    static func isCalled(by program: String) -> Bool {
        let name = program.split(separator: "/").last ?? ""
        return name == "mount.mayfly" || name == "mount.fuse.mayfly"
    }

    init(_ arguments: [String]) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("-"), argument.count > 1 else {
                operands.append(argument)
                continue
            }
            var letters = argument.dropFirst()
            while let letter = letters.popFirst() {
                switch letter {
                case "f": isFake = true
                case "v": isVerbose = true
                // Unknown options are errors all the same; there is no mtab to write.
                case "s", "n": break
                case "o", "t", "N":
                    let value = letters.isEmpty ? rest.popFirst() ?? "" : String(letters)
                    letters = ""
                    if letter == "o" { options += value.split(separator: ",").map(String.init) }
                default: unknown.append("-\(letter)")
                }
            }
        }
    }

    /// Whether an existing mount is to be changed, which is the kernel's business alone.
    var isRemount: Bool { options.contains("remount") }

    /// The call as `mayfly` takes it.
    var arguments: [String] {
        if isRemount { return ["mount", "--remount"] + operands.suffix(1) + optionArguments }
        var arguments = ["mount"]
        if !isVerbose { arguments.append("--quiet") }
        if isFake { arguments.append("--fake") }
        arguments += unknown + operands.dropFirst()
        let namesSource = options.contains { $0.hasPrefix("source=") || $0.hasPrefix("fsname=") }
        var list = options
        if let source = operands.first, source != "none", !namesSource {
            // A comma would end the option.
            list.append("source=\(source.replacing(",", with: "_"))")
        }
        return arguments + (list.isEmpty ? [] : ["-o", list.joined(separator: ",")])
    }

    private var optionArguments: [String] { ["-o", options.joined(separator: ",")] }
}
