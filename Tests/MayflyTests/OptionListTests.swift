import Testing

@testable import Mayfly
@testable import MayflyRunning

/// "-o" as mount(8) and tmpfs have it.
@Suite struct OptionListTests {
    static let memory = SystemMemory(physicalBytes: 1 << 30)

    private func configuration(_ list: String) throws -> MountConfiguration {
        var configuration = MountConfiguration(mountpoint: "/mnt")
        try configuration.apply(optionList: list, memory: Self.memory)
        return configuration
    }

    @Test(arguments: ["", ",", "defaults", "rw,relatime", "x-systemd.automount,comment=a b,nofail"])
    func whatChangesNothing(_ list: String) throws {
        #expect(try configuration(list) == MountConfiguration(mountpoint: "/mnt"))
    }

    @Test func tmpfsOptions() throws {
        let made = try configuration("size=25%,nr_inodes=2k,mode=0750,uid=12,gid=34,ro")
        #expect(made.sizeBytes == 1 << 28)
        #expect(made.inodes == 2048)
        #expect(made.mode == 0o750)
        #expect(made.userID == 12 && made.groupID == 34)
        #expect(made.readOnly)
        #expect(try configuration("nr_blocks=3").sizeBytes == 12288)
    }

    @Test func names() throws {
        let made = try configuration("uid=root,gid=root,source=disk,fstype=fuse")
        #expect(made.userID == 0 && made.groupID == 0)
        #expect(made.source == "disk" && made.fsType == "fuse")
        #expect(try configuration("fsname=a=b,subtype=x").source == "a=b")
        #expect(try configuration("subtype=x").fsType == "fuse.x")
    }

    @Test func flags() throws {
        let made = try configuration(
            "suid,dev,noexec,nosymfollow,noatime,nodiratime,allow_other,default_permissions")
        #expect(made.allowSetuid && made.allowDevices && made.allowOther)
        #expect(made.permissionChecks == .always)
        #expect(try configuration("rw").permissionChecks == .automatic)
        #expect(!made.allowExecution && !made.followSymlinks)
        #expect(made.accessTime == .never && made.noDirectoryAccessTime)
        #expect(try configuration("strictatime").accessTime == .strict)
        #expect(try configuration("check_open").checksOpen)
        #expect(try configuration("sync_dio").directInOrder)
        #expect(try configuration("writeback").writesBack)
        #expect(try configuration("faults").faults)
        #expect(try configuration("durability=fsync").durability == .fsync)
        #expect(try configuration("parallel_dio").directInParallel)
        #expect(try configuration("noxattr").withoutXattrs)
        #expect(try configuration("noperm").permissionChecks == .never)
    }

    @Test func theLaterOfTwoWins() throws {
        #expect(try !configuration("ro,rw").readOnly)
        #expect(try configuration("size=1m,size=2m").sizeBytes == 2 << 20)
        #expect(try !configuration("suid,dev,nosuid,nodev").allowSetuid)
    }

    @Test func transport() throws {
        let made = try configuration("transport=dev,queue_depth=16,max_payload=128k")
        #expect(made.transport == .device)
        #expect(made.queueDepth == 16 && made.maxPayloadBytes == 128 << 10)
    }

    @Test(arguments: [
        ("bogus", "unknown option 'bogus'"),
        ("ro,bogus=1", "unknown option 'bogus'"),
        ("size", "option size needs a value"),
        ("size=", "bad option size= ''"),
        ("size=1q", "bad option size= '1q'"),
        ("ro=1", "option ro takes no value"),
        ("defaults=1", "option defaults takes no value"),
        ("mode=9", "bad option mode= '9'"),
        ("uid=-1", "bad option uid= '-1'"),
        ("uid=4294967295", "bad option uid= '4294967295'"),
        ("gid=no-such-group", "bad option gid= 'no-such-group': there is no such group"),
        ("fstype=tmpfs", "bad option fstype= 'tmpfs'"),
        ("fstype=fuse.", "bad option fstype= 'fuse.'"),
        ("source=", "bad option source="),
        ("durability=always", "bad option durability= 'always': give none or fsync"),
        ("nr_blocks=9223372036854775807", "bad option nr_blocks="),
    ])
    func theFirstWrongOneIsNamed(_ list: String, _ start: String) {
        let error = #expect(throws: MountError.self) { try configuration(list) }
        #expect(error?.kind == .usage)
        #expect(error?.message.hasPrefix(start) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("\n") == false)
    }

    @Test(arguments: [("1", 1), ("1024", 1024)])
    func queueDepths(_ text: String, _ depth: Int) throws {
        var made = MountConfiguration(mountpoint: "/mnt")
        try made.setQueueDepth(text)
        #expect(made.queueDepth == depth)
    }

    @Test(arguments: ["0", "1025", "-1", "", "8k"])
    func queueDepthsOutOfRange(_ text: String) {
        var made = MountConfiguration(mountpoint: "/mnt")
        #expect(throws: MountError.self) { try made.setQueueDepth(text) }
    }

    @Test(arguments: [("8k", 8192), ("8192", 8192), ("12K", 12288), ("1m", 1 << 20)])
    func payloads(_ text: String, _ bytes: Int) throws {
        var made = MountConfiguration(mountpoint: "/mnt")
        try made.setMaxPayload(text)
        #expect(made.maxPayloadBytes == bytes)
    }

    @Test(arguments: ["4k", "8191", "9k", "10000", "1028k", "2m", "", "x", "50%"])
    func payloadsOutOfRange(_ text: String) {
        var made = MountConfiguration(mountpoint: "/mnt")
        let error = #expect(throws: MountError.self) { try made.setMaxPayload(text) }
        #expect(error?.message == "bad --max-payload '\(text)': give 8k to 1m, a multiple of 4k")
    }
}
