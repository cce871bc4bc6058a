// The FUSE wire ABI, protocol 7.45, in our own words.
//
// Distributions ship <linux/fuse.h> older than FUSE-over-io_uring (7.42), so the layouts stand
// here, and every size and offset is asserted. Field names are the kernel's.
// Source: include/uapi/linux/fuse.h of Linux 6.18.
#ifndef CFK_ABI_H
#define CFK_ABI_H

#include <stddef.h>
#include <stdint.h>

#define CFK_KERNEL_VERSION 7
#define CFK_KERNEL_MINOR_VERSION 45
#define CFK_ROOT_ID 1
#define CFK_MIN_READ_BUFFER 8192

// Opcodes (FUSE_*).
enum {
    CFK_LOOKUP = 1,
    CFK_FORGET = 2,
    CFK_GETATTR = 3,
    CFK_SETATTR = 4,
    CFK_READLINK = 5,
    CFK_SYMLINK = 6,
    CFK_MKNOD = 8,
    CFK_MKDIR = 9,
    CFK_UNLINK = 10,
    CFK_RMDIR = 11,
    CFK_RENAME = 12,
    CFK_LINK = 13,
    CFK_OPEN = 14,
    CFK_READ = 15,
    CFK_WRITE = 16,
    CFK_STATFS = 17,
    CFK_RELEASE = 18,
    CFK_FSYNC = 20,
    CFK_SETXATTR = 21,
    CFK_GETXATTR = 22,
    CFK_LISTXATTR = 23,
    CFK_REMOVEXATTR = 24,
    CFK_FLUSH = 25,
    CFK_INIT = 26,
    CFK_OPENDIR = 27,
    CFK_READDIR = 28,
    CFK_RELEASEDIR = 29,
    CFK_FSYNCDIR = 30,
    CFK_GETLK = 31,
    CFK_SETLK = 32,
    CFK_SETLKW = 33,
    CFK_ACCESS = 34,
    CFK_CREATE = 35,
    CFK_INTERRUPT = 36,
    CFK_BMAP = 37,
    CFK_DESTROY = 38,
    CFK_IOCTL = 39,
    CFK_POLL = 40,
    CFK_NOTIFY_REPLY = 41,
    CFK_BATCH_FORGET = 42,
    CFK_FALLOCATE = 43,
    CFK_READDIRPLUS = 44,
    CFK_RENAME2 = 45,
    CFK_LSEEK = 46,
    CFK_COPY_FILE_RANGE = 47,
    CFK_SETUPMAPPING = 48,
    CFK_REMOVEMAPPING = 49,
    CFK_SYNCFS = 50,
    CFK_TMPFILE = 51,
    CFK_STATX = 52,
    CFK_COPY_FILE_RANGE_64 = 53,
};

// INIT flags (FUSE_*), as 64 bits: flags | (uint64_t)flags2 << 32.
static const uint64_t CFK_INIT_ASYNC_READ = 1ull << 0;
static const uint64_t CFK_INIT_POSIX_LOCKS = 1ull << 1;
static const uint64_t CFK_INIT_ATOMIC_O_TRUNC = 1ull << 3;
static const uint64_t CFK_INIT_EXPORT_SUPPORT = 1ull << 4;
static const uint64_t CFK_INIT_BIG_WRITES = 1ull << 5;
static const uint64_t CFK_INIT_DONT_MASK = 1ull << 6;
static const uint64_t CFK_INIT_FLOCK_LOCKS = 1ull << 10;
static const uint64_t CFK_INIT_HAS_IOCTL_DIR = 1ull << 11;
static const uint64_t CFK_INIT_AUTO_INVAL_DATA = 1ull << 12;
static const uint64_t CFK_INIT_DO_READDIRPLUS = 1ull << 13;
static const uint64_t CFK_INIT_READDIRPLUS_AUTO = 1ull << 14;
static const uint64_t CFK_INIT_ASYNC_DIO = 1ull << 15;
static const uint64_t CFK_INIT_WRITEBACK_CACHE = 1ull << 16;
static const uint64_t CFK_INIT_NO_OPEN_SUPPORT = 1ull << 17;
static const uint64_t CFK_INIT_PARALLEL_DIROPS = 1ull << 18;
static const uint64_t CFK_INIT_HANDLE_KILLPRIV = 1ull << 19;
static const uint64_t CFK_INIT_POSIX_ACL = 1ull << 20;
static const uint64_t CFK_INIT_ABORT_ERROR = 1ull << 21;
static const uint64_t CFK_INIT_MAX_PAGES = 1ull << 22;
static const uint64_t CFK_INIT_CACHE_SYMLINKS = 1ull << 23;
static const uint64_t CFK_INIT_NO_OPENDIR_SUPPORT = 1ull << 24;
static const uint64_t CFK_INIT_EXPLICIT_INVAL_DATA = 1ull << 25;
static const uint64_t CFK_INIT_HANDLE_KILLPRIV_V2 = 1ull << 28;
static const uint64_t CFK_INIT_SETXATTR_EXT = 1ull << 29;
static const uint64_t CFK_INIT_INIT_EXT = 1ull << 30;
static const uint64_t CFK_INIT_CREATE_SUPP_GROUP = 1ull << 34;
static const uint64_t CFK_INIT_HAS_EXPIRE_ONLY = 1ull << 35;
static const uint64_t CFK_INIT_DIRECT_IO_ALLOW_MMAP = 1ull << 36;
static const uint64_t CFK_INIT_HAS_RESEND = 1ull << 39;
static const uint64_t CFK_INIT_ALLOW_IDMAP = 1ull << 40;
static const uint64_t CFK_INIT_OVER_IO_URING = 1ull << 41;

// setattr_in.valid (FATTR_*).
enum {
    CFK_FATTR_MODE = 1 << 0, CFK_FATTR_UID = 1 << 1, CFK_FATTR_GID = 1 << 2,
    CFK_FATTR_SIZE = 1 << 3, CFK_FATTR_ATIME = 1 << 4, CFK_FATTR_MTIME = 1 << 5,
    CFK_FATTR_FH = 1 << 6, CFK_FATTR_ATIME_NOW = 1 << 7, CFK_FATTR_MTIME_NOW = 1 << 8,
    CFK_FATTR_LOCKOWNER = 1 << 9, CFK_FATTR_CTIME = 1 << 10, CFK_FATTR_KILL_SUIDGID = 1 << 11,
};

