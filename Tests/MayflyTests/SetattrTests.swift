import CFuseKernel
import InodeStore
import Testing

/// A SETATTR's word says what is to change in the store's own bits, so it is taken as it is.
@Suite struct SetattrTests {
    @Test(arguments: [
        (AttributeChange.mode, UInt32(CFK_FATTR_MODE)),
        (AttributeChange.userID, UInt32(CFK_FATTR_UID)),
        (AttributeChange.groupID, UInt32(CFK_FATTR_GID)),
        (AttributeChange.size, UInt32(CFK_FATTR_SIZE)),
        (AttributeChange.accessTime, UInt32(CFK_FATTR_ATIME)),
        (AttributeChange.modificationTime, UInt32(CFK_FATTR_MTIME)),
        (AttributeChange.throughFile, UInt32(CFK_FATTR_FH)),
        (AttributeChange.accessNow, UInt32(CFK_FATTR_ATIME_NOW)),
        (AttributeChange.modificationNow, UInt32(CFK_FATTR_MTIME_NOW)),
        (AttributeChange.changeTime, UInt32(CFK_FATTR_CTIME)),
        (AttributeChange.killPrivileges, UInt32(CFK_FATTR_KILL_SUIDGID)),
    ])
    func aBitOfTheStoreIsTheWires(store: UInt32, wire: UInt32) {
        #expect(store == wire)
    }
}
