// ChangeApplier: applies what was changed in a tree in memory to the folder on disk that it came from.
//
// Everything new is made first, with its content and attributes, in a folder of its own inside the target.
// When all of it is there, and on disk, each file goes to its place by one rename(2). So no file is ever half
// written, whoever is killed: what fails before that leaves the target as it was, and what fails later leaves
// some files old and some new. No symbolic link is followed on the way.

import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

/// Applies one list of changes, in a process that has the caller's rights. Not for several threads.
struct ChangeApplier {
    /// On disk.
    let target: FolderWalk
    /// In memory.
    let tree: FolderWalk
    let changes: [TreeChange]
    /// Whether owners are set as the tree has them; otherwise what is replaced keeps its own, where it can.
    let setsOwners: Bool
    /// What could not be done, in lines.
    var failures: [String] = []

    let made: Set<[UInt8]>
    let gone: Set<[UInt8]>
    /// What is of another type than it was.
    let becoming: Set<[UInt8]>

    var stage: Int32 = -1
    var stageParent: Int32 = -1
    var stageName: [CChar] = []
    var staged = 0
    var steps: [Step] = []
    /// Folders on disk that were made writable for the time, with their modes from before.
    var opened: [[UInt8]: mode_t] = [:]
    /// Files on disk whose attributes were set here: their other names see that too.
    var touched: Set<FileNumber> = []

    struct FileNumber: Hashable {
        let disk: UInt64
        let inode: UInt64

        init(_ status: stat) {
            disk = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }
    }

    /// What is done when everything is staged.
    enum Step {
        case makeFolder(TreeChange)
        /// Moves what is staged under a number to the path.
        case place(Int, TreeChange)
        /// Makes the path a further name of another that is there by then.
        case link(from: [UInt8], TreeChange)
        case setAttributes(TreeChange, ofFolder: Bool)
    }

    init(target: Int32, tree: Int32, changes: [TreeChange], setsOwners: Bool) {
        self.target = FolderWalk(target)
        self.tree = FolderWalk(tree)
        self.changes = changes
        self.setsOwners = setsOwners
        made = Set(changes.filter { $0.kind == .added }.map(\.path))
        gone = Set(changes.filter { $0.kind == .removed }.map(\.path))
        becoming = Set(changes.filter { $0.aspects.contains(.type) }.map(\.path))
    }

    // MARK: words

    func cannot(_ path: [UInt8], _ error: Int32) -> MountError {
        let what = path.isEmpty ? "the changes" : Self.text(path)
        return MountError(
            .system,
            "\(what) cannot be applied (\(Errno(rawValue: error))), and nothing is: look at the room on "
                + "that disk and at who may write there")
    }

    static func path(_ folder: [UInt8], _ name: [UInt8]) -> [UInt8] {
        folder.isEmpty ? name : folder + [UInt8(ascii: "/")] + name
    }

    static func folder(of path: [UInt8]) -> [UInt8] {
        path.lastIndex(of: UInt8(ascii: "/")).map { Array(path[..<$0]) } ?? []
    }

    static func text(_ path: [UInt8]) -> String {
        path.isEmpty ? "." : ShellQuote.quoted(ByteText.shortened(path))
    }
}

extension ChangeApplier.Step {
    var change: TreeChange {
        switch self {
        case .makeFolder(let change), .place(_, let change), .link(_, let change),
            .setAttributes(let change, _):
            change
        }
    }
}

extension SourceStamp {
    var isFolder: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFDIR) }

    /// Whether a file on disk is still the one that was read.
    func matches(_ status: stat, withChangeTime: Bool) -> Bool {
        var now = SourceStamp()
        now.disk = UInt64(status.st_dev)
        now.inode = UInt64(status.st_ino)
        now.mode = status.st_mode
        now.size = status.type == S_IFREG ? UInt64(status.st_size) : 0
        now.modified = Int64(status.st_mtim.tv_sec)
        now.modifiedNanoseconds = UInt32(status.st_mtim.tv_nsec)
        now.changed = Int64(status.st_ctim.tv_sec)
        now.changedNanoseconds = UInt32(status.st_ctim.tv_nsec)
        if !withChangeTime {
            (now.changed, now.changedNanoseconds) = (changed, changedNanoseconds)
        }
        return now == self
    }
}
