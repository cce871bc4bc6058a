// The first FLUSH of a mount, which a server asks for itself so that none comes when it dies.

internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyHost

extension MountedFileSystem {
    /// Has the kernel send its first FLUSH, after which it sends none. Where no file can be made, a file
    /// that is there is opened; where there is none either, nothing is ever closed.
    ///
    /// A process that serves its own mount and dies closes its files one by one on a thread that may
    /// be a queue's, and would wait for itself for ever where that sends a request (fs/fuse/file.c,
    /// `fuse_flush()` under `do_exit()`).
    func askForNoFlush() {
        let made = unsafe PathBytes(summary.mountpoint).withCString {
            unsafe open($0, O_RDWR | O_CLOEXEC | CSYS_O_TMPFILE, mode_t(0o600))
        }
        if made >= 0 {
            close(made)
            return
        }
        // The caller may not be allowed to open the first that there is.
        for path in whileMounted({ $0.observer.someFiles(limit: 16) }) ?? [] {
            let place = PathBytes("\(summary.mountpoint)/").bytes + path
            let file = unsafe PathBytes(bytes: place).withCString {
                unsafe open($0, O_RDONLY | O_CLOEXEC)
            }
            if file >= 0 {
                close(file)
                return
            }
        }
    }
}
