import Glibc
import Testing

@testable import Mayfly

/// What other users put into the folders of control sockets that root looks into.
@Suite(
    .serialized, .timeLimit(.minutes(3)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ControlTrustTests {
    /// Runs a script with root's mount of number `$number` at `$folder/m`, where `$user` and `$other` are
    /// ordinary users who may mount.
    private static func script(_ text: String) throws -> ChildProcess.Outcome {
        try BuiltCommand.script(
            #"""
            mknod -m 666 "$folder/fuse" c 10 229
            mount --bind "$folder/fuse" /dev/fuse
            cp "$mayfly" "$folder/mayfly"
            mayfly="$folder/mayfly"
            chmod 755 "$mayfly"
            # Words and no functions, so that $! is the command's own number.
            user="setpriv --reuid=61244 --regid=61244 --clear-groups"
            other="setpriv --reuid=61245 --regid=61245 --clear-groups"
            said() { sed "s|$folder|F|g; s/  */ /g; s| $server$| SERVER|; s/ \(ring\|device\) / WAY /"; }
            rm -rf /tmp/mayfly-6124*
            mkdir "$folder/m"
            "$mayfly" mount "$folder/m" --size 8m --quiet
            number=$(mountpoint -d "$folder/m" | cut -d: -f2)
            server=$(sed 's/.*"processID":\([0-9]*\).*/\1/' /run/mayfly/$number.json)
            trap 'set +e; cd /; kill $(jobs -p) 2> /dev/null; umount -l "$folder/m" 2> /dev/null
                umount /dev/fuse; rm -rf --one-file-system "$folder" /tmp/mayfly-6124*' EXIT
            # Listens on the sockets with these numbers, as one who hangs, and says so.
            cat > "$folder/listen" <<'END'
            import json, os, socket, sys, time
            folder, place, numbers = sys.argv[1], sys.argv[2], range(int(sys.argv[3]), int(sys.argv[4]))
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.chdir(folder)
            sockets = []
            import resource
            resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
            for number in numbers:
                s = socket.socket(socket.AF_UNIX)
                s.bind("%d.sock" % number)
                s.listen()
                sockets.append(s)
                with open("%d.json" % number, "w") as f:
                    json.dump({"connection": number, "mountpoint": place, "processID": os.getpid(),
                               "userID": os.getuid(), "version": "0"}, f)
            print("listening", flush=True)
            time.sleep(600)
            END
            chmod 644 "$folder/listen"

            """# + text)
    }

    @Test func aForgedRecordHidesNoMount() throws {
        let outcome = try Self.script(
            #"""
            $user /usr/bin/python3 -ISc "$(cat "$folder/listen")" /tmp/mayfly-61244 "$folder/victim" $number $((number + 1)) \
                > "$folder/out" & forger=$!
            until_true 'grep -q listening "$folder/out"'
            "$mayfly" list 2>&1 | grep "$folder" | said
            "$mayfly" stat "$folder/m" | head -2 | said
            "$mayfly" umount --force "$folder/victim" 2>&1 | said
            "$mayfly" umount --force $forger 2>&1 | sed 's/^mayfly: [0-9]* /mayfly: N /'
            # A link to root's own socket is as little.
            kill $forger
            $user ln -sf /run/mayfly/$number.sock /tmp/mayfly-61244/$number.sock
            "$mayfly" umount --force "$folder/victim" 2>&1 | said
            "$mayfly" list | grep "$folder" | said
            "$mayfly" umount "$folder/m"
            """#)
        let listed = "F/m serving 0 B 8 MiB 1 WAY SERVER\n"
        let refused = "mayfly: F/victim does not exist: name a mayfly mount's directory\n"
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output
                == listed + "mount F/m\nserver pid \(outcome.serverNumber), "
                + "mayfly \(MayflyVersion.text), up 0 s\n"
                + refused + "mayfly: N does not exist: name a mayfly mount's directory\n" + refused
                + listed, "\(outcome)")
    }

    @Test func socketsWithoutNumberAreNotWaitedFor() throws {
        let outcome = try Self.script(
            #"""
            for who in "$user" "$other"; do
                id=$($who id -u)
                $who /usr/bin/python3 -ISc "$(cat "$folder/listen")" /tmp/mayfly-$id "$folder/victim" 100000 102000 \
                    > "$folder/out.$id" &
                until_true 'grep -q listening "$folder/out.$id"'
                # The lock of a folder is not waited for either.
                $who flock --no-fork /tmp/mayfly-$id sleep 600 &
            done
            begin=$(date +%s%N)
            "$mayfly" list > "$folder/listed" 2>&1
            took=$((($(date +%s%N) - begin) / 1000000000))
            [ $took -lt 8 ] && echo soon
            grep -v holds "$folder/listed" | tail -1 | said
            grep -c 'mayfly-6124[45] holds more than is looked at' "$folder/listed"
            "$mayfly" umount "$folder/m"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output == "soon\nF/m serving 0 B 8 MiB 1 WAY SERVER\n2\n", "\(outcome)")
    }

    /// A FUSE mount over the folder, or a link to one, could never answer.
    @Test func aFolderInAnotherMountIsLeftOut() throws {
        let outcome = try Self.script(
            #"""
            mkdir /tmp/mayfly-61244
            "$mayfly" mount /tmp/mayfly-61244 --size 8m --quiet --uid 61244 --mode 700
            hanging=$(sed 's/.*"processID":\([0-9]*\).*/\1/' \
                /run/mayfly/$(mountpoint -d /tmp/mayfly-61244 | cut -d: -f2).json)
            kill -STOP $hanging
            timeout -s KILL 20 "$mayfly" list 2>&1 | grep "$folder" | said
            kill -CONT $hanging
            "$mayfly" umount /tmp/mayfly-61244
            "$mayfly" umount "$folder/m"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "F/m serving 0 B 8 MiB 1 WAY SERVER\n", "\(outcome)")
    }

    @Test func aFolderThatSomebodyElseHasMadeIsNotUsed() throws {
        let outcome = try Self.script(
            #"""
            $other mkdir -m 700 /tmp/mayfly-61244
            $user env -u XDG_RUNTIME_DIR "$mayfly" run -- sh -c 'while :; do sleep 0.05; done' \
                2> "$folder/err" & run=$!
            until_true '$user env -u XDG_RUNTIME_DIR "$mayfly" list 2> /dev/null | grep -q serving'
            sed 's/61244\..*/61244.X/' "$folder/err"
            "$mayfly" list | grep -c '^\[.*serving'
            ls -A /tmp/mayfly-61244 | wc -l
            kill $run
            wait $run || true
            ls -A /tmp/mayfly-61244.* | wc -l
            "$mayfly" umount "$folder/m"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(
            outcome.output.hasPrefix(
                "mayfly: /tmp/mayfly-61244 is not a directory of yours alone, so the control socket is "
                    + "in /tmp/mayfly-61244.X\n"), "\(outcome)")
        #expect(outcome.output.hasSuffix("1\n0\n0\n"), "\(outcome)")
    }

    @Test func aServerHasTheNumberThatIsSeenFromHere() throws {
        let outcome = try Self.script(
            #"""
            mkdir "$folder/n"
            unshare --pid --fork --mount-proc --propagation private "$mayfly" mount "$folder/n" --foreground \
                --quiet --size 8m &
            until_true '"$mayfly" list | grep -q "^\[$folder/n\] *serving"'
            inner=$(pgrep -f "^$mayfly mount $folder/n --foreground")
            "$mayfly" list | grep -c "^\[$folder/n\] .* $inner\$"
            "$mayfly" stat $inner | grep -c "^server *pid $inner,"
            kill $inner
            until_true '! kill -0 $inner 2> /dev/null'
            "$mayfly" umount "$folder/m"
            """#)
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output == "1\n1\n", "\(outcome)")
    }

    /// The server of a connection may answer slowly, and for ever.
    @Test func anAnswerWithoutEndIsNotReadToItsEnd() throws {
        let mount = try ControlledMount()
        let place = try TemporaryFolder()
        let folder = try #require(ControlFolder.open(place.path, owner: geteuid()))
        let listener = try folder.listen(mount.connection)
        let drip = try ChildProcess([
            "python3", "-ISc",
            """
            import socket, sys, time
            client = socket.socket(fileno=int(sys.argv[1])).accept()[0]
            client.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 4194304\\r\\n\\r\\n')
            while True:
                client.sendall(b'x' * 1000)
                time.sleep(0.01)
            """, "\(try inherited(listener))",
        ])
        let client = ControlClient(folder: folder, connection: mount.connection)
        var begin = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &begin)
        #expect(throws: ControlError.silent) { try client.report() }
        var end = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &end)
        #expect(end.tv_sec - begin.tv_sec < 10)
        drip.send(SIGKILL)
        _ = try drip.wait(seconds: 10)
        close(listener)
    }

    /// A copy of a descriptor that a child process gets.
    private func inherited(_ descriptor: Int32) throws -> Int32 {
        let copy = dup(descriptor)
        try #require(copy >= 0)
        return copy
    }
}

extension ChildProcess.Outcome {
    /// The number that `stat` has told.
    fileprivate var serverNumber: String {
        let line = output.split(separator: "\n").first { $0.hasPrefix("server pid") } ?? ""
        return line.split(separator: " ").dropFirst(2).first.map { String($0.dropLast()) } ?? "?"
    }
}
