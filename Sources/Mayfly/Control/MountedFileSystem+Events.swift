// The stream of a mount's events, made on a thread that is there while somebody listens.

internal import CMayflyMemory
internal import Glibc
internal import MayflyHTTP
internal import MayflyServing
internal import Synchronization

extension MountedFileSystem {
    /// How often counters are looked at.
    private static let lookMilliseconds: Int64 = 100
    /// How long a mount that stays full, or a fault that goes on, is told of once.
    private static let repeatNanoseconds: UInt64 = 1_000_000_000
    /// A line without an event after such a time, so that a listener who is gone is noticed.
    private static let quietNanoseconds: UInt64 = 4_000_000_000

    /// Events from now on, as lines of JSON, until the mount ends or the listener goes.
    ///
    /// - Throws: `.usage` where there are too many listeners.
    func eventStream() throws(MountError) -> HTTPAnswer {
        guard let listener = events.add() else {
            throw MountError(
                .usage,
                "\(EventLog.listenerLimit) clients listen to the events of \(place) already: end one of them"
            )
        }
        return HTTPAnswer(status: 200, type: "application/x-ndjson", body: []) { [self] send in
            defer { events.remove(listener) }
            tell(listener) { event in
                send(
                    event.map { ControlJSON.encoded($0) + [UInt8(ascii: "\n")] } ?? [
                        UInt8(ascii: "\n")
                    ])
            }
        }
    }

    /// - Parameter send: gets nil for a line without an event; false when nobody listens any more.
    private func tell(_ listener: Int, _ send: (MountEvent?) -> Bool) {
        var seen = look() ?? EventCounts()
        guard send(stateEvent(.mounted)) else { return }
        var lastSent = cmem_monotonic_nanoseconds()
        var lastCounted: UInt64 = 0
        while true {
            let version = events.version
            let now = cmem_monotonic_nanoseconds()
            let (noted, dropped, last) = events.take(listener)
            var found = noted.filter { $0.event != .ended }.compactMap { event in
                // What a rule did until it was taken back comes as its last state.
                event.event == .fault ? rest(of: event, &seen) : event
            }
            if let last, let end = noted.last {
                for var event in differences(from: seen, to: last) {
                    event.timeNanoseconds = end.timeNanoseconds
                    if event.event == .full {
                        (event.bytes, event.inodes) = (end.bytes, end.inodes)
                    }
                    found.append(event)
                }
                found.append(end)
            } else if now - lastCounted >= Self.repeatNanoseconds, let look = look() {
                let counted = differences(from: seen, to: look)
                if !counted.isEmpty {
                    found += counted
                    lastCounted = now
                    seen.full = look.full
                    // A rule that is gone from these stays until who took it back has told so.
                    seen.fired.merge(look.fired) { $1 }
                }
            }
            if dropped > 0 {
                var event = MountEvent(.missed, summary.mountpoint)
                event.count = dropped
                found.append(event)
            }
            for event in found { guard send(event) else { return } }
            if last != nil { return }
            if !found.isEmpty {
                lastSent = cmem_monotonic_nanoseconds()
            } else if now - lastSent >= Self.quietNanoseconds {
                guard send(nil) else { return }
                lastSent = now
            }
            events.wait(while: version, milliseconds: Self.lookMilliseconds)
        }
    }

    /// What a rule has done since it was last told of; nil where nothing.
    private func rest(of event: MountEvent, _ seen: inout EventCounts) -> MountEvent? {
        guard let fault = event.fault else { return nil }
        let before = seen.fired.removeValue(forKey: fault.number)?.fired ?? 0
        if fault.fired <= before { return nil }
        var event = event
        event.count = fault.fired - before
        return event
    }

    func look() -> EventCounts? {
        whileMounted { parts in
            var look = EventCounts()
            look.full = parts.counters.reduce(0) { $0 + $1.errors(errno: ENOSPC) }
            let rules = faultRules.withLock { $0 }
            if rules.isEmpty { return look }
            for count in hooks.faults.counts {
                guard let rule = rules[count.number] else { continue }
                look.fired[count.number] = FaultRecord(
                    number: count.number, rule: rule, matched: count.matched, fired: count.fired)
            }
            return look
        }
    }

    private func differences(from old: EventCounts, to new: EventCounts) -> [MountEvent] {
        var found: [MountEvent] = []
        if new.full > old.full {
            var event = stateEvent(.full)
            event.count = new.full - old.full
            event.requests = nil
            found.append(event)
        }
        for fault in new.fired.values.sorted(by: { $0.number < $1.number }) {
            let before = old.fired[fault.number]?.fired ?? 0
            if fault.fired <= before { continue }
            var event = MountEvent(.fault, summary.mountpoint)
            event.fault = fault
            event.count = fault.fired - before
            found.append(event)
        }
        return found
    }

    /// Has `body` called with what happens to the mount: what the control plane does, faults as they come and go,
    /// that it is full at most once a minute, and its end.
    ///
    /// - Concurrency: called by several threads, none of which answers requests.
    package func setEventSink(_ body: @escaping @Sendable (MountEvent) -> Void) {
        events.setSink(body)
        whileMounted { parts in
            parts.maintenance.setWhenFull { [weak self] count in
                guard var event = self?.stateEvent(.full) else { return }
                event.count = count
                body(event)
            }
        }
    }

    /// An event that says how full the mount is.
    func stateEvent(_ kind: MountEvent.Kind) -> MountEvent {
        var event = MountEvent(kind, summary.mountpoint)
        _ = whileMounted { parts in
            let usage = Self.usage(parts)
            event.bytes = usage.bytes
            event.inodes = usage.inodes
            event.requests = parts.counters.reduce(0) { $0 + $1.total }
        }
        return event
    }

    /// Tells listeners of something that the control plane has done.
    func note(_ kind: MountEvent.Kind, _ fill: (inout MountEvent) -> Void) {
        guard events.isHeard else { return }
        var event = MountEvent(kind, summary.mountpoint)
        fill(&event)
        events.note(event)
    }
}
