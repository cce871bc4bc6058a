// One request as the operations see it: pointers to where the kernel put its parts.
//
// Nothing is copied. The transport has checked the sizes before it hands a request on: `argument`
// really has `argumentBytes` bytes and `payload` really has `payloadBytes`. They are pointers and no spans:
// `payload` and `reply` may be the same memory, and a `MutableRawSpan` has its memory to itself.

internal import CFuseDevice
package import CFuseKernel

/// A request where the kernel put it, and where its reply goes. Valid until it is committed.
///
/// On the ring `payload` and `reply` are the same memory: read the names or data that are still
/// needed before the first byte of the reply is written. The header and the first argument lie
/// apart from both and stay readable until the commit.
@frozen @safe
package struct FuseRequest {
    /// The request's header, 40 bytes.
    package let header: UnsafePointer<cfk_in_header>
    /// The first argument: `argumentBytes` bytes, 8-byte aligned.
    package let argument: UnsafeRawPointer
    /// What follows the first argument: names, each ended by NUL, or data.
    package let payload: UnsafeMutableRawPointer
    /// Where the arguments of the reply go, 8-byte aligned.
    package let reply: UnsafeMutableRawPointer
    /// Size of the first argument, fixed by the opcode; 0 where there is none.
    @usableFromInline let _argumentBytes: UInt32
    @usableFromInline let _payloadBytes: UInt32
    @usableFromInline let _replyCapacity: UInt32

    @inlinable @_noLocks
    package init(
        header: UnsafePointer<cfk_in_header>, argument: UnsafeRawPointer, argumentBytes: UInt32,
        payload: UnsafeMutableRawPointer, payloadBytes: UInt32,
        reply: UnsafeMutableRawPointer, replyCapacity: UInt32
    ) {
        unsafe self.header = header
        unsafe self.argument = argument
        unsafe self.payload = payload
        unsafe self.reply = reply
        _argumentBytes = argumentBytes
        _payloadBytes = payloadBytes
        _replyCapacity = replyCapacity
    }

    /// Size of the first argument in bytes; 0 where there is none.
    @inlinable
    package var argumentBytes: Int { @_noLocks get { Int(_argumentBytes) } }

    /// Size of `payload` in bytes.
    @inlinable
    package var payloadBytes: Int { @_noLocks get { Int(_payloadBytes) } }

    /// Bytes that `reply` has room for.
    @inlinable
    package var replyCapacity: Int { @_noLocks get { Int(_replyCapacity) } }

    /// The operation, by the kernel's number.
    @inlinable
    package var opcode: UInt32 { @_noLocks get { unsafe header.pointee.opcode } }

    /// The operation; never nil for a request that the transport handed on.
    @inlinable
    package var operation: Opcode? { @_noLocks get { Opcode(rawValue: opcode) } }

    /// The kernel's number of this request.
    @inlinable
    package var unique: UInt64 { @_noLocks get { unsafe header.pointee.unique } }

    /// The inode that the request is about.
    @inlinable
    package var nodeID: UInt64 { @_noLocks get { unsafe header.pointee.nodeid } }

    /// The caller's user id, as the mount's user namespace has it.
    @inlinable
    package var uid: UInt32 { @_noLocks get { unsafe header.pointee.uid } }

    /// The caller's group id, as the mount's user namespace has it.
    @inlinable
    package var gid: UInt32 { @_noLocks get { unsafe header.pointee.gid } }

    /// The caller's process id, as the server's pid namespace has it; 0 where it has none.
    @inlinable
    package var pid: UInt32 { @_noLocks get { unsafe header.pointee.pid } }

    /// Length of the whole request in bytes, header included.
    @inlinable
    package var length: UInt32 { @_noLocks get { unsafe header.pointee.len } }

    /// The payload as bytes.
    @inlinable
    package var payloadBuffer: UnsafeRawBufferPointer {
        @_noLocks get {
            unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(payload), count: payloadBytes)
        }
    }

    /// The bytes of the name that begins `offset` bytes into the payload, without its NUL.
    ///
    /// The second name of RENAME begins at `first.count + 1`.
    ///
    /// - Returns: nil where no NUL ends it within the payload, or it is empty: answer EINVAL.
    @inlinable @_noLocks
    package func name(at offset: Int = 0) -> UnsafeRawBufferPointer? {
        guard offset >= 0, offset < payloadBytes else { return nil }
        let start = unsafe UnsafeRawPointer(payload) + offset
        let count = unsafe Int(cfd_name_length(start, payloadBytes - offset))
        guard count > 0 else { return nil }
        return unsafe UnsafeRawBufferPointer(start: start, count: count)
    }
}
