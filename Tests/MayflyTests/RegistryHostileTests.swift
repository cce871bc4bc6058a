import MayflyTestSupport
import Testing

/// Artifacts that lie: refused with what is wrong, and nothing is left.
@Suite(.serialized) struct RegistryHostileTests {
    @Test(.enabled(if: RegistryScene.canRun, RegistryScene.whyNot))
    func liesAreRefused() throws {
        try RegistryScene.run(
            #"""
            trees 200000; "$mayfly" image push layer oci:good:v1 --quiet; mkdir bad
            python3 "$tests/hostile.py" good v1 bad > list || fail "no lies"; [ "$(wc -l < list)" -gt 35 ]
            elsewhere; ulimit -f 200000
            while IFS="$(printf '\t')" read -r lie said; do
                refused "$said" image pull oci:$lie:v1 x || fail "$lie: $said"
                # Neither a name nor a file of it.
                [ -z "$(ls "$s/names")" ] || fail "$lie: $(ls -R "$s")"
            done < list
            "$mayfly" image store gc --quiet; [ -z "$(ls "$s/images")$(ls "$s/names")$(ls "$s/partial")" ] || fail "$(ls -R "$s")"
            "$mayfly" image pull oci:good:v1 x --quiet; "$mayfly" image check x > /dev/null
            # An image of the store is not taken for another of the same digest, which two people can make.
            lie=$(grep 'is damaged..truncated' list | cut -f 1)
            refused 'has another image by the digest' image pull oci:$lie:v1 y
            # An archive leads nowhere else.
            python3 - <<'END'
            import io, tarfile
            with tarfile.open("evil.tar", "w") as out:
                for name in ["../escaped", "/tmp/escaped", "oci-layout", "index.json", "blobs/sha256/../../escaped"]:
                    content = b'{"schemaVersion":2,"manifests":[]}' if name == "index.json" else b"{}"
                    info = tarfile.TarInfo(name); info.size = len(content); out.addfile(info, io.BytesIO(content))
                link = tarfile.TarInfo("blobs"); link.type = tarfile.SYMTYPE; link.linkname = "/etc"; out.addfile(link)
            END
            refused 'there is no image at' image pull oci-archive:evil.tar z; [ ! -e ../escaped ] && [ ! -e /tmp/escaped ]
            head -c 1000 /dev/urandom > noise; refused 'is no archive of an OCI image layout' image pull oci-archive:noise z
            : > empty; refused 'it is empty' image pull oci-archive:empty z; gzip -k evil.tar; refused 'must be a plain tar' image pull oci-archive:evil.tar.gz z
            refused 'is no folder of the OCI image layout' image pull oci:m z; refused 'is no place for images' image pull 'oci:' z
            for bad in a/b localhost:5000 'localhost:5000/' localhost:5000/A localhost:5000/a/../b 'localhost:5000/a:b:c' \
                localhost:99999/a 'localhost:5000/a@sha512:00' 'user@localhost:5000/a' 'localhost:5000/a?x' '-/a' 'localhost:5000/a:-t'; do
                if "$mayfly" image pull "$bad" z 2> error || [ "$(wc -l < error)" != 1 ]; then fail "$bad: $(cat error)"; fi
            done
            refused 'bad --jobs' image pull localhost:1/a --jobs 0; refused 'bad --timeout' image push x localhost:1/a --timeout x
            """#)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func whatWasChangedIsRefusedOrRead(seed: UInt64) throws {
        let fuzz = try ArtifactFuzz(seed: seed)
        for _ in 0..<1000 { fuzz.step() }
        #expect(fuzz.refused > 0, "none was refused")
        #expect(fuzz.sound > 0, "none was read")
    }
}
