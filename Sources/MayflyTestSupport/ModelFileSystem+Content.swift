// ModelFileSystem: content, attributes and extended attributes.

package import InodeStore
package import SystemPackage

extension ModelFileSystem {
    private func regular(_ inode: ModelInode) throws(Errno) {
        if !inode.isRegular { throw inode.isDirectory ? .isDirectory : .invalidArgument }
    }

    private func written(_ inode: ModelInode, until end: UInt64, killPrivileges: Bool) {
        inode.size = max(inode.size, end)
        if killPrivileges { inode.clearSetID() }
        inode.xattrs["security.capability"] = nil
    }

    package func read(
        _ inode: ModelInode, offset: UInt64, count: UInt64
    ) throws(Errno) -> [UInt8] {
        try regular(inode)
        return inode.read(offset, count)
    }

    package func write(
        _ inode: ModelInode, offset: UInt64, _ bytes: [UInt8], killPrivileges: Bool
    ) throws(Errno) -> UInt64 {
        try regular(inode)
        let limit = UInt64(Int64.max)
        guard offset <= limit, UInt64(bytes.count) <= limit - offset else {
            throw .fileTooLarge
        }
        if inode.flags & InodeFlags.immutable != 0 { throw .notPermitted }
        if inode.flags & InodeFlags.append != 0 && offset < inode.size { throw .notPermitted }
        if bytes.isEmpty { return 0 }
        let done = UInt64(inode.put(offset, bytes, free: pagesFree))
        if done == 0 { throw .noSpace }
        written(inode, until: offset + done, killPrivileges: killPrivileges)
        return done
    }

    package func allocate(
        _ inode: ModelInode, offset: UInt64, length: UInt64, mode: UInt32
    ) throws(Errno) {
        try regular(inode)
        let keep = mode & AllocateMode.keepSize != 0
        let what = mode & ~AllocateMode.keepSize
        let isPunch = what == AllocateMode.punchHole
        guard what == 0 || isPunch && keep || what == AllocateMode.zeroRange else {
            throw .notSupportedOnSocket
        }
        guard length > 0, offset <= UInt64(Int64.max) else { throw .invalidArgument }
        guard length <= UInt64(Int64.max) - offset else { throw .fileTooLarge }
        if inode.flags & InodeFlags.immutable != 0 { throw .notPermitted }
        if inode.flags & InodeFlags.append != 0 && what != 0 { throw .notPermitted }
        let end = offset + length
        if isPunch {
            inode.zero(offset, end)
            let first = (offset + 4095) >> 12
            if first < end >> 12 { inode.drop(from: first, to: end >> 12) }
        } else {
            let range = offset >> 12...(end - 1) >> 12
            let present =
                inode.pages.keys.filter { range.contains($0) }.count
                + inode.unwritten.filter { range.contains($0) }.count
            let missing = range.upperBound - range.lowerBound + 1 - UInt64(present)
            if missing > pagesFree { throw .noSpace }
            // What was allocated before becomes data.
            for index in inode.unwritten.filter({ range.contains($0) }) {
                inode.unwritten.remove(index)
                inode.pages[index] = [UInt8](repeating: 0, count: 4096)
            }
            if missing > 0 {
                for index in range where inode.pages[index] == nil {
                    inode.unwritten.insert(index)
                }
            }
            if what == AllocateMode.zeroRange { inode.zero(offset, end) }
        }
        written(inode, until: keep ? 0 : end, killPrivileges: false)
    }

    package func seek(
        _ inode: ModelInode, offset: UInt64, hole: Bool
    ) throws(Errno) -> UInt64 {
        try regular(inode)
        guard offset < inode.size else { throw .noSuchAddressOrDevice }
        if hole {
            var index = offset >> 12
            while inode.pages[index] != nil { index += 1 }
            return min(inode.size, max(offset, index << 12))
        }
        let next = inode.pages.keys.filter { $0 >= offset >> 12 }.min()
        guard let next, next << 12 < inode.size else { throw .noSuchAddressOrDevice }
        return max(offset, next << 12)
    }

    package func copyRange(
        from source: ModelInode, at sourceOffset: UInt64, to target: ModelInode,
        at targetOffset: UInt64, count: UInt64
    ) throws(Errno) -> UInt64 {
        try regular(source)
        try regular(target)
        let limit = UInt64(Int64.max)
        guard sourceOffset <= limit, targetOffset <= limit,
            count <= limit - max(sourceOffset, targetOffset)
        else { throw .fileTooLarge }
        if target.flags & (InodeFlags.immutable | InodeFlags.append) != 0 {
            throw .notPermitted
        }
        guard sourceOffset < source.size else { return 0 }
        let wanted = min(count, source.size - sourceOffset, 16 << 20)
        if wanted == 0 { return 0 }
        if source === target && sourceOffset + wanted > targetOffset
            && targetOffset + wanted > sourceOffset
        {
            throw .invalidArgument
        }
        let bytes = source.read(sourceOffset, wanted)
        let done = UInt64(target.put(targetOffset, bytes, free: pagesFree))
        if done == 0 { throw .noSpace }
        written(target, until: targetOffset + done, killPrivileges: false)
        return done
    }

