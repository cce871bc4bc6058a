// ImagePages: where the pages of an image lie: in one file, or in layers over it.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
package import SystemPackage

/// The files of an image: a plain one, and the layers over it.
///
/// A value of open descriptors, which their owner closes.
package struct ImagePages: Sendable {
    /// A layer with its open file.
    package struct Layer: Sendable {
        package let descriptor: Int32
        package let file: LayerFile

        package init(descriptor: Int32, file: LayerFile) {
            self.descriptor = descriptor
            self.file = file
        }
    }

    /// Pages that some layer has.
    struct Source: Sendable {
        var pages: PageRun
        /// 0 is the plain image, 1 the layer on it.
        var file: UInt32
        var place: UInt64
    }

    /// The plain image.
    package let descriptor: Int32
    package let digest: ImageDigest
    private let plainBytes: UInt64
    /// The lowest first.
    package let layers: [Layer]
    /// What layers have, the uppermost of each page; ascending.
    let sources: [Source]
    /// Of an image of which not all is here yet; its files are this one's, the plain image first.
    package var arrival: Arrival?

    /// Of the image as it is with all layers.
    package var bytes: UInt64 { layers.last?.file.imageBytes ?? plainBytes }

    /// Of the uppermost file, and of those below it, in this order.
    package var digests: [ImageDigest] { layers.reversed().map(\.file.digest) + [digest] }

    package init(plain descriptor: Int32, _ header: ImageHeader, digest: ImageDigest) {
        self.descriptor = descriptor
        self.digest = digest
        plainBytes = header.imageBytes
        layers = []
        sources = []
    }

    /// The image that a layer makes of this one.
    package init(_ base: ImagePages, with layer: Layer) {
        descriptor = base.descriptor
        digest = base.digest
        plainBytes = base.plainBytes
        arrival = base.arrival
        layers = base.layers + [layer]
        let number = UInt32(layers.count)
        // What lies behind the image's end is not part of it, whatever is put on it.
        let end = min(base.bytes, layer.file.imageBytes)
        var merged: [Source] = []
        // What is left of the lower ones, of which the first may be cut at its beginning.
        var next = 0
        var first = base.sources.first
        func advance(to offset: UInt64) {
            guard var source = first else { return }
            guard offset < source.pages.upperBound else {
                next += 1
                first = next < base.sources.count ? base.sources[next] : nil
                return
            }
            source.place += offset - source.pages.lowerBound
            source.pages = offset..<source.pages.upperBound
            first = source
        }
        func take(until limit: UInt64) {
            while var source = first, source.pages.lowerBound < min(limit, end) {
                let stop = min(source.pages.upperBound, limit, end)
                source.pages = source.pages.lowerBound..<stop
                merged.append(source)
                advance(to: stop)
            }
        }
        func skip(until limit: UInt64) {
            while let source = first, source.pages.lowerBound < limit {
                advance(to: min(limit, source.pages.upperBound))
            }
        }
        for run in layer.file.runs {
            take(until: run.pages.lowerBound)
            skip(until: run.pages.upperBound)
            merged.append(Source(pages: run.pages, file: number, place: run.place))
        }
        take(until: .max)
        sources = merged
    }

    private init(_ pages: ImagePages, files: [Int32]) {
        descriptor = files[0]
        digest = pages.digest
        arrival = pages.arrival
        plainBytes = pages.plainBytes
        layers = zip(pages.layers, files.dropFirst()).map {
            Layer(descriptor: $1, file: $0.file)
        }
        sources = pages.sources
    }

    /// All open files, the plain image's first.
    package var files: [Int32] { [descriptor] + layers.map(\.descriptor) }

    /// The same with descriptors of their own.
    ///
    /// - Throws: `EMFILE`.
    package func duplicated() throws(Errno) -> ImagePages {
        var made: [Int32] = []
        for file in files {
            let copy = fcntl(file, F_DUPFD_CLOEXEC, 0)
            guard copy >= 0 else {
                let error = Errno(rawValue: errno)
                for file in made { Glibc.close(file) }
                throw error
            }
            made.append(copy)
        }
        return ImagePages(self, files: made)
    }

    /// Closes its files.
    package func close() { for file in files { Glibc.close(file) } }

    /// Reads a part of the image; zeros where no file has anything.
    ///
    /// - Throws: errors of pread(2); `EIO` for a file that is cut.
    package func read(
        _ offset: UInt64, into target: UnsafeMutableRawPointer, _ count: Int
    ) throws(Errno) {
        var at = firstSource(behind: offset)
        var offset = offset
        let end = offset + UInt64(count)
        var target = unsafe target
        while offset < end {
            var stop = end
            var code: Int32 = 0
            if at < sources.count, sources[at].pages.lowerBound <= offset {
                let source = sources[at]
                stop = min(end, source.pages.upperBound)
                code = unsafe csys_read_all(
                    file(source.file), target, Int(stop - offset),
                    source.place + (offset - source.pages.lowerBound))
                at += 1
            } else {
                if at < sources.count { stop = min(stop, sources[at].pages.lowerBound) }
                let plain = min(plainEnd, bytes)
                if offset < plain {
                    stop = min(stop, plain)
                    code = unsafe csys_read_all(descriptor, target, Int(stop - offset), offset)
                } else {
                    unsafe cmem_zero(target, Int(stop - offset))
                }
            }
            if code != 0 { throw Errno(rawValue: code) }
            unsafe target += Int(stop - offset)
            offset = stop
        }
    }

    /// Bytes of the plain image that no layer has cut off: what an image that grows anew has there is
    /// not what was there before.
    var plainEnd: UInt64 { layers.reduce(plainBytes) { min($0, $1.file.imageBytes) } }

    func file(_ number: UInt32) -> Int32 {
        number == 0 ? descriptor : layers[Int(number) - 1].descriptor
    }

    private func firstSource(behind offset: UInt64) -> Int {
        var low = 0
        var high = sources.count
        while low < high {
            let middle = (low + high) / 2
            if sources[middle].pages.upperBound <= offset {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Pages that the layers above one of the files have; nil for a digest of none of them, and where
    /// more than those may differ.
    package func runs(above digest: ImageDigest) -> [PageRun]? {
        guard let place = digests.firstIndex(of: digest) else { return nil }
        // An image that was cut and grew again has zeros where the lower one has pages.
        let lengths = [plainBytes] + layers.map(\.file.imageBytes)
        guard zip(lengths, lengths.dropFirst()).allSatisfy({ $0 <= $1 }) else { return nil }
        let above = layers.suffix(place)
        guard above.count > 1 else { return above.first?.file.runs.map(\.pages) ?? [] }
        return PageRun.union(above.flatMap { $0.file.runs.map(\.pages) })
    }
}

extension PageRun {
    /// Runs of pages as ascending runs that do not touch each other.
    package static func union(_ runs: [PageRun]) -> [PageRun] {
        var merged: [PageRun] = []
        for run in runs.sorted(by: { $0.lowerBound < $1.lowerBound }) where !run.isEmpty {
            if let last = merged.last, last.upperBound >= run.lowerBound {
                merged[merged.count - 1] =
                    last.lowerBound..<Swift.max(last.upperBound, run.upperBound)
            } else {
                merged.append(run)
            }
        }
        return merged
    }
}
