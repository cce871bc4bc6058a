// What this program was called with, as the kernel has it. Swift's own list comes from /proc, which need
// not be there, and repairs what is not UTF-8.

internal import CMemory
internal import Glibc

package enum ProcessArguments {
    /// The program's name and its arguments.
    package static let all: [PathBytes] = {
        var all: [PathBytes] = []
        var next = unsafe cmem_arguments()
        while let argument = unsafe next?.pointee {
            all.append(
                unsafe PathBytes(
                    bytes: UnsafeRawBufferPointer(start: argument, count: strlen(argument))))
            unsafe next = unsafe next?.successor()
        }
        return all
    }()

    /// The argument that was repaired to `text`, or `text` itself.
    package static func path(_ text: String) -> PathBytes {
        all.first { $0.text.utf8.elementsEqual(text.utf8) } ?? PathBytes(text)
    }
}