    // MARK: attributes

    package func setAttributes(
        _ inode: ModelInode, _ change: AttributeChange
    ) throws(Errno) {
        func has(_ bit: UInt32) -> Bool { change.valid & bit != 0 }
        let owns = has(AttributeChange.userID) || has(AttributeChange.groupID)
        let guarded = owns || has(AttributeChange.mode) || has(AttributeChange.size)
        if inode.flags & InodeFlags.immutable != 0 && change.setsSomething {
            throw .notPermitted
        }
        if inode.flags & InodeFlags.append != 0 && guarded { throw .notPermitted }
        if has(AttributeChange.size) {
            try regular(inode)
            guard change.size <= UInt64(Int64.max) else { throw .fileTooLarge }
        }
        if has(AttributeChange.userID) { inode.userID = change.userID }
        if has(AttributeChange.groupID) { inode.groupID = change.groupID }
        let changesNothing =
            !guarded && !has(AttributeChange.accessTime)
            && !has(AttributeChange.modificationTime) && !has(AttributeChange.changeTime)
        let takesPrivileges = owns || changesNothing
        if takesPrivileges && !inode.isDirectory { inode.clearSetID() }
        if has(AttributeChange.mode) {
            inode.mode = inode.type | change.mode & FileMode.permissions
            if var acl = inode.xattrs[ModelACL.accessName].flatMap({ ModelACL($0) }) {
                acl.change(to: change.mode)
                inode.xattrs[ModelACL.accessName] = acl.bytes
            }
        }
        if has(AttributeChange.size) {
            if change.size <= inode.size {
                if bug != .staleBytes { inode.zero(change.size, inode.size) }
                inode.drop(from: (change.size + 4095) >> 12, to: .max)
            }
            inode.size = change.size
            if has(AttributeChange.killPrivileges) { inode.clearSetID() }
        }
        if takesPrivileges && !inode.isDirectory || has(AttributeChange.size) {
            inode.xattrs["security.capability"] = nil
        }
    }

    package func setFlags(_ inode: ModelInode, _ flags: UInt32) throws(Errno) {
        guard flags & ~InodeFlags.settable == 0 else { throw .notSupported }
        inode.flags = flags
    }

    // MARK: extended attributes

    private func checkChangeable(_ inode: ModelInode) throws(Errno) {
        if inode.flags & (InodeFlags.immutable | InodeFlags.append) != 0 { throw .notPermitted }
    }

    package func setXattr(
        _ inode: ModelInode, _ name: String, _ value: [UInt8], flags: UInt32
    ) throws(Errno) {
        guard !name.isEmpty, name.utf8.count <= 255 else { throw .outOfRange }
        guard value.count <= 65_536 else { throw .argListTooLong }
        try Self.checkNamespace(name)
        try checkChangeable(inode)
        if ModelACL.isName(name) {
            guard let acl = ModelACL(value) else { throw .invalidArgument }
            if name == ModelACL.defaultName {
                if !inode.isDirectory { throw .permissionDenied }
                inode.xattrs[name] = value
            } else {
                inode.xattrs[name] = acl.isWhole ? nil : value
                inode.mode = inode.mode & ~0o777 | acl.mode
            }
            return
        }
        let isThere = inode.xattrs[name] != nil
        if flags & XattrFlags.create != 0 && isThere { throw .fileExists }
        if flags & XattrFlags.replace != 0 && !isThere { throw .noData }
        // The old value is given back only when the new one has its space.
        guard UInt64(40 + name.utf8.count + value.count) <= spaceFree else {
            throw .noSpace
        }
        inode.xattrs[name] = value
    }

    private static func checkNamespace(_ name: String) throws(Errno) {
        if ModelACL.isName(name) { return }
        for prefix in ["user.", "trusted.", "security."] where name.hasPrefix(prefix) {
            if name == prefix { throw .invalidArgument }
            return
        }
        throw .notSupported
    }

    package func removeXattr(_ inode: ModelInode, _ name: String) throws(Errno) {
        try Self.checkNamespace(name)
        try checkChangeable(inode)
        if inode.xattrs.removeValue(forKey: name) == nil && !ModelACL.isName(name) {
            throw .noData
        }
    }
}
