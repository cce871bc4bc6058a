// What the command line says of a mount, as fields of its configuration.

package import Mayfly

/// Fields from text. `option` is what an error names: "--size" on the command line, "size=" in -o.
extension MountConfiguration {
    /// Sets the size by bytes, a number with k, m, g or t, or a share of memory such as "25%".
    ///
    /// - Throws: `.usage` for a text that is none of these, as all below for theirs.
    package mutating func setSize(
        _ text: String, option: String = "--size", memory: SystemMemory = .current()
    ) throws(MountError) {
        sizeBytes = try SizeText.bytes(text, option: option, memory: memory)
    }

    /// Sets the number of inodes, with k, m or g for thousands as 1,024.
    package mutating func setInodes(
        _ text: String, option: String = "--inodes"
    ) throws(MountError) {
        inodes = try SizeText.count(text, option: option)
    }

    /// Sets the root's permissions by octal digits.
    package mutating func setMode(_ text: String, option: String = "--mode") throws(MountError) {
        mode = try SizeText.mode(text, option: option)
    }

    /// Sets the root's owner by name or number.
    package mutating func setUser(_ text: String, option: String = "--uid") throws(MountError) {
        userID = try Accounts.userID(text, option: option)
    }

    /// Sets the root's group by name or number.
    package mutating func setGroup(_ text: String, option: String = "--gid") throws(MountError) {
        groupID = try Accounts.groupID(text, option: option)
    }

    /// Sets the ring entries per queue.
    package mutating func setQueueDepth(
        _ text: String, option: String = "--queue-depth"
    ) throws(MountError) {
        let range = Self.queueDepthRange
        guard let depth = Int(text), range.contains(depth) else {
            throw MountError(
                .usage,
                "bad \(option) '\(text)': give \(range.lowerBound) to \(range.upperBound) entries")
        }
        queueDepth = depth
    }

    /// Sets the bytes that one ring entry carries.
    package mutating func setMaxPayload(
        _ text: String, option: String = "--max-payload"
    ) throws(MountError) {
        let wrong = MountError(
            .usage, "bad \(option) '\(text)': give 8k to 1m, a multiple of 4k")
        let count: UInt64
        do { count = try SizeText.count(text, option: option) } catch { throw wrong }
        guard let bytes = Int(exactly: count), Self.maxPayloadRange.contains(bytes),
            bytes % Int(SizeText.pageBytes) == 0
        else { throw wrong }
        maxPayloadBytes = bytes
    }

    /// Sets what a power loss leaves, by its name: "none" or "fsync".
    package mutating func setDurability(
        _ text: String, option: String = "--durability"
    ) throws(MountError) {
        guard let durability = Durability(rawValue: text) else {
            throw MountError(.usage, "bad \(option) '\(text)': give none or fsync")
        }
        self.durability = durability
    }

    /// Sets what the mount is for, by its name: "exact" or "build".
    package mutating func setProfile(
        _ text: String, option: String = "--profile"
    ) throws(MountError) {
        guard let profile = Profile(rawValue: text) else {
            let names = Profile.allCases.map(\.rawValue).joined(separator: " or ")
            throw MountError(.usage, "bad \(option) '\(text)': give \(names)")
        }
        self.profile = profile
    }

    /// Sets the transport by its name: "auto", "ring" or "dev".
    package mutating func setTransport(
        _ text: String, option: String = "--transport"
    ) throws(MountError) {
        guard let transport = Transport(rawValue: text) else {
            let names = Transport.allCases.map(\.rawValue).joined(separator: ", ")
            throw MountError(.usage, "bad \(option) '\(text)': give one of \(names)")
        }
        self.transport = transport
    }
}
