// The options of mount(8): "-o size=1g,mode=0755,noexec", with tmpfs's names and meanings.

package import Mayfly
internal import MayflyServing

extension MountConfiguration {
    /// Takes over what a comma-separated option list says; of two that contradict, the later wins.
    ///
    /// Known are tmpfs's options, the generic ones of mount(8) and Mayfly's own. Generic ones that
    /// only mount(8) or systemd acts upon are accepted and do nothing.
    ///
    /// - Throws: `.usage` naming the first option that is unknown, lacks its value, has one it
    ///   does not take, or has a bad one. The options before it have been taken over then.
    package mutating func apply(
        optionList: String, memory: SystemMemory = .current()
    ) throws(MountError) {
        for option in optionList.split(separator: ",") {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            if parts.count == 2 {
                try apply(name: name, value: String(parts[1]), memory: memory)
            } else {
                try apply(flag: name)
            }
        }
    }

    private mutating func apply(
        name: String, value: String, memory: SystemMemory
    ) throws(MountError) {
        let option = "option \(name)="
        switch name {
        case "size": try setSize(value, option: option, memory: memory)
        case "nr_blocks":
            let blocks = try SizeText.count(value, option: option)
            guard blocks <= UInt64(Int64.max) / SizeText.pageBytes else {
                throw MountError(.usage, "bad \(option) '\(value)': give fewer blocks of 4 KiB")
            }
            sizeBytes = blocks * SizeText.pageBytes
        case "nr_inodes": try setInodes(value, option: option)
        case "mode": try setMode(value, option: option)
        case "uid": try setUser(value, option: option)
        case "gid": try setGroup(value, option: option)
        case "queue_depth": try setQueueDepth(value, option: option)
        case "max_payload": try setMaxPayload(value, option: option)
        case "durability": try setDurability(value, option: option)
        case "profile": try setProfile(value, option: option)
        case "transport": try setTransport(value, option: option)
        case "from":
            guard !value.isEmpty else {
                throw MountError(.usage, "bad \(option): give an image, an archive or a directory")
            }
            from = value
        case "source", "fsname":
            guard !value.isEmpty else {
                throw MountError(.usage, "bad \(option): give the name for the mount table")
            }
            source = value
        case "fstype", "subtype":
            let type = name == "subtype" ? "fuse.\(value)" : value
            guard type == "fuse" || (type.hasPrefix("fuse.") && type != "fuse.") else {
                throw MountError(.usage, "bad \(option) '\(value)': give fuse or fuse.NAME")
            }
            fsType = type
        case "without": without = try Shortcut.parsed(value)
        case "comment": break
        default:
            if name.hasPrefix("x-") || name.hasPrefix("X-") { return }
            if Self.flags.contains(name) || Self.ignoredFlags.contains(name) {
                throw MountError(.usage, "option \(name) takes no value: leave out '=\(value)'")
            }
            throw Self.unknown(name)
        }
    }

    private mutating func apply(flag: String) throws(MountError) {
        switch flag {
        case "ro": readOnly = true
        case "rw": readOnly = false
        case "suid": allowSetuid = true
        case "nosuid": allowSetuid = false
        case "dev": allowDevices = true
        case "nodev": allowDevices = false
        case "exec": allowExecution = true
        case "noexec": allowExecution = false
        case "symfollow": followSymlinks = true
        case "nosymfollow": followSymlinks = false
        case "noatime": accessTime = .never
        case "relatime", "atime": accessTime = .relative
        case "strictatime": accessTime = .strict
        case "nodiratime": noDirectoryAccessTime = true
        case "diratime": noDirectoryAccessTime = false
        case "allow_other": allowOther = true
        case "check_open": checksOpen = true
        case "sync_dio": directInOrder = true
        case "faults": faults = true
        case "survive": survives = true
        case "writeback": writesBack = true
        case "parallel_dio": directInParallel = true
        case "noxattr": withoutXattrs = true
        case "noperm": permissionChecks = .never
        case "default_permissions": permissionChecks = .always
        case "sync", "dirsync": asksSync = true
        case "async": asksSync = false
        case "user", "users", "owner", "group":
            // Source: mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".
            allowSetuid = false
            allowDevices = false
            if flag == "user" || flag == "users" { allowExecution = false }
        default:
            if Self.ignoredFlags.contains(flag) { return }
            if flag.hasPrefix("x-") || flag.hasPrefix("X-") { return }
            if Self.valued.contains(flag) {
                throw MountError(.usage, "option \(flag) needs a value: write \(flag)=...")
            }
            throw Self.unknown(flag)
        }
    }

    private static let flags: Set<String> = [
        "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "symfollow", "nosymfollow",
        "noatime", "atime", "relatime", "strictatime", "nodiratime", "diratime", "allow_other",
        "check_open", "sync_dio", "parallel_dio", "faults", "survive", "writeback", "noxattr",
        "noperm",
        "default_permissions", "user", "users", "owner", "group", "sync", "dirsync", "async",
    ]

    private static let valued: Set<String> = [
        "size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "queue_depth", "max_payload",
        "transport", "durability", "profile", "source", "fsname", "fstype", "subtype", "without",
    ]

    /// What mount(8), systemd and other FUSE servers know and what is so here in any case: inode numbers
    /// have 64 bits, and a file system in memory has nothing to write back.
    private static let ignoredFlags: Set<String> = [
        "defaults", "auto", "noauto", "nouser", "noowner", "nogroup", "_netdev", "nofail", "silent",
        "loud", "norelatime", "nostrictatime", "lazytime",
        "nolazytime", "iversion", "noiversion", "mand", "nomand", "inode64",
    ]

    private static func unknown(_ name: String) -> MountError {
        MountError(
            .usage, "unknown option '\(name)' in -o: `mayfly mount --help` lists those there are")
    }
}
