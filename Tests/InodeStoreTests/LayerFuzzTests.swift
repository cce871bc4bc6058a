// Layers that were changed at random; `MayflyFuzz layers` runs as many as one likes.

import InodeStore
import MayflyTestSupport
import Testing

@Suite struct LayerFuzzTests {
    @Test(arguments: [1, 2] as [UInt64])
    func whatIsDamagedIsRefusedOrRead(seed: UInt64) throws {
        let fuzz = try LayerFuzz(seed: FuzzSettings.seed ?? seed)
        for _ in 0..<90 { fuzz.step() }
        #expect(fuzz.refused > 0, "none was refused")
        #expect(fuzz.unsound > 0, "nothing was found wrong behind a first page that is right")
        #expect(fuzz.sound > 0, "none was looked into")
    }
}
