// StoreHistory: the operations on names.

internal import InodeStore
internal import SystemPackage

extension StoreHistory {
    func make(isSymlink: Bool) throws(Mismatch) {
        let parent = directory()
        let name = name()
        let caller = caller()
        let lengths = [0, 1, 64, 65, 127, 128, 2100, 4095, 4096]
        let target = isSymlink ? bytes(random.pick(lengths)) : nil
        var mode = random.pick([
            FileMode.regular, FileMode.regular, FileMode.directory, FileMode.directory,
            FileMode.fifo, FileMode.socket, FileMode.characterDevice, FileMode.blockDevice,
        ])
        if random.oneIn(50) { mode = 0 }
        mode |= random.pick([0o644, 0o755, 0o777, 0o2775, 0o4755, 0o1777])
        if isSymlink { mode = FileMode.symlink | 0o777 }
        let made = try both(
            "make \(parent.node)/\(name) mode \(mode) target \(target?.count ?? -1)",
            { () throws(Errno) in
                try model.make(
                    parent, name, mode: mode, device: 259, target: target, caller: caller)
            },
            { worker throws(Errno) in
                if let target {
                    return try worker.makeSymlink(
                        id(parent), name, target: target, caller: caller)
                }
                return try worker.make(
                    id(parent), name, mode: mode, device: 259, caller: caller)
            })
        guard let (inode, attributes) = made else { return }
        inode.node = attributes.nodeID
        names.note(.init(parent, name), inode.node)
        remember(inode)
        try compare(inode, attributes)
    }

    func makeTemporary() throws(Mismatch) {
        let parent = directory()
        let isLinkable = !random.oneIn(3)
        let caller = caller()
        let made = try both(
            "temporary in \(parent.node)",
            { () throws(Errno) in
                try model.makeTemporary(
                    parent, mode: 0o666, isLinkable: isLinkable, caller: caller)
            },
            { worker throws(Errno) in
                try worker.makeTemporary(
                    id(parent), mode: 0o666, isLinkable: isLinkable, caller: caller)
            })
        guard let (inode, attributes) = made else { return }
        inode.node = attributes.nodeID
        remember(inode)
        try compare(inode, attributes)
    }

    func link() throws(Mismatch) {
        let inode = random.oneIn(3) ? anyInode() : file()
        let parent = directory()
        let name = name()
        let linked = try both(
            "link \(inode.node) \(parent.node)/\(name)",
            { () throws(Errno) in try model.link(inode, parent, name) },
            { worker throws(Errno) in try worker.link(id(inode), id(parent), name) })
        guard let (_, attributes) = linked else { return }
        names.note(.init(parent, name), inode.node)
        try compare(inode, attributes)
    }

    func remove(isDirectory: Bool) throws(Mismatch) {
        let parent = directory()
        let name = name()
        let removed = try both(
            "\(isDirectory ? "rmdir" : "unlink") \(parent.node)/\(name)",
            { () throws(Errno) in try model.remove(parent, name, isDirectory: isDirectory) },
            { worker throws(Errno) in
                if isDirectory {
                    try worker.removeDirectory(id(parent), name)
                } else {
                    try worker.unlink(id(parent), name)
                }
            })
        if removed != nil { names.drop(.init(parent, name)) }
    }

    func rename() throws(Mismatch) {
        let old = directory()
        let new = random.oneIn(2) ? old : directory()
        let oldName = name()
        let newName = name()
        let flags = random.pick([0, 0, 0, 1, 2, 2, 4, 5, 6, 8])
        let caller = caller()
        let isOne =
            old.isDirectory && new.isDirectory && old.entries[oldName] != nil
            && old.entries[oldName]?.inode === new.entries[newName]?.inode
        let renamed = try both(
            "rename \(old.node)/\(oldName) \(new.node)/\(newName) flags \(flags)",
            { () throws(Errno) in
                try model.rename(old, oldName, new, newName, flags: UInt32(flags), caller: caller)
            },
            { worker throws(Errno) in
                try worker.rename(
                    id(old), oldName, id(new), newName, flags: UInt32(flags), caller: caller)
            })
        if renamed != nil, !isOne {
            names.rename(.init(old, oldName), .init(new, newName), isExchange: flags & 2 != 0)
        }
    }

    func lookup() throws(Mismatch) {
        let parent = directory()
        let name = name()
        let looked = try both(
            "lookup \(parent.node)/\(name)",
            { () throws(Errno) in try model.lookup(parent, name) },
            { worker throws(Errno) in try worker.lookup(id(parent), name) })
        guard let (inode, attributes) = looked else { return }
        try expect((inode == nil) == (attributes == nil), "lookup of \(name)")
        names.note(.init(parent, name), attributes?.nodeID ?? 0)
        guard let inode, let attributes else { return }
        // A whiteout's nodeid is met here for the first time.
        if inode.node == 0 { inode.node = attributes.nodeID }
        remember(inode)
        try compare(inode, attributes)
    }

    func forget() {
        let inode = anyInode()
        let count = random.oneIn(2) ? inode.lookups : 1
        forget(inode, count)
    }

    private func forget(_ inode: ModelInode, _ count: Int) {
        log.append("forget \(inode.node) \(count)")
        if inode === model.root { return }
        model.forget(inode, count)
        worker.enter()
        worker.forget(id(inode), count: UInt64(count))
        worker.leave()
        if inode.lookups == 0 {
            known.removeAll { $0 === inode }
            names.forget(inode.node)
        }
    }

    /// The kernel forgets everything: what has no name must end.
    func endAll() throws(Mismatch) {
        for inode in known where inode !== model.root { forget(inode, inode.lookups) }
        let report = worker.check()
        try expect(report.orphans == 0, "\(report.orphans) orphans after everything was forgotten")
    }

    func list() throws(Mismatch) {
        let inode = directory()
        let cookies = inode.entries.values.map(\.cookie)
        let from = cookies.isEmpty || random.oneIn(3) ? 0 : random.pick(cookies.sorted())
        let limit = random.oneIn(3) ? 2 : Int.max
        let listed = try both(
            "list \(inode.node) from \(from)",
            { () throws(Errno) in try model.directory(inode) },
            { worker throws(Errno) in try worker.list(id(inode), from: from, limit: limit) })
        guard let (_, entries) = listed else { return }
        let expected = inode.entries.filter { $0.value.cookie >= from }
            .sorted { $0.value.cookie < $1.value.cookie }.prefix(limit)
        try expect(
            entries.map(\.name) == expected.map(\.key)
                && entries.map(\.nextCookie) == expected.map { $0.value.cookie + 1 }
                && entries.map(\.type) == expected.map { $0.value.inode.type },
            "list of \(inode.node) from \(from): \(entries.map(\.name))")
        for (entry, model) in zip(entries, expected) where model.value.inode.node != 0 {
            try expect(entry.node == model.value.inode.node, "nodeid of \(entry.name)")
        }
    }
}
