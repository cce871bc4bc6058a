import Mayfly
import MayflyHost
import MayflyRegistry

/// What is told of an image of this machine: one object, with what was counted in it where it was.
struct LocalInfo: Encodable {
    var info: ImageInformation
    var tree: TreeCounts?

    private enum Key: CodingKey { case tree }

    func encode(to encoder: any Encoder) throws {
        try info.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encodeIfPresent(tree, forKey: .tree)
    }
}

/// What is told of an image elsewhere.
enum RemoteInfo {
    static func tell(
        _ reference: ImageReference, _ options: TransferOptions, json: Bool
    ) throws(MountError) {
        guard let image = try ImagePull.inspect(reference, options) else {
            throw RemoteOrigin.missing(reference)
        }
        if json { return Console.write(ControlJSON.encoded(image, isPretty: true)) }
        let files = image.files
        Console.show("image    \(ShellQuote.quoted(image.reference))")
        Console.show("manifest \(image.manifest)")
        Console.show(
            "blobs    \(Numbers.bytes(files.reduce(0) { $0 + $1.blobBytes })) in "
                + "\(files.reduce(0) { $0 + $1.blobs })")
        Console.show(
            "holds    \(Numbers.bytes(image.tree.contentBytes)) in whole pages, \(image.tree.inodes) "
                + "inodes, as whoever pushed it has counted")
        Console.show("digest   \(image.digest)")
        for file in files.dropLast().reversed() {
            Console.show(
                "base     \(file.digest), \(Numbers.bytes(file.blobBytes)) in \(file.blobs) blobs")
        }
        if let counts = image.tree.counts { Console.show("tree     \(text(counts))") }
    }

    static func text(_ counts: TreeCounts) -> String {
        "\(counts.files) files with \(Numbers.bytes(counts.fileBytes)), \(counts.directories) directories, "
            + "\(counts.links) links, \(counts.others) others"
    }
}
