// Sizes and numbers: what must be so before a byte is exchanged.

import CFuseDevice
import CFuseKernel
import FuseTransport
import SystemPackage
import Testing

@Suite struct WireTests {
    @Test func layoutsAreTheKernels() {
        #expect(MemoryLayout<cfk_in_header>.size == 40)
        #expect(MemoryLayout<cfk_out_header>.size == 16)
        #expect(MemoryLayout<cfk_init_in>.size == 64)
        #expect(MemoryLayout<cfk_init_out>.size == 64)
        #expect(MemoryLayout<cfk_ring_req_header>.size == 288)
        #expect(MemoryLayout<cfk_ring_req_header>.offset(of: \.ring_ent_in_out) == 256)
        #expect(MemoryLayout<cfk_ring_ent_in_out>.offset(of: \.payload_sz) == 16)
        #expect(MemoryLayout<cfk_ring_cmd_req>.size == 24)
        #expect(MemoryLayout<cfk_ring_cmd_req>.offset(of: \.commit_id) == 8)
        #expect(MemoryLayout<cfk_ring_cmd_req>.offset(of: \.qid) == 16)
    }

    @Test func aRequestIsSmall() {
        // Handed over once per request, so it should stay within one cache line.
        #expect(MemoryLayout<FuseRequest>.size <= 64)
    }

    static let sizes: [(Opcode, Int)] = [
        (.lookup, 0), (.getattr, 16), (.setattr, 88), (.readlink, 0), (.symlink, 0), (.mknod, 16),
        (.mkdir, 8), (.unlink, 0), (.rmdir, 0), (.rename, 8), (.rename2, 16), (.link, 8),
        (.open, 8), (.opendir, 8), (.read, 40), (.readdir, 40), (.readdirplus, 40), (.write, 40),
        (.statfs, 0), (.release, 24), (.releasedir, 24), (.fsync, 16), (.fsyncdir, 16),
        (.setxattr, 16), (.getxattr, 8), (.listxattr, 8), (.removexattr, 0), (.flush, 24),
        (.initialize, 64), (.access, 8), (.create, 16), (.tmpfile, 16), (.interrupt, 8),
        (.destroy, 0), (.ioctl, 32), (.forget, 8), (.batchForget, 8), (.fallocate, 32),
        (.lseek, 24), (.copyFileRange, 56), (.copyFileRange64, 56), (.statx, 24), (.syncfs, 8),
        (.getlk, 48), (.setlk, 48), (.setlkw, 48), (.bmap, 16), (.poll, 24), (.notifyReply, 40),
        (.setupmapping, 40), (.removemapping, 4),
    ]

    @Test func everyOpcodeHasItsArgumentSize() {
        for (opcode, bytes) in Self.sizes { #expect(opcode.argumentBytes == bytes, "\(opcode)") }
        #expect(Set(Self.sizes.map(\.0)) == Set(Opcode.allCases))
        for opcode in Opcode.allCases {
            // The ring's header area has room for it, and the number leads back.
            #expect(opcode.argumentBytes <= 128)
            #expect(Opcode(rawValue: opcode.rawValue) == opcode)
            #expect(unsafe String(cString: cfd_opcode_name(opcode.rawValue)) != "UNKNOWN")
        }
        for number: UInt32 in [0, 7, 19, 54, 1000, .max] {
            #expect(Opcode(rawValue: number) == nil)
            #expect(unsafe String(cString: cfd_opcode_name(number)) == "UNKNOWN")
        }
    }

    @Test func onlyMessagesHaveNoReply() {
        let silent = Opcode.allCases.filter(\.hasNoReply)
        #expect(Set(silent) == [.forget, .batchForget, .interrupt, .notifyReply])
    }

    @Test func namesEndWithinThePayload() throws {
        func names(_ bytes: [UInt8], at offset: Int = 0) -> [UInt8]? {
            var header = cfk_in_header()
            var bytes = bytes
            return unsafe withUnsafePointer(to: &header) { header in
                unsafe bytes.withUnsafeMutableBytes { buffer in
                    let start =
                        unsafe buffer.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 8)!
                    let request = unsafe FuseRequest(
                        header: header, argument: UnsafeRawPointer(header), argumentBytes: 0,
                        payload: start, payloadBytes: UInt32(buffer.count), reply: start,
                        replyCapacity: 0)
                    return unsafe request.name(at: offset).map { unsafe Array($0) }
                }
            }
        }
        #expect(names(Array("abc\0".utf8)) == Array("abc".utf8))
        #expect(names(Array("abc\0def\0".utf8)) == Array("abc".utf8))
        #expect(names(Array("abc\0def\0".utf8), at: 4) == Array("def".utf8))
        #expect(names(Array("abc".utf8)) == nil)
        #expect(names(Array("\0abc\0".utf8)) == nil)
        #expect(names([]) == nil)
        #expect(names(Array("abc\0".utf8), at: 4) == nil)
        #expect(names(Array("abc\0".utf8), at: 5) == nil)
        #expect(names(Array("abc\0".utf8), at: -1) == nil)
        #expect(names(Array("abc\0def".utf8), at: 4) == nil)
    }
}

