#!/usr/bin/env python3
"""Runs a test suite in parallel, each job in a tree of its own: a fork of an image, or a copy on tmpfs.

    suite.py MAYFLY TREE [--jobs 2,4] [--rounds 3] [--tests GLOB] [--shard 1] -- COMMAND...

As root. TREE is a folder with everything that the tests need. COMMAND runs once for each job in the job's tree,
with `{}` replaced by the tree's root, and a word `{tests}` by the names of the job's tests: `--shard` of
those that GLOB finds in TREE. It downloads nothing. Git's tests, for example, in a folder where git was made:

    suite.py mayfly git-2.39.5 --tests 't/t14*.sh' -- \\
        sh -c 'cd t; for t; do sh "${t#t/}" --no-bin-wrappers -q || exit; done' sh {tests}
"""

import argparse
import glob
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from fixtures import call, run, seconds


class Memory(threading.Thread):
    """The most that `used` has said, in bytes above what it said at first."""

    def __init__(self, used):
        super().__init__(daemon=True)
        self.used, self.first, self.most = used, used(), 0
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.2):
            self.most = max(self.most, self.used() - self.first)

    def end(self):
        self.ended.set()
        self.join()
        return self.most


class Forks:
    """Each job on a fork of one mount, which starts from an image."""

    name = "forks"

    def __init__(self, mayfly, tree, work):
        self.mayfly, self.work, self.root = mayfly, work, work + "/origin"
        os.mkdir(self.root)
        run(mayfly, "image", "build", "--quiet", work + "/image", "--from", tree)
        run(mayfly, "mount", "--quiet", self.root, "--from", work + "/image")
        self.process = call(self.root, "GET", "/v1/mount")["processID"]

    def used(self):
        """Memory of the server that is in no file: what forks have changed, tables and ring buffers."""
        with open("/proc/%d/smaps_rollup" % self.process) as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))

    def make(self, number):
        home = "%s/fork-%d" % (self.work, number)
        os.mkdir(home)
        call(self.root, "POST", "/v1/fork", path=home)
        return home

    def drop(self, home):
        call(home, "POST", "/v1/unmount", lazy=True, force=True)
        os.rmdir(home)

    def end(self):
        run(self.mayfly, "umount", self.root)


class Copies:
    """Each job on a copy by cp -a of a tree on the same tmpfs."""

    name = "copies"

    def __init__(self, mayfly, tree, work):
        self.memory = work + "/tmpfs"
        os.mkdir(self.memory)
        run("mount", "-t", "tmpfs", "-o", "size=90%", "tmpfs", self.memory)
        run("cp", "-a", tree, self.memory + "/origin")

    def used(self):
        status = os.statvfs(self.memory)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def make(self, number):
        home = "%s/copy-%d" % (self.memory, number)
        run("cp", "-a", self.memory + "/origin", home)
        return home

    def drop(self, home):
        run("rm", "-rf", home)

    def end(self):
        run("umount", self.memory)


class Suite:
    def __init__(self, options, command):
        self.options, self.command = options, command
        names = sorted(os.path.relpath(path, options.tree)
                       for path in glob.glob(os.path.join(glob.escape(options.tree), options.tests)))
        if not names:
            sys.exit("%s finds no tests in %s" % (options.tests, options.tree))
        # Neighbours are alike and take alike long: dealt out, not cut.
        count = (len(names) + options.shard - 1) // options.shard
        self.shards = [names[n::count] for n in range(count)]
        self.failed = {}

    def job(self, trees, number):
        """Runs one job; the times of making its tree, of the tests, and of taking the tree away."""
        begin = time.perf_counter()
        home = trees.make(number)
        made = time.perf_counter()
        words = []
        for word in self.command:
            words += self.shards[number] if word == "{tests}" else [word.replace("{}", home)]
        result = subprocess.run(words, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace")
        tested = time.perf_counter()
        if result.returncode:
            self.failed.setdefault(trees.name, {})[number] = result.stdout[-2000:]
        trees.drop(home)
        return made - begin, tested - made, time.perf_counter() - tested

    def round(self, trees, jobs):
        memory = Memory(trees.used)
        try:
            with ThreadPoolExecutor(jobs) as pool:
                begin = time.perf_counter()
                parts = list(pool.map(lambda number: self.job(trees, number), range(len(self.shards))))
                whole = time.perf_counter() - begin
        finally:
            most = memory.end()
        made, tested, dropped = ([part[n] for part in parts] for n in range(3))
        return whole, statistics.median(made), sum(tested), statistics.median(dropped), most


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    at = sys.argv.index("--")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mayfly", type=os.path.abspath)
    parser.add_argument("tree", type=os.path.realpath)
    parser.add_argument("--jobs", default="2,4", help="how many at a time, one table row for each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tests", default="*", help="pattern of the tests in TREE")
    parser.add_argument("--shard", type=int, default=1, help="tests of one job")
    options = parser.parse_args(sys.argv[1:at])
    suite = Suite(options, sys.argv[at + 1:])
    print("%s, %d CPUs, %.1f GiB" % (platform.platform(), os.cpu_count(),
                                   os.sysconf("SC_PHYS_PAGES") * 4096 / 2**30))
    print("%d tests in %d jobs, %d rounds in turns; the tree: %s" % (
        sum(map(len, suite.shards)), len(suite.shards), options.rounds,
        subprocess.run(["du", "-sh", "--apparent-size", options.tree], check=True,
                       capture_output=True, text=True).stdout.split()[0]))
    # So that nothing stays mounted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = tempfile.mkdtemp(prefix="mayfly-suite-")
    kinds, made = [], []
    try:
        for kind in (Forks, Copies):
            made.append(seconds(lambda: kinds.append(kind(options.mayfly, options.tree, work))))
        print("once: the image built and mounted in %.1f s, the first copy in %.1f s" % tuple(made))
        print("%-8s %4s %22s %12s %12s %12s %12s" % (
            "", "jobs", "whole, s (from to)", "a tree, ms", "tests, s", "drop, ms", "memory, MiB"))
        for jobs in map(int, options.jobs.split(",")):
            results = {kind: [] for kind in kinds}
            for turn in range(options.rounds):
                for kind in kinds[::1 if turn % 2 == 0 else -1]:
                    results[kind].append(suite.round(kind, jobs))
            for kind in kinds:
                whole, make, test, drop, memory = (
                    [result[n] for result in results[kind]] for n in range(5))
                print("%-8s %4d %8.2f (%5.2f %5.2f) %12.1f %12.2f %12.1f %12.1f" % (
                    kind.name, jobs, statistics.median(whole), min(whole), max(whole),
                    1e3 * statistics.median(make), statistics.median(test),
                    1e3 * statistics.median(drop), statistics.median(memory) / 2**20), flush=True)
        for name, failed in suite.failed.items():
            print("failed on %s: %s" % (name, ", ".join(
                " ".join(suite.shards[number]) for number in sorted(failed))))
            print(next(iter(failed.values())))
    finally:
        for kind in kinds:
            try:
                kind.end()
            except subprocess.CalledProcessError:
                pass  # What a killed test still uses is unmounted below.
        for line in open("/proc/self/mounts").read().splitlines()[::-1]:
            if line.split()[1].startswith(work):
                subprocess.run(["umount", "--lazy", line.split()[1]])
        shutil.rmtree(work)
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
