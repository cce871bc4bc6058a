// What a mount was mounted with, as options of mount(8), for those who ask whether it has one.

extension MountConfiguration {
    /// Options that say what the mount is, without its limits and what the kernel acts upon alone.
    package var optionWords: [String] {
        var words = [
            "mode=\(String(mode, radix: 8))", "uid=\(userID)", "gid=\(groupID)", "source=\(source)",
            "fstype=\(fsType)", "transport=\(transport.rawValue)",
            "durability=\(durability.rawValue)", "profile=\(profile.rawValue)",
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
}
