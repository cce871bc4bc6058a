// The entry of libFuzzer, which brings the program's main function with it:
//
//     swift build -c release --sanitize fuzzer -Xswiftc -DCOVERAGE --product MayflyFuzz \
//         --scratch-path .build-coverage
//     mkdir -p corpus && swift run MayflyFuzz requests --inputs 1000 --corpus corpus
//     .build-coverage/release/MayflyFuzz corpus -max_len=4096 -max_total_time=600
//
// Source: https://llvm.org/docs/LibFuzzer.html.

#if COVERAGE
import Glibc
import MayflyTestSupport

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let input = unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
    var fuzz = RequestFuzz(input)
    let problems = fuzz.run()
    // A trap, so that libFuzzer keeps the input.
    if !problems.isEmpty {
        print(problems.joined(separator: "\n"))
        fflush(nil)
        abort()
    }
    return 0
}
#endif
