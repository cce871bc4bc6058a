internal import Glibc
package import SystemPackage

/// Makes an empty folder of mode 0700, and answers its path: /tmp/mayfly-NAME- and six letters.
///
/// - Throws: errors of mkdtemp(3).
package func makeTemporaryFolder(_ name: String) throws(Errno) -> String {
    var template = Array("/tmp/mayfly-\(name)-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}
