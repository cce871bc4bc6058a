// The smallest file system that can be read and written: a root with one file named "file".
//
// It serves the transport's mount tests as Mayfly would: one thread per ring queue, one for
// /dev/fuse.

import CFuseKernel
import FuseTransport
import Glibc
import MayflyTestSupport
import Synchronization
import SystemPackage

@testable import MayflyHost

/// Content and counters; the threads that serve it share it.
// Sendable: the memory is fixed, the tests order their reads and writes by themselves.
@safe final class TinyFileSystem: @unchecked Sendable {
    static let capacity = 16 << 20
    let content: UnsafeMutableRawPointer
    let size = Atomic<UInt64>(0)
    let served = Atomic<Int>(0)
    let servedByDevice = Atomic<Int>(0)
    let forgets = Atomic<Int>(0)

    init() {
        unsafe content = .allocate(byteCount: Self.capacity, alignment: 4096)
        unsafe content.initializeMemory(as: UInt8.self, repeating: 0, count: Self.capacity)
    }

    deinit { unsafe content.deallocate() }

    private func attributes(_ node: UInt64) -> cfk_attr {
        var attributes = cfk_attr()
        attributes.ino = node
        attributes.blksize = 4096
        if node == 1 {
            attributes.mode = 0o040755
            attributes.nlink = 2
        } else {
            attributes.mode = 0o100644
            attributes.nlink = 1
            attributes.size = size.load(ordering: .relaxed)
            attributes.blocks = (attributes.size + 511) / 512
        }
        return attributes
    }

    private func put<T: BitwiseCopyable>(_ value: T, _ request: FuseRequest) -> (Int32, Int) {
        unsafe request.reply.storeBytes(of: value, as: T.self)
        return (0, MemoryLayout<T>.size)
    }

    /// Answers a request: an errno, and the bytes of the reply.
    func answer(_ request: FuseRequest) -> (Int32, Int) {
        served.add(1, ordering: .relaxed)
        switch request.operation {
        case .lookup?:
            guard let name = unsafe request.name() else { return (EINVAL, 0) }
            // Every name but one of "file*" is missing; "file1" and so on come without a cache,
            // so that each use of them is a LOOKUP and, once forgotten, a FORGET.
            guard unsafe name.starts(with: "file".utf8) else { return (ENOENT, 0) }
            let isPlain = name.count == 4
            var number: UInt64 = 0
            var index = 4
            while index < name.count {
                unsafe number = number &* 10 &+ UInt64(name[index])
                index += 1
            }
            var entry = cfk_entry_out()
            entry.nodeid = isPlain ? 2 : 1000 &+ number
            entry.entry_valid = isPlain ? 3600 : 0
            entry.attr_valid = 3600
            entry.attr = attributes(entry.nodeid)
            return put(entry, request)
        case .getattr?:
            var reply = cfk_attr_out()
            reply.attr_valid = 3600
            reply.attr = attributes(request.nodeID)
            return put(reply, request)
        case .setattr?:
            let change = request.argument(as: cfk_setattr_in.self)
            if change.valid & UInt32(CFK_FATTR_SIZE) != 0 {
                if change.size > UInt64(Self.capacity) { return (EFBIG, 0) }
                size.store(change.size, ordering: .relaxed)
            }
            var reply = cfk_attr_out()
            reply.attr_valid = 3600
            reply.attr = attributes(request.nodeID)
            return put(reply, request)
        case .open?, .opendir?: return put(cfk_open_out(), request)
        case .read?:
            let read = request.argument(as: cfk_read_in.self)
            let end = min(read.offset + UInt64(read.size), size.load(ordering: .relaxed))
            if read.offset >= end { return (0, 0) }
            let count = min(Int(end - read.offset), request.replyCapacity)
            unsafe request.reply.copyMemory(from: content + Int(read.offset), byteCount: count)
            return (0, count)
        case .write?:
            let write = request.argument(as: cfk_write_in.self)
            guard Int(write.size) <= request.payloadBytes else { return (EINVAL, 0) }
            guard write.offset + UInt64(write.size) <= UInt64(Self.capacity) else {
                return (EFBIG, 0)
            }
            unsafe (content + Int(write.offset)).copyMemory(
                from: request.payload, byteCount: Int(write.size))
            size.max(write.offset + UInt64(write.size), ordering: .relaxed)
            return put(cfk_write_out(size: write.size, padding: 0), request)
        case .forget?, .batchForget?:
            forgets.add(1, ordering: .relaxed)
            return (0, 0)
        case .release?, .releasedir?, .flush?, .fsync?, .destroy?, .readdir?, .readdirplus?:
            return (0, 0)
        case .statfs?: return put(cfk_kstatfs(), request)
        case .getxattr?, .listxattr?: return (ENODATA, 0)
        default: return (ENOSYS, 0)
        }
    }

