import Testing

@testable import Mayfly

/// `mayfly mount` and `mayfly umount` with the real kernel: who is let in, what a server may still
/// do, how it ends, and mount(8)'s helper.
@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled(if: BuiltCommand.canMount, "needs root and /dev/fuse"))
struct ServerTests {
    private static let prologue = #"""
        m="$folder/m"
        mkdir "$m"
        trap 'set +e; cd /; umount -l "$m" 2> /dev/null; rm -rf --one-file-system "$folder"' EXIT
        server_of() {
            for p in $(pgrep -x mayfly); do
                if { tr '\0' ' ' < /proc/$p/cmdline; } 2> /dev/null |
                    grep -q -- "mayfly mount.* $m"; then echo $p; fi
            done
        }
        user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }

        """#

    private static func script(_ script: String) throws -> BuiltCommand.Outcome {
        try BuiltCommand.script(prologue + script)
    }

    @Test func aServerGivesUpWhatItDoesNotNeed() throws {
        let outcome = try Self.script(
            #"""
            "$mayfly" mount --quiet "$m"
            server=$(server_of)
            # CAP_SYS_NICE stays only where the resource limit in its place cannot be raised.
            if (ulimit -e 20) 2> /dev/null; then kept=200000; else kept=a00000; fi
            cat /proc/$server/task/*/status | grep -E '^(Cap|NoNewPrivs)' | sort | uniq |
                sed "s/$kept/<kept>/"
            grep 'Max core file size' /proc/$server/limits | tr -s ' '
            grep -o "$m .*" /proc/self/mounts | cut -d ' ' -f 3 | tr , '\n' | grep -E 'suid|dev|allow'
            "$mayfly" umount "$m"
            until_true '! kill -0 $server 2> /dev/null'
            echo gone
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == """
                CapAmb:\t0000000000000000
                CapBnd:\t0000000000<kept>
                CapEff:\t0000000000<kept>
                CapInh:\t0000000000000000
                CapPrm:\t0000000000<kept>
                NoNewPrivs:\t1
                Max core file size 0 0 bytes\u{20}
                nosuid
                nodev
                gone

                """, "\(outcome)")
    }

    @Test func aMountBelowAPrivateFolderCanBeUnmountedByItsServer() throws {
        let outcome = try Self.script(
            #"""
            mkdir -p "$folder/home/m"
            chown nobody "$folder/home"
            chmod 700 "$folder/home"
            "$mayfly" mount --foreground --quiet "$folder/home/m" & server=$!
            until_true 'grep -q "$folder/home/m" /proc/self/mounts'
            kill $server
            wait $server
            grep -c "$folder/home/m" /proc/self/mounts || true
            """#)
        #expect(outcome.status == 0 && outcome.output == "0\n", "\(outcome)")
    }

    @Test func othersAreLetInWhenAsked() throws {
        let outcome = try Self.script(
            #"""
            "$mayfly" mount --quiet "$m"
            echo 1 > "$m/f"
            user cat "$m/f" || echo refused
            user stat "$m" > /dev/null || echo refused
            "$mayfly" umount "$m"
            "$mayfly" mount --quiet --allow-other "$m"
            echo 2 > "$m/f"
            user cat "$m/f"
            user touch "$m/g"
            stat -c %U "$m/g"
            "$mayfly" umount "$m"
            """#)
        #expect(outcome.output == "refused\nrefused\n2\nnobody\n", "\(outcome)")
        #expect(outcome.errors.contains("Permission denied"))
    }

    @Test(arguments: ["TERM", "INT", "HUP"])
    func signalsUnmountInOrder(_ signal: String) throws {
        let outcome = try Self.script(
            #"""
            env --default-signal=INT "$mayfly" mount --foreground --quiet "$m" & server=$!
            until_true 'grep -q " $m " /proc/self/mounts'
            echo x > "$m/f"
            kill -\#(signal) $server
            wait $server
            grep -c " $m " /proc/self/mounts || true
            """#)
        #expect(outcome.status == 0 && outcome.output == "0\n", "\(outcome)")
    }

    /// It stays in the session that it is mounted from, and what happens to the terminal does not reach it.
    @Test func aServerOutlivesItsTerminal() throws {
        let outcome = try Self.script(
            #"""
            python3 -ISc '
            import os, pty, signal, sys, time
            mayfly, m = sys.argv[1:]
            process, master = pty.fork()
            if process == 0:
                # Python would hear of Ctrl-C after its sleep, when it comes just before that begins.
                for number in signal.SIGHUP, signal.SIGINT: signal.signal(number, signal.SIG_DFL)
                assert os.system(f"{mayfly} mount {m}") == 0
                print("server", os.popen(f"pgrep -f \"[m]ayfly mount {m}\"").read().split()[0], flush=True)
                time.sleep(600)
            text = ""
            while "server" not in text or not text.endswith("\n"): text += os.read(master, 4096).decode()
            server = int(text.split()[-1])
            fields = lambda: open(f"/proc/{server}/stat").read().rsplit(")", 1)[1].split()
            group, session, terminal = fields()[2:5]
            print("mounted over" in text, int(group) == server, int(session) == process, terminal)
            os.write(master, b"\x03")
            os.waitpid(process, 0)
            os.close(master)
            time.sleep(0.2)
            open(m + "/file", "w").write("x")
            print(os.listdir(m))' "$mayfly" "$m"
            "$mayfly" umount "$m"
            """#)
        #expect(outcome.output == "True True True 0\n['file']\n", "\(outcome)")
    }

    @Test func umountTellsWhoKeepsItBusy() throws {
        let outcome = try Self.script(
            #"""
            "$mayfly" mount --quiet "$m"
            (cd "$m" && exec sleep 4325) & holder=$!
            until_true '[ "$(cat /proc/$holder/comm)" = sleep ]'
            "$mayfly" umount "$m" || echo $?
            echo $holder
            kill $holder
            "$mayfly" umount "$m"
            """#)
        let lines = outcome.output.split(separator: "\n")
        #expect(outcome.status == 0 && lines.count == 2 && lines[0] == "32", "\(outcome)")
        let holder = lines.last ?? ""
        #expect(
            outcome.errors.hasSuffix(
                "/m is busy, kept so by \(holder) (sleep): end them, or use --lazy\n"),
            "\(outcome)")
    }

    @Test func aMountWhoseServerWasKilledAnswersWithAnErrorAndIsTakenAway() throws {
        let outcome = try Self.script(
            #"""
            "$mayfly" mount --quiet "$m"
            exec 5> "$m/f"
            kill -KILL $(server_of)
            until_true '! ls "$m" > /dev/null 2>&1'
            echo x >&5 || echo failed
            exec 5>&-
            "$mayfly" mount "$m" || echo $?
            "$mayfly" umount "$m"
            ls "$m"
            """#)
        #expect(outcome.status == 0 && outcome.output == "failed\n32\n", "\(outcome)")
        #expect(outcome.errors.contains("holds a mount whose server has died: run `mayfly umount"))
    }

    /// The links lie where mount(8) looks for them, in a mount namespace of the script's own.
    @Test func mountOfUtilLinuxFindsItByLinks() throws {
        let outcome = try Self.script(
            #"""
            cat > "$folder/inner" <<'END'
            mkdir "$folder/sbin"
            cp -a "$(readlink -f /sbin)/." "$folder/sbin"
            mount --bind "$folder/sbin" "$(readlink -f /sbin)"
            ln -sf "$mayfly" /sbin/mount.mayfly
            ln -sf "$mayfly" /sbin/mount.fuse.mayfly
            show() { grep " $m " /proc/self/mounts | cut -d ' ' -f 1,3,4 | sed 's/,user_id.*//'; }
            mount -t mayfly -o size=16m,mode=0700,nr_inodes=1k fast "$m"
            show
            stat -c %a "$m"
            df --output=size,itotal "$m" | tail -1 | tr -s ' '
            mount -o remount,ro "$m"
            show
            touch "$m/x" 2> /dev/null || echo refused
            mount -o remount,rw,noexec "$m"
            show
            touch "$m/x"
            umount "$m"
            echo "tab $m fuse.mayfly size=1%,nofail,noatime,x-systemd.automount 0 0" > "$folder/tab"
            mount -T "$folder/tab" "$m"
            show
            umount "$m"
            mount -f -t fuse.mayfly none "$m"
            show
            mount -t mayfly -o bogus none "$m" || echo $?
            END
            export mayfly folder m
            unshare --mount bash -e "$folder/inner"
            """#)
        #expect(
            outcome.output == """
                fast fuse.mayfly rw,nosuid,nodev,relatime
                700
                \u{20}16384 1024
                fast fuse.mayfly ro,nosuid,nodev,relatime
                refused
                fast fuse.mayfly rw,nosuid,nodev,noexec,relatime
                tab fuse.mayfly rw,nosuid,nodev,noatime
                1

                """, "\(outcome)")
        #expect(outcome.errors.hasPrefix("mayfly: unknown option 'bogus' in -o"), "\(outcome)")
    }

    @Test func releasesAreOrdered() {
        #expect(KernelRelease(parsing: "6.18.44-fc-v657\n") == KernelRelease(6, 18, 44))
        #expect(KernelRelease(parsing: "7.0-rc1") == KernelRelease(7, 0))
        #expect(KernelRelease(parsing: "none") == nil)
        #expect(KernelRelease(6, 9, 9) < KernelRelease(6, 18, 3))
        var summary = MountSummary(
            mountpoint: "/m", transport: .ring, queueCount: 1, queueDepth: 1, payloadBytes: 1,
            ringMemoryBytes: 0, sizeBytes: 0, inodes: 0, maximumMemoryBytes: 0)
        #expect(summary.kernelWarning(KernelRelease(6, 18, 2))?.contains("CVE-2025-68805") == true)
        #expect(summary.kernelWarning(KernelRelease(6, 18, 3)) == nil)
        summary.transport = .device
        #expect(summary.kernelWarning(KernelRelease(6, 16, 0)) == nil)
    }
}
