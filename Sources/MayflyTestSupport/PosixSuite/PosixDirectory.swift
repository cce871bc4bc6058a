import CMayflyTestSupport
import Glibc

/// One entry as getdents64(2) gives it.
struct PosixEntry: Sendable, Hashable {
    let inode: UInt64
    /// Where the entry after this one is read: what telldir(3) would say.
    let cookie: Int64
    let type: UInt8
    let name: [UInt8]

    var text: String { String(decoding: name, as: UTF8.self) }
    var isDot: Bool { name == [0x2E] || name == [0x2E, 0x2E] }
}

extension PosixFile {
    /// One getdents64(2) call; empty at the end.
    func entries(capacity: Int) throws(PosixCallFailure) -> [PosixEntry] {
        var buffer = [UInt8](repeating: 0, count: capacity)
        let result = unsafe cps_getdents(fd, &buffer, capacity)
        let count = Int(try answer(result, "getdents64(\(capacity))"))
        var entries: [PosixEntry] = []
        var start = 0
        while start < count {
            let length = Int(buffer[start + 16]) | Int(buffer[start + 17]) << 8
            let name = buffer[(start + 19)..<(start + length)]
            entries.append(
                PosixEntry(
                    inode: UInt64(littleEndian: buffer, start),
                    cookie: Int64(bitPattern: UInt64(littleEndian: buffer, start + 8)),
                    type: buffer[start + 18], name: Array(name.prefix { $0 != 0 })))
            start += length
        }
        return entries
    }

    /// All entries from where the descriptor stands.
    func allEntries(capacity: Int = 32768) throws(PosixCallFailure) -> [PosixEntry] {
        var all: [PosixEntry] = []
        while true {
            let some = try entries(capacity: capacity)
            if some.isEmpty { return all }
            all += some
        }
    }
}

extension PosixPath {
    /// The entries with `.` and `..`.
    func entries() throws(PosixCallFailure) -> [PosixEntry] {
        try open(O_RDONLY | O_DIRECTORY).allEntries()
    }

    /// The names without `.` and `..`, sorted.
    func names() throws(PosixCallFailure) -> [String] {
        try entries().filter { !$0.isDot }.map(\.text).sorted()
    }
}

extension UInt64 {
    fileprivate init(littleEndian bytes: [UInt8], _ start: Int) {
        self = (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
    }
}

/// What name_to_handle_at(2) gives.
struct PosixHandle: Sendable {
    let bytes: [UInt8]
    let type: Int32

    init(_ path: PosixPath) throws(PosixCallFailure) {
        var buffer = [UInt8](repeating: 0, count: 128)
        var count: UInt32 = 0
        var type: Int32 = 0
        let result = unsafe cps_name_to_handle(path.terminated, &buffer, &count, &type)
        try answer(result, "name_to_handle_at(\(path))")
        bytes = Array(buffer.prefix(Int(count)))
        self.type = type
    }

    /// open_by_handle_at(2) on the file system that `mount` is open on.
    func open(on mount: PosixFile, _ flags: Int32 = O_RDWR) throws(PosixCallFailure) -> PosixFile {
        let fd = unsafe cps_open_by_handle(mount.fd, bytes, UInt32(bytes.count), type, flags)
        return PosixFile(try answer(fd, "open_by_handle_at"))
    }
}