    func serve(_ queue: consuming RingQueue) {
        do throws(Errno) { try queue.register() } catch { return }
        while true {
            let count = queue.wait()
            if count < 0 { return }
            for index in 0..<count {
                let (error, bytes) = answer(queue.request(index))
                queue.commit(index, error: error, bytes: bytes)
            }
        }
    }

    func serve(_ queue: consuming DeviceQueue) {
        while true {
            let count = queue.wait()
            if count < 0 { return }
            for index in 0..<count {
                servedByDevice.add(1, ordering: .relaxed)
                let (error, bytes) = answer(queue.request(index))
                queue.commit(index, error: error, bytes: bytes)
            }
        }
    }
}

/// A mounted `TinyFileSystem` in a directory of its own.
final class TinyMount {
    let directory: String
    let session: FuseSession
    let files = TinyFileSystem()
    private var threads: [HostThread] = []

    var file: String { directory + "/file" }

    /// - Parameters:
    ///   - refusing: Number of a ring queue that is not served, to see the fallback.
    init(
        transport: SessionConfiguration.Transport, deviceQueues: Int = 1, refusing: Int? = nil,
        configure: (inout SessionConfiguration) -> Void = { _ in }
    ) throws {
        directory = try makeTemporaryFolder("test")
        var configuration = SessionConfiguration(mountpoint: directory)
        configuration.transport = transport
        configuration.wantedInitFlags =
            CFK_INIT_ASYNC_READ | CFK_INIT_ASYNC_DIO | CFK_INIT_PARALLEL_DIROPS
        configure(&configuration)
        do {
            session = try FuseSession.mount(configuration)
        } catch {
            unsafe _ = rmdir(directory)
            throw error
        }
        let files = files
        for _ in 0..<deviceQueues {
            threads.append(
                try HostThread.start(name: "device", with: session.deviceQueue()) {
                    files.serve($0)
                })
        }
        for index in 0..<session.queueCount where index != refusing {
            threads.append(
                try HostThread.start(
                    cpu: index, name: "ring-\(index)", with: session.queue(at: index)
                ) { files.serve($0) })
        }
        // A queue that is given back without having been registered: the kernel refuses the ring.
        if let refusing { _ = session.queue(at: refusing) }
    }

    /// Whether the mount is in the tree.
    var isMounted: Bool { session.identity?.place != nil }

    /// Takes the mount out of the tree.
    ///
    /// - Returns: nil when it is done.
    @discardableResult
    func unmount(_ flags: Int = 0) -> Errno? { session.identity?.unmount(flags: Int32(flags)) }

    /// Ends the mount, whatever state it is in, and waits for the threads.
    func close() {
        if isMounted { unmount(MNT_FORCE | MNT_DETACH) }
        if session.state != .ended { session.end() }
        join()
        unsafe _ = rmdir(directory)
    }

    /// Waits for the serving threads, which leave when the session has ended.
    func join() {
        for thread in threads { thread.join() }
        threads = []
    }
}

/// Runs a shell command in another process, which is killed after `seconds`; its exit code.
///
/// All access to the mounts goes through here: a mount that hangs hangs the child, not the tests.
@discardableResult
func shell(_ command: String, seconds: Int = 15) -> Int32 {
    var pid: pid_t = 0
    let words = ["timeout", "-s", "KILL", "\(seconds)", "sh", "-c", command]
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    defer { unsafe pointers.forEach { unsafe free($0) } }
    guard unsafe posix_spawnp(&pid, "timeout", nil, nil, pointers, environ) == 0 else { return -1 }
    var status: Int32 = 0
    while unsafe waitpid(pid, &status, 0) < 0 {
        if errno != EINTR { return -1 }
    }
    return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
}
