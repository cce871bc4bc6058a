// ACLs in the form in which they travel, beside what acl(5) says of them.

import Testing

@testable import InodeStore

@Suite struct PosixACLTests {
    private typealias Entry = (tag: UInt16, permissions: UInt16, id: UInt32)

    private static let none = UInt32.max

    private func bytes(_ entries: [Entry], version: UInt32 = 2) -> [UInt8] {
        func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
            unsafe withUnsafeBytes(of: value.littleEndian) { unsafe Array($0) }
        }
        return little(version)
            + entries.flatMap { little($0.tag) + little($0.permissions) + little($0.id) }
    }

    private func isValid(_ bytes: [UInt8]) -> Bool {
        unsafe bytes.withUnsafeBytes { unsafe ACLView.isValid($0) }
    }

    /// Changes an ACL by `body`; returns the permissions of its entries in order.
    private func permissions(
        _ entries: [Entry], _ body: (ACLView) -> Void
    ) -> [UInt16] {
        var buffer = bytes(entries)
        return unsafe buffer.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return [] }
            let view = unsafe ACLView(base, byteCount: buffer.count)
            body(view)
            return (0..<view.count).map { view.permissions($0) }
        }
    }

    private func mode(_ entries: [Entry]) -> (bits: UInt32, isWhole: Bool) {
        var result: (bits: UInt32, isWhole: Bool) = (0, false)
        _ = permissions(entries) { result = $0.mode() }
        return result
    }

    private let minimal: [Entry] = [(0x01, 6, none), (0x04, 4, none), (0x20, 0, none)]
    private let extended: [Entry] = [
        (0x01, 7, none), (0x02, 6, 1000), (0x02, 1, 1001), (0x04, 5, none), (0x08, 7, 50),
        (0x10, 3, none), (0x20, 4, none),
    ]

    @Test func whatIsOne() {
        #expect(isValid(bytes(minimal)) && isValid(bytes(extended)))
        // A mask may stand where nobody is named.
        #expect(isValid(bytes(minimal.prefix(2) + [(0x10, 7, Self.none)] + minimal.suffix(1))))
    }

    @Test func whatIsNone() {
        #expect(!isValid([]) && !isValid(bytes([])) && !isValid(bytes(minimal, version: 1)))
        for left in 0..<minimal.count {
            var entries = minimal
            entries.remove(at: left)
            #expect(!isValid(bytes(entries)), "without entry \(left)")
            #expect(!isValid(bytes(minimal + [minimal[left]])), "entry \(left) twice")
        }
        #expect(!isValid(bytes(minimal).dropLast()) && !isValid(bytes(minimal) + [0]))
        // Somebody is named and there is no mask.
        #expect(!isValid(bytes(extended.filter { $0.tag != 0x10 })))
        // Out of order.
        #expect(!isValid(bytes(extended.reversed())))
        for index in 1..<extended.count where extended[index].tag != extended[index - 1].tag {
            var entries = extended
            entries.swapAt(index, index - 1)
            #expect(!isValid(bytes(entries)), "entries \(index - 1) and \(index) changed places")
        }
        // Bits and tags that there are not.
        for bad: Entry in [(0x01, 8, Self.none), (0x40, 7, Self.none), (0x03, 7, Self.none)] {
            #expect(!isValid(bytes([bad] + minimal.dropFirst())), "\(bad)")
        }
    }

    /// The group's bits of the mode are the mask's where there is one.
    @Test func whatModeItStandsFor() {
        #expect(mode(minimal) == (0o640, true))
        #expect(mode(extended) == (0o734, false))
    }

    /// chmod(2) changes the mask and leaves the group; without a mask it changes the group.
    @Test func chmodChangesIt() {
        #expect(permissions(minimal) { $0.change(to: 0o751) } == [7, 5, 1])
        #expect(permissions(extended) { $0.change(to: 0o640) } == [6, 6, 1, 5, 7, 4, 0])
    }

    /// What a new file gets of a default ACL: nothing that its creator did not ask for.
    @Test func aModeRestrictsIt() {
        var mode: UInt32 = 0
        #expect(
            permissions(extended) { mode = $0.restrict(by: 0o100_622) } == [6, 6, 1, 5, 7, 2, 0])
        #expect(mode == 0o100_620)
        #expect(permissions(minimal) { mode = $0.restrict(by: 0o102_777) } == [6, 4, 0])
        #expect(mode == 0o102_640)
    }
}
