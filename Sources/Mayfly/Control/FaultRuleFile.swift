// FaultRuleFile: rules in a file, in the words of the control socket.

public import MayflyHost

extension FaultRule {
    /// The rules of a JSON file: one, or a list.
    ///
    /// - Throws: `.usage` with what is wrong with the first that is none.
    public static func list(in file: PathBytes) throws(MountError) -> [FaultRule] {
        guard let bytes = HostFile.bytes(at: file.text, atMost: 16 << 20) else {
            throw MountError(
                .usage, "\(file) cannot be read: name a file with rules in JSON (Docs/Fixtures.md)")
        }
        let value: JSONValue
        do throws(JSONFault) { value = try JSONReader.value(of: bytes) } catch {
            throw MountError(.usage, "\(file) is no JSON: \(error.reason)")
        }
        let items: [JSONValue]
        if case .list(let values) = value { items = values } else { items = [value] }
        var rules: [FaultRule] = []
        for (index, item) in items.enumerated() {
            do throws(RequestFault) {
                guard case .object(let members) = item else {
                    throw RequestFault(message: "it is \(item.kind): give an object for each rule")
                }
                rules.append(
                    try ControlRequest.rule(
                        try RequestBody(members: members, ControlRequest.ruleFields)))
            } catch {
                throw MountError(.usage, "rule \(index + 1) of \(file): \(error.message)")
            }
        }
        return rules
    }
}
