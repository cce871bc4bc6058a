/// How far an unmount goes where the mount is in use.
public enum UnmountMode: Sendable, Equatable {
    /// Fails with `.busy` while a file or folder of the mount is in use, and names who uses it.
    case normal
    /// Takes the mount out of the tree at once. It ends when its last file is closed.
    case lazy
    /// Takes the mount out of the tree at once. Files that are open fail from now on.
    case force
}
