import Testing

/// Archives that are damaged or cut: refused, or the same tree as before. Never another one.
@Suite(
    .serialized, .timeLimit(.minutes(10)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct DamagedArchiveTests {
    private static let scene = #"""
        import os, random, shutil, subprocess, sys
        mayfly, form = sys.argv[1:]
        random.seed(5)
        os.makedirs("tree/d")
        words = [bytes(random.choices(b"abcdefgh", k=random.randrange(2, 9))) for _ in range(400)]
        for number in range(12):
            # What compresses well beside what does not, in blocks of more than a member of bzip2.
            with open(f"tree/d/{number}", "wb") as file:
                file.write(b" ".join(random.choices(words, k=3000)))
                if number % 3 == 0: file.write(random.randbytes(40_000))
        subprocess.run(["tar", "cf", "a.tar", "-C", "tree", "."], check=True)
        packed = subprocess.run([form, "-c", "a.tar"], check=True, stdout=subprocess.PIPE).stdout

        def result(data):
            """The tree that comes of an archive; None where it is refused."""
            with open("x", "wb") as file: file.write(data)
            shutil.rmtree("out", ignore_errors=True)
            if os.path.exists("x.mayfly"): os.remove("x.mayfly")
            done = subprocess.run([mayfly, "image", "build", "x.mayfly", "--from", "x", "--quiet"], capture_output=True)
            if done.returncode != 0:
                assert done.stderr.startswith(b"mayfly: ") and done.stderr.count(b"\n") == 1, done
                assert not os.path.exists("x.mayfly")
                return None
            subprocess.run([mayfly, "image", "export", "x.mayfly", "--tar", "out.tar"], check=True, capture_output=True)
            os.mkdir("out")
            subprocess.run(["tar", "xf", "out.tar", "-C", "out"], check=True)
            return subprocess.run(["diff", "-r", "tree", "out"], capture_output=True).returncode == 0

        assert result(packed) is True
        refused = 0
        places = sorted(random.sample(range(20, len(packed) - 9), 14)) + list(range(len(packed) - 9, len(packed), 2))
        for place in places:
            damaged = bytearray(packed)
            damaged[place] ^= 1 << random.randrange(8)
            same = result(bytes(damaged))
            assert same is not False, f"{form}: another tree with byte {place} of {len(packed)} changed"
            refused += same is None
        print("damaged", refused, "of", len(places))
        assert refused >= len(places) * 3 // 4
        for left in (len(packed) - 1, len(packed) - 5, len(packed) - 9, len(packed) // 2, 1000):
            assert result(packed[:left]) is None, f"{form}: {left} of {len(packed)} bytes are taken for all"
        # Members that follow each other are one, as their programs have it.
        half = open("a.tar", "rb").read()
        middle = len(half) // 2 + 77
        parts = b"".join(subprocess.run([form, "-c"], input=part, check=True, stdout=subprocess.PIPE).stdout
                         for part in (half[:middle], half[middle:]))
        assert result(parts) is True
        """#

    @Test(arguments: ["gzip", "bzip2", "xz", "zstd"])
    func isNeverAnotherTree(_ form: String) throws {
        let outcome = try BuiltCommand.script(
            "cd \"$folder\"; cat > scene.py <<'END'\n\(Self.scene)\nEND\npython3 scene.py \"$mayfly\" \(form)",
            seconds: 200)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// The same on a live mount, from a pipe as well, where one cannot go back.
    @Test func nothingIsLeftInAMount() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir m tree; trap '"$mayfly" umount "$folder/m" > /dev/null; cd /; rm -rf "$folder"' EXIT
            for i in 1 2 3; do head -c 300000 /dev/urandom | base64 > tree/$i; done
            tar czf a.tgz -C tree .; "$mayfly" mount m --quiet
            # A trailer with another checksum.
            cp a.tgz bad.tgz; printf '\1\2\3\4' | dd of=bad.tgz bs=1 seek=$(($(stat -c %s bad.tgz) - 8)) conv=notrunc status=none
            if "$mayfly" unpack bad.tgz m --quiet 2> error; then echo "it is taken"; exit 1; fi
            grep -q 'bad.tgz.*gzip data is damaged' error || { cat error; exit 1; }
            if cat bad.tgz | "$mayfly" unpack - m --quiet 2> error; then echo "it is taken from a pipe"; exit 1; fi
            [ -z "$(ls -A m)" ]
            cat a.tgz | "$mayfly" unpack - m --quiet; diff -r tree m
            # What is behind the last member is passed over, as gzip(1) does.
            mkdir m/again; (cat a.tgz; head -c 5000 /dev/zero) > more.tgz; "$mayfly" unpack more.tgz m/again --quiet
            diff -r tree m/again
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}
