#!/usr/bin/env python3
"""Measures what --survive costs while nothing dies, beside a mount without it.

    Tests/Benchmarks/survive-cost.py [--mayfly FILE] [--rounds N] [--files N]

Two mounts do the same work in turns, so that what else the machine does is the same for both. Prints the median
of the ratios of each turn, in processor time of the servers, and memory: of a fresh mount, and of one with files.
Memory is what no file lies behind (anonymous and shared), of server and guardian together; pages of the program
are one copy for all. Needs root.
"""
import argparse
import itertools
import os
import statistics
import subprocess
import tempfile


def create(root, files):
    for number in range(files):
        with open(f"{root}/f{number}", "wb") as file:
            file.write(b"x" * 700)


def rename(root, files):
    for number in range(files):
        os.rename(f"{root}/f{number}", f"{root}/g{number}")


def change(root, files):
    for number in range(files):
        os.chmod(f"{root}/g{number}", 0o600)
        os.utime(f"{root}/g{number}", (1, number))


def overwrite(root, files):
    with open(f"{root}/large", "wb", buffering=0) as file:
        for _ in range(files // 16):
            file.write(b"y" * 65536)


NUMBERS = itertools.count()


def lookup(root, files):
    for _ in range(files):
        # The kernel keeps what it has been told.
        try:
            os.stat(f"{root}/none{next(NUMBERS)}")
        except FileNotFoundError:
            pass


def remove(root, files):
    for number in range(files):
        os.unlink(f"{root}/g{number}")
    os.unlink(f"{root}/large")


WORK = [("create 700 bytes", create), ("rename", rename), ("chmod and utimes", change),
        ("write 64 KiB", overwrite), ("lookup of nothing", lookup), ("unlink", remove)]


def memory(process):
    """Bytes of a process, of what it shares with others its share, without what lies in files."""
    with open(f"/proc/{process}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) * 1024


def processor_seconds(process):
    """What the threads of a process have had of processors."""
    total = 0
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def processes(mayfly, root):
    lines = subprocess.run([mayfly, "stat", root], capture_output=True, text=True).stdout.splitlines()
    found = []
    for line in lines:
        words = line.replace(",", "").split()
        if words[:2] == ["server", "pid"]:
            found.append(int(words[2]))
        if words[:3] == ["survives", "guardian", "pid"]:
            found.append(int(words[3]))
    return found


def main():
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser()
    parser.add_argument("--mayfly", default=f"{top}/.build/release/mayfly")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--files", type=int, default=2000)
    options = parser.parse_args()
    mayfly = options.mayfly
    roots = [tempfile.mkdtemp(prefix=f"mayfly-cost-{name}-") for name in ("plain", "survive")]
    try:
        for root, more in zip(roots, ([], ["--survive"])):
            subprocess.run([mayfly, "mount", root, "--quiet", "--size", "1g", *more], check=True)
        fresh = [sum(map(memory, processes(mayfly, root))) for root in roots]
        servers = {root: processes(mayfly, root)[0] for root in roots}
        ratios = {name: [] for name, _ in WORK}
        for turn in range(options.rounds + 1):
            for name, work in WORK:
                times = {}
                for root in roots if turn % 2 else reversed(roots):
                    begin = processor_seconds(servers[root])
                    work(root, options.files)
                    times[root] = processor_seconds(servers[root]) - begin
                if turn > 0:
                    ratios[name].append(times[roots[1]] / max(1e-9, times[roots[0]]))
        for name, found in ratios.items():
            print(f"| {name} | {statistics.median(found):.3f} | {min(found):.2f} to {max(found):.2f} |")
        for root in roots:
            create(root, options.files)
        full = [sum(map(memory, processes(mayfly, root))) for root in roots]
        print(f"| memory of a fresh mount, more | {(fresh[1] - fresh[0]) / 2**20:.2f} MiB | {fresh[0] / 2**20:.1f} and "
              f"{fresh[1] / 2**20:.1f} MiB |")
        print(f"| memory with {options.files} files, more | {(full[1] - full[0]) / 2**20:.2f} MiB | {full[0] / 2**20:.1f} and "
              f"{full[1] / 2**20:.1f} MiB |")
    finally:
        for root in roots:
            subprocess.run([mayfly, "umount", root])
            os.rmdir(root)


main()
