import CMayflyTestSupport
import Glibc

extension DifferentialPair {
    /// Compares everything below the roots: names, attributes as cached and as the server has
    /// them, contents, holes, symbolic links, extended attributes and flags.
    func compareTree() throws(DifferentialDivergence) {
        for slot in tmpfs.descriptors.indices where tmpfs.descriptors[slot] >= 0 {
            try compareStatus(
                tmpfs.descriptors[slot], [0], mayfly.descriptors[slot], [0], "fd\(slot)",
                forced: true)
        }
        try compareUsage()
        try compareNode(outer.tmpfs, outer.mayfly, type: 4)
    }

    private func compareNode(
        _ a: PosixPath, _ b: PosixPath, type: UInt8
    ) throws(DifferentialDivergence) {
        let first = a.terminated
        let second = b.terminated
        try compareStatus(-100, first, -100, second, relative(a))
        try compareStatus(-100, first, -100, second, relative(a) + " (server)", forced: true)
        try compareAttributes(first, second)
        switch type {
        case 10: try compareTarget(first, second, a)
        case 8: try compareFile(first, second, a)
        default: break
        }
        if type == 4 || type == 8 { try compareFlags(first, second, a) }
        guard type == 4 else { return }
        for entry in try compareListing(first, second) where !entry.isDots {
            try compareNode(a / entry.name, b / entry.name, type: entry.type)
        }
    }

    private func relative(_ path: PosixPath) -> String {
        "." + path.description.dropFirst(outer.tmpfs.bytes.count)
    }

    private func compareTarget(
        _ first: [UInt8], _ second: [UInt8], _ path: PosixPath
    ) throws(DifferentialDivergence) {
        let a = unsafe cps_readlink(first, tmpfs.buffer, 8192)
        let b = unsafe cps_readlink(second, mayfly.buffer, 8192)
        if unsafe a != b || a > 0 && memcmp(tmpfs.buffer, mayfly.buffer, Int(a)) != 0 {
            throw fail("target of \(relative(path))")
        }
    }

    private func compareFlags(
        _ first: [UInt8], _ second: [UInt8], _ path: PosixPath
    ) throws(DifferentialDivergence) {
        var a: UInt32 = 0
        var b: UInt32 = 0
        let results = unsafe (cpd_path_get_flags(first, &a), cpd_path_get_flags(second, &b))
        if results.0 != results.1 || a != b {
            throw fail("flags of \(relative(path)): \(a) on tmpfs, \(b) on mayfly, \(results)")
        }
    }

    /// Compares where data and holes are, and the data, from the server and not from the cache.
    private func compareFile(
        _ first: [UInt8], _ second: [UInt8], _ path: PosixPath
    ) throws(DifferentialDivergence) {
        let a = unsafe cps_open(CPS_AT_FDCWD, first, O_RDONLY | CPS_O_NOATIME, 0)
        let b = unsafe cps_open(CPS_AT_FDCWD, second, O_RDONLY | CPS_O_NOATIME, 0)
        defer {
            if a >= 0 { _ = cps_close(Int32(a)) }
            if b >= 0 { _ = cps_close(Int32(b)) }
        }
        guard a >= 0, b >= 0 else {
            throw fail("open(\(relative(path))): \(Self.shown(a)), \(Self.shown(b))")
        }
        _ = cpd_evict(Int32(b))
        var at: Int64 = 0
        while true {
            let data = try compareSeek(a, b, at, CPS_SEEK_DATA, path)
            if data < 0 { return }
            let hole = try compareSeek(a, b, data, CPS_SEEK_HOLE, path)
            if hole < 0 { return }
            var from = data
            while from < hole {
                let count = Int(min(hole - from, 1 << 20))
                try compareContent(Int32(a), Int32(b), from: from, count: count, relative(path))
                from += Int64(count)
            }
            at = hole
        }
    }

    private func compareSeek(
        _ a: Int64, _ b: Int64, _ offset: Int64, _ whence: Int32, _ path: PosixPath
    ) throws(DifferentialDivergence) -> Int64 {
        let first = cps_seek(Int32(a), offset, whence)
        let second = cps_seek(Int32(b), offset, whence)
        if first != second {
            let what = whence == CPS_SEEK_DATA ? "DATA" : "HOLE"
            throw fail(
                "lseek(\(relative(path)), \(offset), \(what)): "
                    + "\(Self.shown(first)) on tmpfs, \(Self.shown(second)) on mayfly")
        }
        return first
    }

    // MARK: the end of a history

    /// Removes both trees.
    func remove() {
        for (side, root) in [(tmpfs, outer.tmpfs), (mayfly, outer.mayfly)] {
            side.closeAll()
            side.remove(root, type: 4)
        }
    }
}

extension DifferentialSide {
    /// Removes a tree, whatever its flags.
    func remove(_ path: PosixPath, type: UInt8) {
        if [1, 4, 8].contains(type) { _ = unsafe cpd_path_set_flags(path.terminated, 0) }
        guard type == 4 else {
            _ = unsafe cps_unlink(path.terminated)
            return
        }
        for entry in list(path.terminated).entries where !entry.isDots {
            remove(path / entry.name, type: entry.type)
        }
        _ = unsafe cps_rmdir(path.terminated)
    }
}
