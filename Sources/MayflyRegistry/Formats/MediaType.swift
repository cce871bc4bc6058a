// MediaType: what the parts of an image are called in a registry (Docs/Registry.md, The artifact).

enum MediaType {
    /// A manifest of the OCI image specification, which every registry takes.
    static let manifest = "application/vnd.oci.image.manifest.v1+json"
    static let index = "application/vnd.oci.image.index.v1+json"
    static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    static let dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

    /// What the artifact as a whole is.
    static let artifact = "application/vnd.mayfly.image.v1"
    /// The list of files, their runs, and what the tree has.
    static let config = "application/vnd.mayfly.image.config.v1+json"
    /// Bytes of a file that follow each other, in one frame of zstd.
    static let run = "application/vnd.mayfly.image.run.v1+zstd"
}
