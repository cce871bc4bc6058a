// What a configuration means for the answers to requests.

internal import CFuseKernel
package import MayflyServing

extension OperationPolicy {
    init(_ configuration: MountConfiguration) {
        self.init()
        let without = configuration.without
        // For faults and power losses the kernel is to go on asking.
        let all = configuration.answersAll
        checksOpen = configuration.checksOpen
        directInParallel = configuration.directInParallel
        answersOpen = checksOpen || directInParallel || all || without.contains(.open)
        answersOpendir = all || without.contains(.opendir)
        if !all { directoryFlags = UInt32(CFK_FOPEN_KEEP_CACHE) | UInt32(CFK_FOPEN_CACHE_DIR) }
        answersFlush = all || without.contains(.flush)
        answersFsync = all
        answersCreate = without.contains(.mknod)
        answersAccess = !configuration.checksPermissions
        withoutXattrs = configuration.withoutXattrs
        if without.contains(.timeouts) { cacheSeconds = 0 }
        if without.contains(.timeouts) || without.contains(.negative) { negativeSeconds = 0 }
    }
}

extension Shortcut {
    package static func parsed(_ text: String) throws(MountError) -> Set<Shortcut> {
        var result: Set<Shortcut> = []
        for name in text.split(separator: ":", omittingEmptySubsequences: false) {
            guard let one = Shortcut(rawValue: String(name)) else {
                let names = allCases.map(\.rawValue).joined(separator: ", ")
                throw MountError(.usage, "bad option without= '\(name)': it knows \(names)")
            }
            result.insert(one)
        }
        return result
    }
}
