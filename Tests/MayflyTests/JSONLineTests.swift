import Testing

@testable import Mayfly

/// Lines of JSON that are written field by field are what JSONEncoder would write.
@Suite struct JSONLineTests {
    private var full: FaultRule {
        var rule = FaultRule(
            operation: "write", path: "a/\"b\\c\"/\u{1}\u{8}\t\n\u{c}\r\u{1f}\u{7f}/ä€😀")
        (rule.errno, rule.crash) = ("EIO", "before")
        (rule.delayNanoseconds, rule.fullAtBytes, rule.flipBits) = (1, .max, 3)
        (rule.short, rule.dropUnsynced) = (true, false)
        (rule.nth, rule.every, rule.seed, rule.after, rule.times) = (1, 2, .max, 0, 5)
        rule.probability = 0.1
        return rule
    }

    @Test func everyFieldIsThere() {
        let fields = Mirror(reflecting: full).children
        #expect(fields.allSatisfy { "\($0.value)" != "nil" }, "a field is not tried: \(full)")
        expectSame(full)
    }

    @Test(arguments: [0, 1, 0.5, 0.1, 1e-7, 1.5e-300, 0.30000000000000004, 2.5e-308])
    func numbersAreTheSame(_ probability: Double) {
        var rule = FaultRule()
        rule.probability = probability
        expectSame(rule)
    }

    @Test func whatIsNilIsLeftOut() { expectSame(FaultRule()) }

    private func expectSame(_ rule: FaultRule) {
        let record = FaultRecord(number: -7, rule: rule, matched: .max, fired: 0)
        var line = JSONLine()
        line.append(record)
        #expect(
            String(decoding: line.bytes, as: UTF8.self)
                == String(decoding: ControlJSON.encoded(record), as: UTF8.self))
    }
}
