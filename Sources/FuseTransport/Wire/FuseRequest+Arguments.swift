// The first argument as its type: `request.argument(as: cfk_write_in.self)`.
//
// One overload per type and no generic function: the compiler does not specialise a generic of
// another module where it checks `@_noLocks`, and refuses the call.

package import CFuseKernel

extension FuseRequest {
    /// Traps where the first argument is not as long as a type.
    @inlinable @_noLocks
    package func requireArgument(_ bytes: Int) {
        precondition(bytes <= argumentBytes, "FuseRequest.argument: the type is too large")
    }

    /// The first argument of SETATTR.
    @inlinable @_noLocks
    package func argument(as type: cfk_setattr_in.Type) -> cfk_setattr_in {
        requireArgument(MemoryLayout<cfk_setattr_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_setattr_in.self).pointee
    }

    /// The first argument of MKNOD.
    @inlinable @_noLocks
    package func argument(as type: cfk_mknod_in.Type) -> cfk_mknod_in {
        requireArgument(MemoryLayout<cfk_mknod_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_mknod_in.self).pointee
    }

    /// The first argument of MKDIR.
    @inlinable @_noLocks
    package func argument(as type: cfk_mkdir_in.Type) -> cfk_mkdir_in {
        requireArgument(MemoryLayout<cfk_mkdir_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_mkdir_in.self).pointee
    }

    /// The first argument of RENAME.
    @inlinable @_noLocks
    package func argument(as type: cfk_rename_in.Type) -> cfk_rename_in {
        requireArgument(MemoryLayout<cfk_rename_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_rename_in.self).pointee
    }

    /// The first argument of RENAME2.
    @inlinable @_noLocks
    package func argument(as type: cfk_rename2_in.Type) -> cfk_rename2_in {
        requireArgument(MemoryLayout<cfk_rename2_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_rename2_in.self).pointee
    }

    /// The first argument of LINK.
    @inlinable @_noLocks
    package func argument(as type: cfk_link_in.Type) -> cfk_link_in {
        requireArgument(MemoryLayout<cfk_link_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_link_in.self).pointee
    }

    /// The first argument of OPEN and OPENDIR.
    @inlinable @_noLocks
    package func argument(as type: cfk_open_in.Type) -> cfk_open_in {
        requireArgument(MemoryLayout<cfk_open_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_open_in.self).pointee
    }

    /// The first argument of READ, READDIR and READDIRPLUS.
    @inlinable @_noLocks
    package func argument(as type: cfk_read_in.Type) -> cfk_read_in {
        requireArgument(MemoryLayout<cfk_read_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_read_in.self).pointee
    }

    /// The first argument of WRITE.
    @inlinable @_noLocks
    package func argument(as type: cfk_write_in.Type) -> cfk_write_in {
        requireArgument(MemoryLayout<cfk_write_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_write_in.self).pointee
    }

    /// The first argument of RELEASE and RELEASEDIR.
    @inlinable @_noLocks
    package func argument(as type: cfk_release_in.Type) -> cfk_release_in {
        requireArgument(MemoryLayout<cfk_release_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_release_in.self).pointee
    }

    /// The first argument of SETXATTR.
    @inlinable @_noLocks
    package func argument(as type: cfk_setxattr_in.Type) -> cfk_setxattr_in {
        requireArgument(MemoryLayout<cfk_setxattr_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_setxattr_in.self).pointee
    }

    /// The first argument of GETXATTR and LISTXATTR.
    @inlinable @_noLocks
    package func argument(as type: cfk_getxattr_in.Type) -> cfk_getxattr_in {
        requireArgument(MemoryLayout<cfk_getxattr_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_getxattr_in.self).pointee
    }

    /// The first argument of ACCESS.
    @inlinable @_noLocks
    package func argument(as type: cfk_access_in.Type) -> cfk_access_in {
        requireArgument(MemoryLayout<cfk_access_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_access_in.self).pointee
    }

    /// The first argument of CREATE and TMPFILE.
    @inlinable @_noLocks
    package func argument(as type: cfk_create_in.Type) -> cfk_create_in {
        requireArgument(MemoryLayout<cfk_create_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_create_in.self).pointee
    }

    /// The first argument of IOCTL.
    @inlinable @_noLocks
    package func argument(as type: cfk_ioctl_in.Type) -> cfk_ioctl_in {
        requireArgument(MemoryLayout<cfk_ioctl_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_ioctl_in.self).pointee
    }

    /// The first argument of FORGET.
    @inlinable @_noLocks
    package func argument(as type: cfk_forget_in.Type) -> cfk_forget_in {
        requireArgument(MemoryLayout<cfk_forget_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_forget_in.self).pointee
    }

    /// The first argument of BATCH_FORGET.
    @inlinable @_noLocks
    package func argument(as type: cfk_batch_forget_in.Type) -> cfk_batch_forget_in {
        requireArgument(MemoryLayout<cfk_batch_forget_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_batch_forget_in.self).pointee
    }

    /// The first argument of FALLOCATE.
    @inlinable @_noLocks
    package func argument(as type: cfk_fallocate_in.Type) -> cfk_fallocate_in {
        requireArgument(MemoryLayout<cfk_fallocate_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_fallocate_in.self).pointee
    }

    /// The first argument of LSEEK.
    @inlinable @_noLocks
    package func argument(as type: cfk_lseek_in.Type) -> cfk_lseek_in {
        requireArgument(MemoryLayout<cfk_lseek_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_lseek_in.self).pointee
    }

    /// The first argument of COPY_FILE_RANGE and COPY_FILE_RANGE_64.
    @inlinable @_noLocks
    package func argument(as type: cfk_copy_file_range_in.Type) -> cfk_copy_file_range_in {
        requireArgument(MemoryLayout<cfk_copy_file_range_in>.size)
        return unsafe argument.assumingMemoryBound(to: cfk_copy_file_range_in.self).pointee
    }

}
