/// The version of this package.
public enum MayflyVersion {
    public static let text = "0.1.0"
}
