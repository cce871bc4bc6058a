import MayflyHost
import Testing

/// Images that travel: real peers on this machine, which each test starts and ends.
@Suite(.serialized, .enabled(if: RegistryScene.canRun, RegistryScene.whyNot))
struct RegistryTests {
    /// What is pushed comes back as it was, and what is there is not sent again.
    @Test func whatIsPushedComesBack() throws {
        try RegistryScene.run(
            #"""
            trees; registry; r=localhost:$port/team/app
            "$mayfly" image push base $r:base --json > said; sent said
            [ "$sent" = "$blobs" ] || fail "$(cat said)"; all=$blobs
            # Of the layer one blob and its config.
            "$mayfly" image push layer $r:v1 --json > said; sent said
            [ "$blobs" = $((all + 1)) ] && [ "$sent" = 2 ] || fail "$(cat said)"
            "$mayfly" image push layer $r:v1 --json > said; sent said; [ "$sent" = 0 ] || fail "$(cat said)"
            elsewhere; "$mayfly" image pull $r:v1 > said; grep -q 'is app in the store: sha256:' said || fail "$(cat said)"
            "$mayfly" mount m --from app --quiet; same; "$mayfly" umount m; "$mayfly" image check app > /dev/null
            for image in "$s"/images/*; do cmp "$image" "$folder/data/mayfly/images/$(basename $image)"; done
            # Nothing is left of what came, and nothing comes again.
            [ -z "$(ls "$s/partial")" ] || fail "$(ls -R "$s/partial")"
            "$mayfly" image pull $r:v1 other --json > said; grep -q '"blobs" : 0' said && grep -q '"presentFiles" : 2' said
            # The base alone was there: of the layer only the layer comes.
            elsewhere; "$mayfly" image pull $r:base b --quiet; "$mayfly" image pull $r:v1 --json > said
            grep -q '"blobs" : 1' said && grep -q '"presentFiles" : 1' said || fail "$(cat said)"
            # By the digest of the manifest, which is the same for what is pushed from there.
            digest=$("$mayfly" image push app $r:again --json | field digest); elsewhere
            "$mayfly" image pull $r@$digest x --quiet; "$mayfly" image pull $r:v1@$digest y --quiet
            refused 'there is no image at' image pull $r:nothing; refused 'makes no name\|there is no image' image pull $r:v8 z
            [ "$("$mayfly" image inspect oci://$r:v1 --json | field manifest)" = $digest ]
            "$mayfly" image inspect oci://$r:v1 | grep -q '^tree .*6 files with .*, 2 directories, 1 links' ||
                fail "$("$mayfly" image inspect oci://$r:v1)"
            "$mayfly" image inspect y --tree | grep -q '^tree .*6 files with .*, 2 directories, 1 links'
            """#)
    }

    @Test func mountsAndRunsBeginThere() throws {
        try RegistryScene.run(
            #"""
            trees; registry; r=localhost:$port/team/app; "$mayfly" image push layer $r:v1 --quiet; elsewhere
            "$mayfly" mount m --from oci://$r:v1 > said; same; "$mayfly" umount m
            grep -q "^mayfly: $r:v1 is localhost:$port+team+app:v1 in the store: sha256:" said || fail "$(cat said)"
            "$mayfly" mount m -o from=oci+http://$r:v1 --quiet; same; "$mayfly" umount m
            [ "$("$mayfly" run --quiet --from oci://$r:v1 -- cat new)" = new ]
            # No server carries what a transfer takes.
            "$mayfly" mount m --from oci://$r:v1 --quiet; server=$("$mayfly" list --json | field pid)
            [ -r /proc/$server/maps ] && ! grep -q libcurl /proc/$server/maps; "$mayfly" umount m
            refused 'there is no image at' mount m --from oci://$r:v2; refused 'cannot be reached' mount m --from oci://localhost:1/a
            if "$mayfly" run --from oci://$r:v2 -- true 2> error; then fail "it ran"; else [ $? = 125 ]; fi
            mkdir src; echo first > src/f
            [ "$("$mayfly" run --quiet --from oci://$r:v2 --if-missing src -- cat f)" = first ]
            [ "$("$mayfly" run --quiet --from oci://$r:v1 --if-missing src -- cat new)" = new ]
            refused 'cannot be reached' image pull localhost:1/a
            [ -z "$(ls "$s/partial" 2>/dev/null)" ]
            """#)
    }

    /// Users, passwords, certificates, and helpers.
    @Test func whoMayAndWhoIsTrusted() throws {
        try RegistryScene.run(
            #"""
            trees; certificate; htpasswd -Bbc pw user secret 2> /dev/null
            registry "auth: { htpasswd: { realm: x, path: $folder/pw } }" "tls: { certificate: $folder/cert.pem, key: $folder/key.pem }"
            r=localhost:$port/team/app
            refused 'certificate of localhost:[0-9]* is not trusted' image push layer $r:v1
            refused 'wants a user and a password' image push layer $r:v1 --ca ca.crt
            login() { echo '{"auths":{"'$2'":{"auth":"'$(printf "$3" | base64)'"}}}' > $1; }
            login bad.json localhost:$port user:wrong; login good.json https://localhost:$port/v2/ user:secret
            refused 'does not let user do this' image push layer $r:v1 --ca ca.crt --auth-file bad.json
            REGISTRY_AUTH_FILE=$folder/bad.json refused 'does not let user do this' image push layer $r:v1 --ca ca.crt
            REGISTRY_AUTH_FILE=$folder/none.json refused 'none.json cannot be read' image push layer $r:v1 --ca ca.crt
            echo '{' > broken.json; refused 'is no JSON' image push layer $r:v1 --ca ca.crt --auth-file broken.json
            "$mayfly" image push layer $r:v1 --ca ca.crt --auth-file good.json --quiet
            # Where docker and podman keep theirs, and the more special one first.
            mkdir -p "$HOME/.docker"; cp good.json "$HOME/.docker/config.json"
            SSL_CERT_FILE=$folder/ca.crt "$mayfly" image push layer $r:v2 --quiet
            mkdir -p run/containers; login run/containers/auth.json localhost:$port/team/app user:wrong
            XDG_RUNTIME_DIR=$folder/run refused 'does not let user' image push layer $r:v2 --ca ca.crt
            rm -r run; rm "$HOME/.docker/config.json"
            # A program that knows the password.
            mkdir bin; printf '#!/bin/sh\nread host; [ "$1 $host" = "get localhost:%s" ] || exit 9\necho %s\n' $port \
                "'{\"ServerURL\":\"x\",\"Username\":\"user\",\"Secret\":\"secret\"}'" > bin/docker-credential-test
            chmod +x bin/docker-credential-test
            echo '{"credHelpers":{"localhost:'$port'":"test"}}' > helper.json; echo '{"credsStore":"test"}' > store.json
            echo '{"credsStore":"../test"}' > hostile.json; echo '{"credsStore":"none"}' > missing.json
            PATH=$folder/bin:$PATH "$mayfly" image push layer $r:v3 --ca ca.crt --auth-file helper.json --quiet
            PATH=$folder/bin:$PATH "$mayfly" image push layer $r:v3 --ca ca.crt --auth-file store.json --quiet
            refused 'is no name of a credential helper' image push layer $r:v3 --ca ca.crt --auth-file hostile.json
            refused 'docker-credential-none cannot be started' image push layer $r:v3 --ca ca.crt --auth-file missing.json
            # A folder of certificates for this registry alone, and a mount.
            mkdir -p "$HOME/.config/containers/certs.d/localhost:$port"; cp ca.crt "$HOME/.config/containers/certs.d/localhost:$port/"
            elsewhere; REGISTRY_AUTH_FILE=$folder/good.json "$mayfly" mount m --from oci://$r:v3 --quiet; same; "$mayfly" umount m
            refused 'answers with status 400' image pull $r:v3 --plain-http
            """#)
    }

    /// Plain HTTP is for this machine, or for who asks for it.
    @Test func otherMachinesAreEncrypted() throws {
        try RegistryScene.run(
            #"""
            trees; registry; address=$(hostname -I | cut -d ' ' -f 1); case "$address" in *.*) ;; *) exit 0 ;; esac
            forward "$address"; r=$address:$other/team/app
            refused 'does not speak TLS\|failed' image push layer $r:v1
            "$mayfly" image push layer $r:v1 --plain-http --quiet; elsewhere
            refused 'does not speak TLS\|failed' mount m --from oci://$r:v1
            "$mayfly" mount m --from oci+http://$r:v1 --quiet; same; "$mayfly" umount m
            """#)
    }

    @Test func layoutsAreThoseOfSkopeo() throws {
        try RegistryScene.run(
            #"""
            trees; registry; r=localhost:$port/team/app; "$mayfly" image push layer $r:v1 --quiet
            copy() { skopeo copy --src-tls-verify=false --dest-tls-verify=false "$@" > said 2>&1 || fail "$(cat said)"; }
            skopeo inspect --raw --tls-verify=false docker://$r:v1 | grep -q '"artifactType":"application/vnd.mayfly.image.v1"'
            skopeo inspect --config --raw --tls-verify=false docker://$r:v1 | grep -q '"format":1'
            # From the registry to a folder, to another registry, to an archive, and back.
            copy docker://$r:v1 oci:folder:v1; copy oci:folder:v1 docker://$r:v2; copy docker://$r:v2 oci-archive:a.tar:v2
            elsewhere; "$mayfly" mount m --from oci:folder:v1 --quiet; same; "$mayfly" umount m
            elsewhere; "$mayfly" image pull $r:v2 --quiet; "$mayfly" image check app > /dev/null
            elsewhere; "$mayfly" run --quiet --from oci-archive:a.tar -- sh -c 'cat new' | grep -q new
            # And what mayfly writes.
            elsewhere; "$mayfly" image pull $r:v2 x --quiet; "$mayfly" image push x oci:own:one --quiet
            "$mayfly" image push x oci-archive:own.tar:two --quiet; tar tf own.tar | grep -q '^blobs/sha256/'
            copy oci:own:one docker://$r:v3; copy oci-archive:own.tar:two docker://$r:v4
            for tag in v1 v2 v3 v4; do skopeo inspect --raw --tls-verify=false docker://$r:$tag | sha256sum; done > sums
            [ "$(sort -u sums | wc -l)" = 1 ] || fail "$(cat sums)"
            # Images of others in a folder stay.
            copy oci:folder:v1 oci:own:theirs; "$mayfly" image push x oci:own:one --quiet
            grep -o 'ref.name":"[a-z]*"' own/index.json | sort | tr '\n' ' ' > names
            [ "$(cat names)" = 'ref.name":"one" ref.name":"theirs" ' ] || fail "$(cat names)"
            refused 'has 2 images: say which' image pull oci:own z
            mkdir full; echo > full/x; refused 'is not empty, and is no OCI image layout' image push x oci:full
            """#)
    }

    /// Two processes at once bring the same image, and another one is pushed again and again meanwhile.
    @Test func manyAtOnce() throws {
        try RegistryScene.run(
            #"""
            trees; registry; r=localhost:$port/team/app; "$mayfly" image push layer $r:v1 --quiet; "$mayfly" image push base $r:v2 --quiet
            (for i in 1 2 3 4; do "$mayfly" image push base $r:v2 --quiet; "$mayfly" image push layer $r:v2 --quiet; done) & pusher=$!
            elsewhere; jobs=
            for i in 1 2 3 4; do "$mayfly" image pull $r:v1 n$i --quiet & jobs="$jobs $!"; done
            for i in 1 2 3; do XDG_DATA_HOME=$folder/more "$mayfly" image pull $r:v2 --quiet; done
            for job in $jobs; do wait $job; done; wait $pusher
            for i in 1 2 3 4; do "$mayfly" image check n$i > /dev/null; done
            [ "$(ls "$s/images" | wc -l)" = 2 ] && [ -z "$(ls "$s/partial")" ]
            """#)
    }
}
