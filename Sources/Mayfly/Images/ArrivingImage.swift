// ArrivingImage: an image that is mounted before all of it is here (Docs/Lazy.md). Another process brings it: it
// writes what has come and was compared to the files, and says so in a table that both share.

internal import CMayflySystem
internal import Glibc
package import MayflyArena
internal import MayflyHost
internal import SystemPackage

/// The files of an image that comes, and the table that says how much of them is here.
package final class ArrivingImage: Sendable, Equatable {
    package let arrival: Arrival
    /// The plain image first. Taken over by whoever opens the image.
    let files: [Int32]

    /// - Parameters:
    ///   - table: by which the table is mapped; closed here.
    ///   - files: open for reading.
    ///   - socket: at whose other end the process is that brings the image; taken over.
    /// - Throws: `.system` without memory.
    package init(table: Int32, files: [Int32], socket: Int32) throws(MountError) {
        defer { close(table) }
        guard let arrival = Arrival(mapping: table) else {
            throw MountError(
                .system, code: .noMemory, "there is no memory for the table of an image: free some")
        }
        arrival.watch(socket)
        self.arrival = arrival
        self.files = files
    }

    package static func == (one: ArrivingImage, other: ArrivingImage) -> Bool { one === other }

    /// The files as one image, when what says where its pages lie is here.
    ///
    /// - Parameter path: what the user called it.
    func pages(_ path: PathBytes) throws(MountError) -> (pages: ImagePages, header: ImageHeader) {
        func damaged(_ error: ImageError) -> MountError {
            MountError(.usage, code: .damagedImage, error.described(path))
        }
        try demand(0..<Geometry.pageBytes, of: 0, path)
        var header: ImageHeader
        do throws(ImageError) { header = try ImageHeader(reading: files[0]) } catch {
            throw damaged(error)
        }
        guard let digest = header.digest else { throw damaged(.foreign) }
        var pages = ImagePages(plain: files[0], header, digest: digest)
        pages.arrival = arrival
        for (index, file) in files.enumerated().dropFirst() {
            var status = stat()
            var words = [UInt64](repeating: 0, count: 512)
            try demand(0..<2 * Geometry.pageBytes, of: index, path)
            guard unsafe fstat(file, &status) == 0,
                unsafe csys_read_all(file, &words, 4096, 0) == 0
            else { throw damaged(.system(.ioError)) }
            let end = UInt64(max(0, status.st_size))
            let table = min(words[Int(LayerWord.table / 8)], end)
            try demand(table..<end, of: index, path)
            do throws(ImageError) {
                let layer = try LayerFile(reading: file)
                guard layer.base == pages.digests[0], layer.depth == UInt64(index) else {
                    throw .damagedLayer("it is not on the image below it")
                }
                let first = layer.runs[0]
                try demand(first.place..<first.place + UInt64(first.pages.count), of: index)
                header = try ImageHeader(ofLayer: layer, file)
                pages = ImagePages(pages, with: .init(descriptor: file, file: layer))
            } catch { throw damaged(error) }
        }
        return (pages, header)
    }

    private func demand(_ run: PageRun, of file: Int) throws(ImageError) {
        do throws(Errno) { try arrival.demand(run, of: file) } catch { throw .system(error) }
    }

    private func demand(_ run: PageRun, of file: Int, _ path: PathBytes) throws(MountError) {
        do throws(Errno) { try arrival.demand(run, of: file) } catch {
            throw Self.absent(path, arrival)
        }
    }

    /// What must be here before there is a mount does not come.
    static func absent(_ path: PathBytes, _ arrival: Arrival) -> MountError {
        let reason = arrival.report.reason
        return MountError(
            .mount,
            "\(path) does not come\(reason.isEmpty ? "" : " (\(reason))"): look at the registry, and mount it again"
        )
    }
}
