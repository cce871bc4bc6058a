import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyRunning

/// What servers say while nobody watches.
@Suite(
    .serialized, .timeLimit(.minutes(1)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct LogTests {
    /// A /dev of its own, with a socket for syslog(3) whose datagrams go to a file.
    private static let ownLog = """
        cd "$folder"; mkdir dev m; mount -t tmpfs none dev
        for name in null zero full random urandom tty fuse; do cp -a /dev/$name dev/ 2>/dev/null || true; done
        mkdir dev/shm
        mount --bind dev /dev
        trap 'set +e; cd /; umount /dev; umount "$folder/dev"; rm -rf --one-file-system "$folder"' EXIT
        python3 -c '
        import socket, sys
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind("/dev/log")
        with open("lines", "w", buffering=1) as file:
            while True: file.write(log.recv(4096).decode().rstrip(chr(0)) + "\\n")
        ' & reader=$!
        until_true '[ -S /dev/log ]'

        """

    @Test func theBackgroundLogsToTheSystem() throws {
        let outcome = try BuiltCommand.script(
            Self.ownLog
                + """
                "$mayfly" mount --quiet --size 64k --faults --durability fsync m
                for turn in 1 2 3; do head -c 1m /dev/zero > m/big || true; done 2> /dev/null
                until_true 'grep -q "is full" lines'
                "$mayfly" snapshot m one > /dev/null
                "$mayfly" rollback m one > /dev/null
                "$mayfly" fault add m --op fsync --errno EIO > /dev/null
                "$mayfly" fault clear m > /dev/null
                "$mayfly" resize m --size 128k > /dev/null
                "$mayfly" crash m --seed 1 > /dev/null
                "$mayfly" umount m
                until_true 'grep -q "has ended" lines'
                kill $reader
                sed 's/^\\(<[0-9]*>\\).*mayfly: /\\1 /; s/[0-9]* requests/N requests/; s/: [0-9]* names.*//; s/\\(at most\\) .*/\\1/' lines
                """)
        #expect(outcome.status == 0, "\(outcome.report)")
        let lines = outcome.output.split(separator: "\n").map { line in
            line.replacing(#/ \/[^ ]*\/m/#, with: " M")
        }
        // <28> is daemon.warning, <29> daemon.notice.
        #expect(lines.count == 7, "\(outcome.report)")
        #expect(
            lines.first?.hasPrefix(
                "<28> M is full: N requests were refused (ENOSPC), 64 KiB of 64 KiB") == true)
        #expect(
            Array(lines.dropFirst(1).prefix(3)) == [
                "<29> M is as it was at snapshot one", "<29> M: fault 1 on fsync is in force",
                "<29> M: fault 1 on fsync is taken back, after it was carried out 0 times",
            ], "\(outcome.report)")
        #expect(
            lines.dropFirst(4).first?.hasPrefix("<29> M is resized: ") == true, "\(outcome.report)")
        #expect(
            lines.last?.hasPrefix("<29> M has ended: it held at most") == true, "\(outcome.report)")
    }

    /// On a standard error that is a terminal or a file warnings alone, on the journal's notices with their levels.
    @Test func theForegroundLogsToTheStandardError() throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m
            serve() {
                "$@" "$mayfly" mount --foreground --quiet --size 64k m $options 2> errors & server=$!
                until_true 'grep -q "$folder/m " /proc/self/mounts'
                until_true '"$mayfly" stat m > /dev/null 2>&1'
                "$mayfly" snapshot m one > /dev/null
                "$mayfly" rollback m one > /dev/null
                "$mayfly" umount m
                wait $server
                sed 's/^/'"$1: "'/; s/[^ ]*\\/m\\([ :]\\)/M\\1/; s/at most.*//' errors
            }
            serve env
            options='--log info' serve env
            touch errors
            journal() { exec env JOURNAL_STREAM="$(stat -L -c %d:%i /proc/self/fd/2)" "$@"; }
            serve journal
            "$mayfly" mount m --log loud || echo "status $?"
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(
            outcome.output.split(separator: "\n") == [
                "env: mayfly: M: snapshot one", "env: mayfly: M is as it was at snapshot one",
                "env: mayfly: M has ended: it held ",
                "journal: <5>mayfly: M is as it was at snapshot one",
                "journal: <5>mayfly: M has ended: it held ",
                "status 1",
            ], "\(outcome.report)")
        #expect(outcome.errors.contains("bad --log 'loud'"))
    }

    /// What fstab needs.
    @Test func anImageIsAnOptionOfMount() throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m tree; echo hello > tree/file
            "$mayfly" image build image.mayfly --from tree --quiet > /dev/null
            ln -s "$mayfly" mount.mayfly
            ./mount.mayfly none "$folder/m" -o "from=$folder/image.mayfly,size=16m"
            cat m/file
            "$mayfly" umount m
            "$mayfly" mount m -o from= || echo "status $?"
            "$mayfly" mount m -o from=image.mayfly --mode 700 || echo "status $?"
            """)
        #expect(outcome.output == "hello\nstatus 1\nstatus 1\n", "\(outcome.report)")
        #expect(outcome.errors.contains("bad option from=: give an image"), "\(outcome.report)")
    }
}
