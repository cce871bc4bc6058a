/// Why a mount could not be had, kept or ended, in one line that says what to do about it.
///
/// Requests inside a mount never throw this: they are answered with an errno. It is what set-up,
/// unmounting and the command report.
public struct MountError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it is; decides the exit status.
    public enum Kind: Sendable, Equatable {
        /// An argument or option is wrong, or the caller may not do this.
        case usage
        /// The system refused something: memory, a thread, a process, a pipe.
        case system
        /// Mounting or unmounting itself failed.
        case mount
        /// The mount is in use, so that it cannot be unmounted unless lazily.
        case busy
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// Which failure it is, for programs; the same over the control socket.
    public let code: Code
    /// What is to be read, with the settings that it speaks of.
    public let text: ErrorText

    /// One line, without the program's name in front and without a full stop. Settings have the names that
    /// `MountConfiguration` gives them.
    public var message: String { text.description }

    /// An error of a kind, with the line that a user is to read.
    ///
    /// - Parameters:
    ///   - kind: decides the exit status.
    ///   - code: nil for the kind's own, where no program could do more with another.
    ///   - message: one line, without a full stop.
    public init(_ kind: Kind, code: Code? = nil, _ message: String) {
        self.init(kind, code: code, ErrorText(message))
    }

    /// The same where the line speaks of settings.
    ///
    /// - Parameters:
    ///   - kind: decides the exit status.
    ///   - code: nil for the kind's own.
    ///   - text: one line, without a full stop.
    public init(_ kind: Kind, code: Code? = nil, _ text: ErrorText) {
        self.kind = kind
        self.code = code ?? Code(kind)
        self.text = text
    }

    public var description: String { message }
}

extension MountError {
    /// Which failure it is. More may come: treat one that is not known as its `kind`.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        /// In lower case with hyphens: "no-such-snapshot".
        public let rawValue: String

        /// A code as the control socket spells it.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The one of a failure that has no code of its own.
        init(_ kind: Kind) {
            switch kind {
            case .usage: self = .badArgument
            case .system: self = .noResources
            case .mount: self = .failed
            case .busy: self = .busy
            }
        }

        public var description: String { rawValue }

        // MARK: of a kind

        /// An argument is wrong.
        public static let badArgument = Code(rawValue: "bad-argument")
        /// The system refused something.
        public static let noResources = Code(rawValue: "no-resources")
        /// Mounting, unmounting or asking a mount failed.
        public static let failed = Code(rawValue: "failed")
        /// Somebody uses it.
        public static let busy = Code(rawValue: "busy")

        // MARK: mounting

        /// The mountpoint does not exist.
        public static let noMountpoint = Code(rawValue: "no-mountpoint")
        /// The mountpoint is no directory.
        public static let notDirectory = Code(rawValue: "not-a-directory")
        /// There is a Mayfly mount already.
        public static let mountedAlready = Code(rawValue: "mounted-already")
        /// It is not mounted, or not any more.
        public static let notMounted = Code(rawValue: "not-mounted")
        /// The caller may not do this.
        public static let notPermitted = Code(rawValue: "not-permitted")
        /// There is no /dev/fuse, or the kernel has no FUSE.
        public static let noFUSE = Code(rawValue: "no-fuse")
        /// The ring is demanded, and switched off or not in this kernel.
        public static let noRing = Code(rawValue: "no-ring")
        /// Settings exclude each other.
        public static let conflict = Code(rawValue: "conflict")
        /// There is not so much memory.
        public static let noMemory = Code(rawValue: "no-memory")
        /// No descriptor is left.
        public static let noDescriptors = Code(rawValue: "no-descriptors")
        /// No thread can be started.
        public static let noThreads = Code(rawValue: "no-threads")
        /// A size or a number is beyond what a mount can have, or below what is in use.
        public static let badSize = Code(rawValue: "bad-size")

        // MARK: a mount that is there

        /// The server is dead or does not answer.
        public static let noServer = Code(rawValue: "no-server")
        /// The mount was not made in the way that this takes.
        public static let unsupported = Code(rawValue: "unsupported")
        /// The mount is read-only.
        public static let readOnly = Code(rawValue: "read-only")
        /// There is no such path in the mount.
        public static let noSuchPath = Code(rawValue: "no-such-path")
        /// There is no snapshot of that name.
        public static let noSuchSnapshot = Code(rawValue: "no-such-snapshot")
        /// There is no fault rule of that number.
        public static let noSuchFault = Code(rawValue: "no-such-fault")
        /// The name is taken.
        public static let nameTaken = Code(rawValue: "name-taken")
        /// A mount lies on what would go.
        public static let mountInside = Code(rawValue: "mount-inside")

        // MARK: images

        /// There is no such image, or it cannot be opened.
        public static let noSuchImage = Code(rawValue: "no-such-image")
        /// The image is damaged.
        public static let damagedImage = Code(rawValue: "damaged-image")
        /// The image was changed while it was in use.
        public static let changedImage = Code(rawValue: "changed-image")
        /// Not all of the image is here yet, and what was asked for takes all of it.
        public static let notAllHere = Code(rawValue: "not-all-here")
        /// The image that a layer lies on is missing or another.
        public static let noBase = Code(rawValue: "no-base")
    }
}
