// ByteCountText: numbers of bytes for people.

package enum ByteCountText {
    /// `bytes` for a reader: three digits and a unit, "1.50 GiB".
    package static func described(_ bytes: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        var value = Double(bytes)
        var index = 0
        while value >= 1024, index + 1 < units.count {
            value /= 1024
            index += 1
        }
        if index == 0 || value == value.rounded() { return "\(UInt64(value)) \(units[index])" }
        let decimals: UInt64 = value < 10 ? 100 : value < 100 ? 10 : 1
        let scaled = UInt64((value * Double(decimals)).rounded())
        let fraction = scaled % decimals
        if decimals == 1 || fraction == 0 { return "\(scaled / decimals) \(units[index])" }
        let padding = decimals == 100 && fraction < 10 ? "0" : ""
        return "\(scaled / decimals).\(padding)\(fraction) \(units[index])"
    }
}