// open_out.open_flags (FOPEN_*).
enum {
    CFK_FOPEN_DIRECT_IO = 1 << 0, CFK_FOPEN_KEEP_CACHE = 1 << 1, CFK_FOPEN_NONSEEKABLE = 1 << 2,
    CFK_FOPEN_CACHE_DIR = 1 << 3, CFK_FOPEN_STREAM = 1 << 4, CFK_FOPEN_NOFLUSH = 1 << 5,
    CFK_FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6,
};

// Single flags, each named after the kernel's.
enum {
    CFK_OPEN_KILL_SUIDGID = 1 << 0,          // open_in.open_flags
    CFK_GETATTR_FH = 1 << 0,                 // getattr_in.getattr_flags
    CFK_WRITE_CACHE = 1 << 0,                // write_in.write_flags
    CFK_WRITE_LOCKOWNER = 1 << 1,
    CFK_WRITE_KILL_SUIDGID = 1 << 2,
    CFK_FSYNC_FDATASYNC = 1 << 0,            // fsync_in.fsync_flags
    CFK_SETXATTR_ACL_KILL_SGID = 1 << 0,     // setxattr_in.setxattr_flags
    CFK_IOCTL_DIR = 1 << 4,                  // ioctl_in.flags
};

// Notification codes (FUSE_NOTIFY_*): out_header.error of a message with unique 0.
enum {
    CFK_NOTIFY_INVAL_INODE = 2, CFK_NOTIFY_INVAL_ENTRY = 3, CFK_NOTIFY_STORE = 4,
    CFK_NOTIFY_DELETE = 6, CFK_NOTIFY_RESEND = 7, CFK_NOTIFY_PRUNE = 9,
};

// io_uring command operations (FUSE_IO_URING_CMD_*).
enum { CFK_URING_CMD_REGISTER = 1, CFK_URING_CMD_COMMIT_AND_FETCH = 2 };

// Attributes of an inode as they travel in ENTRY and ATTR replies.
struct cfk_attr {
    uint64_t ino, size, blocks, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};
_Static_assert(sizeof(struct cfk_attr) == 88, "size of cfk_attr");
_Static_assert(offsetof(struct cfk_attr, ino) == 0, "cfk_attr.ino");
_Static_assert(offsetof(struct cfk_attr, size) == 8, "cfk_attr.size");
_Static_assert(offsetof(struct cfk_attr, blocks) == 16, "cfk_attr.blocks");
_Static_assert(offsetof(struct cfk_attr, atime) == 24, "cfk_attr.atime");
_Static_assert(offsetof(struct cfk_attr, mtime) == 32, "cfk_attr.mtime");
_Static_assert(offsetof(struct cfk_attr, ctime) == 40, "cfk_attr.ctime");
_Static_assert(offsetof(struct cfk_attr, atimensec) == 48, "cfk_attr.atimensec");
_Static_assert(offsetof(struct cfk_attr, mtimensec) == 52, "cfk_attr.mtimensec");
_Static_assert(offsetof(struct cfk_attr, ctimensec) == 56, "cfk_attr.ctimensec");
_Static_assert(offsetof(struct cfk_attr, mode) == 60, "cfk_attr.mode");
_Static_assert(offsetof(struct cfk_attr, nlink) == 64, "cfk_attr.nlink");
_Static_assert(offsetof(struct cfk_attr, uid) == 68, "cfk_attr.uid");
_Static_assert(offsetof(struct cfk_attr, gid) == 72, "cfk_attr.gid");
_Static_assert(offsetof(struct cfk_attr, rdev) == 76, "cfk_attr.rdev");
_Static_assert(offsetof(struct cfk_attr, blksize) == 80, "cfk_attr.blksize");
_Static_assert(offsetof(struct cfk_attr, flags) == 84, "cfk_attr.flags");

// A time as statx(2) has it.
struct cfk_sx_time {
    int64_t tv_sec;
    uint32_t tv_nsec;
    int32_t reserved;
};
_Static_assert(sizeof(struct cfk_sx_time) == 16, "size of cfk_sx_time");
_Static_assert(offsetof(struct cfk_sx_time, tv_sec) == 0, "cfk_sx_time.tv_sec");
_Static_assert(offsetof(struct cfk_sx_time, tv_nsec) == 8, "cfk_sx_time.tv_nsec");
_Static_assert(offsetof(struct cfk_sx_time, reserved) == 12, "cfk_sx_time.reserved");

// statx(2)'s answer.
struct cfk_statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare0;
    uint64_t ino, size, blocks, attributes_mask;
    struct cfk_sx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare2[14];
};
_Static_assert(sizeof(struct cfk_statx) == 256, "size of cfk_statx");
_Static_assert(offsetof(struct cfk_statx, mask) == 0, "cfk_statx.mask");
_Static_assert(offsetof(struct cfk_statx, blksize) == 4, "cfk_statx.blksize");
_Static_assert(offsetof(struct cfk_statx, attributes) == 8, "cfk_statx.attributes");
_Static_assert(offsetof(struct cfk_statx, nlink) == 16, "cfk_statx.nlink");
_Static_assert(offsetof(struct cfk_statx, uid) == 20, "cfk_statx.uid");
_Static_assert(offsetof(struct cfk_statx, gid) == 24, "cfk_statx.gid");
_Static_assert(offsetof(struct cfk_statx, mode) == 28, "cfk_statx.mode");
_Static_assert(offsetof(struct cfk_statx, spare0) == 30, "cfk_statx.spare0");
_Static_assert(offsetof(struct cfk_statx, ino) == 32, "cfk_statx.ino");
_Static_assert(offsetof(struct cfk_statx, size) == 40, "cfk_statx.size");
_Static_assert(offsetof(struct cfk_statx, blocks) == 48, "cfk_statx.blocks");
_Static_assert(offsetof(struct cfk_statx, attributes_mask) == 56, "cfk_statx.attributes_mask");
_Static_assert(offsetof(struct cfk_statx, atime) == 64, "cfk_statx.atime");
_Static_assert(offsetof(struct cfk_statx, btime) == 80, "cfk_statx.btime");
_Static_assert(offsetof(struct cfk_statx, ctime) == 96, "cfk_statx.ctime");
_Static_assert(offsetof(struct cfk_statx, mtime) == 112, "cfk_statx.mtime");
_Static_assert(offsetof(struct cfk_statx, rdev_major) == 128, "cfk_statx.rdev_major");
_Static_assert(offsetof(struct cfk_statx, rdev_minor) == 132, "cfk_statx.rdev_minor");
_Static_assert(offsetof(struct cfk_statx, dev_major) == 136, "cfk_statx.dev_major");
_Static_assert(offsetof(struct cfk_statx, dev_minor) == 140, "cfk_statx.dev_minor");
_Static_assert(offsetof(struct cfk_statx, spare2) == 144, "cfk_statx.spare2");

