// The request path as another module sees it. That this compiles is a test: the compiler refuses an
// allocation, a lock or a reference count in a `@_noLocks` function and in what it calls.
//
// It stands here and not with the tests, because Swift Testing's globals do not compile in a
// module that has such functions.

internal import CFuseKernel
package import FuseTransport
internal import Glibc

@_noLocks
func answerWithoutLocks(_ request: FuseRequest) -> (error: Int32, bytes: Int) {
    switch request.operation {
    case .lookup?:
        guard let name = unsafe request.name() else { return (EINVAL, 0) }
        unsafe request.reply.storeBytes(of: UInt64(name.count), as: UInt64.self)
        return (0, 8)
    case .write?:
        let write = request.argument(as: cfk_write_in.self)
        unsafe request.reply.storeBytes(
            of: cfk_write_out(size: write.size, padding: 0), as: cfk_write_out.self)
        return (0, MemoryLayout<cfk_write_out>.size)
    default: return (ENOSYS, 0)
    }
}

/// Serves a queue until its end: LOOKUP tells the length of the name, WRITE succeeds.
@_noLocks
package func serveWithoutLocks(_ queue: inout RingQueue) {
    while true {
        let count = queue.wait()
        if count < 0 { return }
        var index = 0
        while index < count {
            let reply = answerWithoutLocks(queue.request(index))
            queue.commit(index, error: reply.error, bytes: reply.bytes)
            index += 1
        }
    }
}

/// The same over /dev/fuse.
@_noLocks
package func serveWithoutLocks(_ queue: inout DeviceQueue) {
    while true {
        let count = queue.wait()
        if count < 0 { return }
        if count > 0 {
            let reply = answerWithoutLocks(queue.request(0))
            queue.commit(0, error: reply.error, bytes: reply.bytes)
        }
    }
}
