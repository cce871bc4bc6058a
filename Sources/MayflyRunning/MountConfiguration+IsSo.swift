// Whether an option of mount(8) says what a mount is already.

package import Mayfly

extension MountConfiguration {
    /// Whether an option says of a mount what is so.
    ///
    /// - Parameter words: `optionWords` of the mount.
    /// - Throws: `.usage` for what is no option.
    package static func isSo(_ option: String, _ words: [String]) throws(MountError) -> Bool {
        let plain = MountConfiguration(mountpoint: "/")
        var changed = plain
        try changed.apply(optionList: option)
        let said = changed.optionWords.filter { !plain.optionWords.contains($0) }
        if !said.isEmpty { return said.allSatisfy(words.contains) }
        // It says what is so without it, or something that no word tells.
        guard let name = option.split(separator: "=").first, option.contains("=") else {
            return changed.asksSync ? !words.contains("durability=fsync") : changed == plain
        }
        let usual = plain.optionWords.first { $0.hasPrefix("\(name)=") }
        return usual.map(words.contains) ?? false
    }
}