// Head of every request.
struct cfk_in_header {
    uint32_t len, opcode;
    uint64_t unique, nodeid;
    uint32_t uid, gid, pid;
    uint16_t total_extlen, padding;
};
_Static_assert(sizeof(struct cfk_in_header) == 40, "size of cfk_in_header");
_Static_assert(offsetof(struct cfk_in_header, len) == 0, "cfk_in_header.len");
_Static_assert(offsetof(struct cfk_in_header, opcode) == 4, "cfk_in_header.opcode");
_Static_assert(offsetof(struct cfk_in_header, unique) == 8, "cfk_in_header.unique");
_Static_assert(offsetof(struct cfk_in_header, nodeid) == 16, "cfk_in_header.nodeid");
_Static_assert(offsetof(struct cfk_in_header, uid) == 24, "cfk_in_header.uid");
_Static_assert(offsetof(struct cfk_in_header, gid) == 28, "cfk_in_header.gid");
_Static_assert(offsetof(struct cfk_in_header, pid) == 32, "cfk_in_header.pid");
_Static_assert(offsetof(struct cfk_in_header, total_extlen) == 36, "cfk_in_header.total_extlen");
_Static_assert(offsetof(struct cfk_in_header, padding) == 38, "cfk_in_header.padding");

// Head of every reply; error is 0 or a negated errno.
struct cfk_out_header {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};
_Static_assert(sizeof(struct cfk_out_header) == 16, "size of cfk_out_header");
_Static_assert(offsetof(struct cfk_out_header, len) == 0, "cfk_out_header.len");
_Static_assert(offsetof(struct cfk_out_header, error) == 4, "cfk_out_header.error");
_Static_assert(offsetof(struct cfk_out_header, unique) == 8, "cfk_out_header.unique");

// Reply to LOOKUP, MKNOD, MKDIR, SYMLINK, LINK.
struct cfk_entry_out {
    uint64_t nodeid, generation, entry_valid, attr_valid;
    uint32_t entry_valid_nsec, attr_valid_nsec;
    struct cfk_attr attr;
};
_Static_assert(sizeof(struct cfk_entry_out) == 128, "size of cfk_entry_out");
_Static_assert(offsetof(struct cfk_entry_out, nodeid) == 0, "cfk_entry_out.nodeid");
_Static_assert(offsetof(struct cfk_entry_out, generation) == 8, "cfk_entry_out.generation");
_Static_assert(offsetof(struct cfk_entry_out, entry_valid) == 16, "cfk_entry_out.entry_valid");
_Static_assert(offsetof(struct cfk_entry_out, attr_valid) == 24, "cfk_entry_out.attr_valid");
_Static_assert(offsetof(struct cfk_entry_out, entry_valid_nsec) == 32, "cfk_entry_out.entry_valid_nsec");
_Static_assert(offsetof(struct cfk_entry_out, attr_valid_nsec) == 36, "cfk_entry_out.attr_valid_nsec");
_Static_assert(offsetof(struct cfk_entry_out, attr) == 40, "cfk_entry_out.attr");

// Reply to GETATTR and SETATTR.
struct cfk_attr_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, dummy;
    struct cfk_attr attr;
};
_Static_assert(sizeof(struct cfk_attr_out) == 104, "size of cfk_attr_out");
_Static_assert(offsetof(struct cfk_attr_out, attr_valid) == 0, "cfk_attr_out.attr_valid");
_Static_assert(offsetof(struct cfk_attr_out, attr_valid_nsec) == 8, "cfk_attr_out.attr_valid_nsec");
_Static_assert(offsetof(struct cfk_attr_out, dummy) == 12, "cfk_attr_out.dummy");
_Static_assert(offsetof(struct cfk_attr_out, attr) == 16, "cfk_attr_out.attr");

// STATX.
struct cfk_statx_in {
    uint32_t getattr_flags, reserved;
    uint64_t fh;
    uint32_t sx_flags, sx_mask;
};
_Static_assert(sizeof(struct cfk_statx_in) == 24, "size of cfk_statx_in");
_Static_assert(offsetof(struct cfk_statx_in, getattr_flags) == 0, "cfk_statx_in.getattr_flags");
_Static_assert(offsetof(struct cfk_statx_in, reserved) == 4, "cfk_statx_in.reserved");
_Static_assert(offsetof(struct cfk_statx_in, fh) == 8, "cfk_statx_in.fh");
_Static_assert(offsetof(struct cfk_statx_in, sx_flags) == 16, "cfk_statx_in.sx_flags");
_Static_assert(offsetof(struct cfk_statx_in, sx_mask) == 20, "cfk_statx_in.sx_mask");

