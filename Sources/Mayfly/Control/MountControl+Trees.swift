// Whole trees, as commands have a server put them in and take them out. What is read is read by this
// process, with the rights of whoever runs it.

internal import CMayflySystem
internal import Glibc
package import MayflyHost
package import MayflyImages
internal import SystemPackage

/// A place in a mount, as somebody names it who stands outside.
package struct MountPlace: Sendable {
    package let control: MountControl
    /// From the mount's root on.
    package let path: PathBytes

    /// Finds the mount that a path lies in. What leads there may be links; the last name is not followed.
    ///
    /// - Throws: `.usage` where it lies in no mount of Mayfly.
    package init(_ given: PathBytes) throws(MountError) {
        let table = MountTable.current()
        guard let place = HostFile.canonicalParent(given), let entry = table.entry(around: place),
            entry.isOwn, let rest = place.below(entry.mountpoint)
        else {
            throw MountError(
                .usage, code: .notMounted,
                "\(given) is not in a mayfly mount: `mayfly list` names those there are")
        }
        control = try MountControl(entry.mountpoint)
        let names = entry.root.names + rest.names
        path = PathBytes(bytes: Array(names.joined(separator: [UInt8(ascii: "/")])))
    }
}

extension MountControl {
    /// Whether both are one mount.
    package func isSame(as other: MountControl) -> Bool { connection == other.connection }

    /// Sends a tree, which is there at one moment or not at all.
    ///
    /// - Parameters:
    ///   - source: read by this process.
    ///   - progress: gets the entries that are in and the bytes that were sent, now and then.
    /// - Throws: `.usage` with what cannot be read, or put in; nothing was changed then.
    package func put(
        _ source: TreeReader, _ filter: TreeFilter, at place: TreePlace, _ rights: TreeRights,
        _ options: TreeOptions,
        shown: (SourceEntry) -> Void = { _ in },
        progress: (UInt64, UInt64) -> Void = { _, _ in }
    ) throws(MountError) -> TreeSummary {
        let line = try trees()
        let request = TreeRequest(
            directory: place.directory.text, name: place.name?.text, keepsOld: options.keepsOld,
            rights: rights)
        do throws(Errno) { try line.sendRequest(ControlJSON.encoded(request)) } catch {
            throw MountError(.mount, "the mount's server cannot be reached (\(error))")
        }
        var sender = TreeSender(line)
        let answer: [UInt8]
        do throws(TreeError) {
            answer = try sender.send(
                source,
                isWanted: { entry in
                    let wanted = filter.wanted(entry)
                    if let wanted { shown(wanted) }
                    return wanted
                }, progress: progress)
        } catch { throw MountError.tree(error) }
        guard let summary = ControlJSON.decoded(TreeSummary.self, answer) else {
            throw MountError(.mount, "the mount's server does not answer as it should")
        }
        return summary
    }

    /// Has the server of another mount send a tree to this one's, which is there at one moment or not at all.
    ///
    /// - Parameters:
    ///   - source: a path in the other mount.
    ///   - name: what a source that is no directory is called here.
    ///   - progress: gets the entries that are in, now and then.
    /// - Throws: `.usage` with what cannot be read, or put in; nothing was changed then.
    package func put(
        _ source: MountPlace, named name: PathBytes, at place: TreePlace, _ rights: TreeRights,
        _ options: TreeOptions, progress: (UInt64) -> Void = { _ in }
    ) throws(MountError) -> TreeSummary {
        let (from, to) = (try source.control.trees(), try trees())
        let request = TreeRequest(
            directory: place.directory.text, name: place.name?.text, keepsOld: options.keepsOld,
            rights: rights)
        let wish = TreeWish(
            path: source.path.text, name: name.text, exclude: options.excludes.map(\.text))
        do throws(Errno) {
            let memory = try TreeLine.makeMemory()
            defer { close(memory) }
            try from.sendRequest(ControlJSON.encoded(wish), memory: memory)
            try to.sendRequest(ControlJSON.encoded(request), memory: memory)
        } catch {
            throw MountError(.mount, "a mount's server cannot be reached (\(error))")
        }
        let answer: [UInt8]
        do throws(TreeError) {
            answer = try TreeRelay.run(from: from, to: to, progress: progress)
        } catch { throw MountError.tree(error) }
        guard let summary = ControlJSON.decoded(TreeSummary.self, answer) else {
            throw MountError(.mount, "the mount's server does not answer as it should")
        }
        return summary
    }

    /// Copies a file or directory within the mount, at one moment.
    package func copy(
        _ source: PathBytes, to path: PathBytes, _ options: TreeOptions
    ) throws(MountError) -> TreeSummary {
        try post(
            TreeSummary.self, "/v1/copy",
            CopyRequest(
                from: source.text, to: path.text, exclude: options.excludes.map(\.text),
                keepOld: options.keepsOld))
    }

    /// Removes names with all that lies below them, each at one moment.
    package func remove(_ path: PathBytes) throws(MountError) -> RemoveSummary {
        try post(RemoveSummary.self, "/v1/remove", PathRequest(path: path.text))
    }
}
