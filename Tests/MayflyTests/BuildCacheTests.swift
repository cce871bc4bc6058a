import MayflyHost
import Testing

/// `mayfly run --from NAME --save NAME`: a tree that the last run that succeeded has left.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct BuildCacheTests {
    private static let scene = #"""
        cd "$folder"; export XDG_DATA_HOME=$folder/data; s=$folder/data/mayfly
        fail() { echo "$*"; return 1; }
        refused() { local what=$1; shift
            if "$mayfly" "$@" > /dev/null 2> error; then echo "not refused: $*"; return 1; fi
            grep -q "^mayfly: .*$what" error || { cat error; return 1; }
        }
        cached() { "$mayfly" run --quiet --transport $transport --from cache --save cache --if-missing src -- "$@"; }
        look() { "$mayfly" run --quiet --from cache -- "$@"; }
        layers() { "$mayfly" image store list --json | sed -n 's/.*"depth":\([0-9]*\).*"name":"cache".*/\1/p'; }
        mkdir src; echo 'int main(void) { return 0; }' > src/a.c; head -c 4000000 /dev/urandom > src/data

        """#

    private func run(
        _ script: String, transport: TestTransport = .best, seconds: Int = 120
    ) throws {
        try transport.require()
        let done = try BuiltCommand.script(
            "transport=\(transport.rawValue)\n" + Self.scene + script, seconds: seconds)
        #expect(done.status == 0, "\(done.report)")
    }

    @Test(arguments: TestTransport.allCases)
    func theNextRunBeginsWhereTheLastOneEnded(transport: TestTransport) throws {
        try run(
            #"""
            refused 'cannot be opened' run --from cache --save cache -- true
            cached sh -c 'echo one > made; touch -d 2001-02-03 made'
            cached sh -c '[ "$(cat made)" = one ] && [ "$(stat -c %Y made)" = "$(date -d 2001-02-03 +%s)" ] && echo two > made'
            [ "$(look cat made)" = two ]; [ "$(layers)" = 1 ] || fail "$(layers) layers"
            # A command that fails keeps nothing, and neither does one that is killed.
            if cached sh -c 'echo three > made; exit 3'; then fail "it failed"; else [ $? = 3 ]; fi
            cached sh -c 'echo three > made; kill -9 $$' || [ $? = 137 ]
            [ "$(look cat made)" = two ]
            "$mayfly" run --from cache --save cache -- true 2> said
            grep -q '^mayfly: cache is taken from the store: sha256:' said
            grep -q '^mayfly: the tree is kept as cache in the store: a layer of' said || fail "$(cat said)"
            "$mayfly" run --quiet --report report --from cache --save other -- true; grep -q '"saved": "other"' report
            "$mayfly" image check cache > /dev/null; "$mayfly" image check other > /dev/null
            """#, transport: transport)
    }

    /// Layers are put together where there are many, and written as one image where they weigh much.
    @Test func chainsStayShort() throws {
        try run(
            #"""
            for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
                cached sh -c "[ $n = 1 ] || [ -e n$((n - 1)) ]; echo $n > n$n"; echo "$(layers)" >> depths
            done
            [ "$(tr '\n' ' ' < depths)" = "0 1 2 3 4 5 6 7 8 1 2 3 " ] || fail "$(cat depths)"
            [ "$(look sh -c 'cat n?  n??')" = "$(seq 12)" ]; "$mayfly" image check cache > /dev/null
            cached sh -c 'head -c 3000000 /dev/urandom > big; cksum < big > sum'; [ "$(layers)" = 4 ]
            cached true; [ "$(layers)" = 0 ] || fail "$(layers) layers, which weigh more than the base"
            # The run itself used what it began with.
            "$mayfly" image store gc --quiet; [ "$(ls "$s/images" | wc -l)" = 1 ] || fail "$(ls "$s/images")"
            look sh -c 'cksum < big | cmp - sum'
            """#)
    }

    /// Two at once: each begins with what was there, and the last one to end stays, whole.
    @Test func twoRunsDoNotMix() throws {
        try run(
            #"""
            cached true
            cached sh -c 'echo 1 > one; touch '$folder'/up1; while [ ! -e '$folder'/go1 ]; do sleep 0.05; done' & first=$!
            cached sh -c '[ ! -e one ]; echo 2 > two; touch '$folder'/up2; while [ ! -e '$folder'/go2 ]; do sleep 0.05; done' & second=$!
            until_true '[ -e up1 ] && [ -e up2 ]'
            touch go2; wait $second; look sh -c '[ -e two ] && [ ! -e one ]'
            # What both began with is needed by the first still.
            "$mayfly" image store gc --quiet
            touch go1; wait $first; look sh -c '[ -e one ] && [ ! -e two ]'; "$mayfly" image check cache > /dev/null
            """#)
    }

    /// Files, and layers in files.
    @Test func aRunCanBeSavedInAFile() throws {
        try run(
            #"""
            "$mayfly" image build base.mayfly --from src --quiet
            "$mayfly" run --quiet --from base.mayfly --save built.mayfly --on base.mayfly -- sh -c 'echo x > x'
            "$mayfly" run --quiet --from built.mayfly --save ./alone -- sh -c '[ "$(cat x)" = x ]'
            [ "$(stat -c %s built.mayfly)" -lt 200000 ]; "$mayfly" image diff built.mayfly alone
            refused '--on goes with --save' run --on base.mayfly -- true
            refused '--on goes with a file' run --save name --on base.mayfly -- true
            refused '--if-missing goes with --from' run --if-missing src -- true
            refused 'no name for an image' run --save 'a b' -- true
            refused 'the folder that it lies in must exist' run --save nowhere/x -- true
            refused 'there is no nothing' run --save ./x --on nothing -- true
            """#)
    }

    /// A user who may do nothing has a store, in a namespace that it is not made in.
    @Test func aUserHasOneToo() throws {
        try run(
            #"""
            chmod 711 "$folder"; mkdir home; cp "$mayfly" m; chown -R nobody home src
            cat > inner <<'END'
            # A device node of its own, as its mode is not to change for the rest of the machine.
            mknod -m 666 "$folder/fuse" c 10 229; mount --bind "$folder/fuse" /dev/fuse
            user() { (cd home; exec env -u XDG_DATA_HOME HOME="$folder/home" setpriv --reuid=nobody --regid=nogroup                 --clear-groups "$folder/m" "$@"); }
            user run --quiet --from build --save build --if-missing "$folder/src" -- sh -c 'echo one > made'
            user run --quiet --from build --save build -- sh -c '[ "$(cat made)" = one ]; echo two > made'
            user run --quiet --from build -- sh -c 'cat made; stat -c %U made'
            user image store list --json | grep -c '"name":"build"'; user image check build > /dev/null
            [ "$(stat -c %U%a home/.local/share/mayfly)" = nobody700 ]
            END
            export mayfly folder; unshare --mount bash -e inner > said; [ "$(tr '\n' ' ' < said)" = 'two nobody 1 ' ] || fail "$(cat said)"
            """#)
    }

    // MARK: the recipes of Docs/Images.md

    @Test func make() throws {
        try run(
            #"""
            printf 'prog: a.o b.o\n\tcc -o $@ $^\n%%.o: %%.c\n\tcc -c -o $@ $<; echo built $@\n' > src/Makefile
            echo 'int b;' > src/b.c
            build() { "$mayfly" run --quiet --from proj --save proj --if-missing src -- \
                sh -c 'cp -au "$0"/. . && make' "$folder/src"; }
            build > first; [ "$(grep -c '^built' first)" = 2 ] || fail "$(cat first)"
            build > second; [ "$(grep -c '^built' second)" = 0 ] || fail "$(cat second)"
            sleep 1; echo 'int c;' >> src/b.c; build > third; [ "$(grep '^built' third)" = 'built b.o' ] || fail "$(cat third)"
            """#)
    }

    @Test func pythonEnvironment() throws {
        try run(
            #"""
            mkdir empty
            env() { "$mayfly" run --quiet --at "$folder/at" --from venv --save venv --if-missing empty -- \
                sh -c 'cd "$MAYFLY_ROOT"; [ -x v/bin/python ] || { python3 -m venv --without-pip v; echo made; }; v/bin/python -c "import sys; print(sys.prefix)"'; }
            mkdir at; [ "$(env | tr '\n' ' ')" = "made $folder/at/v " ]; [ "$(env)" = "$folder/at/v" ]
            """#)
    }

    @Test(.enabled(if: HostFile.isInPath("ccache"), "there is no ccache here"))
    func ccache() throws {
        try run(
            #"""
            mkdir empty
            build() { "$mayfly" run --quiet --from ccache --save ccache --if-missing empty -- \
                sh -c 'CCACHE_DIR=$MAYFLY_ROOT ccache cc -c "$0/src/a.c" -o "$0/a.o"; CCACHE_DIR=$MAYFLY_ROOT ccache --print-stats' "$folder"; }
            build > first; grep -q '^cache_miss.1\|cache_miss	1' first; build > second
            grep -q 'direct_cache_hit	1\|preprocessed_cache_hit	1' second || fail "$(cat second)"
            """#)
    }
}
