import Testing

@testable import Mayfly
@testable import MayflyServing

/// When the queues' threads yield their CPU, and when no more.
struct StarvationGuardTests {
    private static func sight(
        waiting: UInt64? = 1, _ queues: [(served: UInt64, runnable: Bool)]
    ) -> StarvationGuard.Sight {
        StarvationGuard.Sight(
            waiting: waiting, served: queues.map(\.served), runnable: queues.map(\.runnable))
    }

    /// A guard that has looked once, and what it says of the second look.
    private func secondLook(
        _ first: StarvationGuard.Sight, _ second: StarvationGuard.Sight
    ) -> Bool {
        var looker = StarvationGuard()
        #expect(looker.mayYield(first) { false })
        return looker.mayYield(second) { false }
    }

    @Test func aQueueThatServesDoesNotStarve() {
        #expect(secondLook(Self.sight([(5, true)]), Self.sight([(6, true)])))
    }

    @Test func aQueueThatSleepsDoesNotStarve() {
        #expect(secondLook(Self.sight([(5, true)]), Self.sight([(5, false)])))
        #expect(secondLook(Self.sight([(5, false)]), Self.sight([(5, true)])))
    }

    @Test func aQueueThatNobodyWaitsForDoesNotStarve() {
        let one = Self.sight(waiting: 0, [(5, true)])
        #expect(secondLook(one, one))
    }

    @Test func aQueueThatCouldServeAndDoesNotStarves() {
        let one = Self.sight([(5, true)])
        #expect(!secondLook(one, one))
        let unknown = Self.sight(waiting: nil, [(5, true)])
        #expect(!secondLook(unknown, unknown))
        #expect(
            !secondLook(Self.sight([(1, true), (5, true)]), Self.sight([(9, true), (5, true)])))
    }

    @Test func whoHasStarvedIsLeftAloneForLongerEachTime() {
        let stuck = Self.sight([(5, true)])
        var looker = StarvationGuard()
        var pauses: [Int] = []
        var length = 0
        for _ in 0..<20_000 {
            if looker.mayYield(stuck, isCrowded: { false }) {
                if length > 0 { pauses.append(length) }
                length = 0
            } else {
                length += 1
            }
        }
        let least = StarvationGuard.leastPause
        #expect(pauses.prefix(3) == [least, 2 * least, 4 * least])
        #expect(pauses.last == StarvationGuard.longestPause)
    }

    @Test func nobodyYieldsOnACrowdedMachine() {
        let stuck = Self.sight([(5, true)])
        var looker = StarvationGuard()
        _ = looker.mayYield(stuck) { true }
        for _ in 0..<1000 { #expect(!looker.mayYield(stuck) { true }) }
    }

    @Test(arguments: [
        ("0::/\n", ["/sys/fs/cgroup/cpu.weight": "100"], false),
        ("0::/a/b\n", ["/sys/fs/cgroup/a/cpu.weight": "100"], false),
        ("0::/a/b\n", [:], true),
        ("3:cpu,cpuacct:/\n0::/\n", [:], true),
        ("3:cpu,cpuacct:/docker/1\n0::/\n", [:], false),
        ("2:cpuacct:/x\n1:cpu:/\n", [:], true),
    ])
    func aGroupOfCPUTimeIsFound(_ groups: String, _ files: [String: String], _ isFree: Bool) {
        let enabled = "/proc/sys/kernel/sched_autogroup_enabled"
        let contents = { (path: String) -> String? in
            path == "/proc/self/cgroup" ? groups : path == enabled ? "1\n" : files[path]
        }
        #expect(SchedulingPolicy.hasNoSharedGroup(contents: contents) == isFree)
        #expect(!SchedulingPolicy.hasNoSharedGroup { $0 == enabled ? "0\n" : contents($0) })
    }
}

/// The same with a real mount.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ClientPlacementTests {
    private func policies(_ serverOf: String) throws -> BuiltCommand.Outcome {
        try BuiltCommand.script(
            #"""
            m="$folder/m"
            mkdir "$m"
            trap 'set +e; cd /; umount -l "$m" 2> /dev/null; rm -rf --one-file-system "$folder"' EXIT
            "$mayfly" mount --quiet "$m"
            server=$(pgrep -f -- "mayfly mount.* $m")
            # Small requests of another session, until nothing keeps a thread from yielding: others that
            # compute do.
            far() { setsid --wait bash -c 'for i in $(seq 500); do : > $0/$i; done' "$m"; [ "$(policy)" = 5 ]; }
            near() { for i in $(seq 500); do : > $m/$i; done; [ "$(policy)" = 0 ]; }
            # What the threads of the ring are scheduled as: field 41 of proc_pid_stat(5).
            policy() { for t in /proc/$server/task/*; do
                grep -q mayfly-ring $t/comm && cut -d ' ' -f 41 $t/stat; done | sort | uniq; }

            """# + serverOf + "\n\"$mayfly\" umount \"$m\"\n")
    }

    @Test func theThreadsYieldToClientsOfOtherSessions() throws {
        let outcome = try policies(
            "near; policy; until_true far; policy; until_true near; policy")
        #expect(outcome.output == "0\n5\n0\n", "\(outcome)")
    }

    @Test func aThreadThatCarriesMuchDoesNotYield() throws {
        let outcome = try policies(
            """
            until_true far
            setsid --wait dd if=/dev/zero of=$m/big bs=1M count=64 2> /dev/null
            policy | head -n 1
            until_true far
            policy
            """)
        #expect(outcome.output == "0\n5\n", "\(outcome)")
    }
}