@Suite struct HandshakeTests {
    static let everything = ~UInt64(0)

    private func handshake(
        minor: UInt32 = 45, major: UInt32 = 7, offered: UInt64 = everything, wanted: UInt64 = 0,
        ring: Bool = true, payloadBytes: Int = 1 << 20,
        configure: (inout SessionConfiguration) -> Void = { _ in }
    ) throws(SessionError) -> Handshake {
        var request = cfk_init_in()
        request.major = major
        request.minor = minor
        request.max_readahead = 131072
        request.flags = UInt32(truncatingIfNeeded: offered)
        request.flags2 = UInt32(truncatingIfNeeded: offered >> 32)
        var configuration = SessionConfiguration(mountpoint: "/")
        configuration.wantedInitFlags = wanted
        configure(&configuration)
        return try Handshake(
            request: request, configuration: configuration, payloadBytes: payloadBytes, ring: ring,
            pageBytes: 4096)
    }

    @Test func takesWhatIsWantedAndOffered() throws {
        let wanted = CFK_INIT_ASYNC_DIO | CFK_INIT_CREATE_SUPP_GROUP
        let all = try handshake(wanted: wanted)
        #expect(all.flags == wanted | Handshake.required | CFK_INIT_OVER_IO_URING)
        #expect(all.reply.flags == UInt32(truncatingIfNeeded: all.flags))
        #expect(all.reply.flags2 == UInt32(all.flags >> 32))
        let few = try handshake(offered: Handshake.required, wanted: wanted)
        #expect(few.flags == Handshake.required)
        #expect(!few.usesRing)
    }

    @Test func theRingIsTakenOnlyWhenItIsChosen() throws {
        #expect(try handshake(ring: true).usesRing)
        // Even if the caller put the flag among those it wants.
        #expect(try !handshake(wanted: CFK_INIT_OVER_IO_URING, ring: false).usesRing)
    }

    @Test(arguments: [(8192, 2), (131072, 32), (1 << 20, 256)])
    func limitsFollowThePayload(payloadBytes: Int, pages: UInt16) throws {
        let reply = try handshake(payloadBytes: payloadBytes).reply
        #expect(reply.max_write == UInt32(payloadBytes))
        #expect(reply.max_pages == pages)
        #expect(reply.time_gran == 1)
        #expect(reply.max_readahead == 131072)
    }

    @Test(arguments: [(1, 1), (2, 1), (512, 384), (UInt16.max, 49151)] as [(UInt16, UInt16)])
    func congestionIsThreeQuarters(background: UInt16, congestion: UInt16) throws {
        let reply = try handshake { $0.maxBackground = background }.reply
        #expect(reply.max_background == background)
        #expect(reply.congestion_threshold == congestion)
    }

    @Test func speaksTheOlderMinorOfTheTwo() throws {
        #expect(try handshake(minor: 36).reply.minor == 36)
        #expect(try handshake(minor: 45).reply.minor == 45)
        #expect(try handshake(minor: 46).reply.minor == 45)
        #expect(try handshake(minor: 46).kernelMinor == 46)
    }

    @Test func refusesWhatIsTooOld() {
        #expect(throws: SessionError.self) { try handshake(minor: 35) }
        #expect(throws: SessionError.self) { try handshake(major: 6) }
        #expect(throws: SessionError.self) { try handshake(offered: 0) }
    }
}
