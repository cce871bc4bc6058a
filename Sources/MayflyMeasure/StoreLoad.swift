// The store alone, under more threads than there are processors.

internal import CMayflyMemory
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import Synchronization
internal import SystemPackage

/// Threads that work on one store, each as the worker of a shard.
public struct StoreLoad {
    /// What the threads have done together.
    public struct Outcome: Sendable {
        public var operations: Int
        public var nanoseconds: UInt64
        /// Times that a thread found a lock taken and had to try again.
        public var lockRetries: Int
    }

    private let store: InodeStore
    private let threadCount: Int
    private let folders: [NodeID]
    private let shared: NodeID

    /// - Parameters:
    ///   - shards: of the store.
    ///   - threads: at most as many as shards.
    public init(shards: Int, threads: Int) {
        precondition(threads <= shards, "StoreLoad: \(threads) threads, \(shards) shards")
        do throws(Errno) {
            store = try InodeStore(
                pageLimit: 262_144, inodeLimit: 262_144, workerCount: threads, shardCount: shards,
                owner: Caller(userID: 0, groupID: 0))
            let worker = store.worker(0)
            worker.enter()
            shared = try Self.make(worker, .root, "shared", 0o040755)
            var folders: [NodeID] = []
            for index in 0..<threads {
                folders.append(try Self.make(worker, .root, "own\(index)", 0o040755))
            }
            self.folders = folders
            worker.leave()
        } catch {
            preconditionFailure("StoreLoad: no store (\(error))")
        }
        threadCount = threads
    }

    private static func make(
        _ worker: StoreWorker, _ parent: NodeID, _ name: String, _ mode: UInt32
    ) throws(Errno) -> NodeID {
        let bytes = Array(name.utf8)
        return try bytes.withName { name throws(Errno) in
            NodeID(
                rawValue: try worker.make(
                    parent, name, mode: mode, caller: Caller(userID: 0, groupID: 0)
                ).nodeID)
        }
    }

    /// Each thread makes, finds, writes, reads and removes files: seven of eight in a folder of its
    /// own, one in a folder that all share. Seven operations for a file.
    ///
    /// - Parameters:
    ///   - files: of each thread.
    ///   - apart: all eight in a folder of its own.
    public func run(files: Int, apart: Bool = false) -> Outcome {
        let before = retries
        let begin = cmem_monotonic_nanoseconds()
        let (store, folders, shared) = (store, folders, shared)
        let failures = Atomic<Int>(0)
        withThreads(threadCount) { index in
            let work = Work(
                worker: store.worker(index), own: folders[index],
                shared: apart ? folders[index] : shared, index: index)
            let failed = work.run(files: files)
            failures.add(failed, ordering: .relaxed)
        }
        let nanoseconds = cmem_monotonic_nanoseconds() - begin
        let failed = failures.load(ordering: .relaxed)
        precondition(failed == 0, "StoreLoad: \(failed) operations failed")
        return Outcome(
            operations: threadCount * files * Work.operationsPerFile, nanoseconds: nanoseconds,
            lockRetries: retries - before)
    }

    private var retries: Int {
        (0..<threadCount).reduce(0) { $0 + Int(store.worker($1).worker.waits.locks) }
    }

    /// Gives the memory back.
    public func end() { store.unmap() }
}

/// One thread's part.
private struct Work: Sendable {
    let worker: StoreWorker
    let own: NodeID
    let shared: NodeID
    let index: Int

    static let operationsPerFile = 7

    func run(files: Int) -> Int {
        var page = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 4096)
        var failed = 0
        for file in 0..<files {
            let parent = file % 8 == 0 ? shared : own
            // Few names, used again and again: no folder grows without end.
            let name = Array("t\(index)-f\(file % 64)".utf8)
            worker.enter()
            do throws(Errno) {
                try name.withName { name throws(Errno) in
                    try one(parent, name, &page)
                }
            } catch {
                failed += 1
            }
            worker.leave()
        }
        return failed
    }

    private func one(_ parent: NodeID, _ name: Name, _ page: inout [UInt8]) throws(Errno) {
        let root = Caller(userID: 0, groupID: 0)
        let made = try worker.make(parent, name, mode: 0o100644, caller: root)
        let node = NodeID(rawValue: made.nodeID)
        guard try worker.lookup(parent, name) != nil else { throw .noSuchFileOrDirectory }
        _ = try worker.attributes(node)
        let moved = try unsafe page.withPage { memory throws(Errno) in
            let written = try unsafe worker.write(
                node, offset: 0, from: memory, count: 4096, killPrivileges: false)
            let got = try unsafe worker.read(node, offset: 0, into: memory, count: 4096)
            return written + got
        }
        guard moved == 8192 else { throw .ioError }
        try worker.unlink(parent, name)
        // What LOOKUP and the making have counted.
        worker.forget(node, count: 2)
    }
}

extension [UInt8] {
    fileprivate func withName<Result>(
        _ body: (Name) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try unsafe result { buffer throws(Errno) in try unsafe body(Name(buffer)) }
    }

    private func result<Result>(
        _ body: (UnsafeRawBufferPointer) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        let outcome = unsafe withUnsafeBytes { buffer -> Swift.Result<Result, Errno> in
            do throws(Errno) {
                return .success(try unsafe body(buffer))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    fileprivate mutating func withPage<Result>(
        _ body: (UnsafeMutableRawPointer) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        let outcome = unsafe withUnsafeMutableBytes { buffer -> Swift.Result<Result, Errno> in
            guard let start = buffer.baseAddress else { return .failure(.invalidArgument) }
            do throws(Errno) {
                return .success(try unsafe body(start))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }
}

/// Runs `body` on so many threads at once and waits for all.
private func withThreads(_ count: Int, _ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
        final class Start {
            let index: Int
            let body: (Int) -> Void
            init(_ index: Int, _ body: @escaping (Int) -> Void) {
                self.index = index
                self.body = body
            }
        }
        var threads: [pthread_t] = []
        for index in 0..<count {
            let start = unsafe Unmanaged.passRetained(Start(index, body))
            var thread = pthread_t()
            let error = unsafe pthread_create(
                &thread, nil,
                { argument in
                    guard let argument = unsafe argument else { return nil }
                    let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                    start.body(start.index)
                    return nil
                }, start.toOpaque())
            precondition(error == 0, "pthread_create: \(error)")
            threads.append(thread)
        }
        for thread in threads { pthread_join(thread, nil) }
    }
}
