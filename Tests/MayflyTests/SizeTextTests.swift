import Mayfly
import Testing

@testable import MayflyRunning

/// Sizes, counts and modes as tmpfs reads them.
@Suite struct SizeTextTests {
    static let gibibyte: UInt64 = 1 << 30
    static let memory = SystemMemory(physicalBytes: 8 * gibibyte, limitBytes: 4 * gibibyte)

    @Test(arguments: [
        ("0", 0), ("1", 4096), ("4095", 4096), ("4096", 4096), ("4097", 8192),
        ("1k", 4096), ("4K", 4096), ("5k", 8192), ("1m", 1 << 20), ("1M", 1 << 20),
        ("3g", 3 * gibibyte), ("1T", 1 << 40), ("1p", 1 << 50), ("1E", 1 << 60),
        ("007", 4096), ("9223372036854771712", UInt64(Int64.max) - 4095),
    ])
    func bytesAreRoundedUpToPages(_ text: String, _ bytes: UInt64) throws {
        #expect(try SizeText.bytes(text, option: "--size", memory: Self.memory) == bytes)
    }

    @Test(arguments: [("50%", 2 * gibibyte), ("100%", 4 * gibibyte), ("0%", 0), ("250%", 10 << 30)])
    func aShareIsOneOfTheUsableMemory(_ text: String, _ bytes: UInt64) throws {
        #expect(try SizeText.bytes(text, option: "--size", memory: Self.memory) == bytes)
    }

    @Test func aShareIsRoundedUpToPages() throws {
        let memory = SystemMemory(physicalBytes: 1_000_000)
        #expect(try SizeText.bytes("1%", option: "--size", memory: memory) == 12288)
    }

    @Test(arguments: [
        "", " ", "k", "%", "-1", "+1", "1 k", " 1", "1kb", "1kk", "1k%", "50%%", "0x10", "1.5g",
        "1x", "g1", "18446744073709551616", "9223372036854775807", "16e", "18446744073709551615k",
        "18446744073709551615%", "１",
    ])
    func whatIsNoSizeIsRefused(_ text: String) {
        let error = #expect(throws: MountError.self) {
            try SizeText.bytes(text, option: "--size", memory: Self.memory)
        }
        #expect(error?.exitCode == ExitStatus.usage)
        #expect(error?.message.hasPrefix("bad --size '\(text)': give ") == true)
    }

    @Test(arguments: [("0", 0), ("1", 1), ("1k", 1024), ("2M", 2 << 20), ("3g", 3 << 30)])
    func countsTakeUnits(_ text: String, _ count: UInt64) throws {
        #expect(try SizeText.count(text, option: "--inodes") == count)
    }

    @Test(arguments: ["", "50%", "many", "-3", "9223372036854775808", "8e"])
    func whatIsNoCountIsRefused(_ text: String) {
        #expect(throws: MountError.self) { try SizeText.count(text, option: "--inodes") }
    }

    @Test(arguments: [
        ("0", 0), ("755", 0o755), ("0755", 0o755), ("1777", 0o1777), ("7777", 0o7777),
    ])
    func modesAreOctal(_ text: String, _ mode: UInt32) throws {
        #expect(try SizeText.mode(text, option: "--mode") == mode)
    }

    @Test(arguments: ["", "8", "0o755", "+755", "-1", "10000", "rwx", "7 5"])
    func whatIsNoModeIsRefused(_ text: String) {
        #expect(throws: MountError.self) { try SizeText.mode(text, option: "--mode") }
    }

    @Test(arguments: [
        (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.50 KiB"),
        (1034, "1.01 KiB"), (1 << 20, "1 MiB"), (16 << 20, "16 MiB"), (25_000_000, "23.8 MiB"),
        (gibibyte + gibibyte / 20, "1.05 GiB"), (500 * gibibyte + gibibyte / 2, "501 GiB"),
        (UInt64.max, "16 EiB"),
    ])
    func bytesAreDescribedInThreeDigits(_ bytes: UInt64, _ text: String) {
        #expect(SizeText.described(bytes: bytes) == text)
    }
}
