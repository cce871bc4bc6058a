import Glibc
import Testing

@testable import MayflyHost

/// What the tests of registries have in common: a shell script with peers that it starts and ends.
enum RegistryScene {
    static let canRun =
        BuiltCommand.canMount
        && ["docker-registry", "htpasswd", "openssl", "python3", "skopeo"].allSatisfy {
            HostFile.isInPath(PathBytes($0))
        }
    static let whyNot: Comment =
        "it takes root, /dev/fuse, docker-registry, skopeo, apache2-utils, openssl and python3"

    private static let root =
        "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")

    private static let scene = #"""
        tests=\#(root)/Tests/Registry; cd "$folder"; mkdir m home; export HOME=$folder/home XDG_DATA_HOME=$folder/data; s=$XDG_DATA_HOME/mayfly
        unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy REGISTRY_AUTH_FILE XDG_RUNTIME_DIR XDG_CONFIG_HOME \
            SSL_CERT_FILE DOCKER_CONFIG
        started=
        finish() { set +e; for p in $started; do kill $p 2> /dev/null; wait $p 2> /dev/null; done
            "$mayfly" umount m > /dev/null 2>&1; cd /; rm -rf "$folder"; }
        trap finish EXIT
        fail() { echo "$*"; return 1; }
        refused() { local what=$1; shift
            if "$mayfly" "$@" > /dev/null 2> error; then echo "not refused: $*"; return 1; fi
            grep -q "^mayfly: .*\($what\)" error && [ "$(wc -l < error)" = 1 ] || { echo "$*:"; cat error; return 1; }
        }
        field() { sed -n 's/.*"'$1'" : "\{0,1\}\([^",]*\).*/\1/p' | head -1; }
        sent() { blobs=$(field blobs < $1); sent=$(field sentBlobs < $1); }
        # An image with a layer on it, by the names base and layer.
        trees() {
            mkdir t t/d; for i in 1 2 3; do head -c ${1:-2500000} /dev/urandom > t/f$i; done; ln t/f1 t/d/hard; ln -s f1 t/soft
            chmod 640 t/f2; touch -d 2001-02-03 t/f3
            "$mayfly" image build base.mayfly --from t --quiet; "$mayfly" image store add base.mayfly > /dev/null
            "$mayfly" mount m --from base --quiet; echo new > m/new; echo > m/d/empty; "$mayfly" save m l.mayfly --on base > /dev/null
            "$mayfly" umount m; "$mayfly" image store add l.mayfly --name layer > /dev/null; rm base.mayfly l.mayfly
        }
        same() { diff -r --no-dereference t m > differences || true
            [ "$(cat differences)" = "$(printf 'Only in m/d: empty\nOnly in m: new')" ] || { cat differences; return 1; }
            [ "$(stat -c %Y%a m/f2 m/f3)" = "$(stat -c %Y%a t/f2 t/f3)" ] && [ "$(stat -c %h m/f1)" = 2 ]; }
        # An empty store.
        stores=0; elsewhere() { stores=$((stores + 1)); export XDG_DATA_HOME=$folder/data$stores; s=$XDG_DATA_HOME/mayfly; }
        free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
        # A registry of Debian's, on $port.
        registry() {
            port=$(free); printf 'version: 0.1\nlog: { level: error, accesslog: { disabled: true } }\nstorage: { filesystem: { rootdirectory: %s } }\nhttp: { addr: "127.0.0.1:%s", %s }\n%s\n' \
                "$folder/registry$port" $port "${2:-}" "${1:-}" > $port.yml
            docker-registry serve $port.yml > $port.log 2>&1 & started="$started $!"
            until_true "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", $port))' 2> /dev/null"
        }
        # A proxy before it that goes wrong, on $other.
        proxy() { mkdir -p proxy; rm -f proxy/port; python3 $tests/proxy.py $port proxy & started="$started $!"
            until_true '[ -e proxy/port ]'; other=$(cat proxy/port); }
        mode() { echo "$*" > proxy/mode; : > proxy/log; }
        # The registry by another address of this machine, on $other.
        forward() { other=$(free); python3 -c '
        import socket, sys, threading
        server = socket.create_server((sys.argv[1], int(sys.argv[2])))
        def pump(a, b):
            try:
                while data := a.recv(65536): b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError: pass
        while True:
            near, _ = server.accept(); far = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
            threading.Thread(target=pump, args=(near, far), daemon=True).start()
            threading.Thread(target=pump, args=(far, near), daemon=True).start()' "$1" $other $port & started="$started $!"
            until_true "python3 -c 'import socket; socket.create_connection((\"$1\", $other))' 2> /dev/null"; }
        certificate() {
            openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=test 2> /dev/null
            openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj /CN=localhost 2> /dev/null
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' > names
            openssl x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names 2> /dev/null
        }

        """#

    static func run(_ script: String, seconds: Int = 240) throws {
        try run([("", script)], seconds: seconds)
    }

    /// Runs scripts beside each other.
    static func run(_ scripts: [(name: String, script: String)], seconds: Int = 240) throws {
        let running = try scripts.map {
            (name: $0.name, process: try BuiltCommand.start(script: scene + $0.script))
        }
        for script in running {
            let done = try script.process.wait(seconds: seconds)
            #expect(done.status == 0, "\(script.name) \(done.report)")
        }
    }
}