// Reply to STATX.
struct cfk_statx_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, flags;
    uint64_t spare[2];
    struct cfk_statx stat;
};
_Static_assert(sizeof(struct cfk_statx_out) == 288, "size of cfk_statx_out");
_Static_assert(offsetof(struct cfk_statx_out, attr_valid) == 0, "cfk_statx_out.attr_valid");
_Static_assert(offsetof(struct cfk_statx_out, attr_valid_nsec) == 8, "cfk_statx_out.attr_valid_nsec");
_Static_assert(offsetof(struct cfk_statx_out, flags) == 12, "cfk_statx_out.flags");
_Static_assert(offsetof(struct cfk_statx_out, spare) == 16, "cfk_statx_out.spare");
_Static_assert(offsetof(struct cfk_statx_out, stat) == 32, "cfk_statx_out.stat");

// FORGET: nlookup references are dropped.
struct cfk_forget_in {
    uint64_t nlookup;
};
_Static_assert(sizeof(struct cfk_forget_in) == 8, "size of cfk_forget_in");
_Static_assert(offsetof(struct cfk_forget_in, nlookup) == 0, "cfk_forget_in.nlookup");

// One of a BATCH_FORGET.
struct cfk_forget_one {
    uint64_t nodeid, nlookup;
};
_Static_assert(sizeof(struct cfk_forget_one) == 16, "size of cfk_forget_one");
_Static_assert(offsetof(struct cfk_forget_one, nodeid) == 0, "cfk_forget_one.nodeid");
_Static_assert(offsetof(struct cfk_forget_one, nlookup) == 8, "cfk_forget_one.nlookup");

// BATCH_FORGET: count entries follow.
struct cfk_batch_forget_in {
    uint32_t count, dummy;
};
_Static_assert(sizeof(struct cfk_batch_forget_in) == 8, "size of cfk_batch_forget_in");
_Static_assert(offsetof(struct cfk_batch_forget_in, count) == 0, "cfk_batch_forget_in.count");
_Static_assert(offsetof(struct cfk_batch_forget_in, dummy) == 4, "cfk_batch_forget_in.dummy");

// GETATTR.
struct cfk_getattr_in {
    uint32_t getattr_flags, dummy;
    uint64_t fh;
};
_Static_assert(sizeof(struct cfk_getattr_in) == 16, "size of cfk_getattr_in");
_Static_assert(offsetof(struct cfk_getattr_in, getattr_flags) == 0, "cfk_getattr_in.getattr_flags");
_Static_assert(offsetof(struct cfk_getattr_in, dummy) == 4, "cfk_getattr_in.dummy");
_Static_assert(offsetof(struct cfk_getattr_in, fh) == 8, "cfk_getattr_in.fh");

// SETATTR: valid says which fields count (FATTR_*).
struct cfk_setattr_in {
    uint32_t valid, padding;
    uint64_t fh, size, lock_owner, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, unused4, uid, gid, unused5;
};
_Static_assert(sizeof(struct cfk_setattr_in) == 88, "size of cfk_setattr_in");
_Static_assert(offsetof(struct cfk_setattr_in, valid) == 0, "cfk_setattr_in.valid");
_Static_assert(offsetof(struct cfk_setattr_in, padding) == 4, "cfk_setattr_in.padding");
_Static_assert(offsetof(struct cfk_setattr_in, fh) == 8, "cfk_setattr_in.fh");
_Static_assert(offsetof(struct cfk_setattr_in, size) == 16, "cfk_setattr_in.size");
_Static_assert(offsetof(struct cfk_setattr_in, lock_owner) == 24, "cfk_setattr_in.lock_owner");
_Static_assert(offsetof(struct cfk_setattr_in, atime) == 32, "cfk_setattr_in.atime");
_Static_assert(offsetof(struct cfk_setattr_in, mtime) == 40, "cfk_setattr_in.mtime");
_Static_assert(offsetof(struct cfk_setattr_in, ctime) == 48, "cfk_setattr_in.ctime");
_Static_assert(offsetof(struct cfk_setattr_in, atimensec) == 56, "cfk_setattr_in.atimensec");
_Static_assert(offsetof(struct cfk_setattr_in, mtimensec) == 60, "cfk_setattr_in.mtimensec");
_Static_assert(offsetof(struct cfk_setattr_in, ctimensec) == 64, "cfk_setattr_in.ctimensec");
_Static_assert(offsetof(struct cfk_setattr_in, mode) == 68, "cfk_setattr_in.mode");
_Static_assert(offsetof(struct cfk_setattr_in, unused4) == 72, "cfk_setattr_in.unused4");
_Static_assert(offsetof(struct cfk_setattr_in, uid) == 76, "cfk_setattr_in.uid");
_Static_assert(offsetof(struct cfk_setattr_in, gid) == 80, "cfk_setattr_in.gid");
_Static_assert(offsetof(struct cfk_setattr_in, unused5) == 84, "cfk_setattr_in.unused5");

// MKNOD; the name follows.
struct cfk_mknod_in {
    uint32_t mode, rdev, umask, padding;
};
_Static_assert(sizeof(struct cfk_mknod_in) == 16, "size of cfk_mknod_in");
_Static_assert(offsetof(struct cfk_mknod_in, mode) == 0, "cfk_mknod_in.mode");
_Static_assert(offsetof(struct cfk_mknod_in, rdev) == 4, "cfk_mknod_in.rdev");
_Static_assert(offsetof(struct cfk_mknod_in, umask) == 8, "cfk_mknod_in.umask");
_Static_assert(offsetof(struct cfk_mknod_in, padding) == 12, "cfk_mknod_in.padding");

// MKDIR; the name follows.
struct cfk_mkdir_in {
    uint32_t mode, umask;
};
_Static_assert(sizeof(struct cfk_mkdir_in) == 8, "size of cfk_mkdir_in");
_Static_assert(offsetof(struct cfk_mkdir_in, mode) == 0, "cfk_mkdir_in.mode");
_Static_assert(offsetof(struct cfk_mkdir_in, umask) == 4, "cfk_mkdir_in.umask");

// RENAME; old and new name follow.
struct cfk_rename_in {
    uint64_t newdir;
};
_Static_assert(sizeof(struct cfk_rename_in) == 8, "size of cfk_rename_in");
_Static_assert(offsetof(struct cfk_rename_in, newdir) == 0, "cfk_rename_in.newdir");

