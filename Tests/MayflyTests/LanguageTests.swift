import Glibc
import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyHost

/// The packages of other languages, installed and tested as their users do, and the examples of
/// Docs/Languages.md.
@Suite(
    .serialized, .timeLimit(.minutes(3)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct LanguageTests {
    private static let sources = ExampleTests.root + "/Sources"
    private static let page = HostFile.text(at: ExampleTests.root + "/Docs/Languages.md") ?? ""

    static func has(_ command: String...) -> Bool {
        (try? ChildProcess.run(["/usr/bin/env"] + command))?.status == 0
    }

    /// Runs a script in a folder of its own, in which `user` runs a command as a user, who may mount, and
    /// can execute `$MAYFLY`.
    private func run(_ command: String) throws -> ChildProcess.Outcome {
        try BuiltCommand.script(
            """
            cd "$folder"
            cp "$mayfly" "$folder/command"
            export MAYFLY="$folder/command" TMPDIR="$folder" HOME="$folder" PYTHONDONTWRITEBYTECODE=1
            mknod -m 666 "$folder/fuse" c 10 229
            mount --bind "$folder/fuse" /dev/fuse
            trap 'set +e; cd /; umount /dev/fuse; rm -rf --one-file-system "$folder" /tmp/mayfly-61234' EXIT
            mkdir -m 700 "$folder/home"; chown 61234:61234 "$folder/home"
            user() { setpriv --reuid=61234 --regid=61234 --clear-groups env TMPDIR="$folder/home" "$@"; }
            \(command)
            """, seconds: 170)
    }

    // MARK: Python

    /// A Python with the package, and what the tests of the package take, in $python.
    private static let installed = """
        # Not where pip would write: the sources are not to change.
        cp -r '\(sources)/Python' "$folder/Python"; chmod -R a+rX "$folder/Python"
        /usr/bin/python3 -m venv --system-site-packages "$folder/venv"
        "$folder/venv/bin/pip" install -q --no-index "$folder/Python"
        python="$folder/venv/bin/python"
        passes() {
            "$@" "$python" -m pytest -q -p no:cacheprovider --rootdir="$folder/Python" "$folder/Python/tests" -n 4
        }

        """
    private static let hasPytest = has("/usr/bin/python3", "-c", "import pytest, xdist, ensurepip")
    private static let noPytest: Comment =
        "python3-pytest, python3-pytest-xdist and python3-venv are needed"

    @Test(.enabled(if: hasPytest, noPytest)) func pytestWithFourWorkers() throws {
        let outcome = try run(Self.installed + "passes env --unset=PYTEST_ADDOPTS")
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.contains(" passed in "), "\(outcome.report)")
    }

    @Test(.enabled(if: hasPytest, noPytest)) func pytestOfAUserInANamespaceOfItsOwn() throws {
        let outcome = try run(
            Self.installed
                + """
                cat > "$folder/home/test_user.py" <<'END'
                import os
                def test_is_who_it_was(mayfly):
                    assert os.geteuid() == 61234
                    (mayfly / "file").touch()
                    assert (mayfly / "file").stat().st_uid == 61234
                def test_passes_no_check_that_it_does_not(mayfly):
                    assert not os.access("/etc/shadow", os.R_OK)
                END
                test() {
                    user "$@" "$python" -m pytest -q -p no:cacheprovider --rootdir="$folder/home" "$folder/home" || true
                }
                test env
                echo "in a namespace:"
                test env MAYFLY_TESTING_NAMESPACE=1
                test env MAYFLY_TESTING_NAMESPACE=1 PYTEST_ADDOPTS='-n 2'
                """)
        #expect(outcome.status == 0, "\(outcome.report)")
        let parts = outcome.output.split(separator: "in a namespace:")
        #expect(
            parts.first?.contains(
                "this user may not mount: set MAYFLY_TESTING_NAMESPACE=1, which gives the tests a namespace of "
                    + "their own, or run them as root") == true, "\(outcome.report)")
        #expect(parts.last?.split(separator: "2 passed in").count == 3, "\(outcome.report)")
    }

    @Test(
        .enabled(if: has("/usr/bin/python3", "-c", "import ensurepip"), "there is no python3-venv"))
    func aWheelCarriesTheCommand() throws {
        let outcome = try run(
            """
            printf '#!/bin/sh\\necho "the command: $*"\\n' > carried; chmod 755 carried
            cp -r '\(Self.sources)/Python' Python
            /usr/bin/python3 -m venv venv
            MAYFLY_BINARY="$folder/carried" venv/bin/pip wheel -q --no-index --wheel-dir wheels ./Python
            ls wheels
            MAYFLY_BINARY="$folder/none" venv/bin/pip wheel -q --no-index --wheel-dir wheels ./Python 2>&1 \\
                | grep -o 'MAYFLY_BINARY is .*'
            venv/bin/pip install -q --no-index wheels/*.whl
            unset MAYFLY
            PATH=/nowhere "$folder/venv/bin/python" -c 'import mayfly_fs; print(mayfly_fs.command("list"), mayfly_fs.__version__)'
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        let version = MayflyVersion.text
        #expect(
            outcome.output.contains("mayfly_fs-\(version)-py3-none-linux_"), "\(outcome.report)")
        #expect(outcome.output.contains("/none, which is no program"), "\(outcome.report)")
        #expect(outcome.output.hasSuffix("the command: list\n \(version)\n"), "\(outcome.report)")
    }

    // MARK: Node

    @Test(.enabled(if: has("node", "--version"), "there is no node here"))
    func nodeTest() throws {
        let outcome = try run("node --test '\(Self.sources)/Node/tests'")
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.contains("pass 8\n"), "\(outcome.report)")
    }

    @Test(.enabled(if: has("node", "--version"), "there is no node here"))
    func nodeIsOfThisVersion() throws {
        let outcome = try run("node -p 'require(\"\(Self.sources)/Node/package.json\").version'")
        #expect(outcome.output == "\(MayflyVersion.text)\n", "\(outcome.report)")
    }

    // MARK: others

    /// The example of a language on the page.
    private func example(_ language: String) throws -> String {
        let parts = Self.page.split(separator: "```\(language)\n")
        try #require(
            parts.count == 2, "Docs/Languages.md has no example of \(language), or several")
        return String(try #require(parts[1].split(separator: "```").first))
    }

    /// Compiles and runs a program that takes a socket, has a snapshot taken, and prints the answer.
    private func takesASnapshot(_ build: String, _ file: String, _ text: String) throws {
        let outcome = try run(
            """
            mkdir m
            "$MAYFLY" mount --json --size 16m m --until-pid $$ > mounted.json
            socket=$(sed -n 's/.*"socket" : "\\(.*\\)".*/\\1/p' mounted.json)
            cat > \(file) <<'END'
            \(text)
            END
            \(build) "$socket"
            "$MAYFLY" snapshots m
            "$MAYFLY" umount m
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output.contains(#""name":"by-program""#), "\(outcome.report)")
        #expect(outcome.output.contains("\nby-program "), "\(outcome.report)")
    }

    @Test(.enabled(if: has("rustc", "--version"), "there is no rustc here"))
    func rust() throws {
        // The toolchain's own folders are found by the home of its user.
        let home = BuiltCommand.variable("HOME") ?? "/root"
        try takesASnapshot(
            "HOME=\(home) rustc --edition 2021 -o p p.rs && ./p", "p.rs",
            try example("rust")
                + """
                fn main() {
                    let socket = std::env::args().nth(1).unwrap();
                    println!("{}", post(&socket, "/v1/snapshots", "{\\"name\\": \\"by-program\\"}").unwrap());
                }
                """)
    }

    @Test(.enabled(if: has("go", "version"), "there is no go here"))
    func go() throws {
        let imports = ["context", "io", "net", "net/http", "os", "strings"].map { "\"\($0)\"" }
        try takesASnapshot(
            "go run p.go", "p.go",
            """
            package main
            import (\(imports.joined(separator: "; ")))
            \(try example("go"))
            func main() {
            	answer, err := Post(os.Args[1], "/v1/snapshots", "{\\"name\\": \\"by-program\\"}")
            	if err != nil { panic(err) }
            	io.Copy(os.Stdout, answer.Body)
            }
            """)
    }

    @Test(.enabled(if: has("javac", "-version"), "there is no javac here"))
    func java() throws {
        try takesASnapshot(
            "javac P.java && java -cp . P", "P.java",
            """
            import java.io.*; import java.net.*; import java.nio.*; import java.nio.channels.*;
            import java.nio.charset.*;
            class P {
            \(try example("java"))
                public static void main(String[] words) throws IOException {
                    System.out.println(post(words[0], "/v1/snapshots", "{\\"name\\": \\"by-program\\"}"));
                }
            }
            """)
    }
}

/// `mayfly mount --until-pid` and `--until-eof`.
@Suite(
    .serialized, .timeLimit(.minutes(1)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct MountOwnerTests {
    /// A fork, and whoever stands in the mounts, do not keep them.
    @Test(arguments: TestTransport.allCases)
    func aMountEndsWithAKilledProcess(_ transport: TestTransport) throws {
        try transport.require()
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m f
            sleep 100 & owner=$!
            "$mayfly" mount --quiet --size 16m --transport \(transport.rawValue) m --until-pid $owner
            "$mayfly" fork m f > /dev/null
            (cd m; exec sleep 100) & user=$!
            until_true '[ "$(readlink /proc/$user/cwd)" = "$folder/m" ]'
            sleep 0.3
            grep -c "$folder/[mf] " /proc/self/mounts
            kill -9 $owner
            until_true '! grep -q "$folder/[mf] " /proc/self/mounts'
            kill $user
            wait || true
            rmdir m f
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output == "2\n", "\(outcome.report)")
    }

    @Test(arguments: ["", "--foreground"]) func aMountEndsWithItsInput(_ way: String) throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m; mkfifo pipe
            sleep 100 > pipe & owner=$!
            "$mayfly" mount --quiet --size 16m m \(way) --until-eof < pipe &
            until_true 'grep -q "$folder/m " /proc/self/mounts'
            sleep 0.3
            grep -c "$folder/m " /proc/self/mounts
            kill -9 $owner
            until_true '! grep -q "$folder/m " /proc/self/mounts'
            wait || true
            rmdir m
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(outcome.output == "1\n", "\(outcome.report)")
    }

    @Test func whatIsNoOwnerIsRefused() throws {
        try withFolder { folder in
            for (option, text) in [
                ("--until-pid=4194305", "there is no process 4194305: give --until-pid the number"),
                ("--until-pid=0", "there is no process 0"),
                ("--until-eof", "the standard input is no pipe: --until-eof takes one that"),
            ] {
                let outcome = try BuiltCommand.run(["mount", "--quiet", folder, option])
                #expect(outcome.status == 1, "\(outcome.report)")
                #expect(outcome.errors.hasPrefix("mayfly: \(text)"), "\(outcome.report)")
                #expect(MountTable.current().entry(at: folder) == nil)
            }
        }
    }

    /// What scripts take from `mount --json`.
    @Test func theSocketIsTold() throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m
            "$mayfly" mount --json --size 16m m > told
            python3 - <<'END'
            import json, socket
            told = json.load(open("told"))
            assert told["mountpoint"].endswith("/m") and told["sizeBytes"] == 16 << 20, told
            client = socket.socket(socket.AF_UNIX)
            client.connect(told["socket"])
            END
            "$mayfly" umount m
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}
