import Glibc
import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyHost

/// Mounts that end under load, in every way that they can end: nothing hangs and nothing is left.
///
/// `MAYFLY_ENDURANCE_MOUNTS=1000 swift test --filter Endurance` for a long run, which tells what the
/// machine and a process that mounts hold before and after it.
@Suite(
    .serialized, .enabled(if: BuiltCommand.canMount, "needs root and /dev/fuse"),
    .timeLimit(.minutes(60)))
struct EnduranceTests {
    static let asked = BuiltCommand.variable("MAYFLY_ENDURANCE_MOUNTS").flatMap { Int($0) }
    static let mounts = asked ?? 15
    static let isLong = asked != nil

    /// The load: writers, readers, a walker, a client that maps a file, and others that come and go
    /// or are killed in the middle of a request. Each makes something, for what the kernel has
    /// cached can be read from a dead mount too.
    private static let load = #"""
        load() {
            cd "$1" 2> /dev/null || exit 0
            while dd if=/dev/zero of=w bs=1M count=16 conv=notrunc; do :; done &
            while dd if=w of=/dev/null bs=64k iflag=direct; do :; done &
            while mkdir -p a/b && echo x > a/b/c && mv a/b/c a/d && rm -r a; do :; done &
            while find . -type f -exec cat {} + && : > probe && rm probe; do :; done &
            while timeout -s KILL 0.0$((RANDOM % 9 + 1)) cp w x; [ $? = 137 ]; do :; done &
            wait
        }
        export -f load
        """#

    /// Ends mount number `i` in the way that its number says.
    private static let ways = #"""
        end_of() {
            case $(($1 % 6)) in
            0|3) kill -KILL $server ;;
            1) umount -f "$m" 2> /dev/null || umount -fl "$m" ;;
            4) echo 1 > "$control/$connection/abort" ;;
            2) kill -TERM $server ;;
            5) umount -l "$m" ;;
            esac
        }
        """#

    /// What happens to mount number `i` before its end, so that its path at the end is another, or
    /// that it is in more than one place. `leave` takes the other places away.
    private static let moves = #"""
        move() {
            holder=
            case $(($1 % 5)) in
            1) mkdir -p "$m/sub" "$folder/bound"; mount --bind "$m/sub" "$folder/bound" ;;
            2) unshare --mount --propagation private sleep 600 & holder=$!
               until_true '[ "$(readlink /proc/$holder/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ]' ;;
            3) mv "$folder/above" "$folder/renamed"; m="$folder/renamed/m" ;;
            4) mkdir "$folder/elsewhere"; mount --move "$m" "$folder/elsewhere"
               rmdir "$m"; m="$folder/elsewhere" ;;
            esac
        }
        leave() {
            if [ -n "$holder" ]; then kill -KILL $holder; wait $holder 2> /dev/null || true; fi
            if grep -q " $folder/bound " /proc/self/mounts; then umount -l "$folder/bound"; fi
            if [ -e "$folder/bound" ]; then rmdir "$folder/bound"; fi
        }
        """#

    @Test func mountsThatEndUnderLoad() throws {
        let outcome = try BuiltCommand.script(
            [Self.load, Self.ways, Self.moves].joined(separator: "\n")
                + #"""

                control="$folder/control"
                mkdir "$control"
                mount -t fusectl fusectl "$control"
                trap 'set +e; cd /; umount "$control"; rm -rf --one-file-system "$folder"' EXIT
                # Not those that have ended and that nobody has waited for yet: that is not our doing.
                someone_lives() { ps -o stat= -g "$1" | grep -qv Z; }
                # Numbers of connections are used again, for others on the machine too.
                identity() { stat -c %i "$control/$connection" 2> /dev/null || echo none; }
                machine() {
                    echo "files open $(cut -f1 /proc/sys/fs/file-nr)," \
                        "threads $(sed 's/.*\/\([0-9]*\) .*/\1/' /proc/loadavg)," \
                        "$(awk '/^(MemAvailable|SUnreclaim|AnonPages)/ { printf "%s %d MiB, ", $1, $2 / 1024 }' \
                            /proc/meminfo)" \
                        "$(awk '/^(fuse_inode|fuse_request|io_kiocb|mnt_cache) / { printf "%s %d ", $1, $2 }' \
                            /proc/slabinfo)"
                }
                # Since now: the log of a machine that has been up for long loses its beginning.
                started=$(cut -d ' ' -f 1 /proc/uptime)
                warnings() {
                    dmesg 2> /dev/null | awk -F '[][]' -v since=$started '$2 + 0 > since' |
                        grep -cE 'BUG|WARNING|Oops|hung task|refcount' || true
                }
                machine
                for i in $(seq 0 $(($MOUNTS - 1))); do
                    m="$folder/above/m"; mkdir -p "$m"
                    transport=auto; [ $((i % 4)) = 3 ] && transport=dev
                    "$mayfly" mount --foreground --size 64m --transport $transport "$m" > /dev/null \
                        2>> "$folder/log" & server=$!
                    until_true 'grep -q " $m fuse.mayfly " /proc/self/mounts'
                    connection=$(awk -v m="$m" '$5 == m { split($3, d, ":"); print d[2] }' \
                        /proc/self/mountinfo)
                    born=$(identity)
                    setsid bash -c 'load "$0"' "$m" > /dev/null 2>&1 & clients=$!
                    # On a busy machine they could come so late that they find the folder below.
                    until_true '[ -e "$m/w" ]'
                    move $i
                    sleep 0.$((RANDOM % 3 + 1))
                    end_of $i
                    leave
                    # What goes on in a mount that was only detached ends when its users are told to.
                    [ $((i % 6)) = 5 ] || [ $((i % 6)) = 2 ] && kill -TERM -- -$clients 2> /dev/null
                    until_true '! someone_lives $clients' || {
                        echo "way $((i % 6))"; ps -o pid,stat,wchan:30,args -g $clients
                        ps -L -o pid,lwp,stat,ni,wchan:30,comm -p $server; kill -KILL -- -$clients; exit 1; }
                    until_true '! kill -0 $server 2> /dev/null' || {
                        cat /proc/$server/task/*/wchan; kill -KILL $server; exit 1; }
                    if grep -q " $m fuse.mayfly " /proc/self/mounts; then
                        "$mayfly" umount "$m" || { echo "left after way $((i % 6))"; exit 1; }
                    fi
                    until_true '[ "$(identity)" != "$born" ]' || { echo "connection left"; exit 1; }
                    rmdir "$m"; rmdir "$folder/renamed" "$folder/above" 2> /dev/null || true
                done
                machine
                "$mayfly" list > /dev/null
                if grep -l "$folder" /run/mayfly/*.json; then echo "a socket is left"; exit 1; fi
                echo "$MOUNTS mounts, $(warnings) warnings"
                """#.replacing("$MOUNTS", with: "\(Self.mounts)"),
            seconds: 60 + Self.mounts * 8)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.hasSuffix("\n\(Self.mounts) mounts, 0 warnings\n"), "\(outcome)")
        if Self.isLong { print(outcome.output) }
    }

    /// In one process, so that what it keeps can be counted.
    @Test func aProcessThatMountsOftenDoesNotGrow() async throws {
        let rounds = max(20, Self.mounts)
        let result = await #expect(
            processExitsWith: .success, observing: [\.standardOutputContent]
        ) { [rounds = rounds as Int] in
            let folder = try makeTemporaryFolder("endurance")
            defer { unsafe _ = rmdir(folder) }
            var configuration = MountConfiguration(mountpoint: folder)
            configuration.sizeBytes = 64 << 20
            func round(_ number: Int) throws {
                configuration.transport = number % 3 == 2 ? .device : .automatic
                let fileSystem = try MountedFileSystem(configuration)
                let file = unsafe open("\(folder)/f", O_RDWR | O_CREAT, 0o600)
                try #require(file >= 0)
                let bytes = [UInt8](repeating: 1, count: 1 << 20)
                for _ in 0..<4 { _ = unsafe write(file, bytes, bytes.count) }
                close(file)
                try fileSystem.unmount()
                fileSystem.waitUntilUnmounted()
            }
            // The first rounds fill what is filled once: the allocator's and the runtime's caches.
            for number in 0..<10 { try round(number) }
            let before = Footprint.now()
            for number in 0..<rounds { try round(number) }
            // A thread that was joined is in /proc a little longer, and those of the runtime end when
            // they have had nothing to do for some seconds.
            var after = Footprint.now()
            for _ in 0..<600 where after.threads > before.threads {
                usleep(50_000)
                after = Footprint.now()
            }
            // Expectations in here would fail without their text.
            print("\n" + before.words, after.words, separator: "\n")
        }
        if Self.isLong {
            print(String(decoding: result?.standardOutputContent ?? [], as: UTF8.self))
        }
        let output = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
        let found = output.split(separator: "\n").compactMap(Footprint.init(words:))
        try #require(found.count == 2, "\(output)")
        let (before, after) = (found[0], found[1])
        #expect(after.descriptors <= before.descriptors)
        #expect(after.threads <= before.threads)
        #expect(after.mappings <= before.mappings + 8)
        #expect(after.residentBytes < before.residentBytes + (16 << 20))
    }
}

/// What a process holds of the system.
struct Footprint: Equatable {
    var descriptors: Int
    var threads: Int
    var mappings: Int
    var residentBytes: UInt64

    /// As text, for another process.
    var words: String { "footprint \(descriptors) \(threads) \(mappings) \(residentBytes)" }

    init(descriptors: Int, threads: Int, mappings: Int, residentBytes: UInt64) {
        self.descriptors = descriptors
        self.threads = threads
        self.mappings = mappings
        self.residentBytes = residentBytes
    }

    init?(words: Substring) {
        let parts = words.split(separator: " ")
        guard parts.count == 5, parts[0] == "footprint", let descriptors = Int(parts[1]),
            let threads = Int(parts[2]), let mappings = Int(parts[3]), let bytes = UInt64(parts[4])
        else { return nil }
        self.init(
            descriptors: descriptors, threads: threads, mappings: mappings, residentBytes: bytes)
    }

    static func now() -> Footprint { of("self") }

    static func of(_ process: String) -> Footprint {
        let folder = "/proc/\(process)"
        let maps = HostFile.text(at: "\(folder)/maps") ?? ""
        let pages = HostFile.text(at: "\(folder)/statm")?.split(separator: " ").dropFirst().first
        return Footprint(
            descriptors: HostFile.names(in: "\(folder)/fd").count,
            threads: HostFile.names(in: "\(folder)/task").count,
            mappings: maps.count { $0 == "\n" },
            residentBytes: (pages.flatMap { UInt64($0) } ?? 0) * SizeText.pageBytes)
    }
}
