#!/usr/bin/env python3
"""What the kernel's settings of a mount's device (/sys/class/bdi) cost or save, in turns.

    sudo Tests/Benchmarks/bdi.py [--rounds 5] [--mebibytes 256] [--mayfly PATH]

Reads a large file that the kernel has forgotten, in pieces and by a mapping, and stores into a mapping of it. Requests are exact on a
busy machine, too; seconds are medians of rounds in which all settings take turns.
"""
import argparse, json, mmap, os, statistics, subprocess, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--mebibytes", type=int, default=256)
parser.add_argument("--mayfly", default=os.path.join(os.path.dirname(__file__), "../../.build/release/mayfly"))
options = parser.parse_args()
mayfly = os.path.abspath(options.mayfly)
size = options.mebibytes << 20


def forget(path):
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def read(path, piece):
    file = os.open(path, os.O_RDONLY)
    while os.read(file, piece): pass
    os.close(file)


def touch(path):
    file = os.open(path, os.O_RDONLY)
    with mmap.mmap(file, size, prot=mmap.PROT_READ) as memory:
        for at in range(0, size, 4096): memory[at]
    os.close(file)


def store(path):
    file = os.open(path, os.O_RDWR)
    with mmap.mmap(file, size) as memory:
        page = bytes(4096)
        for at in range(0, size, 4096): memory[at:at + 4096] = page
        memory.flush()
    os.close(file)


WORK = {
    "read, 4 KiB each": lambda path: read(path, 4096),
    "read, 1 MiB each": lambda path: read(path, 1 << 20),
    "read a mapping": touch,
    "store into a mapping": store,
}
DEFAULT = {"read_ahead_kb": "128", "strict_limit": "1", "max_ratio": "1"}
SETTINGS = {
    "as it is": {},
    "read_ahead_kb 512": {"read_ahead_kb": "512"},
    "read_ahead_kb 1024": {"read_ahead_kb": "1024"},
    "read_ahead_kb 4096": {"read_ahead_kb": "4096"},
    "strict_limit 0": {"strict_limit": "0"},
    "max_ratio 100": {"max_ratio": "100"},
    "both": {"strict_limit": "0", "max_ratio": "100"},
}

with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
    mount = work + "/m"
    os.mkdir(mount)
    subprocess.run([mayfly, "mount", "--quiet", mount, "--size", "2g"], check=True)
    try:
        path = mount + "/file"
        with open(path, "wb") as file:
            for _ in range(options.mebibytes): file.write(os.urandom(1 << 20))
        device = os.stat(mount).st_dev
        bdi = f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/"
        found = {name: open(bdi + name).read().strip() for name in DEFAULT}
        print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, {options.mebibytes} MiB, {options.rounds} rounds")
        print("as it is: " + ", ".join(f"{name} {value}" for name, value in found.items()))

        def counts():
            report = json.loads(subprocess.run([mayfly, "stat", mount, "--json"], check=True, capture_output=True).stdout)
            return sum(each["count"] for each in report["operations"] if each["name"] in ("read", "write"))

        for what, act in WORK.items():
            seconds = {name: [] for name in SETTINGS}
            requests = {}
            for number in range(options.rounds):
                names = list(SETTINGS)
                for name in names if number % 2 else reversed(names):
                    for setting, value in {**found, **SETTINGS[name]}.items():
                        with open(bdi + setting, "w") as file: file.write(value)
                    forget(path)
                    before, begin = counts(), time.monotonic()
                    act(path)
                    seconds[name].append(time.monotonic() - begin)
                    requests[name] = counts() - before
            print(f"\n{what}")
            base = statistics.median(seconds["as it is"])
            for name in SETTINGS:
                median = statistics.median(seconds[name])
                print(f"  {name:20} {requests[name]:7} requests {median:8.3f} s {median / base:6.2f}")
    finally:
        subprocess.run([mayfly, "umount", mount])
