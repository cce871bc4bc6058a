// libarchive, which is loaded when an archive is read or written first: it takes sixteen libraries, ICU among
// them, that most commands have no use for and that would triple the time until a mount is there.
//
// A program that has it linked in, as the packages have, is built with CARC_LINKED.
#ifndef CARC_LIBRARY_H
#define CARC_LIBRARY_H

#include <archive.h>
#include <archive_entry.h>

#ifdef CARC_LINKED

static inline int carc_library_load(void) { return 0; }

#else

#define CARC_FUNCTIONS(each) \
    each(archive_entry_acl_add_entry) \
    each(archive_entry_acl_next) \
    each(archive_entry_acl_reset) \
    each(archive_entry_clear) \
    each(archive_entry_copy_hardlink) \
    each(archive_entry_copy_pathname) \
    each(archive_entry_copy_symlink) \
    each(archive_entry_fflags) \
    each(archive_entry_free) \
    each(archive_entry_gid) \
    each(archive_entry_hardlink) \
    each(archive_entry_mode) \
    each(archive_entry_mtime) \
    each(archive_entry_mtime_nsec) \
    each(archive_entry_new) \
    each(archive_entry_pathname) \
    each(archive_entry_pathname_utf8) \
    each(archive_entry_rdevmajor) \
    each(archive_entry_rdevminor) \
    each(archive_entry_set_fflags) \
    each(archive_entry_set_filetype) \
    each(archive_entry_set_gid) \
    each(archive_entry_set_mode) \
    each(archive_entry_set_mtime) \
    each(archive_entry_set_pathname) \
    each(archive_entry_set_rdevmajor) \
    each(archive_entry_set_rdevminor) \
    each(archive_entry_set_size) \
    each(archive_entry_set_uid) \
    each(archive_entry_size) \
    each(archive_entry_size_is_set) \
    each(archive_entry_symlink) \
    each(archive_entry_uid) \
    each(archive_entry_xattr_add_entry) \
    each(archive_entry_xattr_next) \
    each(archive_entry_xattr_reset) \
    each(archive_errno) \
    each(archive_error_string) \
    each(archive_filter_bytes) \
    each(archive_format) \
    each(archive_read_data_block) \
    each(archive_read_free) \
    each(archive_read_new) \
    each(archive_read_next_header) \
    each(archive_read_open1) \
    each(archive_read_set_callback_data) \
    each(archive_read_set_read_callback) \
    each(archive_read_set_seek_callback) \
    each(archive_read_set_skip_callback) \
    each(archive_read_support_filter_all) \
    each(archive_read_support_format_7zip) \
    each(archive_read_support_format_cpio) \
    each(archive_read_support_format_gnutar) \
    each(archive_read_support_format_iso9660) \
    each(archive_read_support_format_raw) \
    each(archive_read_support_format_tar) \
    each(archive_read_support_format_xar) \
    each(archive_read_support_format_zip) \
    each(archive_set_error) \
    each(archive_write_add_filter_by_name) \
    each(archive_write_close) \
    each(archive_write_data) \
    each(archive_write_finish_entry) \
    each(archive_write_free) \
    each(archive_write_header) \
    each(archive_write_new) \
    each(archive_write_open) \
    each(archive_write_open_fd) \
    each(archive_write_set_bytes_in_last_block) \
    each(archive_write_set_bytes_per_block) \
    each(archive_write_set_format_pax) \
    each(archive_write_set_format_raw) \
    each(archive_write_set_options)

struct carc_library {
#define CARC_FIELD(name) __typeof__(name) *name;
    CARC_FUNCTIONS(CARC_FIELD)
#undef CARC_FIELD
};
extern struct carc_library carc_library;

// Loads the library, once; any thread may ask. Returns 0, or -1 with ELIBACC in errno.
int carc_library_load(void);

