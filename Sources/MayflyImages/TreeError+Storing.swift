// A store's refusal of an entry, as an error that says what to do.

internal import MayflyHost
internal import SystemPackage

/// Where a tree is put, for the advice of errors.
enum BuildPlace { case disk, memory, mount }

extension TreeError {
    static func storing(_ path: [UInt8], _ error: Errno, _ place: BuildPlace) -> TreeError {
        let name = path.isEmpty ? "the tree" : ByteText.shortened(path)
        let what = place == .mount ? "put in" : "put into the image"
        let advice =
            switch (error, place) {
            case (.noSpace, .mount):
                ": give the mount more with `mayfly resize`, or remove something"
            case (.noSpace, .disk): ": look for room where the image is made"
            case (.noMemory, .memory):
                ": there is no memory for more: raise the memory limit, or build an image on disk "
                    + "with `mayfly image build`"
            case (.canceled, .mount): ": the mount was rolled back meanwhile"
            case (.notPermitted, .mount): ": only root may make a device"
            default: ""
            }
        return TreeError(
            "\(name) cannot be \(what) (\(error))\(advice)",
            wantsRoom: error == .noSpace && place == .memory)
    }
}
