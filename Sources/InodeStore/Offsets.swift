// Offsets: where things stand in the region, in bytes from its start. Each kind is a type of its own, so that the
// one is not taken for the other; the sum of an offset and a field's place is where the field is.
//
// The operators are written out: `@_noLocks` takes none that a protocol's extension makes.

/// Where an inode stands.
@frozen package struct InodeOffset: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64
    @inlinable @_noLocks package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    /// No inode.
    @inlinable package static var null: InodeOffset { @_noLocks get { InodeOffset(0) } }

    package var description: String { "\(rawValue)" }

    @inlinable @_noLocks package static func == (one: InodeOffset, other: InodeOffset) -> Bool {
        one.rawValue == other.rawValue
    }
    @inlinable @_noLocks package static func != (one: InodeOffset, other: InodeOffset) -> Bool {
        one.rawValue != other.rawValue
    }
    /// In the order of memory, which is that of locks.
    @inlinable @_noLocks package static func < (one: InodeOffset, other: InodeOffset) -> Bool {
        one.rawValue < other.rawValue
    }
    /// Where a field of `Inode` is.
    @inlinable @_noLocks package static func + (inode: InodeOffset, field: UInt64) -> UInt64 {
        inode.rawValue + field
    }
}

/// Where a dentry stands.
@frozen package struct DentryOffset: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64
    @inlinable @_noLocks package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    /// No dentry.
    @inlinable package static var null: DentryOffset { @_noLocks get { DentryOffset(0) } }

    package var description: String { "\(rawValue)" }

    @inlinable @_noLocks package static func == (one: DentryOffset, other: DentryOffset) -> Bool {
        one.rawValue == other.rawValue
    }
    @inlinable @_noLocks package static func != (one: DentryOffset, other: DentryOffset) -> Bool {
        one.rawValue != other.rawValue
    }
    /// Where a field of `Dentry` is.
    @inlinable @_noLocks package static func + (dentry: DentryOffset, field: UInt64) -> UInt64 {
        dentry.rawValue + field
    }
}
