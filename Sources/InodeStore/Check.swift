// Check: whether everything in a store is what it must be.
//
// The walk begins at the root and at the inodes that only the kernel holds, reaches every unit of
// memory once, and compares what it counts with what the words say. It trusts no offset that it
// has not claimed (ArenaCheck.swift), so that it says what is wrong with a broken image too.

internal import CMayflyMemory
internal import MayflyArena
internal import SystemPackage

/// What a check found.
package struct CheckReport: Sendable {
    /// One line for each broken invariant, at most a hundred.
    package var problems: [String] = []
    package var inodes: UInt64 = 0
    /// Inodes without names among them: removed or unnamed files that the kernel holds.
    package var orphans: UInt64 = 0
    package var directories: UInt64 = 0
    package var dentries: UInt64 = 0
    /// Pages of content, those that fallocate(2) made among them.
    package var pages: UInt64 = 0
    /// Small contents and long symlink targets.
    package var blobs: UInt64 = 0
    /// Nodes of content and cookie maps.
    package var mapNodes: UInt64 = 0
    package var xattrs: UInt64 = 0
    /// Whether the walk could not see all, because there was no memory for it; that is a problem, too.
    package var lacksMemory = false

    package var isSound: Bool { problems.isEmpty }
}

extension StoreWorker {
    /// Proves every invariant of the store.
    ///
    /// Others may use the store; they wait meanwhile.
    ///
    /// - Precondition: the caller has not entered a worker.
    /// - Complexity: O(everything), in time and in memory.
    package func check() -> CheckReport {
        store.whileFrozen { StoreCheck(self, isForServing: false).result() }
    }

    /// Proves what serving the store relies on: every offset, count and list. What files hold, and
    /// what only people could take offence at, is left out.
    ///
    /// Pages that hold such things among pages of content become private before they are looked at,
    /// so that they stay what they were when they were found good.
    ///
    /// - Precondition: the store was just opened from an image; nobody else uses it.
    /// - Complexity: O(inodes, names and pages of content), with no look at content.
    package func checkForServing() -> CheckReport {
        store.whileFrozen {
            var report = StoreCheck(self, isForServing: true).result()
            if report.orphans > 0 {
                report.problems.append("\(report.orphans) inodes without a name")
            }
            return report
        }
    }
}

/// The walk of one check.
struct StoreCheck {

    let worker: StoreWorker
    /// Only what must hold so that requests can be served (`checkForServing`).
    let isForServing: Bool
    var arena: ArenaCheck
    var report = CheckReport()
    var found: FoundInodes
    /// What the map of an inode's further names says, where it has any.
    var otherNames: [InodeOffset: [UInt64: UInt64]] = [:]
    /// Room for the values of one map, kept from file to file.
    var values: [(index: UInt64, value: UInt64)] = []
    /// Directories whose entries are still to be walked.
    private var waiting: [InodeOffset] = []
    private var generations: Set<UInt32> = []
    private(set) var spaceInUse: UInt64 = 0
    private(set) var pagesInUse: UInt64 = 0
    /// Inodes that are immutable or append-only.
    private(set) var fixedInodes: UInt64 = 0

    var region: Region { worker.region }

    init(_ worker: StoreWorker, isForServing: Bool) {
        self.worker = worker
        self.isForServing = isForServing
        arena = ArenaCheck(worker.store.arena)
        found = FoundInodes(worker.store.arena)
    }

    consuming func result() -> CheckReport {
        var check = self
        check.run()
        check.report.problems = check.arena.problems
        return check.report
    }

    private mutating func run() {
        if worker.sideTable.load(0) != 0 { arena.note("the tree lock is held") }
        walkTree()
        // What is in use and was not reached lives by the kernel's references alone, or lies in a
        // directory that has no name, which is met before what lies in it.
        let used = arena.unitsInUse(.inodes).map(InodeOffset.init)
        let staged = used.filter {
            !found.has($0)
                && region.load32($0 + Inode.flags) & InodeFlags.staging != 0
        }
        for inode in staged + used where !found.has(inode) {
            if region.load32(inode + Inode.mode) == 0 {
                arena.note("inode \(inode): a slot in use without an inode")
                continue
            }
            if region.load32(inode + Inode.links) != 0 {
                arena.note("inode \(inode): links but no name")
            }
            if worker.sideTable.load(worker.side(inode) + Side.lookups) == 0 {
                arena.note("inode \(inode): no name and no reference")
            }
            report.orphans += 1
            reach(inode, from: .null)
            walk()
        }
        checkAllLinks()
        let counted = region.load(StoreSuperblock.fixedInodes)
        if counted != 0, counted != fixedInodes + 1 {
            arena.note("superblock: \(counted) for \(fixedInodes) inodes that chattr(1) has fixed")
        }
        arena.finish(pagesInUse: pagesInUse, inodeSpaceInUse: spaceInUse)
    }

