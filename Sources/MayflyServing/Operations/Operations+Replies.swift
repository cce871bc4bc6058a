// Replies of one struct: written where the kernel reads them.
//
// An overload for each type, as the request path bars generic functions that another file calls.

internal import CFuseKernel
internal import FuseTransport

extension Operations {
    @_noLocks func reply(_ value: cfk_attr_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_attr_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_attr_out>.size)
    }
    @_noLocks func reply(_ value: cfk_entry_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_entry_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_entry_out>.size)
    }
    @_noLocks func reply(_ value: cfk_statx_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_statx_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_statx_out>.size)
    }
    @_noLocks func reply(_ value: cfk_kstatfs, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_kstatfs.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_kstatfs>.size)
    }
    @_noLocks func reply(_ value: cfk_write_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_write_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_write_out>.size)
    }
    @_noLocks func reply(_ value: cfk_lseek_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_lseek_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_lseek_out>.size)
    }
    @_noLocks func reply(_ value: cfk_copy_file_range_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_copy_file_range_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_copy_file_range_out>.size)
    }
    @_noLocks func reply(_ value: cfk_open_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_open_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_open_out>.size)
    }
    @_noLocks func reply(_ value: cfk_getxattr_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_getxattr_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_getxattr_out>.size)
    }
    @_noLocks func reply(_ value: cfk_ioctl_out, _ request: FuseRequest) -> Reply {
        unsafe request.reply.storeBytes(of: value, as: cfk_ioctl_out.self)
        return Reply(error: 0, bytes: MemoryLayout<cfk_ioctl_out>.size)
    }
}
