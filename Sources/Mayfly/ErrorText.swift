// ErrorText: a line for people that speaks of settings, which a program knows by other names than a command.

/// A setting of a mount, or of what is done with one, that an error may speak of.
public enum MountSetting: String, Sendable, CaseIterable {
    /// Most bytes of content.
    case size
    /// Most files, directories and links.
    case inodes
    /// Requests that a queue of the ring can hold.
    case queueDepth
    /// The largest request, in bytes.
    case maxPayload
    /// The ring or /dev/fuse.
    case transport
    /// What outlives a power loss.
    case durability
    /// Whether the kernel asks everything, for fault rules.
    case faults
    /// What the mount begins with.
    case from
    /// What is left out.
    case exclude
    /// Whether the content outlives the server.
    case survives
    /// Unmount when nobody uses the mount any more.
    case lazy
    /// Go on in spite of who uses it.
    case force
    /// Give up what has the name.
    case replace
    /// The pattern of a fault rule.
    case path
    /// Where figures are written to.
    case textfile
    /// Where figures are served.
    case listen
}

/// A line for people. It names settings as `MountConfiguration` does, unless somebody who reads it types them in another
/// way: "give a larger \(setting: .size)" is "give a larger size" to a program and "give a larger --size" to the command's
/// user.
public struct ErrorText: Sendable, Equatable, ExpressibleByStringInterpolation,
    CustomStringConvertible
{
    private enum Piece: Sendable, Equatable {
        case plain(String)
        case setting(MountSetting)
    }

    /// No two plain ones follow each other, so that equal lines are equal.
    private var pieces: [Piece]

    /// A line that speaks of no setting.
    ///
    /// - Parameter plain: the line.
    public init(_ plain: String) { pieces = [.plain(plain)] }

    public init(stringLiteral value: String) { self.init(value) }

    public init(stringInterpolation: StringInterpolation) { self = stringInterpolation.text }

    /// The line, with each setting by the name that a reader knows it by.
    ///
    /// - Parameter name: of a setting.
    public func described(_ name: (MountSetting) -> String) -> String {
        var line = ""
        for piece in pieces {
            switch piece {
            case .plain(let text): line += text
            case .setting(let setting): line += name(setting)
            }
        }
        return line
    }

    public var description: String { described(\.rawValue) }

    /// The line in pieces, of which each second is a setting; nil where it speaks of none.
    var parts: [String]? {
        var parts = [""]
        for piece in pieces {
            switch piece {
            case .plain(let text): parts[parts.count - 1] += text
            case .setting(let setting): parts += [setting.rawValue, ""]
            }
        }
        return parts.count > 1 ? parts : nil
    }

    /// A line of such pieces; a setting that is not known here stands as it is.
    init(parts: [String]) {
        self.init("")
        for (index, part) in parts.enumerated() {
            if index % 2 == 1, let setting = MountSetting(rawValue: part) {
                pieces.append(.setting(setting))
            } else {
                append(ErrorText(part))
            }
        }
    }

    /// Both, one after the other.
    public static func + (left: ErrorText, right: ErrorText) -> ErrorText {
        var both = left
        both.append(right)
        return both
    }

    private mutating func append(_ text: ErrorText) {
        for piece in text.pieces {
            if case .plain(let next) = piece, case .plain(let last) = pieces.last {
                pieces[pieces.count - 1] = .plain(last + next)
            } else {
                pieces.append(piece)
            }
        }
    }

    /// What the compiler makes of a literal with values in it.
    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ErrorText("")

        public init(literalCapacity: Int, interpolationCount: Int) {}

        public mutating func appendLiteral(_ literal: String) { text.append(ErrorText(literal)) }

        /// The name of a setting.
        public mutating func appendInterpolation(setting: MountSetting) {
            text.pieces.append(.setting(setting))
        }

        /// What another error says, with its settings.
        public mutating func appendInterpolation(_ other: ErrorText) { text.append(other) }

        /// Anything else, as a text has it.
        public mutating func appendInterpolation(_ value: some Any) {
            text.append(ErrorText(String(describing: value)))
        }
    }
}
