// Snapshots, rollbacks, forks and saved images in a history: the model is copied, and put back.

internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyImages
internal import SystemPackage

extension StoreHistory {
    /// A moment that the history can go back to.
    struct Moment {
        let snapshot: StoreSnapshot
        let model: ModelFileSystem
    }

    func passTime() throws {
        switch random.below(12) {
        case 0, 1, 2: try takeSnapshot()
        case 3, 4, 5: try rollBack()
        case 6: try lookAtFork()
        case 7, 8: try lookAtDiff()
        case 9, 10: try lookAtLayer()
        default: try lookAtImage()
        }
    }

    private func takeSnapshot() throws {
        log.append("snapshot \(moments.count)")
        let snapshot = try store.snapshot(base: base)
        base = snapshot.base
        moments.append(Moment(snapshot: snapshot, model: model.copied()))
        if moments.count > 3 { moments.remove(at: random.below(3)) }
    }

    private func rollBack() throws {
        guard !moments.isEmpty else { return }
        let index = random.below(moments.count)
        log.append("roll back to \(index)")
        let moment = moments[index]
        let effect = try store.rollBack(to: moment.snapshot)
        try compareNames(effect)
        let before = known
        model = moment.model.copied()
        known = [model.root]
        try learnNodes()
        // What the kernel has references to is what it was, or gone.
        for old in before where old.node != 1 {
            // The same slot: what has no name had another tag perhaps when the snapshot was taken.
            let twin = model.inodes.values.first { ($0.node ^ old.node) << 24 == 0 }
            worker.enter()
            let attributes = try? worker.attributes(id(old))
            worker.leave()
            guard let twin, attributes != nil else {
                try expect(attributes == nil, "\(old.node) was never there, and is")
                try expect(
                    effect.changedNodes.contains(old.node), "the kernel is not told of \(old.node)")
                continue
            }
            try expect(
                twin.links == 0 || twin.node == old.node, "\(old.node) has another nodeid now")
            twin.node = old.node
            twin.lookups = old.lookups
            known.append(twin)
        }
        for inode in model.inodes.values where !known.contains(where: { $0 === inode }) {
            inode.lookups = 0
            model.end(inode)
        }
        try compareAll()
        try checkStore()
    }

    /// What the kernel has cached and was not told of is as it has it, and it was told of nothing else.
    private func compareNames(_ effect: RollbackEffect) throws {
        let told = Set(
            effect.changedNames.map { ModelNameCache.Place(parent: $0.parent, name: $0.name) })
        worker.enter()
        defer { worker.leave() }
        for (place, node) in names.nodes {
            let parent = NodeID(rawValue: place.parent)
            let truth = worker.durableState(parent).map { _ in
                worker.target(parent, Array(place.name.utf8))?.rawValue ?? 0
            }
            if told.contains(place) {
                try expect(truth != node, "the kernel is told of \(place) in vain")
                names.drop(place)
            } else if let truth {
                try expect(
                    truth == node, "the kernel is not told of \(place): \(node), now \(truth)")
            } else {
                try expect(node == 0, "the kernel is not told of \(place), whose directory is gone")
                names.drop(place)
            }
        }
    }

    /// What nobody referred to may have another nodeid now.
    private func learnNodes() throws {
        var waiting = [model.root]
        while let directory = waiting.popLast() {
            let listed = try plain { worker throws(Errno) in try worker.list(id(directory)) }
            for entry in listed {
                guard let inode = directory.entries[entry.name]?.inode else {
                    throw Mismatch(description: "\(entry.name) is listed after a rollback")
                }
                inode.node = entry.node
                if inode.isDirectory { waiting.append(inode) }
            }
        }
    }

    /// What has changed since each moment, by pages, is what a walk of both trees finds.
    private func lookAtDiff() throws {
        log.append("diff")
        let now = try store.snapshot(base: base)
        base = now.base
        for then in moments.map(\.snapshot) + [now] {
            let old = try opened(then)
            let new = try opened(now)
            var whole: [TreeDifference] = []
            TreeDiff.compare(old, new) {
                whole.append($0)
                return true
            }
            var byPages: [TreeDifference] = []
            let changed = InodeStore.changedInodes(then, old, now, new)
            TreeDiff.compare(old, new, changed: changed) {
                byPages.append($0)
                return true
            }
            old.unmap()
            new.unmap()
            try expect(
                whole == byPages, "diff by pages: \(byPages), not \(whole)")
        }
    }

    func opened(_ snapshot: StoreSnapshot) throws(Errno) -> InodeStore {
        try InodeStore(snapshot: snapshot, pageLimit: 1, inodeLimit: 1, workerCount: 1)
    }

    private func lookAtFork() throws {
        guard let moment = moments.last else { return }
        log.append("fork")
        let fork = try InodeStore(
            snapshot: moment.snapshot, pageLimit: model.pageLimit,
            inodeLimit: model.spaceLimit / 1024, workerCount: 2)
        try compare(fork, with: moment.model)
        // What it writes is its own.
        let worker = fork.worker(1)
        worker.enter()
        _ = try? worker.makeFile(.root, "fork's own")
        worker.leave()
        try expect(worker.check().isSound, "the fork: \(worker.check().problems)")
        fork.unmap()
        try compareAll()
    }

    private func lookAtImage() throws {
        log.append("image")
        let snapshot = try store.snapshot(base: base)
        base = snapshot.base
        let fork = try InodeStore(
            snapshot: snapshot, pageLimit: model.pageLimit,
            inodeLimit: model.spaceLimit / 1024, workerCount: 1)
        let file = unsafe csys_memory_file("image")
        defer { close(file) }
        try fork.writeImage(to: file)
        fork.unmap()
        let image = try InodeStore(
            image: file, pageLimit: model.pageLimit, inodeLimit: model.spaceLimit / 1024,
            workerCount: 4)
        try compare(image, with: model)
        image.unmap()
    }

    /// Names, types, sizes and content of another store, and that it is sound and has no orphans.
    func compare(_ other: InodeStore, with model: ModelFileSystem) throws {
        let worker = other.worker(0)
        let report = worker.check()
        try expect(report.isSound, report.problems.joined(separator: "\n"))
        try expect(report.orphans == 0, "\(report.orphans) orphans outside of the mount")
        var waiting: [(NodeID, ModelInode)] = [(.root, model.root)]
        worker.enter()
        defer { worker.leave() }
        while let (node, directory) = waiting.popLast() {
            let listed = try worker.list(node)
            try expect(
                listed.map(\.name).sorted() == directory.entries.keys.sorted(),
                "entries of \(directory.node): \(listed.map(\.name))")
            for entry in listed {
                guard let inode = directory.entries[entry.name]?.inode else { continue }
                let child = NodeID(rawValue: entry.node)
                let attributes = try worker.attributes(child)
                try expect(
                    attributes.mode == inode.mode && attributes.links == inode.links
                        && attributes.size == inode.reportedSize
                        && attributes.userID == inode.userID,
                    "attributes of \(entry.name)")
                if inode.isDirectory { waiting.append((child, inode)) }
                guard inode.isRegular else { continue }
                let count = min(inode.size, 20_000)
                let bytes = try worker.read(child, offset: 0, count: Int(count))
                try expect(bytes == inode.read(0, count), "content of \(entry.name)")
            }
        }
    }
}
