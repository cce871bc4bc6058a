import MayflyHost
import Testing

/// A registry that goes wrong (`Tests/Registry/proxy.py`): a pull ends right or says what is wrong, and leaves nothing
/// under a name.
@Suite(.serialized, .enabled(if: RegistryScene.canRun, RegistryScene.whyNot))
struct RegistryFaultTests {
    private static let scene = #"""
        trees 600000; registry; proxy; mode none; r=localhost:$other/team/app; "$mayfly" image push layer localhost:$port/team/app:v1 --quiet
        pull() { "$mayfly" image pull $r:v1 "$@"; }
        whole() { "$mayfly" image check app > /dev/null && "$mayfly" mount m --from app --quiet; same; "$mayfly" umount m
            [ -z "$(ls "$s/partial")" ] || fail "$(ls -R "$s/partial")"; }
        # Nothing has a name, and what gc leaves is nothing.
        nothing() { [ -z "$("$mayfly" image store list --json | grep '"name"')" ] || fail "$("$mayfly" image store list)"
            "$mayfly" image store gc --quiet; [ -z "$(ls "$s/images")$(ls "$s/partial")" ] || fail "$(ls -R "$s")"; }
        # Bytes of blobs that went over the wire.
        carried() { awk '$1 == "GET" && $2 ~ /blobs/ { sum += $7 } END { print sum + 0 }' proxy/log; }

