#!/usr/bin/env python3
"""How long the first use of a fresh mount takes: from the start of `mayfly mount` until the first file is
there, and the first operation of each kind. Medians, the tenth in a hundred that took longest, in ms.

    sudo Tests/Benchmarks/first-use.py [--rounds 40] [--json] [MAYFLY ...]

Several programs, of several versions, are measured in turns. Run it on a machine where nothing else runs.
"""
import argparse, json, os, statistics, subprocess, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=40)
parser.add_argument("--json", action="store_true", help="the shortest time of each, too, for a test")
parser.add_argument("mayfly", nargs="*",
                    default=[os.path.join(os.path.dirname(__file__), "../../.build/release/mayfly")])
options = parser.parse_args()
options.mayfly = [os.path.abspath(mayfly) for mayfly in options.mayfly]


def fresh(mayfly, folder, note):
    """One mount, and what is done in it first."""
    begin = time.perf_counter()
    subprocess.run([mayfly, "mount", folder, "--quiet"], check=True, stdin=subprocess.DEVNULL)
    mounted = time.perf_counter()
    note("mayfly mount", mounted - begin)
    try:
        os.chdir(folder)
        descriptor = os.open("f", os.O_CREAT | os.O_RDWR)
        end = time.perf_counter()
        note("create", end - mounted)
        note("until the first file", end - begin)
        for name, work in (
            ("write", lambda: os.write(descriptor, b"x" * 4096)),
            ("read", lambda: os.pread(descriptor, 4096, 0)),
            ("fsync", lambda: os.fsync(descriptor)),
            ("truncate", lambda: os.ftruncate(descriptor, 100)),
            ("fallocate", lambda: os.posix_fallocate(descriptor, 0, 1 << 20)),
            ("mkdir", lambda: os.mkdir("d")),
            ("stat", lambda: os.stat("none") if os.path.exists("none") else None),
            ("rename", lambda: os.rename("d", "e")),
            ("link", lambda: os.link("f", "g")),
            ("symlink", lambda: os.symlink("f", "l")),
            ("readlink", lambda: os.readlink("l")),
            ("chmod", lambda: os.chmod("f", 0o600)),
            ("setxattr", lambda: os.setxattr("f", "user.x", b"y")),
            ("getxattr", lambda: os.getxattr("f", "user.x")),
            ("readdir", lambda: os.listdir(".")),
            ("statfs", lambda: os.statvfs(".")),
            ("unlink", lambda: os.unlink("g")),
            ("rmdir", lambda: os.rmdir("e")),
        ):
            begin = time.perf_counter()
            work()
            note(name, time.perf_counter() - begin)
        os.close(descriptor)
    finally:
        os.chdir("/")
        subprocess.run([mayfly, "umount", folder], check=True, stdout=subprocess.DEVNULL)


times = [{} for _ in options.mayfly]
with tempfile.TemporaryDirectory() as folder:
    for _ in range(options.rounds):
        for index, mayfly in enumerate(options.mayfly):
            fresh(mayfly, folder,
                  lambda name, seconds: times[index].setdefault(name, []).append(seconds * 1000))

if options.json:
    print(json.dumps([{name: {"median": statistics.median(all), "least": min(all)} for name, all in each.items()}
                      for each in times]))
else:
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, {options.rounds} rounds")
    print(f"{'first':<22}" + "".join(f"{os.path.basename(mayfly):>16} {'p90':>6}" for mayfly in options.mayfly))
    for name in times[0]:
        cells = [(statistics.median(each[name]), sorted(each[name])[len(each[name]) * 9 // 10]) for each in times]
        print(f"{name:<22}" + "".join(f"{median:16.2f} {late:6.2f}" for median, late in cells))
