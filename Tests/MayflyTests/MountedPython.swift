import Testing

/// Python that works on a mount of its own, with the command at hand.
enum MountedPython {
    /// Mounts, runs `body`, has the store checked and unmounts.
    ///
    /// - Parameter options: of `mayfly mount`.
    static func run(
        _ transport: TestTransport, _ options: String, _ body: String,
        seconds: Int = 120, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try script(
            transport,
            """
            start \(options)
            python '\(body)'
            "$mayfly" check m > /dev/null
            "$mayfly" umount m
            """, seconds: seconds, sourceLocation: sourceLocation)
    }

    /// Runs a shell script in a folder with two mountpoints m and f. `start` mounts on m, and
    /// `python` runs its argument, with the paths of both in variables of their names.
    static func script(
        _ transport: TestTransport, _ body: String,
        seconds: Int = 120, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try transport.require()
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m f
            start() { "$mayfly" mount --quiet m --size 64m --transport \(transport.rawValue) "$@"; }
            python() { python3 -ISc "$head$1" "$mayfly" "$folder"; }
            head='\(head)'
            \(body)
            """, seconds: seconds)
        #expect(outcome.status == 0, "\(outcome.report)", sourceLocation: sourceLocation)
    }

    /// Paths that are not absolute are those of the mount.
    private static let head = """
        import errno, json, mmap, os, random, signal, subprocess, sys, time
        mayfly, folder = sys.argv[1:]
        m, f = folder + "/m", folder + "/f"
        def run(*words): return subprocess.run([mayfly, *words], check=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True).stdout
        def add(*words): return json.loads(run("fault", "add", m, "--json", *words))["number"]
        def clear(*words): run("fault", "clear", m, *words)
        def listed(): return json.loads(run("fault", "list", m, "--json"))
        def crash(seed):
            summary = json.loads(run("crash", m, "--json", "--seed", str(seed)))
            assert summary["notRestored"] == 0, summary
            return summary
        def refused(text, *words):
            done = subprocess.run([mayfly, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 1 and text in done.stderr, (done.returncode, done.stderr)
            assert done.stderr.count("\\n") == 1, done.stderr
        def write(path, text):
            with open(os.path.join(m, path), "w") as file: file.write(text)
        def read(path):
            with open(os.path.join(m, path)) as file: return file.read()
        def sync(path):
            f = os.open(os.path.join(m, path), os.O_RDONLY); os.fsync(f); os.close(f)
        def fails(code, body):
            try: body()
            except OSError as error: assert error.errno == code, error
            else: assert False, "no error"
        def codes(count, body):
            found = []
            for n in range(count):
                try: body(); found.append(0)
                except OSError as error: found.append(error.errno)
            return found

        """
}
