import Testing

@testable import Mayfly

/// A kernel whose pages are larger than what is given back and mapped here.
@Suite struct PageSizeTests {
    @Test(arguments: [16384, 65536] as [Int32])
    func largePagesAreRefused(bytes: Int32) throws {
        let error = #expect(throws: MountError.self) { try MountError.checkPages(of: bytes) }
        let size = SizeText.described(bytes: UInt64(bytes))
        #expect(
            error?.description.contains(
                "this kernel has pages of \(size), and mayfly works with 4 KiB")
                == true)
    }

    @Test func ordinaryPagesAreNot() throws { try MountError.checkPages(of: 4096) }
}
