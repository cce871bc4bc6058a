// TreeRequest: what a command says before it sends a tree.

internal import Glibc
internal import MayflyHTTP
internal import MayflyHost
internal import MayflyImages

/// What a command says that wants a tree of the mount: the server sends it.
struct TreeWish: Codable, Sendable, Equatable {
    /// Other than of a request that brings one, so that a server of an older version refuses it.
    static let currentFormat = 2

    var format = currentFormat
    /// `ByteText` of the path from the mount's root on.
    var path: String
    /// What a source that is no directory is called.
    var name: String
    var exclude: [String]
}

struct TreeRequest: Codable, Sendable, Equatable {
    /// Of what follows the request. A server takes its own alone.
    static let currentFormat = 1

    var format = currentFormat
    /// `ByteText` of paths from the mount's root on; without a name what comes goes into the directory.
    var directory: String
    var name: String?
    var keepsOld: Bool
    var rights: TreeRights

    var place: TreePlace {
        TreePlace(directory: PathBytes(directory), name: name.map { PathBytes($0) })
    }
}

extension TreeRights {
    /// What whoever talks to this server may have of the rights that they ask for. That is its own user, or
    /// root in their place.
    var allowed: TreeRights {
        var allowed = self
        if geteuid() != 0 {
            allowed.userID = geteuid()
            allowed.groupID = groupID ?? getegid()
        }
        // Root of a user namespace is not root.
        let isWhole = ControlServer.stranger(map: HostFile.text(at: "/proc/self/uid_map")) == nil
        if geteuid() != 0 || !isWhole { allowed.isPrivileged = false }
        return allowed
    }
}

/// A request about trees that needs no stream.
enum TreeTask: Sendable, Equatable {
    case unpack(PathBytes, to: PathBytes, TreeOptions)
    case copyIn(PathBytes, to: PathBytes, TreeOptions)
    case copy(PathBytes, to: PathBytes, TreeOptions)
    case remove(PathBytes)

    /// Carries it out with the rights of this server's user.
    func answer(_ fileSystem: MountedFileSystem) throws(MountError) -> HTTPAnswer {
        let rights = TreeRights().allowed
        switch self {
        case .unpack(let archive, let path, let options):
            return .json(try fileSystem.unpack(archive, to: path, rights, options))
        case .copyIn(let folder, let path, let options):
            return .json(try fileSystem.copyIn(folder, to: path, rights, options))
        case .copy(let source, let path, let options):
            return .json(try fileSystem.copy(source, to: path, .own, rights, options))
        case .remove(let path): return .json(try fileSystem.remove(path, .own))
        }
    }
}

extension TreeCaller {
    /// The user of this process, with the groups.
    static var own: TreeCaller {
        let count = getgroups(0, nil)
        var groups = [gid_t](repeating: 0, count: max(0, Int(count)))
        let found = unsafe getgroups(count, &groups)
        return TreeCaller(
            userID: geteuid(), groupIDs: [getegid()] + groups.prefix(max(0, Int(found))))
    }
}
