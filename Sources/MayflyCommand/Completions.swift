// Completions: the values that a shell offers for arguments. The shell runs this program for them.

import ArgumentParser
import Glibc
import Mayfly
import MayflyHost

extension CompletionKind {
    /// Mounts of this user, and folders, in any of which one may stand.
    static let mounts = custom { _, _, prefix in
        MountList.current().filter(\.isVisible).map(\.mountpoint).filter { $0.hasPrefix(prefix) }
            + FoundNames.paths(prefix, onlyFolders: true)
    }

    /// Snapshots of the mount that stands before it.
    static let snapshots = custom { words, _, _ in
        // A name of a command or an option is in no mount.
        for word in words.dropFirst() where !word.hasPrefix("-") {
            if let list = try? MountControl(word).snapshots() { return list.snapshots.map(\.name) }
        }
        return []
    }

    /// Images of the store, and files.
    static let images = custom { _, _, prefix in
        ((try? ImageStore.list()) ?? []).compactMap(\.name).filter { $0.hasPrefix(prefix) }
            + FoundNames.paths(prefix, onlyFolders: false)
    }

    /// Operations that faults can be had on.
    static let operations = list(FaultRule.operations)
    static let errnos = list(FaultRule.errnos)
    static let transports = list(["auto", "ring", "dev"])
    static let durabilities = list(["none", "fsync"])

    /// A program, and then its arguments, which are taken for files.
    static let commandLine = custom { words, index, prefix in
        let end = words.firstIndex(of: "--") ?? 0
        if index > end + 1 || prefix.contains("/") {
            return FoundNames.paths(prefix, onlyFolders: false)
        }
        return FoundNames.programs(prefix)
    }
}

/// Names in folders.
enum FoundNames {
    /// Paths that begin so; folders end with a slash.
    static func paths(_ prefix: String, onlyFolders: Bool) -> [String] {
        let folder = prefix.lastIndex(of: "/").map { String(prefix[...$0]) } ?? ""
        let start = prefix.dropFirst(folder.count)
        // Asking for names in a mount whose server hangs would hang the shell.
        return HostFile.names(in: folder.isEmpty ? "." : folder).filter {
            $0.hasPrefix(start) && (!$0.hasPrefix(".") || start.hasPrefix("."))
        }.compactMap { name in
            var status = stat()
            guard unsafe stat(folder + name, &status) == 0 else { return nil }
            let isFolder = status.st_mode & S_IFMT == S_IFDIR
            if onlyFolders && !isFolder { return nil }
            return folder + name + (isFolder ? "/" : "")
        }.sorted()
    }

    /// Programs in $PATH that begin so.
    static func programs(_ prefix: String) -> [String] {
        let path = ProcessArguments.variable("PATH")?.text ?? "/usr/bin:/bin"
        let names = path.split(separator: ":").flatMap { folder in
            HostFile.names(in: String(folder)).filter {
                unsafe $0.hasPrefix(prefix) && access("\(folder)/\($0)", X_OK) == 0
            }
        }
        return Set(names).sorted()
    }
}
