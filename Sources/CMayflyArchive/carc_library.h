// libarchive, which is loaded when an archive is read or written first: it takes sixteen libraries, ICU among
// them, that most commands have no use for and that would triple the time until a mount is there.
//
// A program that has it linked in, as the packages have, is built with CARC_LINKED.
#ifndef CARC_LIBRARY_H
#define CARC_LIBRARY_H

#include <archive.h>
#include <archive_entry.h>

// What is not linked: it takes libxml2, and that ICU, more than all the rest of a static program.
#ifdef CARC_LINKED
#define CARC_LOADED_FUNCTIONS(each)
#else
#define CARC_LOADED_FUNCTIONS(each) each(archive_read_support_format_xar)
#endif

#define CARC_FUNCTIONS(each) \
    CARC_LOADED_FUNCTIONS(each) \
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

// The functions of libarchive, by their names. Only after carc_load.
struct carc_library {
#define CARC_FIELD(name) __typeof__(name) *name;
    CARC_FUNCTIONS(CARC_FIELD)
#undef CARC_FIELD
};
extern struct carc_library carc;

// Loads the library, once; any thread may ask. Returns 0, or -1 with ELIBACC in errno.
int carc_load(void);

// Names are converted by the locale's character set: that of C.UTF-8, which loses none, or of C, which
// changes none (carc_source.h).
void carc_use_locale(int is_utf8);

#endif