// RENAME2; old and new name follow.
struct cfk_rename2_in {
    uint64_t newdir;
    uint32_t flags, padding;
};
_Static_assert(sizeof(struct cfk_rename2_in) == 16, "size of cfk_rename2_in");
_Static_assert(offsetof(struct cfk_rename2_in, newdir) == 0, "cfk_rename2_in.newdir");
_Static_assert(offsetof(struct cfk_rename2_in, flags) == 8, "cfk_rename2_in.flags");
_Static_assert(offsetof(struct cfk_rename2_in, padding) == 12, "cfk_rename2_in.padding");

// LINK; the new name follows.
struct cfk_link_in {
    uint64_t oldnodeid;
};
_Static_assert(sizeof(struct cfk_link_in) == 8, "size of cfk_link_in");
_Static_assert(offsetof(struct cfk_link_in, oldnodeid) == 0, "cfk_link_in.oldnodeid");

// OPEN and OPENDIR.
struct cfk_open_in {
    uint32_t flags, open_flags;
};
_Static_assert(sizeof(struct cfk_open_in) == 8, "size of cfk_open_in");
_Static_assert(offsetof(struct cfk_open_in, flags) == 0, "cfk_open_in.flags");
_Static_assert(offsetof(struct cfk_open_in, open_flags) == 4, "cfk_open_in.open_flags");

// CREATE and TMPFILE; the name follows.
struct cfk_create_in {
    uint32_t flags, mode, umask, open_flags;
};
_Static_assert(sizeof(struct cfk_create_in) == 16, "size of cfk_create_in");
_Static_assert(offsetof(struct cfk_create_in, flags) == 0, "cfk_create_in.flags");
_Static_assert(offsetof(struct cfk_create_in, mode) == 4, "cfk_create_in.mode");
_Static_assert(offsetof(struct cfk_create_in, umask) == 8, "cfk_create_in.umask");
_Static_assert(offsetof(struct cfk_create_in, open_flags) == 12, "cfk_create_in.open_flags");

// Reply to OPEN, and second part of CREATE's and TMPFILE's.
struct cfk_open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};
_Static_assert(sizeof(struct cfk_open_out) == 16, "size of cfk_open_out");
_Static_assert(offsetof(struct cfk_open_out, fh) == 0, "cfk_open_out.fh");
_Static_assert(offsetof(struct cfk_open_out, open_flags) == 8, "cfk_open_out.open_flags");
_Static_assert(offsetof(struct cfk_open_out, backing_id) == 12, "cfk_open_out.backing_id");

// RELEASE and RELEASEDIR.
struct cfk_release_in {
    uint64_t fh;
    uint32_t flags, release_flags;
    uint64_t lock_owner;
};
_Static_assert(sizeof(struct cfk_release_in) == 24, "size of cfk_release_in");
_Static_assert(offsetof(struct cfk_release_in, fh) == 0, "cfk_release_in.fh");
_Static_assert(offsetof(struct cfk_release_in, flags) == 8, "cfk_release_in.flags");
_Static_assert(offsetof(struct cfk_release_in, release_flags) == 12, "cfk_release_in.release_flags");
_Static_assert(offsetof(struct cfk_release_in, lock_owner) == 16, "cfk_release_in.lock_owner");

// FLUSH.
struct cfk_flush_in {
    uint64_t fh;
    uint32_t unused, padding;
    uint64_t lock_owner;
};
_Static_assert(sizeof(struct cfk_flush_in) == 24, "size of cfk_flush_in");
_Static_assert(offsetof(struct cfk_flush_in, fh) == 0, "cfk_flush_in.fh");
_Static_assert(offsetof(struct cfk_flush_in, unused) == 8, "cfk_flush_in.unused");
_Static_assert(offsetof(struct cfk_flush_in, padding) == 12, "cfk_flush_in.padding");
_Static_assert(offsetof(struct cfk_flush_in, lock_owner) == 16, "cfk_flush_in.lock_owner");

// READ, READDIR and READDIRPLUS.
struct cfk_read_in {
    uint64_t fh, offset;
    uint32_t size, read_flags;
    uint64_t lock_owner;
    uint32_t flags, padding;
};
_Static_assert(sizeof(struct cfk_read_in) == 40, "size of cfk_read_in");
_Static_assert(offsetof(struct cfk_read_in, fh) == 0, "cfk_read_in.fh");
_Static_assert(offsetof(struct cfk_read_in, offset) == 8, "cfk_read_in.offset");
_Static_assert(offsetof(struct cfk_read_in, size) == 16, "cfk_read_in.size");
_Static_assert(offsetof(struct cfk_read_in, read_flags) == 20, "cfk_read_in.read_flags");
_Static_assert(offsetof(struct cfk_read_in, lock_owner) == 24, "cfk_read_in.lock_owner");
_Static_assert(offsetof(struct cfk_read_in, flags) == 32, "cfk_read_in.flags");
_Static_assert(offsetof(struct cfk_read_in, padding) == 36, "cfk_read_in.padding");

// WRITE; the data follows.
struct cfk_write_in {
    uint64_t fh, offset;
    uint32_t size, write_flags;
    uint64_t lock_owner;
    uint32_t flags, padding;
};
_Static_assert(sizeof(struct cfk_write_in) == 40, "size of cfk_write_in");
_Static_assert(offsetof(struct cfk_write_in, fh) == 0, "cfk_write_in.fh");
_Static_assert(offsetof(struct cfk_write_in, offset) == 8, "cfk_write_in.offset");
_Static_assert(offsetof(struct cfk_write_in, size) == 16, "cfk_write_in.size");
_Static_assert(offsetof(struct cfk_write_in, write_flags) == 20, "cfk_write_in.write_flags");
_Static_assert(offsetof(struct cfk_write_in, lock_owner) == 24, "cfk_write_in.lock_owner");
_Static_assert(offsetof(struct cfk_write_in, flags) == 32, "cfk_write_in.flags");
_Static_assert(offsetof(struct cfk_write_in, padding) == 36, "cfk_write_in.padding");

