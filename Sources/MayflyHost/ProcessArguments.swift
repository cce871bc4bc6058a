// What this program was called with, as the kernel has it. Swift's own list comes from /proc, which need
// not be there, and repairs what is not UTF-8.

internal import CMayflySystem
internal import Glibc

package enum ProcessArguments {
    /// The program's name and its arguments.
    package static let all: [PathBytes] = {
        var all: [PathBytes] = []
        var next = unsafe csys_arguments()
        while let argument = unsafe next?.pointee {
            all.append(
                unsafe PathBytes(
                    bytes: UnsafeRawBufferPointer(start: argument, count: strlen(argument))))
            unsafe next = unsafe next?.successor()
        }
        return all
    }()

    /// As text that is taken apart by its characters, and from which `PathBytes` has the bytes back.
    package static let separated: [String] = all.map { ByteText.separated($0.bytes) }

    /// A variable of the environment; nil where there is none of that name.
    package static func variable(_ name: String) -> PathBytes? {
        unsafe getenv(name).map { value in
            unsafe PathBytes(bytes: UnsafeRawBufferPointer(start: value, count: strlen(value)))
        }
    }

    /// All variables, as NAME=VALUE.
    package static var environment: [PathBytes] {
        var all: [PathBytes] = []
        var next = unsafe csys_environment()
        while let variable = unsafe next?.pointee {
            all.append(
                unsafe PathBytes(
                    bytes: UnsafeRawBufferPointer(start: variable, count: strlen(variable))))
            unsafe next = unsafe next?.successor()
        }
        return all
    }
}
