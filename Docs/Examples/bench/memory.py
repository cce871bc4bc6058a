#!/usr/bin/env python3
"""Measures what files take of a machine's memory, in a Mayfly and in a tmpfs, and what comes back.

    memory.py MAYFLY [--rounds 3] [--files 1000000:0 --files 100000:1024]

As root, on a machine that does nothing else. MemAvailable of /proc/meminfo is read before, after the files were
made, and one second after they were removed, with the kernel's caches dropped before the first; and once more
after they were dropped beside the files, since the kernel gives up what it caches of a FUSE file system, and
not of tmpfs. `server` is what of it is resident memory of Mayfly's process.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("mayfly")
arguments.add_argument("--rounds", type=int, default=3)
arguments.add_argument("--files", action="append", metavar="COUNT:BYTES")
options = arguments.parse_args()
mayfly = shutil.which(options.mayfly) or os.path.abspath(options.mayfly)


def available():
    """MiB, the least of some readings: counters of each CPU are behind."""
    readings = []
    for _ in range(3):
        with open("/proc/meminfo") as file:
            readings.append(next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")))
        time.sleep(0.02)
    return min(readings) / 1024


def drop():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
    # Slabs of what was there before come back for some seconds.
    last, left = available(), 20
    while left:
        time.sleep(0.5)
        last, before, left = available(), last, left - 1
        if abs(last - before) < 1:
            break


def resident(root):
    """MiB of the server's own memory; 0 for tmpfs."""
    report = subprocess.run([mayfly, "stat", root, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(report.stdout)["memory"]["residentBytes"] / 2**20 if report.returncode == 0 else 0


def make(root, count, size):
    content = b"x" * size
    for start in range(0, count, 1000):
        folder = os.open(root, os.O_RDONLY)
        os.mkdir(f"d{start}", dir_fd=folder)
        inner = os.open(f"d{start}", os.O_RDONLY, dir_fd=folder)
        for number in range(min(1000, count - start)):
            file = os.open(f"f{number}", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=inner)
            if size:
                os.write(file, content)
            os.close(file)
        os.close(inner)
        os.close(folder)


def measure(root, count, size):
    drop()
    before = available()
    begin = time.monotonic()
    make(root, count, size)
    made = time.monotonic() - begin
    used = before - available()
    held = resident(root)
    drop()
    kept = before - available()
    begin = time.monotonic()
    subprocess.run(["rm", "-rf", *(f"{root}/{name}" for name in os.listdir(root))], check=True)
    removed = time.monotonic() - begin
    time.sleep(1)
    left, rest = before - available(), resident(root)
    drop()
    return used, kept, left, before - available(), held, rest, made, removed


work = tempfile.mkdtemp(prefix="memory-")
names = ("tmpfs", "mayfly")
for name in names:
    os.mkdir(f"{work}/{name}")
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=0,nr_inodes=0", "tmpfs", f"{work}/tmpfs"], check=True)
subprocess.run([mayfly, "mount", "--quiet", f"{work}/mayfly"], check=True)
try:
    heads = ("taken", "caches dropped", "1 s after rm", "then dropped", "server", "1 s after rm", "made in s", "removed in s")
    for spec in options.files or ["1000000:0", "100000:1024"]:
        count, size = map(int, spec.split(":"))
        print(f"{count} files of {size} bytes; MiB of MemAvailable".ljust(46) + "".join(f"{h:>15}" for h in heads), flush=True)
        rows = {name: [] for name in names}
        for turn in range(options.rounds):
            for name in names if turn % 2 == 0 else names[::-1]:
                rows[name].append(measure(f"{work}/{name}", count, size))
        for name in names:
            print(name.ljust(46) + "".join(f"{statistics.median(column):15.1f}" for column in zip(*rows[name])), flush=True)
finally:
    subprocess.run([mayfly, "umount", f"{work}/mayfly"], check=True)
    subprocess.run(["umount", f"{work}/tmpfs"], check=True)
    shutil.rmtree(work)
