// Users and groups by number or name.

import Glibc
import Mayfly
import MayflyHost

enum Accounts {
    /// The user that `text` names or numbers.
    static func userID(_ text: String, option: String) throws(MountError) -> UInt32 {
        if let number = try number(text, option: option) { return number }
        var entry = unsafe passwd()
        let found = unsafe withScratch { scratch in
            var result: UnsafeMutablePointer<passwd>?
            _ = unsafe PathBytes(text).withCString {
                unsafe getpwnam_r($0, &entry, scratch.baseAddress!, scratch.count, &result)
            }
            return unsafe result != nil
        }
        if found { return unsafe entry.pw_uid }
        throw MountError(.usage, "bad \(option) '\(text)': there is no such user; give a number")
    }

    /// The program that a user's account names as its shell; nil where it names none.
    static func shell(of user: UInt32) -> PathBytes? {
        var entry = unsafe passwd()
        return unsafe withScratch { scratch in
            var result: UnsafeMutablePointer<passwd>?
            unsafe getpwuid_r(user, &entry, scratch.baseAddress!, scratch.count, &result)
            guard unsafe result != nil, let shell = unsafe entry.pw_shell else { return nil }
            return unsafe PathBytes(
                bytes: UnsafeRawBufferPointer(start: shell, count: strlen(shell)))
        }
    }

    /// The group that `text` names or numbers.
    static func groupID(_ text: String, option: String) throws(MountError) -> UInt32 {
        if let number = try number(text, option: option) { return number }
        var entry = unsafe group()
        let found = unsafe withScratch { scratch in
            var result: UnsafeMutablePointer<group>?
            _ = unsafe PathBytes(text).withCString {
                unsafe getgrnam_r($0, &entry, scratch.baseAddress!, scratch.count, &result)
            }
            return unsafe result != nil
        }
        if found { return unsafe entry.gr_gid }
        throw MountError(.usage, "bad \(option) '\(text)': there is no such group; give a number")
    }

    /// The number in `text`; nil when it is not one. The largest is the kernel's "no id".
    private static func number(_ text: String, option: String) throws(MountError) -> UInt32? {
        guard let first = text.utf8.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first)
        else { return nil }
        guard let number = UInt32(text), number < UInt32.max else {
            throw MountError(.usage, "bad \(option) '\(text)': give a number or a name")
        }
        return number
    }

    private static func withScratch<Result>(
        _ body: (UnsafeMutableBufferPointer<CChar>) -> Result
    ) -> Result {
        let scratch = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 65536)
        defer { unsafe scratch.deallocate() }
        return unsafe body(scratch)
    }
}
