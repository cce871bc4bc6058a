// For Tests/Benchmarks, which is a package of its own and so does not see what is `package` here.
// `@testable` would let it, but takes -enable-testing, with which other code is measured than is
// shipped.

internal import CFuseKernel
internal import FuseTransport
internal import InodeStore
internal import MayflyServing
internal import SystemPackage

/// Requests to a file system without a kernel.
public struct RequestLoad {
    /// What is asked. No spaces: files of thresholds are named after them.
    public enum Kind: String, CaseIterable, Sendable {
        case getattr = "GETATTR"
        case lookup = "LOOKUP"
        case negativeLookup = "LOOKUP-missing"
        case read = "READ-4k"
        case write = "WRITE-4k"
        case makeAndRemove = "MKNOD-UNLINK-FORGET"
        case readdirplus = "READDIRPLUS-64"
        case getxattr = "GETXATTR"
        case missingXattr = "GETXATTR-missing"
    }

    private let store: InodeStore
    private let answerer: RequestAnswerer
    private let requests: [PreparedRequest]
    private let one: PreparedRequest
    private let second: PreparedRequest
    private let third: PreparedRequest
    private let expected: Int32
    private let isSequence: Bool

    /// Makes a small tree and the requests.
    public init(_ kind: Kind) {
        let store: InodeStore
        do throws(Errno) {
            store = try InodeStore(
                pageLimit: 65536, inodeLimit: 65536, workerCount: 1,
                owner: Caller(userID: 0, groupID: 0))
        } catch {
            preconditionFailure("RequestLoad: no store (\(error))")
        }
        let answerer = RequestAnswerer(store.worker(0))
        var made: [PreparedRequest] = []
        func prepare(
            _ opcode: Opcode, _ node: UInt64, _ argument: [UInt8] = [], _ payload: [UInt8] = []
        ) -> PreparedRequest {
            let request = PreparedRequest(opcode, node, argument: argument, payload: payload)
            made.append(request)
            return request
        }
        func done(_ request: PreparedRequest) -> UInt64 {
            let error = answerer.answer(request)
            precondition(error == 0, "RequestLoad: errno \(error)")
            return request.repliedNodeID()
        }
        let page = [UInt8](repeating: 7, count: 4096)
        let node = cfk_mknod_in(mode: 0o100644, rdev: 0, umask: 0, padding: 0)
        let file = done(prepare(.mknod, 1, Self.bytes(node), Self.name("file")))
        let write = prepare(
            .write, file,
            Self.bytes(
                cfk_write_in(
                    fh: 0, offset: 0, size: 4096, write_flags: 0, lock_owner: 0, flags: 2,
                    padding: 0)), page)
        _ = done(write)
        let read = cfk_read_in(
            fh: 0, offset: 0, size: 4096, read_flags: 0, lock_owner: 0, flags: 0, padding: 0)
        let attribute = Self.bytes(cfk_getxattr_in(size: 64, padding: 0))
        var expected: Int32 = 0
        let one: PreparedRequest
        switch kind {
        case .getattr:
            one = prepare(
                .getattr, file, Self.bytes(cfk_getattr_in(getattr_flags: 0, dummy: 0, fh: 0)))
        case .lookup: one = prepare(.lookup, 1, [], Self.name("file"))
        case .negativeLookup: one = prepare(.lookup, 1, [], Self.name("none"))
        case .read: one = prepare(.read, file, Self.bytes(read))
        case .write: one = write
        case .makeAndRemove: one = prepare(.mknod, 1, Self.bytes(node), Self.name("passing"))
        case .readdirplus:
            for index in 0..<63 {
                _ = done(prepare(.mknod, 1, Self.bytes(node), Self.name("file\(index)")))
            }
            var all = read
            all.size = 32768
            one = prepare(.readdirplus, 1, Self.bytes(all))
        case .getxattr:
            var value = cfk_setxattr_in()
            value.size = 5
            _ = done(
                prepare(
                    .setxattr, file, Self.bytes(value),
                    Self.name("user.one") + Array("value".utf8)))
            one = prepare(.getxattr, file, attribute, Self.name("user.one"))
        case .missingXattr:
            one = prepare(.getxattr, file, attribute, Self.name("user.none"))
            expected = Errno.noData.rawValue
        }
        second = prepare(.unlink, 1, [], Self.name("passing"))
        third = prepare(.forget, 1, Self.bytes(cfk_forget_in(nlookup: 1)))
        self.store = store
        self.answerer = answerer
        self.one = one
        self.expected = expected
        isSequence = kind == .makeAndRemove
        requests = made
    }

    /// Answers the request, or the three of the sequence, so many times.
    ///
    /// - Returns: how many answers were not those expected.
    public func run(_ times: Int) -> Int {
        var wrong = 0
        for _ in 0..<times {
            if answerer.answer(one) != expected { wrong += 1 }
            if isSequence {
                third.aim(at: one.repliedNodeID())
                if answerer.answer(second) != 0 { wrong += 1 }
                if answerer.answer(third) != 0 { wrong += 1 }
            }
        }
        return wrong
    }

    /// Gives the memory back.
    public func end() {
        for request in requests { request.deallocate() }
        answerer.deallocate()
        store.unmap()
    }

    private static func name(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

    private static func bytes<Argument: BitwiseCopyable>(_ argument: Argument) -> [UInt8] {
        unsafe withUnsafeBytes(of: argument) { bytes in unsafe Array(bytes) }
    }
}
