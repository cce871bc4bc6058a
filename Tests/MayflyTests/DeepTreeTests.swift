import Testing

/// Trees whose paths are longer than any call takes: memory and time go by the depth, and not by the
/// bytes of all paths together.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct DeepTreeTests {
    private static let scene = #"""
        pid = json.loads(run("stat", m, "--json"))["processID"]
        def peak(): return int([l for l in open("/proc/%d/status" % pid) if "VmHWM" in l][0].split()[1])
        name = "d" * 200
        def put(text):
            with open("leaf", "w") as file: file.write(text)
        def down(count):
            os.chdir(m)
            for _ in range(count): os.chdir(name)
        def chain(count):
            os.chdir(m)
            for _ in range(count): os.mkdir(name); os.chdir(name)
            put("old"); os.chdir(folder)

        """#

    /// `top`, `diff`, `fault` and a power loss at the end of a path of a megabyte. While each runs, no
    /// request waits for it.
    @Test func nothingCostsTheTree() throws {
        try MountedPython.run(
            .best, "--size 256m --durability fsync",
            Self.scene + #"""
                import threading
                def probe():
                    try: os.getxattr(m, "user.none")
                    except OSError: pass
                # What is rolled back to counts as synced: the power loss is to undo one file alone.
                chain(5000); run("snapshot", m); run("rollback", m); before = peak(); longest = [0]; done = threading.Event()
                def watch():
                    while not done.is_set():
                        start = time.monotonic(); probe()
                        longest[0] = max(longest[0], time.monotonic() - start); time.sleep(0.001)
                watcher = threading.Thread(target=watch); watcher.start()
                down(5000); put("newer")
                for _ in range(400): os.setxattr("leaf", "user.a", b"1")
                os.chdir(folder)
                told = subprocess.run([mayfly, "diff", m, "--json"], stdout=subprocess.PIPE)
                lines = told.stdout.splitlines(); assert told.returncode == 1 and len(lines) == 1, told.returncode
                path = json.loads(lines[0])["path"]
                assert path == (name + "/") * 5000 + "leaf" and json.loads(lines[0])["kind"] == "changed"
                shown = run("top", m, "--once"); assert ".../" + name in shown and "/leaf" in shown
                add("--op", "write", "--path", "**/leaf", "--errno", "EROFS")
                add("--op", "write", "--path", "nothing/here", "--errno", "EIO")
                down(5000); held = os.open("leaf", os.O_WRONLY); fails(errno.EROFS, lambda: os.write(held, b"x"))
                os.close(held); os.chdir(folder); assert [r["fired"] for r in listed()] == [1, 0]
                clear(); crash(4); done.set(); watcher.join(); run("check", m)
                assert peak() < before + 100 * 1024, (before, peak())
                assert longest[0] < 0.5, longest
                """#)
    }

    /// Every path of a chain that came is told whole, though together they are more than 4 MiB.
    @Test func everyPathIsWhole() throws {
        try MountedPython.run(
            .best, "",
            Self.scene + #"""
                run("snapshot", m); chain(250)
                def told(): return subprocess.run([mayfly, "diff", m], stdout=subprocess.PIPE).stdout.decode().splitlines()
                lines = told(); deep = "/".join([name] * 250)
                assert lines == ["+ " + deep[:201 * n - 1] for n in range(1, 251)] + ["+ " + deep + "/leaf"]
                assert sum(len(line) for line in lines) > 5 << 20
                os.rename(m + "/" + name, m + "/moved")
                lines = told(); assert len(lines) == 251 and all(line.startswith("+ moved") for line in lines)
                """#)
    }

    /// Images of such trees are listed, compared and exported.
    @Test func imagesToo() throws {
        try MountedPython.run(
            .best, "",
            Self.scene + #"""
                chain(300); run("save", m, folder + "/one")
                down(300); put("newer"); os.link("leaf", "second"); os.chdir(folder)
                run("save", m, folder + "/two")
                deep = (name + "/") * 300
                shown = run("image", "list", folder + "/one").splitlines()
                assert len(shown) == 302 and shown[-1].endswith(" " + deep + "leaf")
                told = subprocess.run([mayfly, "image", "diff", folder + "/one", folder + "/two"], stdout=subprocess.PIPE)
                lines = told.stdout.decode().splitlines()
                assert len(lines) == 2 and lines[0].startswith("~ " + deep + "leaf  (") and lines[1] == "+ " + deep + "second"
                run("image", "export", folder + "/two", "--tar", folder + "/two.tar")
                import tarfile
                with tarfile.open(folder + "/two.tar") as tar: members = tar.getmembers()
                assert members[-2].name == deep + "leaf" and members[-1].islnk() and members[-1].linkname == deep + "leaf"
                """#)
    }
}