// Reply to WRITE and COPY_FILE_RANGE.
struct cfk_write_out {
    uint32_t size, padding;
};
_Static_assert(sizeof(struct cfk_write_out) == 8, "size of cfk_write_out");
_Static_assert(offsetof(struct cfk_write_out, size) == 0, "cfk_write_out.size");
_Static_assert(offsetof(struct cfk_write_out, padding) == 4, "cfk_write_out.padding");

// Reply to STATFS.
struct cfk_kstatfs {
    uint64_t blocks, bfree, bavail, files, ffree;
    uint32_t bsize, namelen, frsize, padding, spare[6];
};
_Static_assert(sizeof(struct cfk_kstatfs) == 80, "size of cfk_kstatfs");
_Static_assert(offsetof(struct cfk_kstatfs, blocks) == 0, "cfk_kstatfs.blocks");
_Static_assert(offsetof(struct cfk_kstatfs, bfree) == 8, "cfk_kstatfs.bfree");
_Static_assert(offsetof(struct cfk_kstatfs, bavail) == 16, "cfk_kstatfs.bavail");
_Static_assert(offsetof(struct cfk_kstatfs, files) == 24, "cfk_kstatfs.files");
_Static_assert(offsetof(struct cfk_kstatfs, ffree) == 32, "cfk_kstatfs.ffree");
_Static_assert(offsetof(struct cfk_kstatfs, bsize) == 40, "cfk_kstatfs.bsize");
_Static_assert(offsetof(struct cfk_kstatfs, namelen) == 44, "cfk_kstatfs.namelen");
_Static_assert(offsetof(struct cfk_kstatfs, frsize) == 48, "cfk_kstatfs.frsize");
_Static_assert(offsetof(struct cfk_kstatfs, padding) == 52, "cfk_kstatfs.padding");
_Static_assert(offsetof(struct cfk_kstatfs, spare) == 56, "cfk_kstatfs.spare");

// FSYNC and FSYNCDIR.
struct cfk_fsync_in {
    uint64_t fh;
    uint32_t fsync_flags, padding;
};
_Static_assert(sizeof(struct cfk_fsync_in) == 16, "size of cfk_fsync_in");
_Static_assert(offsetof(struct cfk_fsync_in, fh) == 0, "cfk_fsync_in.fh");
_Static_assert(offsetof(struct cfk_fsync_in, fsync_flags) == 8, "cfk_fsync_in.fsync_flags");
_Static_assert(offsetof(struct cfk_fsync_in, padding) == 12, "cfk_fsync_in.padding");

// SETXATTR with FUSE_SETXATTR_EXT; name and value follow.
struct cfk_setxattr_in {
    uint32_t size, flags, setxattr_flags, padding;
};
_Static_assert(sizeof(struct cfk_setxattr_in) == 16, "size of cfk_setxattr_in");
_Static_assert(offsetof(struct cfk_setxattr_in, size) == 0, "cfk_setxattr_in.size");
_Static_assert(offsetof(struct cfk_setxattr_in, flags) == 4, "cfk_setxattr_in.flags");
_Static_assert(offsetof(struct cfk_setxattr_in, setxattr_flags) == 8, "cfk_setxattr_in.setxattr_flags");
_Static_assert(offsetof(struct cfk_setxattr_in, padding) == 12, "cfk_setxattr_in.padding");

// GETXATTR (a name follows) and LISTXATTR.
struct cfk_getxattr_in {
    uint32_t size, padding;
};
_Static_assert(sizeof(struct cfk_getxattr_in) == 8, "size of cfk_getxattr_in");
_Static_assert(offsetof(struct cfk_getxattr_in, size) == 0, "cfk_getxattr_in.size");
_Static_assert(offsetof(struct cfk_getxattr_in, padding) == 4, "cfk_getxattr_in.padding");

// Reply to GETXATTR and LISTXATTR of size 0.
struct cfk_getxattr_out {
    uint32_t size, padding;
};
_Static_assert(sizeof(struct cfk_getxattr_out) == 8, "size of cfk_getxattr_out");
_Static_assert(offsetof(struct cfk_getxattr_out, size) == 0, "cfk_getxattr_out.size");
_Static_assert(offsetof(struct cfk_getxattr_out, padding) == 4, "cfk_getxattr_out.padding");

// ACCESS.
struct cfk_access_in {
    uint32_t mask, padding;
};
_Static_assert(sizeof(struct cfk_access_in) == 8, "size of cfk_access_in");
_Static_assert(offsetof(struct cfk_access_in, mask) == 0, "cfk_access_in.mask");
_Static_assert(offsetof(struct cfk_access_in, padding) == 4, "cfk_access_in.padding");

// INIT.
struct cfk_init_in {
    uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};
_Static_assert(sizeof(struct cfk_init_in) == 64, "size of cfk_init_in");
_Static_assert(offsetof(struct cfk_init_in, major) == 0, "cfk_init_in.major");
_Static_assert(offsetof(struct cfk_init_in, minor) == 4, "cfk_init_in.minor");
_Static_assert(offsetof(struct cfk_init_in, max_readahead) == 8, "cfk_init_in.max_readahead");
_Static_assert(offsetof(struct cfk_init_in, flags) == 12, "cfk_init_in.flags");
_Static_assert(offsetof(struct cfk_init_in, flags2) == 16, "cfk_init_in.flags2");
_Static_assert(offsetof(struct cfk_init_in, unused) == 20, "cfk_init_in.unused");

