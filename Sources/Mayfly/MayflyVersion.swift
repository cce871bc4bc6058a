/// The version of this package.
public enum MayflyVersion {
    public static let text = "0.3.0"
}