    /// Reaches what has a name, and all that hangs on it.
    mutating func walkTree() {
        let root = worker.store.root
        if InodeOffset(region.load(StoreSuperblock.root)) != root { arena.note("superblock: root") }
        reach(root, from: root)
        if InodeOffset(region.load(root + Inode.parent)) != root { arena.note("root: its parent") }
        walk()
    }

    /// Compares links with the names that were met, and counts what is in use.
    mutating func checkAllLinks() {
        let all = found
        all.forEach { checkLinks($0, $1) }
    }

    private mutating func walk() {
        while let directory = waiting.popLast() { checkDirectory(directory) }
    }

    /// Takes note of a name's inode, and checks it when it is met for the first time.
    mutating func reach(_ inode: InodeOffset, from directory: InodeOffset) {
        if !found.has(inode) {
            guard arena.claim(.inodes, inode.rawValue, 1, "inode \(inode)") else { return }
            found.add(inode, parent: directory)
            report.inodes += 1
            checkInode(inode)
        }
        let isDirectory = worker.type(inode) == FileMode.directory
        if directory != .null && directory != inode {
            found.countName(inode)
            if isDirectory { found.countSubdirectory(directory) }
        }
    }

    // MARK: one inode

    private mutating func checkInode(_ inode: InodeOffset) {
        if !isForServing { checkSide(inode) }
        for field in 0..<UInt64(4) where worker.time(inode, field).nanoseconds > 999_999_999 {
            arena.note("inode \(inode): nanoseconds of time \(field)")
        }
        checkFlags(inode)
        checkXattrs(inode)
        checkNameMap(inode)
        let pages = region.load(inode + Inode.pages)
        checkKind(inode, pages: pages)
    }

    /// What belongs to a running mount alone, and numbers that nobody else may have.
    private mutating func checkSide(_ inode: InodeOffset) {
        let side = worker.side(inode)
        if worker.sideTable.load(side + Side.lock) != 0 { arena.note("inode \(inode): locked") }
        if worker.sideTable.load(side + Side.sequence) & 1 != 0 {
            arena.note("inode \(inode): a change of attributes never ended")
        }
        if worker.sideTable.load(side + Side.lookups) & Side.dead != 0 {
            arena.note("inode \(inode): dead but reached")
        }
        if !generations.insert(region.load32(inode + Inode.generation)).inserted {
            arena.note("inode \(inode): its generation is another's too")
        }
    }

    private mutating func checkKind(_ inode: InodeOffset, pages: UInt64) {
        pagesInUse &+= pages
        let mode = region.load32(inode + Inode.mode)
        if mode & ~(FileMode.typeMask | FileMode.permissions) != 0 {
            arena.note("inode \(inode): mode \(mode)")
        }
        switch mode & FileMode.typeMask {
        case FileMode.directory:
            report.directories += 1
            waiting.append(inode)
            if pages != 0 || region.load(inode + Inode.content) != 0
                || region.load(inode + Inode.size) != 0
            {
                arena.note("inode \(inode): a directory with content")
            }
        case FileMode.regular:
            checkContent(inode, pages: pages)
        case FileMode.symlink:
            checkTarget(inode, pages: pages)
        case FileMode.fifo, FileMode.socket, FileMode.characterDevice, FileMode.blockDevice:
            if pages != 0 || region.load(inode + Inode.content) != 0
                || region.load(inode + Inode.size) != 0
            {
                arena.note("inode \(inode): a special file with content")
            }
        default:
            arena.note("inode \(inode): type \(mode)")
        }
    }

    private mutating func checkFlags(_ inode: InodeOffset) {
        let flags = region.load32(inode + Inode.flags)
        let known =
            InodeFlags.settable | InodeFlags.capability | InodeFlags.accessACL
            | InodeFlags.defaultACL | InodeFlags.linkable | InodeFlags.staging
        if flags & ~known != 0 { arena.note("inode \(inode): flags \(flags)") }
        if flags & InodeFlags.fixed != 0 { fixedInodes += 1 }
        if flags & InodeFlags.linkable != 0
            && (region.load32(inode + Inode.links) != 0
                || worker.type(inode) != FileMode.regular)
        {
            arena.note("inode \(inode): linkable though it is no nameless file")
        }
        if flags & InodeFlags.staging != 0
            && (region.load32(inode + Inode.links) != 0
                || worker.type(inode) != FileMode.directory)
        {
            arena.note("inode \(inode): for building though it is no nameless directory")
        }
    }

