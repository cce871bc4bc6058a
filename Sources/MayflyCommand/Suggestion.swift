// Suggestion: the command that somebody may have meant.

enum Suggestion {
    /// The word of a list that is nearest to one that was typed; nil where none is near.
    ///
    /// Near is what two letters make of it, of short words one: added, left out, replaced or exchanged with the
    /// next.
    static func nearest(_ typed: String, _ words: [String]) -> String? {
        let letters = Array(typed.lowercased())
        let found = words.map { ($0, distance(letters, Array($0))) }.min {
            ($0.1, $0.0) < ($1.1, $1.0)
        }
        guard let (word, distance) = found, distance <= (letters.count <= 4 ? 1 : 2) else {
            return nil
        }
        return word
    }

    /// - Source: F. Damerau, "A technique for computer detection and correction of spelling errors", 1964;
    ///   with exchanges of neighbours that are not changed again.
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var rows = [Array(0...b.count)]
        for i in 1..<(a.count + 1) {
            var row = [i]
            for j in 1..<(b.count + 1) {
                let cost = a[i - 1] == b[j - 1] ? 0 : 1
                var least = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + cost)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    least = min(least, rows[i - 2][j - 2] + 1)
                }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
