// StoreHistory: content, attributes, extended attributes, and the comparison of everything.

internal import InodeStore
internal import SystemPackage

extension StoreHistory {
    func write() throws(Mismatch) {
        let inode = file()
        let offset = random.oneIn(4) ? inode.size : position()
        let bytes = bytes(length())
        let kill = random.oneIn(3)
        let result = try both(
            "write \(inode.node) at \(offset) count \(bytes.count)",
            { () throws(Errno) in
                try model.write(inode, offset: offset, bytes, killPrivileges: kill)
            },
            { worker throws(Errno) in
                try worker.write(id(inode), offset: offset, bytes, killPrivileges: kill)
            })
        if let (mine, its) = result {
            try expect(mine == its, "write of \(bytes.count): \(mine) by the model, \(its)")
        }
        try compareNear(inode, offset)
    }

    func read() throws(Mismatch) {
        let inode = file()
        let offset = position()
        let count = length()
        let result = try both(
            "read \(inode.node) at \(offset) count \(count)",
            { () throws(Errno) in
                try model.read(inode, offset: offset, count: UInt64(count))
            },
            { worker throws(Errno) in
                try worker.read(id(inode), offset: offset, count: count)
            })
        if let (mine, its) = result {
            try expect(mine == its, "read of \(inode.node) at \(offset), \(count) bytes")
        }
    }

    func truncate() throws(Mismatch) {
        var change = AttributeChange()
        change.valid = AttributeChange.size
        if random.oneIn(3) { change.valid |= AttributeChange.killPrivileges }
        change.size = random.oneIn(6) ? 0 : position() + UInt64(random.below(3))
        try self.change(file(), change, "truncate to \(change.size)")
    }

    func setAttributes() throws(Mismatch) {
        var change = AttributeChange()
        if random.oneIn(2) { change.valid |= AttributeChange.mode }
        if random.oneIn(3) { change.valid |= AttributeChange.userID }
        if random.oneIn(3) { change.valid |= AttributeChange.groupID }
        change.mode = random.pick([0o600, 0o644, 0o6755, 0o2750, 0o7777])
        change.userID = UInt32(random.below(3))
        change.groupID = UInt32(random.below(3))
        try self.change(anyInode(), change, "attributes \(change.valid)")
    }

    private func change(
        _ inode: ModelInode, _ change: AttributeChange, _ what: String
    ) throws(Mismatch) {
        let result = try both(
            "\(what) of \(inode.node)",
            { () throws(Errno) in try model.setAttributes(inode, change) },
            { worker throws(Errno) in
                try worker.setAttributes(id(inode), change, caller: .root)
            })
        if let (_, attributes) = result { try compare(inode, attributes) }
    }

    func setFlags() throws(Mismatch) {
        let inode = anyInode()
        // Back to none mostly, or nothing can be changed any more.
        let flags = random.oneIn(3) ? random.pick([0x10, 0x20, 0x40, 0x80, 0x100]) : UInt32(0)
        _ = try both(
            "flags \(flags) of \(inode.node)",
            { () throws(Errno) in try model.setFlags(inode, flags) },
            { worker throws(Errno) in try worker.setFlags(id(inode), flags) })
    }

    func allocate() throws(Mismatch) {
        let inode = file()
        let offset = position()
        let length = random.oneIn(10) ? 1 << 41 : UInt64(length())
        let mode = random.pick([0, 1, 3, 3, 3, 0x10, 0x11, 2, 8])
        _ = try both(
            "allocate \(inode.node) at \(offset) length \(length) mode \(mode)",
            { () throws(Errno) in
                try model.allocate(inode, offset: offset, length: length, mode: UInt32(mode))
            },
            { worker throws(Errno) in
                try worker.allocate(
                    id(inode), offset: offset, length: length, mode: UInt32(mode))
            })
        try compareNear(inode, offset)
    }

    func seek() throws(Mismatch) {
        let inode = file()
        let offset = position()
        let hole = random.oneIn(2)
        let result = try both(
            "seek \(inode.node) at \(offset) \(hole ? "hole" : "data")",
            { () throws(Errno) in try model.seek(inode, offset: offset, hole: hole) },
            { worker throws(Errno) in
                try worker.seek(id(inode), offset: offset, hole: hole)
            })
        if let (mine, its) = result {
            try expect(mine == its, "seek: \(mine) by the model, \(its)")
        }
    }

    func copyRange() throws(Mismatch) {
        let from = file()
        let to = random.oneIn(4) ? from : file()
        var (start, target, count) = (position(), position(), UInt64(length()))
        // From page to page, so that pages are shared; to the end of the file, or less.
        if random.oneIn(2) { (start, target) = (start & ~4095, target & ~4095) }
        if random.oneIn(3) { count = from.size - min(start, from.size) }
        let result = try both(
            "copy \(from.node) at \(start) to \(to.node) at \(target) count \(count)",
            { () throws(Errno) in
                try model.copyRange(from: from, at: start, to: to, at: target, count: count)
            },
            { worker throws(Errno) in
                try worker.copyRange(
                    from: id(from), at: start, to: id(to), at: target, count: count)
            })
        if let (mine, its) = result {
            try expect(mine == its, "copy: \(mine) by the model, \(its)")
        }
        try compareNear(to, target)
    }

    // MARK: extended attributes

    private func xattrName() -> String {
        random.pick([
            "user.a", "user.b", "trusted.c", "security.capability", ModelACL.accessName,
            ModelACL.defaultName, "user.", "other.a", String(repeating: "x", count: 256),
        ])
    }

    private func acl() -> [UInt8] {
        guard var acl = sampleACL() else { return [] }
        if random.oneIn(10) { acl.entries.swapAt(0, 1) }
        if random.oneIn(10) { acl.entries.removeLast() }
        return acl.bytes
    }