// Reply to INIT.
struct cfk_init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth;
    uint16_t request_timeout, unused[11];
};
_Static_assert(sizeof(struct cfk_init_out) == 64, "size of cfk_init_out");
_Static_assert(offsetof(struct cfk_init_out, major) == 0, "cfk_init_out.major");
_Static_assert(offsetof(struct cfk_init_out, minor) == 4, "cfk_init_out.minor");
_Static_assert(offsetof(struct cfk_init_out, max_readahead) == 8, "cfk_init_out.max_readahead");
_Static_assert(offsetof(struct cfk_init_out, flags) == 12, "cfk_init_out.flags");
_Static_assert(offsetof(struct cfk_init_out, max_background) == 16, "cfk_init_out.max_background");
_Static_assert(offsetof(struct cfk_init_out, congestion_threshold) == 18, "cfk_init_out.congestion_threshold");
_Static_assert(offsetof(struct cfk_init_out, max_write) == 20, "cfk_init_out.max_write");
_Static_assert(offsetof(struct cfk_init_out, time_gran) == 24, "cfk_init_out.time_gran");
_Static_assert(offsetof(struct cfk_init_out, max_pages) == 28, "cfk_init_out.max_pages");
_Static_assert(offsetof(struct cfk_init_out, map_alignment) == 30, "cfk_init_out.map_alignment");
_Static_assert(offsetof(struct cfk_init_out, flags2) == 32, "cfk_init_out.flags2");
_Static_assert(offsetof(struct cfk_init_out, max_stack_depth) == 36, "cfk_init_out.max_stack_depth");
_Static_assert(offsetof(struct cfk_init_out, request_timeout) == 40, "cfk_init_out.request_timeout");
_Static_assert(offsetof(struct cfk_init_out, unused) == 42, "cfk_init_out.unused");

// INTERRUPT: unique names the request.
struct cfk_interrupt_in {
    uint64_t unique;
};
_Static_assert(sizeof(struct cfk_interrupt_in) == 8, "size of cfk_interrupt_in");
_Static_assert(offsetof(struct cfk_interrupt_in, unique) == 0, "cfk_interrupt_in.unique");

// IOCTL; in_size bytes follow.
struct cfk_ioctl_in {
    uint64_t fh;
    uint32_t flags, cmd;
    uint64_t arg;
    uint32_t in_size, out_size;
};
_Static_assert(sizeof(struct cfk_ioctl_in) == 32, "size of cfk_ioctl_in");
_Static_assert(offsetof(struct cfk_ioctl_in, fh) == 0, "cfk_ioctl_in.fh");
_Static_assert(offsetof(struct cfk_ioctl_in, flags) == 8, "cfk_ioctl_in.flags");
_Static_assert(offsetof(struct cfk_ioctl_in, cmd) == 12, "cfk_ioctl_in.cmd");
_Static_assert(offsetof(struct cfk_ioctl_in, arg) == 16, "cfk_ioctl_in.arg");
_Static_assert(offsetof(struct cfk_ioctl_in, in_size) == 24, "cfk_ioctl_in.in_size");
_Static_assert(offsetof(struct cfk_ioctl_in, out_size) == 28, "cfk_ioctl_in.out_size");

// Reply to IOCTL; data follows.
struct cfk_ioctl_out {
    int32_t result;
    uint32_t flags, in_iovs, out_iovs;
};
_Static_assert(sizeof(struct cfk_ioctl_out) == 16, "size of cfk_ioctl_out");
_Static_assert(offsetof(struct cfk_ioctl_out, result) == 0, "cfk_ioctl_out.result");
_Static_assert(offsetof(struct cfk_ioctl_out, flags) == 4, "cfk_ioctl_out.flags");
_Static_assert(offsetof(struct cfk_ioctl_out, in_iovs) == 8, "cfk_ioctl_out.in_iovs");
_Static_assert(offsetof(struct cfk_ioctl_out, out_iovs) == 12, "cfk_ioctl_out.out_iovs");

// FALLOCATE.
struct cfk_fallocate_in {
    uint64_t fh, offset, length;
    uint32_t mode, padding;
};
_Static_assert(sizeof(struct cfk_fallocate_in) == 32, "size of cfk_fallocate_in");
_Static_assert(offsetof(struct cfk_fallocate_in, fh) == 0, "cfk_fallocate_in.fh");
_Static_assert(offsetof(struct cfk_fallocate_in, offset) == 8, "cfk_fallocate_in.offset");
_Static_assert(offsetof(struct cfk_fallocate_in, length) == 16, "cfk_fallocate_in.length");
_Static_assert(offsetof(struct cfk_fallocate_in, mode) == 24, "cfk_fallocate_in.mode");
_Static_assert(offsetof(struct cfk_fallocate_in, padding) == 28, "cfk_fallocate_in.padding");

// LSEEK.
struct cfk_lseek_in {
    uint64_t fh, offset;
    uint32_t whence, padding;
};
_Static_assert(sizeof(struct cfk_lseek_in) == 24, "size of cfk_lseek_in");
_Static_assert(offsetof(struct cfk_lseek_in, fh) == 0, "cfk_lseek_in.fh");
_Static_assert(offsetof(struct cfk_lseek_in, offset) == 8, "cfk_lseek_in.offset");
_Static_assert(offsetof(struct cfk_lseek_in, whence) == 16, "cfk_lseek_in.whence");
_Static_assert(offsetof(struct cfk_lseek_in, padding) == 20, "cfk_lseek_in.padding");

// Reply to LSEEK.
struct cfk_lseek_out {
    uint64_t offset;
};
_Static_assert(sizeof(struct cfk_lseek_out) == 8, "size of cfk_lseek_out");
_Static_assert(offsetof(struct cfk_lseek_out, offset) == 0, "cfk_lseek_out.offset");

// COPY_FILE_RANGE and COPY_FILE_RANGE_64.
struct cfk_copy_file_range_in {
    uint64_t fh_in, off_in, nodeid_out, fh_out, off_out, len, flags;
};
_Static_assert(sizeof(struct cfk_copy_file_range_in) == 56, "size of cfk_copy_file_range_in");
_Static_assert(offsetof(struct cfk_copy_file_range_in, fh_in) == 0, "cfk_copy_file_range_in.fh_in");
_Static_assert(offsetof(struct cfk_copy_file_range_in, off_in) == 8, "cfk_copy_file_range_in.off_in");
_Static_assert(offsetof(struct cfk_copy_file_range_in, nodeid_out) == 16, "cfk_copy_file_range_in.nodeid_out");
_Static_assert(offsetof(struct cfk_copy_file_range_in, fh_out) == 24, "cfk_copy_file_range_in.fh_out");
_Static_assert(offsetof(struct cfk_copy_file_range_in, off_out) == 32, "cfk_copy_file_range_in.off_out");
_Static_assert(offsetof(struct cfk_copy_file_range_in, len) == 40, "cfk_copy_file_range_in.len");
_Static_assert(offsetof(struct cfk_copy_file_range_in, flags) == 48, "cfk_copy_file_range_in.flags");

