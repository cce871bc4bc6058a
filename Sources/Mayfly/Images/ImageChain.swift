// ImageChain: an image as it is opened: one file, or a layer with what is below it, each found by its digest.

internal import CMayflySystem
internal import Glibc
internal import MayflyArena
internal import MayflyHost
internal import SystemPackage

enum ImageChain {
    /// Opens what a file is a layer on, down to a plain image.
    ///
    /// - Parameters:
    ///   - descriptor: taken over.
    ///   - path: what the user called it; what is below it is looked for beside it, and in the store.
    /// - Throws: `.usage` with the file that is damaged, missing or another than it was.
    /// - Complexity: O(runs of layers).
    static func open(
        _ descriptor: Int32, _ path: PathBytes
    ) throws(MountError) -> (pages: ImagePages, header: ImageHeader) {
        var layers: [(descriptor: Int32, file: LayerFile, path: PathBytes)] = []
        var lowest: (descriptor: Int32, path: PathBytes) = (descriptor, path)
        ImageStore.hold(descriptor, path)
        do throws(MountError) {
            while isLayer(lowest.descriptor) {
                let file: LayerFile
                do throws(ImageError) {
                    file = try LayerFile(reading: lowest.descriptor)
                } catch {
                    throw MountError(.usage, code: .damagedImage, error.described(lowest.path))
                }
                // What is below has one layer less, so that there is no loop.
                if let above = layers.last, above.file.depth != file.depth + 1 {
                    throw Self.wrongDepth(above.path, lowest.path)
                }
                layers.append((lowest.descriptor, file, lowest.path))
                lowest.descriptor = -1
                lowest = try base(of: file, lowest.path)
                ImageStore.hold(lowest.descriptor, lowest.path)
            }
            if let above = layers.last, above.file.depth != 1 {
                throw Self.wrongDepth(above.path, lowest.path)
            }
            let header: ImageHeader
            do throws(ImageError) {
                header = try ImageHeader(reading: lowest.descriptor)
            } catch { throw MountError(.usage, code: .damagedImage, error.described(lowest.path)) }
            guard let digest = header.digest else {
                throw MountError(
                    .usage, code: .damagedImage, ImageError.foreign.described(lowest.path))
            }
            var pages = ImagePages(plain: lowest.descriptor, header, digest: digest)
            for layer in layers.reversed() {
                pages = ImagePages(
                    pages, with: .init(descriptor: layer.descriptor, file: layer.file))
            }
            guard let top = layers.first else { return (pages, header) }
            do throws(ImageError) {
                return (pages, try ImageHeader(ofLayer: top.file, top.descriptor))
            } catch { throw MountError(.usage, code: .damagedImage, error.described(top.path)) }
        } catch {
            if lowest.descriptor >= 0 { close(lowest.descriptor) }
            for layer in layers { close(layer.descriptor) }
            throw error
        }
    }

    private static func wrongDepth(_ above: PathBytes, _ below: PathBytes) -> MountError {
        MountError(
            .usage, code: .damagedImage,
            "\(above) is a damaged layer (\(below) is not as many layers above a plain image as it says): "
                + "get it again")
    }

    private static func isLayer(_ descriptor: Int32) -> Bool {
        var word: UInt64 = 0
        return unsafe csys_read_all(descriptor, &word, 8, 0) == 0 && word == LayerWord.magicValue
    }

    /// What a file is known by: the digest of its first page, where that is one of an image or of a layer.
    static func digest(of descriptor: Int32) -> ImageDigest? {
        var status = stat()
        var words = [UInt64](repeating: 0, count: 512)
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            unsafe csys_read_all(descriptor, &words, 4096, 0) == 0,
            words[0] == Superblock.magicValue || words[0] == LayerWord.magicValue
        else { return nil }
        return unsafe words.withUnsafeBytes { unsafe ImageDigest(of: $0) }
    }

    /// Finds and opens what a layer is on: by its name beside the layer, in the store, or under
    /// another name beside the layer.
    private static func base(
        of layer: LayerFile, _ path: PathBytes
    ) throws(MountError) -> (descriptor: Int32, path: PathBytes) {
        let name = PathBytes(bytes: layer.baseName)
        let folder = folder(of: path)
        let beside = folder + name
        if let found = openIfImage(beside, layer.base) { return (found, beside) }
        if let stored = ImageStore.path(of: layer.base),
            let found = openIfImage(stored, layer.base)
        {
            return (found, stored)
        }
        for name in HostFile.namesIfReadable(in: folder, limit: mostNames) ?? [] {
            let other = folder + PathBytes(name)
            if let found = openIfImage(other, layer.base) { return (found, other) }
        }
        let known = "\(name) (\(layer.base.short))"
        guard unsafe beside.withCString({ unsafe access($0, F_OK) }) == 0 else {
            throw MountError(
                .usage, code: .noBase,
                "\(path) is a layer on \(known), which is neither beside it nor in the store: put it "
                    + "there, or `mayfly image store add` it")
        }
        throw MountError(
            .usage, code: .noBase,
            "\(path) is a layer on \(known), and \(beside) is another or was changed: get that again"
        )
    }

    /// Files that are looked at in a folder.
    private static let mostNames = 4096

    private static func openIfImage(_ path: PathBytes, _ digest: ImageDigest) -> Int32? {
        let descriptor = unsafe path.withCString {
            unsafe Glibc.open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        }
        if descriptor < 0 { return nil }
        if Self.digest(of: descriptor) == digest { return descriptor }
        close(descriptor)
        return nil
    }

    /// Of a file, with a slash at its end.
    static func folder(of path: PathBytes) -> PathBytes {
        let real = HostFile.canonical(path) ?? path
        guard let slash = real.bytes.lastIndex(of: UInt8(ascii: "/")) else { return "./" }
        return PathBytes(bytes: real.bytes[...slash])
    }

    /// The last name of a path.
    static func name(of path: PathBytes) -> PathBytes {
        PathBytes(bytes: (HostFile.canonical(path) ?? path).names.last ?? [])
    }
}