    private func sampleACL() -> ModelACL? {
        func entry(_ tag: UInt8, _ id: UInt8 = 0) -> [UInt8] {
            [tag, 0, UInt8(random.below(8)), 0, id, 0, 0, 0]
        }
        var bytes: [UInt8] = [2, 0, 0, 0] + entry(1)
        let isNamed = !random.oneIn(3)
        if isNamed { bytes += entry(2, 5) }
        bytes += entry(4)
        if isNamed { bytes += entry(8, 6) + entry(16) }
        return ModelACL(bytes + entry(32))
    }

    func setXattr() throws(Mismatch) {
        let inode = anyInode()
        let name = xattrName()
        let isACL = ModelACL.isName(name)
        // The kernel lets no ACL through to a symlink.
        if isACL && inode.type == FileMode.symlink { return }
        let value =
            isACL ? acl() : bytes(random.pick([0, 1, 20, 100, 2000, 2030, 5000, 65_537]))
        let flags = isACL ? 0 : random.pick([0, 0, 1, 2])
        _ = try both(
            "setxattr \(inode.node) \(name.prefix(24)) \(value.count) bytes flags \(flags)",
            { () throws(Errno) in
                try model.setXattr(inode, name, value, flags: UInt32(flags))
            },
            { worker throws(Errno) in
                try worker.setXattr(id(inode), name, value, flags: UInt32(flags))
            })
    }

    func removeXattr() throws(Mismatch) {
        let inode = anyInode()
        let name = xattrName()
        _ = try both(
            "removexattr \(inode.node) \(name.prefix(24))",
            { () throws(Errno) in try model.removeXattr(inode, name) },
            { worker throws(Errno) in try worker.removeXattr(id(inode), name) })
    }

    // MARK: comparison

    func compare(_ inode: ModelInode, _ its: Attributes) throws(Mismatch) {
        let mine: [UInt64] = [
            inode.node, UInt64(inode.mode), UInt64(inode.links), UInt64(inode.userID),
            UInt64(inode.groupID), UInt64(inode.device), inode.reportedSize, inode.charged * 8,
            UInt64(inode.reportedFlags),
        ]
        let others: [UInt64] = [
            its.nodeID, UInt64(its.mode), UInt64(its.links), UInt64(its.userID),
            UInt64(its.groupID), UInt64(its.device), its.size, its.blocks, UInt64(its.flags),
        ]
        try expect(
            mine == others,
            "inode \(inode.node): node, mode, links, owner, group, device, size, blocks, flags: "
                + "\(mine) by the model, \(others)")
    }

    func plain<T>(_ body: (StoreWorker) throws(Errno) -> T) throws(Mismatch) -> T {
        worker.enter()
        defer { worker.leave() }
        do throws(Errno) { return try body(worker) } catch {
            throw Mismatch(description: "comparing: \(error)")
        }
    }

    private func compareNear(_ inode: ModelInode, _ position: UInt64) throws(Mismatch) {
        guard inode.isRegular else { return }
        let its = try plain { worker throws(Errno) in try worker.attributes(id(inode)) }
        try compare(inode, its)
        for start in [position & ~4095, inode.size < 5000 ? 0 : inode.size - 5000] {
            let bytes = try plain { worker throws(Errno) in
                try worker.read(id(inode), offset: start, count: 9000)
            }
            try expect(
                bytes == inode.read(start, 9000), "content of \(inode.node) at \(start)")
        }
    }

    /// Everything that has a name or a reference.
    func compareAll() throws(Mismatch) {
        let statistics = store.statistics(worker)
        try expect(
            statistics.pagesFree == model.pagesFree
                && statistics.inodesFree == model.spaceFree / 1024,
            "free: \(statistics), by the model \(model.pagesFree) and \(model.spaceFree)")
        for inode in known {
            try compare(
                inode, try plain { worker throws(Errno) in try worker.attributes(id(inode)) })
            try compareXattrs(inode)
            if inode.isDirectory {
                let entries = try plain { worker throws(Errno) in try worker.list(id(inode)) }
                let expected = inode.entries.sorted { $0.value.cookie < $1.value.cookie }
                try expect(
                    entries.map(\.name) == expected.map(\.key), "entries of \(inode.node)")
            } else if inode.isRegular {
                try compareNear(inode, 0)
                for index in Set(inode.pages.keys).union(inode.unwritten).sorted().prefix(64) {
                    try compareNear(inode, index << 12)
                }
            } else if inode.type == FileMode.symlink {
                let target = try plain { worker throws(Errno) in
                    try worker.readLinkBytes(id(inode))
                }
                try expect(target == inode.target, "target of \(inode.node)")
            }
        }
    }

    private func compareXattrs(_ inode: ModelInode) throws(Mismatch) {
        let names = try plain { worker throws(Errno) in try worker.xattrNames(id(inode)) }
        try expect(
            Set(names) == Set(inode.xattrs.keys) && names.count == inode.xattrs.count,
            "xattrs of \(inode.node): \(names)")
        for (name, value) in inode.xattrs {
            let its = try plain { worker throws(Errno) in
                try worker.xattrBytes(id(inode), name)
            }
            try expect(its == value, "xattr \(name) of \(inode.node)")
        }
    }

    func checkStore() throws(Mismatch) {
        let report = worker.check()
        try expect(report.isSound, report.problems.joined(separator: "\n"))
        try expect(
            report.inodes == UInt64(model.inodes.count),
            "\(report.inodes) inodes, \(model.inodes.count) by the model")
    }
}

extension InodeStore {
    fileprivate func statistics(_ worker: StoreWorker) -> StoreStatistics { worker.statistics }
}
