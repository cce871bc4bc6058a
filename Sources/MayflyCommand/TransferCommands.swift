import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRegistry

struct ImagePushCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Send an image to a registry, or to a folder that skopeo and oras read.",
        discussion: """
            What the registry has already is not sent again: of a layer only the layer, where its base is there. \
            The image gets its name when all of it is there. Docs/Registry.md says what is sent.

            EXAMPLE:
              mayfly image push built localhost:5000/team/built:v1
              mayfly image push built.mayfly registry.example.org/team/built
              mayfly image push built oci:folder:v1
              mayfly image push built oci-archive:built.tar

            EXIT STATUS:
              0    it is there
              1    the image is damaged, there are no credentials, or wrong arguments
              2    there is no room, no memory or no libcurl
              32   the registry cannot be reached, or refuses
            """)

    @Argument(help: "The image: a file, or a name in the store.", completion: .images)
    var image: PathBytes

    @Argument(
        help: "HOST/REPOSITORY:TAG, oci:FOLDER:TAG or oci-archive:FILE. Default of TAG: latest.")
    var reference: PathBytes

    @OptionGroup var transfer: TransferArguments

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let progress = TransferProgress()
        let line = TransferLine(isShown: !quiet)
        defer { line.clear() }
        let summary = try ImagePush.push(
            image, to: try ImageReference(reference.text), try transfer.options(),
            progress: progress, watch: { line.show(progress) })
        line.clear()
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        if quiet { return }
        Console.say(
            "\(image) is at \(summary.reference): \(summary.digest), \(summary.sentBlobs) of "
                + "\(summary.blobs) blobs sent (\(Numbers.bytes(summary.sentBytes)))")
    }
}

struct ImagePullCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract:
            "Bring an image from a registry into the store, or from a folder that skopeo writes.",
        discussion: """
            What the store has is not asked for. All bytes are compared with their digests before they are used, \
            and the name leads to the image when all of it is there. A pull that was broken off goes on where it \
            was.

            EXAMPLE:
              mayfly image pull localhost:5000/team/built:v1
              mayfly image pull registry.example.org/team/built@sha256:0123... nightly
              mayfly image pull oci:folder:v1 built

            EXIT STATUS:
              0    it is in the store
              1    it is no image or damaged, there are no credentials, or wrong arguments
              2    there is no room, no memory or no libcurl
              32   the registry cannot be reached, refuses, or sends something else
            """)

    @Argument(
        help: "HOST/REPOSITORY:TAG, oci:FOLDER:TAG or oci-archive:FILE. Default of TAG: latest.")
    var reference: PathBytes

    @Argument(help: "What to call it in the store. Default: as the last part of the repository.")
    var name: PathBytes?

    @OptionGroup var transfer: TransferArguments

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let reference = try ImageReference(reference.text)
        guard let name = name ?? reference.defaultName else {
            throw MountError(
                .usage, "\(reference.text) makes no name for the store: give one behind it")
        }
        let progress = TransferProgress()
        let line = TransferLine(isShown: !quiet)
        defer { line.clear() }
        let pulled = try ImagePull.pull(
            reference, as: name, try transfer.options(), progress: progress,
            watch: { line.show(progress) })
        line.clear()
        guard let summary = pulled else { throw RemoteOrigin.missing(reference) }
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        if !quiet { Console.say(RemoteOrigin.line(summary)) }
    }
}