#ifndef CARC_LIBRARY_LOADS
#define archive_entry_acl_add_entry (*carc_library.archive_entry_acl_add_entry)
#define archive_entry_acl_next (*carc_library.archive_entry_acl_next)
#define archive_entry_acl_reset (*carc_library.archive_entry_acl_reset)
#define archive_entry_clear (*carc_library.archive_entry_clear)
#define archive_entry_copy_hardlink (*carc_library.archive_entry_copy_hardlink)
#define archive_entry_copy_pathname (*carc_library.archive_entry_copy_pathname)
#define archive_entry_copy_symlink (*carc_library.archive_entry_copy_symlink)
#define archive_entry_fflags (*carc_library.archive_entry_fflags)
#define archive_entry_free (*carc_library.archive_entry_free)
#define archive_entry_gid (*carc_library.archive_entry_gid)
#define archive_entry_hardlink (*carc_library.archive_entry_hardlink)
#define archive_entry_mode (*carc_library.archive_entry_mode)
#define archive_entry_mtime (*carc_library.archive_entry_mtime)
#define archive_entry_mtime_nsec (*carc_library.archive_entry_mtime_nsec)
#define archive_entry_new (*carc_library.archive_entry_new)
#define archive_entry_pathname (*carc_library.archive_entry_pathname)
#define archive_entry_pathname_utf8 (*carc_library.archive_entry_pathname_utf8)
#define archive_entry_rdevmajor (*carc_library.archive_entry_rdevmajor)
#define archive_entry_rdevminor (*carc_library.archive_entry_rdevminor)
#define archive_entry_set_fflags (*carc_library.archive_entry_set_fflags)
#define archive_entry_set_filetype (*carc_library.archive_entry_set_filetype)
#define archive_entry_set_gid (*carc_library.archive_entry_set_gid)
#define archive_entry_set_mode (*carc_library.archive_entry_set_mode)
#define archive_entry_set_mtime (*carc_library.archive_entry_set_mtime)
#define archive_entry_set_pathname (*carc_library.archive_entry_set_pathname)
#define archive_entry_set_rdevmajor (*carc_library.archive_entry_set_rdevmajor)
#define archive_entry_set_rdevminor (*carc_library.archive_entry_set_rdevminor)
#define archive_entry_set_size (*carc_library.archive_entry_set_size)
#define archive_entry_set_uid (*carc_library.archive_entry_set_uid)
#define archive_entry_size (*carc_library.archive_entry_size)
#define archive_entry_size_is_set (*carc_library.archive_entry_size_is_set)
#define archive_entry_symlink (*carc_library.archive_entry_symlink)
#define archive_entry_uid (*carc_library.archive_entry_uid)
#define archive_entry_xattr_add_entry (*carc_library.archive_entry_xattr_add_entry)
#define archive_entry_xattr_next (*carc_library.archive_entry_xattr_next)
#define archive_entry_xattr_reset (*carc_library.archive_entry_xattr_reset)
#define archive_errno (*carc_library.archive_errno)
#define archive_error_string (*carc_library.archive_error_string)
#define archive_filter_bytes (*carc_library.archive_filter_bytes)
#define archive_format (*carc_library.archive_format)
#define archive_read_data_block (*carc_library.archive_read_data_block)
#define archive_read_free (*carc_library.archive_read_free)
#define archive_read_new (*carc_library.archive_read_new)
#define archive_read_next_header (*carc_library.archive_read_next_header)
#define archive_read_open1 (*carc_library.archive_read_open1)
#define archive_read_set_callback_data (*carc_library.archive_read_set_callback_data)
#define archive_read_set_read_callback (*carc_library.archive_read_set_read_callback)
#define archive_read_set_seek_callback (*carc_library.archive_read_set_seek_callback)
#define archive_read_set_skip_callback (*carc_library.archive_read_set_skip_callback)
#define archive_read_support_filter_all (*carc_library.archive_read_support_filter_all)
#define archive_read_support_format_7zip (*carc_library.archive_read_support_format_7zip)
#define archive_read_support_format_cpio (*carc_library.archive_read_support_format_cpio)
#define archive_read_support_format_gnutar (*carc_library.archive_read_support_format_gnutar)
#define archive_read_support_format_iso9660 (*carc_library.archive_read_support_format_iso9660)
#define archive_read_support_format_raw (*carc_library.archive_read_support_format_raw)
#define archive_read_support_format_tar (*carc_library.archive_read_support_format_tar)
#define archive_read_support_format_xar (*carc_library.archive_read_support_format_xar)
#define archive_read_support_format_zip (*carc_library.archive_read_support_format_zip)
#define archive_set_error (*carc_library.archive_set_error)
#define archive_write_add_filter_by_name (*carc_library.archive_write_add_filter_by_name)
#define archive_write_close (*carc_library.archive_write_close)
#define archive_write_data (*carc_library.archive_write_data)
#define archive_write_finish_entry (*carc_library.archive_write_finish_entry)
#define archive_write_free (*carc_library.archive_write_free)
#define archive_write_header (*carc_library.archive_write_header)
#define archive_write_new (*carc_library.archive_write_new)
#define archive_write_open (*carc_library.archive_write_open)
#define archive_write_open_fd (*carc_library.archive_write_open_fd)
#define archive_write_set_bytes_in_last_block (*carc_library.archive_write_set_bytes_in_last_block)
#define archive_write_set_bytes_per_block (*carc_library.archive_write_set_bytes_per_block)
#define archive_write_set_format_pax (*carc_library.archive_write_set_format_pax)
#define archive_write_set_format_raw (*carc_library.archive_write_set_format_raw)
#define archive_write_set_options (*carc_library.archive_write_set_options)
#endif

#endif
#endif
