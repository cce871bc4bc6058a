// Images that were changed at random; `MayflyFuzz images` runs as many as one likes.

import InodeStore
import MayflyTestSupport
import Testing

@Suite struct ImageFuzzTests {
    @Test(arguments: [1, 2] as [UInt64])
    func whatIsDamagedIsRefusedOrRead(seed: UInt64) throws {
        let fuzz = try ImageFuzz(seed: FuzzSettings.seed ?? seed)
        for _ in 0..<90 { fuzz.step() }
        #expect(fuzz.refused + fuzz.unsound > 0, "nothing was found wrong with any of them")
        #expect(
            fuzz.served > 0 && fuzz.changed > 0 && fuzz.requests > fuzz.served, "none was served")
    }
}
