// The one place that decides whether the sizes in a request fit together.
//
// The kernel is right about them; a broken one, or a server of the protocol that is none (the
// kernel double in its hostile mood), is not believed: the operations behind this lean on the
// sizes.

internal import CFuseKernel
internal import SystemPackage

/// Sizes of a request's parts, or the errno it is answered with.
package struct RequestSizes {
    /// 0, or: `EIO` the payload is said to be larger than its buffer; `ENOSYS` an opcode that the
    /// protocol does not have; `EINVAL` the request is shorter than its parts.
    package var error: Int32 = 0
    package var argumentBytes: UInt16 = 0
    package var payloadBytes: UInt32 = 0

    /// Of no request.
    init() {}

    /// Sizes of a request that came over the ring.
    ///
    /// - Parameters:
    ///   - length: `len` of the in header: header, first argument and payload.
    ///   - payloadBytes: `payload_sz` of the ring's own part.
    ///   - capacity: Size of the payload's buffer.
    @_noLocks
    package init(opcode: UInt32, length: UInt32, payloadBytes: UInt32, capacity: Int) {
        guard Int(payloadBytes) <= capacity else {
            error = Errno.ioError.rawValue
            return
        }
        guard let operation = Opcode(rawValue: opcode) else {
            error = Errno.noFunction.rawValue
            return
        }
        let argumentBytes = operation.argumentBytes
        let needed = MemoryLayout<cfk_in_header>.size + argumentBytes + Int(payloadBytes)
        guard Int(length) >= needed else {
            error = Errno.invalidArgument.rawValue
            return
        }
        self.argumentBytes = UInt16(truncatingIfNeeded: argumentBytes)
        self.payloadBytes = payloadBytes
    }

    /// Sizes of a request that came over /dev/fuse in one piece of `received` bytes.
    @_noLocks
    init(opcode: UInt32, length: UInt32, received: Int) {
        let header = MemoryLayout<cfk_in_header>.size
        guard Int(length) == received, received >= header else {
            error = Errno.ioError.rawValue
            return
        }
        guard let operation = Opcode(rawValue: opcode) else {
            error = Errno.noFunction.rawValue
            return
        }
        let argumentBytes = operation.argumentBytes
        guard received >= header + argumentBytes else {
            error = Errno.invalidArgument.rawValue
            return
        }
        self.argumentBytes = UInt16(truncatingIfNeeded: argumentBytes)
        payloadBytes = UInt32(truncatingIfNeeded: received - header - argumentBytes)
    }
}
