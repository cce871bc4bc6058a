// TarIndex: where in an archive the members of an OCI image layout are. Only names that a layout can have are looked
// at, and nothing is ever unpacked to a path that an archive names.
//
// Source: pax(1), "ustar Interchange Format" and "pax Interchange Format"; tar(5), "GNU Tar Archives".

package import Mayfly

/// A member of an archive.
package struct TarMember: Sendable, Equatable {
    package var offset: UInt64
    package var bytes: UInt64
}

package enum TarIndex {
    static let blockBytes: UInt64 = 512
    /// Members that are looked at; an image has at most 20,000 blobs.
    private static let mostMembers = 200_000

    /// Reads the headers of an archive.
    ///
    /// - Parameters:
    ///   - bytes: of the archive.
    ///   - read: reads a range, which lies in it; nil where that fails.
    ///   - origin: what errors call it.
    /// - Returns: regular members by their names, without "./" in front; of two of one name the last.
    /// - Throws: `.usage` for what is no archive.
    /// - Complexity: O(members).
    package static func members(
        bytes: UInt64, from origin: String, read: (UInt64, Int) -> [UInt8]?
    ) throws(MountError) -> [String: TarMember] {
        func damaged(_ why: String) -> MountError {
            MountError(
                .usage,
                "\(origin) is no archive of an OCI image layout (\(why)): it must be a plain tar")
        }
        var members: [String: TarMember] = [:]
        var at: UInt64 = 0
        var (longName, longSize): (String?, UInt64?)
        var count = 0
        while at + blockBytes <= bytes {
            guard let block = read(at, Int(blockBytes)), block.count == Int(blockBytes) else {
                throw damaged("it cannot be read")
            }
            if block.allSatisfy({ $0 == 0 }) { return members }
            guard checksum(block) == number(block[148..<156]) else {
                throw damaged("the header at \(at) is none")
            }
            guard let declared = number(block[124..<136]) else {
                throw damaged("the header at \(at) has no size")
            }
            let type = block[156]
            let isExtension = [UInt8(ascii: "x"), UInt8(ascii: "L")].contains(type)
            let size = isExtension ? declared : longSize ?? declared
            let start = at + blockBytes
            guard size <= bytes - start else { throw damaged("it is cut off") }
            count += 1
            guard count <= mostMembers else { throw damaged("it has too many members") }
            if isExtension {
                guard size <= 1 << 20, let text = read(start, Int(size)) else {
                    throw damaged("the header at \(at) is too long")
                }
                if type == UInt8(ascii: "L") {
                    longName = String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
                } else {
                    (longName, longSize) = extended(text, longName)
                }
            } else {
                if type == 0 || type == UInt8(ascii: "0") {
                    var name = longName ?? ""
                    if longName == nil {
                        name = text(block[0..<100])
                        let isPOSIX =
                            block[257..<262].elementsEqual("ustar".utf8) && block[262] == 0
                        if isPOSIX, block[345] != 0 { name = text(block[345..<500]) + "/" + name }
                    }
                    if name.hasPrefix("./") { name.removeFirst(2) }
                    members[name] = TarMember(offset: start, bytes: size)
                }
                (longName, longSize) = (nil, nil)
            }
            at = start + (size + blockBytes - 1) / blockBytes * blockBytes
        }
        guard count > 0 else { throw damaged("it is empty") }
        return members
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String {
        String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// An octal number, or one of GNU tar in base 256.
    private static func number(_ field: ArraySlice<UInt8>) -> UInt64? {
        guard let first = field.first else { return nil }
        if first & 0x80 != 0 {
            guard first == 0x80, field.dropFirst().dropLast(8).allSatisfy({ $0 == 0 }) else {
                return nil
            }
            return field.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
        let digits = field.drop { $0 == 32 }.prefix { $0 != 0 && $0 != 32 }
        return UInt64(String(decoding: digits, as: UTF8.self), radix: 8)
    }

    /// The sum of all bytes, with those of the sum as blanks.
    private static func checksum(_ block: [UInt8]) -> UInt64 {
        block.enumerated().reduce(0) { sum, byte in
            sum + UInt64((148..<156).contains(byte.offset) ? 32 : byte.element)
        }
    }

    /// Path and size of an extended header: lines of "LENGTH KEY=VALUE".
    private static func extended(_ bytes: [UInt8], _ before: String?) -> (String?, UInt64?) {
        var (name, size): (String?, UInt64?) = (before, nil)
        var rest = bytes[...]
        while let blank = rest.firstIndex(of: 32) {
            guard let length = Int(String(decoding: rest[..<blank], as: UTF8.self)),
                length > blank - rest.startIndex + 1, length <= rest.count
            else { break }
            let line = rest[(blank + 1)..<(rest.startIndex + length - 1)]
            rest = rest[(rest.startIndex + length)...]
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let value = String(decoding: line[(equals + 1)...], as: UTF8.self)
            if line[..<equals].elementsEqual("path".utf8) { name = value }
            if line[..<equals].elementsEqual("size".utf8) { size = UInt64(value) }
        }
        return (name, size)
    }

    /// The header of a regular member.
    ///
    /// - Parameter name: at most 100 bytes.
    static func header(_ name: String, bytes: UInt64) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: Int(blockBytes))
        func put(_ text: String, _ at: Int) {
            block.replaceSubrange(at..<at + text.utf8.count, with: text.utf8)
        }
        func octal(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(name, 0)
        put(octal(0o644, 7), 100)
        put(octal(0, 7), 108)
        put(octal(0, 7), 116)
        // A blob has at most some 64 MiB, and 11 digits are 8 GiB.
        put(octal(bytes, 11), 124)
        put(octal(0, 11), 136)
        put("0", 156)
        put("ustar", 257)
        put("00", 263)
        put(octal(checksum(block), 6), 148)
        block[155] = 32
        return block
    }
}
