// One queue of the kernel double: the kernel's side of the shared words.
//
// All state is under `lock`; `changed` is signalled whenever a waiter may find something new: the
// server's thread waits for requests in `enter`, clients wait for replies in `perform`.

internal import CFuseKernel
internal import CMayflyLiburing
internal import CMayflyMemory
internal import FuseTransport
internal import Glibc

// Sendable: see the lock above; the shared words belong to the ring's protocol.
@safe
package final class KernelDoubleQueue: @unchecked Sendable {
    @safe
    private struct Entry {
        var headers: UnsafeMutableRawPointer
        var payload: UnsafeMutableRawPointer
        /// The kernel has it and may put a request into it.
        var isAvailable = true
        var commitID: UInt64 = 0
        var ticket: Ticket?
    }

    /// A request that somebody waits for.
    private final class Ticket {
        let request: DoubleRequest
        var reply: DoubleReply?

        init(_ request: DoubleRequest) { self.request = request }
    }

    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    /// sq head, sq tail, cq head, cq tail.
    private let words: UnsafeMutablePointer<UInt32>
    private let submissions: UnsafeMutableRawPointer
    private let completions: UnsafeMutablePointer<io_uring_cqe>
    private let places: UInt32
    private let qid: UInt16
    private let depth: Int
    private let payloadBytes: Int

    private var entries: [UInt64: Entry] = [:]
    private var waiting: [Ticket] = []
    private var isUnmounted = false
    private var nextUnique: UInt64 = 2
    private var random: UInt64
    private var registerErrors: [Int32] = []
    private var enterAnswers: [Int32] = []
    private var isRefused = false
    private var violationList: [String] = []

    init(qid: UInt16, depth: Int, payloadBytes: Int, seed: UInt64) {
        self.qid = qid
        self.depth = depth
        self.payloadBytes = payloadBytes
        random = seed &* 2 &+ 1
        // As io_uring_setup(2): the next power of two; completions have room for the lies as well.
        var places = 1
        while places < depth { places *= 2 }
        self.places = UInt32(places)
        unsafe lock = .allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
        unsafe changed = .allocate(capacity: 1)
        unsafe pthread_cond_init(changed, nil)
        unsafe words = .allocate(capacity: 4)
        unsafe words.initialize(repeating: 0, count: 4)
        unsafe submissions = .allocate(byteCount: places * Int(CLU_SQE_BYTES), alignment: 64)
        unsafe completions = .allocate(capacity: places * 8)
        unsafe cmem_zero(completions, places * 8 * MemoryLayout<io_uring_cqe>.stride)
    }

    deinit {
        unsafe pthread_mutex_destroy(lock)
        unsafe lock.deallocate()
        unsafe pthread_cond_destroy(changed)
        unsafe changed.deallocate()
        unsafe words.deallocate()
        unsafe submissions.deallocate()
        unsafe completions.deallocate()
    }

    /// The ring for the server. The double must outlive it.
    func makeRing() -> UnsafeMutablePointer<clu_ring> {
        let ring = UnsafeMutablePointer<clu_ring>.allocate(capacity: 1)
        var view = unsafe clu_ring()
        unsafe view.sq_head = words
        unsafe view.sq_tail = words + 1
        unsafe view.cq_head = words + 2
        unsafe view.cq_tail = words + 3
        unsafe view.sqes = submissions.assumingMemoryBound(to: UInt8.self)
        unsafe view.cqes = completions
        unsafe view.sq_mask = places - 1
        unsafe view.cq_mask = places * 8 - 1
        unsafe view.context = Unmanaged.passUnretained(self).toOpaque()
        unsafe view.enter = { context, submit, wait in
            unsafe Unmanaged<KernelDoubleQueue>.fromOpaque(context!).takeUnretainedValue()
                .enter(submit: submit, wait: wait)
        }
        unsafe ring.initialize(to: view)
        return unsafe ring
    }

    // MARK: Clients

    /// Sends a request and waits for its reply.
    package func perform(_ request: DoubleRequest) -> DoubleReply {
        locked {
            if isUnmounted { return .lost }
            let ticket = Ticket(request)
            waiting.append(ticket)
            signal()
            while ticket.reply == nil, !isUnmounted { pause() }
            return ticket.reply ?? .lost
        }
    }

    /// What the next REGISTERs answer, one each: 0 or a negated errno. Then they succeed.
    package func answerRegisters(with errors: [Int32]) {
        locked { registerErrors = errors }
    }

    /// What the next enters answer, one each: a negated errno, with which nothing is taken, or how many
    /// commands are taken at most, after which nothing is waited for. Then all are.
    package func answerEnters(with answers: [Int32]) {
        locked { enterAnswers = answers }
    }

    /// Commands that the server has prepared and no enter has taken.
    package var prepared: Int { locked { unsafe Int(words[1] &- words[0]) } }

    /// Whether a REGISTER without buffers has turned the ring off.
    package var wasRefused: Bool { locked { isRefused } }

    /// What the server did that a kernel would not forgive.
    package var violations: [String] { locked { violationList } }

    /// Entries that the kernel could use now.
    package var availableEntries: Int {
        locked { entries.values.count { $0.isAvailable } }
    }

    func unmount() {
        locked {
            isUnmounted = true
            signal()
        }
    }

    // MARK: The kernel

    private func enter(submit: UInt32, wait: UInt32) -> Int32 {
        locked {
            var submit = submit
            let answer = enterAnswers.isEmpty ? Int32.max : enterAnswers.removeFirst()
            if answer < 0 { return answer }
            let isPart = UInt32(answer) < submit
            if isPart { submit = UInt32(answer) }
            let head = unsafe words[0]
            for index in 0..<submit {
                let place = Int((head &+ index) & (places - 1)) * Int(CLU_SQE_BYTES)
                unsafe take(UnsafeRawPointer(submissions + place))
            }
            unsafe words[0] = head &+ submit
            if isPart {
                deliver()
                return Int32(submit)
            }
            while true {
                deliver()
                let ready = unsafe words[3] &- words[2]
                if ready >= wait { return Int32(submit) }
                pause()
            }
        }
    }

    /// Reads a submission where the kernel's header says its fields are.
    private func take(_ submission: UnsafeRawPointer) {
        let operation = unsafe submission.load(fromByteOffset: 8, as: UInt32.self)
        let buffers = unsafe submission.load(fromByteOffset: 16, as: UInt64.self)
        let count = unsafe submission.load(fromByteOffset: 24, as: UInt32.self)
        let name = unsafe submission.load(fromByteOffset: 32, as: UInt64.self)
        let commitID = unsafe submission.load(fromByteOffset: 56, as: UInt64.self)
        let queue = unsafe submission.load(fromByteOffset: 64, as: UInt16.self)
        guard queue == qid else {
            isRefused = true
            return complete(name, -EINVAL)
        }
        switch Int(operation) {
        case CFK_URING_CMD_REGISTER: register(name, buffers: buffers, count: count)
        case CFK_URING_CMD_COMMIT_AND_FETCH: commit(name, commitID)
        default:
            violationList.append("operation \(operation)")
            complete(name, -EINVAL)
        }
    }

    private func register(_ name: UInt64, buffers: UInt64, count: UInt32) {
        let error = registerErrors.isEmpty ? 0 : registerErrors.removeFirst()
        if error != 0 { return complete(name, error) }
        guard count == 2, let vector = unsafe UnsafePointer<iovec>(bitPattern: UInt(buffers)),
            let headers = unsafe vector[0].iov_base, let payload = unsafe vector[1].iov_base,
            unsafe vector[0].iov_len >= MemoryLayout<cfk_ring_req_header>.size,
            unsafe vector[1].iov_len >= payloadBytes
        else { return complete(name, -EINVAL) }
        if entries[name] != nil { violationList.append("entry \(name) registered twice") }
        entries[name] = unsafe Entry(headers: headers, payload: payload)
    }

    private func commit(_ name: UInt64, _ commitID: UInt64) {
        guard var entry = entries[name], let ticket = entry.ticket,
            entry.commitID == commitID
        else {
            violationList.append("entry \(name) committed \(commitID), which it has not")
            return complete(name, -ENOENT)
        }
        let header = unsafe entry.headers.load(as: cfk_out_header.self)
        let bytes = unsafe Int(
            (entry.headers + 256).load(as: cfk_ring_ent_in_out.self).payload_sz)
        if header.unique != commitID ^ 0x5555 { violationList.append("unique \(header.unique)") }
        if !(-511...0).contains(header.error) { violationList.append("error \(header.error)") }
        if Int(header.len) != MemoryLayout<cfk_out_header>.size + bytes {
            violationList.append("len \(header.len) with \(bytes) bytes")
        }
        let reply = unsafe UnsafeRawBufferPointer(start: entry.payload, count: bytes)
        ticket.reply = .answered(error: -header.error, bytes: unsafe Array(reply))
        entry.ticket = nil
        entry.isAvailable = true
        entries[name] = entry
        signal()
    }

    /// Puts waiting requests into entries, neither in order.
    private func deliver() {
        if isUnmounted {
            for (name, entry) in entries where entry.isAvailable {
                complete(name, -ENOTCONN)
            }
            entries = [:]
            return
        }
        while !waiting.isEmpty {
            let free = entries.filter { $0.value.isAvailable }.map { $0.key }
            if free.isEmpty { return }
            let name = free.sorted()[Int(draw() % UInt64(free.count))]
            deliver(waiting.remove(at: Int(draw() % UInt64(waiting.count))), to: name)
        }
    }

    private func deliver(_ ticket: Ticket, to name: UInt64) {
        let request = ticket.request
        guard var entry = entries[name] else { return }
        let unique = nextUnique
        nextUnique += 2
        var header = cfk_in_header()
        header.len = UInt32(
            MemoryLayout<cfk_in_header>.size + request.argument.count + request.payload.count)
        header.opcode = request.opcode
        header.unique = unique
        header.nodeid = request.nodeID
        var part = cfk_ring_ent_in_out()
        part.commit_id = unique ^ 0x5555
        part.payload_sz = UInt32(request.payload.count)
        var result: Int32 = 0
        var repeats = 1
        switch request.lie {
        case .length(let length)?: header.len = length
        case .payloadBytes(let bytes)?: part.payload_sz = bytes
        case .failure(let error)?: result = error
        case .duplicate?: repeats = 2
        case .stray(let other)?: complete(other, 0)
        case nil: break
        }
        // A short request must not be answered from what an earlier one has left behind.
        unsafe cmem_zero(entry.headers, MemoryLayout<cfk_ring_req_header>.size)
        unsafe entry.headers.storeBytes(of: header, as: cfk_in_header.self)
        unsafe put(request.argument, at: entry.headers + 128, room: 128)
        unsafe put(request.payload, at: entry.payload, room: payloadBytes)
        unsafe (entry.headers + 256).storeBytes(of: part, as: cfk_ring_ent_in_out.self)
        for _ in 0..<repeats { complete(name, result) }
        if result != 0 {
            ticket.reply = .lost
            entries[name] = nil
            signal()
            return
        }
        entry.isAvailable = false
        entry.commitID = part.commit_id
        entry.ticket = ticket
        entries[name] = entry
    }

    private func put(_ bytes: [UInt8], at target: UnsafeMutableRawPointer, room: Int) {
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe target.copyMemory(from: start, byteCount: min(room, source.count))
        }
    }

    private func complete(_ name: UInt64, _ result: Int32) {
        let tail = unsafe words[3]
        let place = unsafe completions + Int(tail & (places * 8 - 1))
        unsafe place.pointee.user_data = name
        unsafe place.pointee.res = result
        // The server reads on the thread that is in `enter` now: no order is needed beyond that.
        unsafe words[3] = tail &+ 1
    }

    // MARK: Small things

    private func draw() -> UInt64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return random
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return body()
    }

    private func signal() { unsafe pthread_cond_broadcast(changed) }

    private func pause() { unsafe pthread_cond_wait(changed, lock) }
}