        """#

    /// All of it at once, as most of the time is spent waiting before another try.
    @Test func itEndsRightOrSaysWhatIsWrong() throws {
        let scripts = [
            ("whatPassesDoesNotMatter", Self.whatPassesDoesNotMatter),
            ("whatStaysIsSaid", Self.whatStaysIsSaid), ("aPullGoesOn", Self.aPullGoesOn),
            ("aPushGoesOn", Self.aPushGoesOn), ("tokens", Self.tokens),
        ]
        try RegistryScene.run(scripts.map { (name: $0.0, script: Self.scene + $0.1) })
    }

    /// What is over soon does not matter. Half of the faults are left to `MAYFLY_EVERY_FAULT=1`, as most of the time is
    /// spent waiting before another try.
    private static let whatPassesDoesNotMatter =
        #"""
        elsewhere; pull --quiet; all=$(carried); whole
        faults=('busy 429 2' 'flip 1' 'redirect')
        [ -z "${MAYFLY_EVERY_FAULT:-}" ] || faults+=('break 3' 'short 3' 'busy 503 3' 'busy 500 1' 'refuse 2')
        for fault in "${faults[@]}"; do
            elsewhere; mode $fault; pull --quiet || fail "$fault"; whole
            [ "$(carried)" -lt $((all * 2)) ] || fail "$fault: $(carried) of $all"
            case "$fault" in busy*) [ $(grep -c " ${fault:5:3} " proxy/log) -ge 1 ] ;; esac
        done
        # A connection that goes silent is given up, and the blob goes on where it was.
        elsewhere; mode stall 1; pull --quiet --timeout 2; whole
        awk '$3 ~ /^bytes=[1-9]/ { found = 1 } END { exit !found }' proxy/log || fail "$(cat proxy/log)"
        elsewhere; mode break 3; pull --quiet --jobs 1; grep -c 'bytes=[1-9][0-9]*- ' proxy/log | grep -q '[123]'
        [ "$(carried)" -lt $((all + all / 4)) ] || fail "$(carried) of $all came"; whole
        # Without ranges it comes anew.
        elsewhere; mode break 1; pull --quiet --jobs 1 & sleep 0.2; mode norange; wait $!; whole
        """#

    /// What does not pass is said, and nothing has the name.
    private static let whatStaysIsSaid =
        #"""
        try() { local what=$1; shift; elsewhere; mode "$@"; refused "$what" image pull $r:v1 --timeout 1; nothing; }
        try 'came 2 times with other bytes' flip
        try 'sends more for the blob' long
        try 'sends more for the blob' drip
        try 'lacks the blob' gone
        try 'too much to do: it answers with 429' busy 429
        try 'too much to do: it answers with 503' busy 503
        try 'try in 3600 s' later
        try 'answers with status 403\|does not let\|wants a user' busy 403
        try 'a manifest that is not what its digest says' manifest
        try 'is damaged\|connection to\|failed' nonsense
        try 'cannot be reached\|connection to' refuse
        try 'ends the blob\|connection to localhost:[0-9]* broke' short
        # What was there before stays under its name.
        elsewhere; mode none; "$mayfly" image pull $r:v1 --quiet; before=$(readlink "$s/names/app")
        mkdir t2; echo other > t2/f; "$mayfly" image build other.mayfly --from t2 --quiet
        "$mayfly" image push other.mayfly localhost:$port/team/app:v2 --quiet; mode gone
        refused 'lacks the blob' image pull $r:v2; [ "$(readlink "$s/names/app")" = "$before" ]; mode none; whole
        "$mayfly" image pull $r:v2 --quiet; [ "$(readlink "$s/names/app")" != "$before" ]
        elsewhere; mode gone; refused 'lacks the blob' mount m --from oci://$r:v1; ! mountpoint -q m; nothing
        """#

    /// What has come stays, and the next pull begins there.
    private static let aPullGoesOn =
        #"""
        mode none; elsewhere; pull --quiet; all=$(carried); whole
        # Ended by an error, and by a signal.
        elsewhere; mode break; refused 'connection to' image pull $r:v1 --jobs 1; first=$(carried)
        [ "$(find "$s/partial" -type f | wc -l)" -ge 1 ]; mode none; pull --quiet; second=$(carried); whole
        [ "$second" -lt "$all" ] || fail "$first and $second of $all"
        elsewhere; mode stall; "$mayfly" image pull $r:v1 --quiet & p=$!
        until_true '[ -n "$(find "$s/partial" -type f -size +100k 2>/dev/null)" ]'; kill -9 $p; wait $p 2> /dev/null || true
        [ -z "$(ls "$s/names")" ]; mode none; pull --quiet; [ "$(carried)" -lt "$all" ] || fail "$(carried) of $all"; whole
        # What lies there was changed: it comes anew.
        elsewhere; mode break; refused 'connection to' image pull $r:v1 --jobs 1; mode none
        for file in $(find "$s/partial" -type f); do size=$(stat -c %s $file); head -c $size /dev/zero > $file; done
        pull --quiet; whole
        elsewhere; mode break; refused 'connection to' image pull $r:v1 --jobs 1; nothing
        """#

    /// A push that fails changes no tag, and one that goes on does not send what is there.
    private static let aPushGoesOn =
        #"""
        tag() { curl -s -H 'Accept: application/vnd.oci.image.manifest.v1+json' http://localhost:$port/v2/team/app/manifests/$1 | sha256sum; }
        before=$(tag v1); mkdir t2; head -c 9000000 /dev/urandom > t2/f; "$mayfly" image build o.mayfly --from t2 --quiet
        mode busy 503; refused 'too much to do' image push o.mayfly $r:v1; [ "$(tag v1)" = "$before" ]
        mode busy 429 3; "$mayfly" image push o.mayfly $r:v1 --quiet; [ "$(tag v1)" != "$before" ]
        mode refuse 3; "$mayfly" image push layer $r:v3 --quiet; mode none; "$mayfly" image push layer $r:v1 --quiet; [ "$(tag v1)" = "$before" ]
        elsewhere; pull --quiet; whole
        """#

    /// A token service gets the password, and who else is asked does not.
    private static let tokens =
        #"""
        echo '{"auths":{"localhost:'$other'":{"auth":"'$(printf user:secret | base64)'"}}}' > good.json
        echo '{"auths":{"localhost:'$other'":{"auth":"'$(printf user:no | base64)'"}}}' > bad.json
        elsewhere; mode token; refused 'wants a user and a password' image pull $r:v1
        refused 'does not let user do this' image pull $r:v1 --auth-file bad.json
        pull --auth-file good.json --quiet; whole; grep -q '^GET /token?scope=repository%3Ateam%2Fapp%3Apull&service=proxy - auth 200' proxy/log || fail "$(cat proxy/log)"
        mode token; "$mayfly" image push app $r:v2 --auth-file good.json --quiet; grep -q 'pull%2Cpush' proxy/log
        # To where the blob lies goes no password: that registry would refuse one that it does not know.
        elsewhere; mode redirect; pull --auth-file good.json --quiet; whole; ! grep -q ' auth ' proxy/log
        """#
}