// Reply to COPY_FILE_RANGE_64.
struct cfk_copy_file_range_out {
    uint64_t bytes_copied;
};
_Static_assert(sizeof(struct cfk_copy_file_range_out) == 8, "size of cfk_copy_file_range_out");
_Static_assert(offsetof(struct cfk_copy_file_range_out, bytes_copied) == 0, "cfk_copy_file_range_out.bytes_copied");

// One entry of READDIR's reply; the name follows, padded to 8 bytes.
struct cfk_dirent {
    uint64_t ino, off;
    uint32_t namelen, type;
};
_Static_assert(sizeof(struct cfk_dirent) == 24, "size of cfk_dirent");
_Static_assert(offsetof(struct cfk_dirent, ino) == 0, "cfk_dirent.ino");
_Static_assert(offsetof(struct cfk_dirent, off) == 8, "cfk_dirent.off");
_Static_assert(offsetof(struct cfk_dirent, namelen) == 16, "cfk_dirent.namelen");
_Static_assert(offsetof(struct cfk_dirent, type) == 20, "cfk_dirent.type");

// One entry of READDIRPLUS's reply; the name follows, padded to 8 bytes.
struct cfk_direntplus {
    struct cfk_entry_out entry_out;
    struct cfk_dirent dirent;
};
_Static_assert(sizeof(struct cfk_direntplus) == 152, "size of cfk_direntplus");
_Static_assert(offsetof(struct cfk_direntplus, entry_out) == 0, "cfk_direntplus.entry_out");
_Static_assert(offsetof(struct cfk_direntplus, dirent) == 128, "cfk_direntplus.dirent");

// Notification INVAL_INODE.
struct cfk_notify_inval_inode_out {
    uint64_t ino;
    int64_t off, len;
};
_Static_assert(sizeof(struct cfk_notify_inval_inode_out) == 24, "size of cfk_notify_inval_inode_out");
_Static_assert(offsetof(struct cfk_notify_inval_inode_out, ino) == 0, "cfk_notify_inval_inode_out.ino");
_Static_assert(offsetof(struct cfk_notify_inval_inode_out, off) == 8, "cfk_notify_inval_inode_out.off");
_Static_assert(offsetof(struct cfk_notify_inval_inode_out, len) == 16, "cfk_notify_inval_inode_out.len");

// Notification INVAL_ENTRY; the name follows.
struct cfk_notify_inval_entry_out {
    uint64_t parent;
    uint32_t namelen, flags;
};
_Static_assert(sizeof(struct cfk_notify_inval_entry_out) == 16, "size of cfk_notify_inval_entry_out");
_Static_assert(offsetof(struct cfk_notify_inval_entry_out, parent) == 0, "cfk_notify_inval_entry_out.parent");
_Static_assert(offsetof(struct cfk_notify_inval_entry_out, namelen) == 8, "cfk_notify_inval_entry_out.namelen");
_Static_assert(offsetof(struct cfk_notify_inval_entry_out, flags) == 12, "cfk_notify_inval_entry_out.flags");

// The ring's own part of a request header.
struct cfk_ring_ent_in_out {
    uint64_t flags, commit_id;
    uint32_t payload_sz, padding;
    uint64_t reserved;
};
_Static_assert(sizeof(struct cfk_ring_ent_in_out) == 32, "size of cfk_ring_ent_in_out");
_Static_assert(offsetof(struct cfk_ring_ent_in_out, flags) == 0, "cfk_ring_ent_in_out.flags");
_Static_assert(offsetof(struct cfk_ring_ent_in_out, commit_id) == 8, "cfk_ring_ent_in_out.commit_id");
_Static_assert(offsetof(struct cfk_ring_ent_in_out, payload_sz) == 16, "cfk_ring_ent_in_out.payload_sz");
_Static_assert(offsetof(struct cfk_ring_ent_in_out, padding) == 20, "cfk_ring_ent_in_out.padding");
_Static_assert(offsetof(struct cfk_ring_ent_in_out, reserved) == 24, "cfk_ring_ent_in_out.reserved");

// Header area of one ring entry.
struct cfk_ring_req_header {
    char in_out[128], op_in[128];
    struct cfk_ring_ent_in_out ring_ent_in_out;
};
_Static_assert(sizeof(struct cfk_ring_req_header) == 288, "size of cfk_ring_req_header");
_Static_assert(offsetof(struct cfk_ring_req_header, in_out) == 0, "cfk_ring_req_header.in_out");
_Static_assert(offsetof(struct cfk_ring_req_header, op_in) == 128, "cfk_ring_req_header.op_in");
_Static_assert(offsetof(struct cfk_ring_req_header, ring_ent_in_out) == 256, "cfk_ring_req_header.ring_ent_in_out");

// Command area of the SQE.
struct cfk_ring_cmd_req {
    uint64_t flags, commit_id;
    uint16_t qid;
    uint8_t padding[6];
};
_Static_assert(sizeof(struct cfk_ring_cmd_req) == 24, "size of cfk_ring_cmd_req");
_Static_assert(offsetof(struct cfk_ring_cmd_req, flags) == 0, "cfk_ring_cmd_req.flags");
_Static_assert(offsetof(struct cfk_ring_cmd_req, commit_id) == 8, "cfk_ring_cmd_req.commit_id");
_Static_assert(offsetof(struct cfk_ring_cmd_req, qid) == 16, "cfk_ring_cmd_req.qid");
_Static_assert(offsetof(struct cfk_ring_cmd_req, padding) == 18, "cfk_ring_cmd_req.padding");

#endif
