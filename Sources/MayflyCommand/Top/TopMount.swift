import Mayfly
import MayflyHost

/// One mount: rates, latencies, memory, hottest files, and who uses it.
final class TopMount: TopView {
    private let control: MountControl
    private let once: Bool
    private var last: MountReport
    private var picture: TopPicture?
    private var history = RateHistory()
    private var showsUsers = false

    init(_ control: MountControl, once: Bool) throws(MountError) {
        self.control = control
        self.once = once
        last = try control.report()
    }

    func look() throws(MountError) -> Bool {
        let now: MountReport
        let hot: [HotNode]
        do throws(MountError) {
            now = try control.report()
            hot = try control.hotNodes()
        } catch {
            // Unmounted while we watched.
            if !once, error.kind == .mount, !control.isMounted { return false }
            throw error
        }
        let pair = ReportPair(from: last, to: now)
        history.add(pair.requestsPerSecond)
        var next = TopPicture(pair, hot: hot)
        next.history = history.values
        next.order = picture?.order ?? .rate
        next.users = showsUsers ? Self.users(of: now.connection) : nil
        picture = next
        last = now
        return true
    }

    let keys: [(key: Character, use: String)] = [
        ("s", "sorts opcodes by rate, by mean time, by number so far"),
        ("u", "shows the processes that use the mount, in place of hot directories"),
    ]

    func press(_ key: Character) {
        switch key {
        case "s":
            let next = picture?.order.next
            if let next { picture?.order = next }
        case "u":
            showsUsers.toggle()
            picture?.users = showsUsers ? Self.users(of: last.connection) : nil
        default: break
        }
    }

    /// Those that a busy unmount would name.
    private static func users(of connection: UInt32) -> [MountHolder] {
        let device = "0:\(connection)"
        var seen: Set<Int32> = []
        return MountTable.current().entries.filter { $0.device == device }
            .flatMap { MountHolders.of(mountID: $0.mountID, device: device) }
            .filter { seen.insert($0.processID).inserted }
    }

    var lines: [String] { picture?.lines ?? [] }

    func lines(rows: Int, columns: Int, _ style: TopStyle) -> [String] {
        picture?.lines(rows: rows, columns: columns, style) ?? []
    }
}
