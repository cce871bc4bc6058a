// Fault rules as lines of JSON: a mount may have tens of thousands.

extension FaultRecord: JSONLineElement {
    func write(to line: inout JSONLine) {
        line.field("fired", fired)
        line.field("matched", matched)
        line.field("number", number)
        line.field("rule", rule)
    }
}

extension FaultRule: JSONLineElement {
    func write(to line: inout JSONLine) {
        line.field("after", after)
        line.field("crash", crash)
        line.field("delayNanoseconds", delayNanoseconds)
        line.field("dropUnsynced", dropUnsynced)
        line.field("errno", errno)
        line.field("every", every)
        line.field("flipBits", flipBits)
        line.field("fullAtBytes", fullAtBytes)
        line.field("nth", nth)
        line.field("operation", operation)
        line.field("path", path)
        line.field("probability", probability)
        line.field("seed", seed)
        line.field("short", short)
        line.field("times", times)
    }
}