    private mutating func checkLinks(_ inode: InodeOffset, _ known: FoundInodes.Inode) {
        checkNameCount(inode, known)
        let links = UInt64(region.load32(inode + Inode.links))
        var units: UInt64 = 1
        if worker.type(inode) == FileMode.directory {
            let isRemoved = known.names == 0 && inode != worker.store.root
            if links != (isRemoved ? 0 : 2 + known.subdirectories) {
                arena.note(
                    "inode \(inode): \(links) links, \(known.subdirectories) subdirectories")
            }
            if known.names > 1 { arena.note("inode \(inode): a directory of two names") }
            if known.names == 1 && InodeOffset(region.load(inode + Inode.parent)) != known.parent {
                arena.note("inode \(inode): its parent is another")
            }
        } else {
            if links != known.names {
                arena.note("inode \(inode): \(links) links, \(known.names) names")
            }
            units = max(links, 1)
        }
        spaceInUse &+= units * InodeStore.inodeSpaceUnit
    }

    // MARK: extended attributes

    private mutating func checkXattrs(_ inode: InodeOffset) {
        var names: Set<[UInt8]> = []
        var flags: UInt32 = 0
        var at = region.load(inode + Inode.xattrs)
        while at != 0 {
            // A long one begins with its lengths, and lies among pages of content.
            if arena.isPage(at) {
                guard bring(at, Geometry.pageBytes, "xattr of inode \(inode)") else { return }
            }
            let nameCount = UInt64(region.loadIfInside32(at, Xattr.nameCount) ?? 0)
            let valueCount = UInt64(region.loadIfInside32(at, Xattr.valueCount) ?? 0)
            guard nameCount > 0, nameCount <= 255, valueCount <= Xattr.valueLimit,
                claimBlob(
                    at, bytes: Xattr.bytes(name: nameCount, value: valueCount),
                    "xattr of inode \(inode)")
            else {
                return arena.note("inode \(inode): an xattr of \(nameCount) and \(valueCount)")
            }
            report.xattrs += 1
            let name = region.bytes(at + Xattr.name, nameCount)
            let value = unsafe UnsafeRawBufferPointer(
                start: region.pointer(at + Xattr.name + nameCount), count: Int(valueCount))
            if !names.insert(name).inserted {
                arena.note("inode \(inode): two xattrs of one name")
            }
            switch String(decoding: name, as: UTF8.self) {
            case "system.posix_acl_access", "system.posix_acl_default":
                let isAccess = name.count == "system.posix_acl_access".utf8.count
                flags |= isAccess ? InodeFlags.accessACL : InodeFlags.defaultACL
                if unsafe !ACLView.isValid(value) {
                    arena.note("inode \(inode): an access list that is none")
                }
            case "security.capability":
                flags |= InodeFlags.capability
                fallthrough
            default: spaceInUse += Xattr.space(name: nameCount, value: valueCount)
            }
            at = region.load(at + Xattr.next)
        }
        let marks = InodeFlags.accessACL | InodeFlags.defaultACL | InodeFlags.capability
        if region.load32(inode + Inode.flags) & marks != flags {
            arena.note("inode \(inode): flags that its xattrs do not bear out")
        }
    }

    // MARK: memory

    mutating func claimBlob(
        _ offset: UInt64, bytes: UInt64, _ owner: @autoclosure () -> String
    ) -> Bool {
        if bytes <= 2048 { return arena.claim(.small, offset, (bytes + 63) >> 6, owner()) }
        guard arena.claim(.pages, offset, (bytes + 4095) >> 12, owner()) else { return false }
        return bring(offset, bytes, owner())
    }

    /// Has what lies among pages of content, which are the file's, in memory before it is believed.
    private mutating func bring(
        _ offset: UInt64, _ bytes: UInt64, _ owner: @autoclosure () -> String
    ) -> Bool {
        guard isForServing, offset < worker.store.arena.baseBytes else { return true }
        do throws(Errno) {
            try worker.store.arena.bring(offset, bytes)
            return true
        } catch {
            if error == .noMemory { report.lacksMemory = true }
            arena.note("\(owner()): it cannot be read")
            return false
        }
    }
}

extension Region {
    /// A copy of some bytes.
    func bytes(_ offset: UInt64, _ count: UInt64) -> [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: pointer(offset), count: Int(count)))
    }

    /// A word of which it is not known yet whether it is there.
    ///
    /// - Parameter base: any number; `field` is added to it.
    func loadIfInside32(_ base: UInt64, _ field: UInt64) -> UInt32? {
        let (offset, isOver) = base.addingReportingOverflow(field)
        return !isOver && offset & 3 == 0 && offset < bytes ? load32(offset) : nil
    }
}
