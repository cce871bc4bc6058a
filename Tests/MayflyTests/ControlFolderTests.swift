import Glibc
import Testing

@testable import Mayfly
@testable import MayflyHost
@testable import MayflyRunning

/// Where control sockets stand, and who may go there.
@Suite struct ControlFolderTests {
    @Test func aFolderIsItsOwnersAlone() throws {
        let place = try TemporaryFolder()
        #expect(ControlFolder.open(place.path, owner: geteuid()) != nil)
        #expect(ControlFolder.open(place.path, owner: geteuid() + 1) == nil)
        unsafe chmod(place.path, 0o750)
        #expect(ControlFolder.open(place.path, owner: geteuid()) == nil)
        unsafe chmod(place.path, 0o700)
        let link = "\(place.path)-link"
        unsafe symlink(place.path, link)
        defer { unsafe unlink(link) }
        #expect(ControlFolder.open(link, owner: geteuid()) == nil)
    }

    @Test(
        arguments: [
            (0, "         0          0 4294967295\n", 0),
            (0, "0 1000 1\n", 1000),
            (7, "0 1000 1\n1 100000 65536\n", 100_006),
            (5, "", 5), (5, nil, 5), (5, "garbage", 5),
        ] as [(UInt32, String?, UInt32)])
    func aUserNamespaceHidesNobody(_ inside: UInt32, _ map: String?, _ outside: UInt32) {
        #expect(ControlFolder.userID(inside, map: map) == outside)
    }

    @Test func namesOfDeadServersAreRemovedAndOthersStay() throws {
        let place = try TemporaryFolder()
        let folder = try #require(ControlFolder.open(place.path, owner: geteuid()))
        let alive = try folder.listen(1)
        let dead = try folder.listen(2)
        for number in 1...3 { try folder.write("\(number).json", Array("{}".utf8)) }
        try folder.write("notes.txt", [])
        close(dead)
        #expect(folder.connections() == [1, 2, 3])
        folder.removeStale()
        #expect(HostFile.names(in: place.path).sorted() == ["1.json", "1.sock", "notes.txt"])
        close(alive)
    }

    @Test func aSocketHasMode0600WhateverTheMask() throws {
        let place = try TemporaryFolder()
        let folder = try #require(ControlFolder.open(place.path, owner: geteuid()))
        let socket = try folder.listen(7)
        defer { close(socket) }
        var status = stat()
        try #require(unsafe lstat(folder.socketPath(7), &status) == 0)
        #expect(status.st_mode == S_IFSOCK | 0o600)
    }

    @Test func aRecordIsAPlainFile() throws {
        let place = try TemporaryFolder()
        let folder = try #require(ControlFolder.open(place.path, owner: geteuid()))
        unsafe symlink("/etc/passwd", "\(place.path)/1.json")
        unsafe mkfifo("\(place.path)/2.json", 0o600)
        #expect(folder.read("1.json") == nil)
        #expect(folder.read("2.json") == nil)
        try folder.write("1.json", [1, 2, 3])
        #expect(folder.read("1.json") == [1, 2, 3])
    }

    @Test func whoMayTalk() {
        #expect(ControlServer.mayTalk(0, owner: 1000))
        #expect(ControlServer.mayTalk(1000, owner: 1000))
        #expect(!ControlServer.mayTalk(1001, owner: 1000))
        #expect(!ControlServer.mayTalk(1000, owner: 0))
        #expect(!ControlServer.mayTalk(65534, owner: 1000))
        #expect(ControlServer.mayTalk(65534, owner: 1000, stranger: 65534))
        #expect(ControlServer.stranger(map: "         0          0 4294967295\n") == nil)
        #expect(ControlServer.stranger(map: "1000 1000 1\n") != nil)
    }
}

/// What service managers are told.
@Suite struct ServiceNotificationTests {
    private func told(_ address: String, _ bound: String) throws -> String? {
        let server = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(server) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(bound.utf8)
        unsafe withUnsafeMutableBytes(of: &name.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let isBound = unsafe withUnsafePointer(to: &name) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(
                    server, $0, socklen_t(MemoryLayout<sa_family_t>.size + bytes.count))
            }
        }
        try #require(isBound == 0)
        guard ServiceNotification.send(["READY=1", "STATUS=x"], to: address) else { return nil }
        var message = [UInt8](repeating: 0, count: 100)
        let count = unsafe recv(server, &message, message.count, Int32(MSG_DONTWAIT))
        return String(decoding: message.prefix(max(0, count)), as: UTF8.self)
    }

    @Test func itIsOneDatagramOfLines() throws {
        let place = try TemporaryFolder()
        let path = "\(place.path)/notify"
        #expect(try told(path, path) == "READY=1\nSTATUS=x")
        let name = "mayfly-test-\(getpid())"
        #expect(try told("@\(name)", "\0\(name)") == "READY=1\nSTATUS=x")
    }

    @Test(arguments: [nil, "", "@", "relative", "/nonexistent/socket"])
    func withoutAManagerNothingHappens(_ name: String?) {
        #expect(!ServiceNotification.send(["READY=1"], to: name))
    }
}
