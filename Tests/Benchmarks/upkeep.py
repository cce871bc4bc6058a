#!/usr/bin/env python3
"""What upkeep costs beside a mount's size: rollback, diff, fault rules, starting from an image, and how long
a client waits meanwhile. Medians of rounds.

    sudo Tests/Benchmarks/upkeep.py [--rounds 9] [--small] [MAYFLY]

Run it on a machine where nothing else runs. It needs about 4 GiB of memory.
"""
import argparse, http.client, json, os, socket, statistics, subprocess, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--small", action="store_true", help="a tenth of the trees, to try it out")
parser.add_argument("mayfly", nargs="?",
                    default=os.path.join(os.path.dirname(__file__), "../../.build/release/mayfly"))
options = parser.parse_args()
mayfly = os.path.abspath(options.mayfly)
part = 10 if options.small else 1


class Mount:
    """A mount with its control socket."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        begin = time.perf_counter()
        out = subprocess.run([mayfly, "mount", folder, "--json", *arguments], check=True, stdout=subprocess.PIPE).stdout
        self.seconds = time.perf_counter() - begin
        self.socket = json.loads(out)["socket"]

    def ask(self, path, body=None):
        """The answer to a request, and how long it took."""
        connection = http.client.HTTPConnection("mayfly")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.socket)
        begin = time.perf_counter()
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - begin
        assert answer.status == 200, content
        return json.loads(content), seconds

    def end(self):
        subprocess.run([mayfly, "umount", self.folder], check=True, stdout=subprocess.DEVNULL)


def fill(folder, files):
    """Files of 100 bytes, 1,000 to a folder."""
    for number in range(files):
        if number % 1000 == 0: os.mkdir(f"{folder}/{number // 1000}")
        with open(f"{folder}/{number // 1000}/{number}", "wb") as file: file.write(b"x" * 100)


def show(what, seconds, bound=""):
    print(f"{what:<66} {statistics.median(seconds) * 1000:9.2f} ms {max(seconds) * 1000:9.2f} {bound}", flush=True)


def waits(folder, work):
    """The longest that a client waits for an answer while something is done."""
    # A process of its own, which Python's lock does not hold up.
    client = subprocess.Popen(["python3", "-c", """
import os, select, sys, time
f = os.open(sys.argv[1] + "/waits", os.O_CREAT | os.O_RDWR)
longest = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    begin = time.perf_counter(); os.pwrite(f, b"x", 0); longest = max(longest, time.perf_counter() - begin)
print(longest)
""", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    work()
    return float(client.communicate("x")[0])


def show_start(what, folder, image):
    """How long a mount takes to start from an image, which is removed then."""
    took = []
    for _ in range(options.rounds):
        mount = Mount(folder, "--from", image)
        took.append(mount.seconds)
        mount.end()
    show(f"mount from an image of {what}", took)
    os.remove(image)


print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, {options.rounds} rounds; median, most")
with tempfile.TemporaryDirectory() as top:
    files = 100_000 // part
    mount = Mount(f"{top}/m", "--size", "2g")
    fill(mount.folder, files)
    subprocess.run(["find", mount.folder, "-size", "+1G"], check=True)
    mount.ask("/v1/snapshots", {"name": "s"})
    took, inside, noop = [], [], []
    for _ in range(options.rounds):
        for number in range(100):
            with open(f"{mount.folder}/{number % (files // 1000)}/{number % (files // 1000) * 1000 + number}", "ab") as file:
                file.write(b"y")
        answer, seconds = mount.ask("/v1/rollback", {"name": "s"})
        took.append(seconds)
        inside.append(answer["nanoseconds"] / 1e9)
        noop.append(mount.ask("/v1/rollback", {"name": "s"})[1])
    show(f"rollback, 100 changed files, {files:,} names cached", took)
    show("the same without the request over HTTP, as the answer says", inside)
    show("rollback, nothing changed", noop)
    mount.end()

    files = 500_000 // part
    mount = Mount(f"{top}/m", "--size", "4g")
    fill(mount.folder, files)
    mount.ask("/v1/snapshots", {"name": "s"})
    for number in range(10):
        with open(f"{mount.folder}/{number}/{number * 1000}", "ab") as file: file.write(b"y")
    took = []
    for _ in range(options.rounds):
        answer, seconds = mount.ask("/v1/diff", {"name": "s"})
        assert len(answer) == 10, answer
        took.append(seconds)
    show(f"diff, 10 changed of {files:,} files", took)
    for what, work in (
        ("nothing", lambda: time.sleep(1)),
        ("a diff", lambda: mount.ask("/v1/diff", {"name": "s"})),
        ("a snapshot", lambda: mount.ask("/v1/snapshots", {"name": "t", "replace": True})),
        ("a rollback", lambda: mount.ask("/v1/rollback", {"name": "t"})),
        ("a fault rule with a path", lambda: mount.ask("/v1/faults", {"operation": "write", "path": "none/*", "errno": "EIO"})),
        ("a list of hot files", lambda: mount.ask("/v1/hot")),
        ("saving an image", lambda: mount.ask("/v1/save", {"path": f"{top}/large.mayfly"})),
        ("a fork", lambda: (os.makedirs(f"{top}/f", exist_ok=True), mount.ask("/v1/fork", {"path": f"{top}/f"}),
                            subprocess.run([mayfly, "umount", f"{top}/f"], stdout=subprocess.DEVNULL))),
    ):
        show(f"longest that a write waits during {what}", [waits(mount.folder, work) for _ in range(3)])
    mount.end()

    show_start(f"{files:,} files", f"{top}/m", f"{top}/large.mayfly")

    mount = Mount(f"{top}/m", "--size", "2g")
    for number in range(1024 // part):
        with open(f"{mount.folder}/{number}", "wb") as file: file.write(os.urandom(1 << 20))
    mount.ask("/v1/save", {"path": f"{top}/large.mayfly"})
    mount.end()
    show_start(f"{1024 // part:,} MiB in as many files", f"{top}/m", f"{top}/large.mayfly")

    mount = Mount(f"{top}/m", "--size", "64m")
    file = os.open(f"{mount.folder}/f", os.O_CREAT | os.O_RDWR)
    made = 0
    for rules in (0, 10, 1_000, 10_000):
        while made < rules:
            mount.ask("/v1/faults", {"operation": "write", "path": f"db/{made}/*", "errno": "EIO"})
            made += 1
        took = []
        for _ in range(20_000):
            begin = time.perf_counter()
            os.pwrite(file, b"x" * 4096, 0)
            took.append(time.perf_counter() - begin)
        show(f"pwrite of 4 KiB beside {rules:,} rules that do not match", took)
    show("list of 10,000 rules", [mount.ask("/v1/faults")[1] for _ in range(options.rounds)])
    os.close(file)
    mount.end()
