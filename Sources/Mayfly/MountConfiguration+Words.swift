// What a mount was mounted with, as options of mount(8), for those who ask whether it has one.

extension MountConfiguration {
    /// Options that say what the mount is, without its limits and what the kernel acts upon alone.
    var optionWords: [String] {
        var words = [
            "mode=\(String(mode, radix: 8))", "uid=\(userID)", "gid=\(groupID)", "source=\(source)",
            "fstype=\(fsType)", "transport=\(transport.rawValue)",
            "durability=\(durability.rawValue)",
        ]
        if let queueDepth { words.append("queue_depth=\(queueDepth)") }
        if let maxPayloadBytes { words.append("max_payload=\(maxPayloadBytes)") }
        let flags = [
            ("allow_other", allowOther), ("check_open", checksOpen), ("sync_dio", directInOrder),
            ("faults", faults), ("writeback", writesBack), ("parallel_dio", directInParallel),
            ("noxattr", withoutXattrs), ("default_permissions", permissionChecks == .always),
            ("noperm", permissionChecks == .never),
        ]
        return words + flags.filter(\.1).map(\.0)
    }

    /// Whether an option says of a mount what is so.
    ///
    /// - Parameter words: `optionWords` of the mount.
    /// - Throws: `.usage` for what is no option.
    package static func isSo(_ option: String, _ words: [String]) throws(MountError) -> Bool {
        let plain = MountConfiguration(mountpoint: "/")
        var changed = plain
        try changed.apply(optionList: option)
        let said = changed.optionWords.filter { !plain.optionWords.contains($0) }
        if !said.isEmpty { return said.allSatisfy(words.contains) }
        // It says what is so without it, or something that no word tells.
        guard let name = option.split(separator: "=").first, option.contains("=") else {
            return changed.asksSync ? !words.contains("durability=fsync") : changed == plain
        }
        let usual = plain.optionWords.first { $0.hasPrefix("\(name)=") }
        return usual.map(words.contains) ?? false
    }
}
