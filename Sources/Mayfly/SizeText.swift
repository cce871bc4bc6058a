// The unit that sizes are counted in, and sizes for a reader.

internal import MayflyHost

/// Byte sizes as text.
public enum SizeText {
    /// Bytes per page in everything tmpfs counts; the arena's page as well.
    public static let pageBytes: UInt64 = 4096

    /// `bytes` for a reader: three digits and a unit, "1.50 GiB".
    public static func described(bytes: UInt64) -> String { ByteCountText.described(bytes) }
}
