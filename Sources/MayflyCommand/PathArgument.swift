public import ArgumentParser
internal import Mayfly
public import MayflyHost

/// Paths and names come to the parser as text in which every byte above ASCII stands alone
/// (`ProcessArguments.separated`), so that nothing of them is taken for a part of an option, and are bytes
/// again here.
extension PathBytes: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

extension ArgumentHelp {
    /// Of a command that is about one mount.
    static let ownMount: ArgumentHelp =
        "A directory in the mount. Default: the one that you are in."
}
