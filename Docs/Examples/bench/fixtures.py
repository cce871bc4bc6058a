#!/usr/bin/env python3
"""Measures mounting from an image, forks and rollbacks, beside an empty mount and beside copies.

    fixtures.py MAYFLY [--files 100000] [--bytes 1073741824] [--rounds 20] [--suite PREFIX]

As root, with the command's path. The tree is made by a seeded generator. --suite runs tests of a Python
installation (the folder that holds bin/python3) in parallel, each in a tree of its own.
"""

import argparse
import glob
import http.client
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

TESTS = ("compileall glob ntpath os pathlib posixpath py_compile pyclbr shutil stat tarfile tempfile "
         "zipfile zipimport").split()


class Control(http.client.HTTPConnection):
    def __init__(self, root):
        super().__init__("mayfly", timeout=600)
        name = "%d.sock" % os.minor(os.stat(root).st_dev)
        self.path = next(p for p in ["/run/mayfly/" + name, *glob.glob("/tmp/mayfly-*/" + name)]
                         if os.path.exists(p))

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def call(root, method, route, **body):
    control = Control(root)
    control.request(method, route, json.dumps(body) if method == "POST" else None)
    reply = control.getresponse()
    answer = json.loads(reply.read())
    control.close()
    if reply.status != 200:
        sys.exit(answer["error"])
    return answer


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def seconds(body):
    begin = time.perf_counter()
    body()
    return time.perf_counter() - begin


def show(name, values, note=""):
    low, high = min(values), max(values)
    print("%-46s %10.2f ms  (%.2f to %.2f, n %d) %s" % (
        name, 1e3 * statistics.median(values), 1e3 * low, 1e3 * high, len(values), note))
    return statistics.median(values)


def fill(root, files, size, seed=20):
    """Files of random bytes, whose lengths add up to `size`, 100 to a directory."""
    source = random.Random(seed)
    lengths = [source.expovariate(1) for _ in range(files)]
    scale = size / sum(lengths)
    for number, length in enumerate(lengths):
        folder = "%s/%02d/%02d" % (root, number // 10000, number // 100 % 100)
        if number % 100 == 0:
            os.makedirs(folder, exist_ok=True)
        with open("%s/%06d" % (folder, number), "wb") as file:
            file.write(source.randbytes(int(length * scale)))


def change(root, files, source):
    """Changes 100 files of the tree."""
    for number in source.sample(range(files), 100):
        with open("%s/%02d/%02d/%06d" % (root, number // 10000, number // 100 % 100, number), "r+b") as f:
            f.write(b"changed")


def private_bytes(process):
    """Of ring buffers, which are the mappings that a fork(2) would leave out, and of all else."""
    found = {True: 0, False: 0}
    now = 0
    with open("/proc/%d/smaps" % process) as file:
        for line in file:
            if line.startswith("Private_"):
                now += 1024 * int(line.split()[1])
            elif line.startswith("VmFlags:"):
                found["dc" in line.split()] += now
                now = 0
    return found[True], found[False]


class Bench:
    def __init__(self, options, work):
        self.options, self.work, self.mayfly = options, work, options.mayfly
        self.image = work + "/image"
        self.made = []

    def folder(self, name):
        path = "%s/%s" % (self.work, name)
        os.makedirs(path, exist_ok=True)
        return path

    def mount(self, name, *words):
        root = self.folder(name)
        run(self.mayfly, "mount", "--quiet", root, *words)
        return root

    def umount(self, root):
        run(self.mayfly, "umount", root)

    def tree(self):
        root = self.mount("tree", "--size", "0")
        print("%d files of %d bytes in all: made in %.1f s" % (
            self.options.files, self.options.bytes,
            seconds(lambda: fill(root, self.options.files, self.options.bytes))))
        print("saved as an image in %.1f s" % seconds(lambda: run(self.mayfly, "save", root, self.image)))
        self.umount(root)

    def starts(self):
        empty, image, forks = [], [], []
        for _ in range(self.options.rounds):
            for values, words in ((empty, []), (image, ["--from", self.image])):
                def start():
                    run(self.mayfly, "mount", "--quiet", self.folder("m"), *words)
                    run("ls", self.work + "/m")
                values.append(seconds(start))
                if values is image:
                    def fork():
                        run(self.mayfly, "fork", self.work + "/m", self.folder("f"))
                        run("ls", self.work + "/f")
                    forks.append(seconds(fork))
                    self.umount(self.work + "/f")
                self.umount(self.work + "/m")
        base = show("empty mount, then ls", empty)
        for name, values in (("mount from the image, then ls", image), ("fork, then ls", forks)):
            show(name, values, "%.2f times" % (statistics.median(values) / base))

    def rollbacks(self):
        root = self.mount("m", "--from", self.image)
        source = random.Random(1)
        whole, frozen, called = [], [], []
        # All of it has been looked at, as in the middle of a test run.
        run("sh", "-c", "find %s -type f | xargs cat > /dev/null" % root)
        # Which has changed the access time of each file: the first goes back on all of them.
        first = call(root, "POST", "/v1/rollback")
        show("rollback after the whole tree was read", [first["nanoseconds"] / 1e9],
             "frozen for %.1f ms" % (first["frozenNanoseconds"] / 1e6))
        for _ in range(self.options.rounds):
            change(root, self.options.files, source)
            summary = []
            called.append(seconds(lambda: summary.append(call(root, "POST", "/v1/rollback"))))
            whole.append(summary[0]["nanoseconds"] / 1e9)
            frozen.append(summary[0]["frozenNanoseconds"] / 1e9)
        show("rollback after 100 changed files", whole, "%(pages)d pages, %(changedNodes)d nodes" % summary[0])
        show("  of which no request is answered", frozen)
        show("  with the HTTP call", called)
        self.umount(root)

    def memory(self, count=50):
        root = self.mount("m", "--from", self.image)
        process = call(root, "GET", "/v1/mount")["processID"]
        before = private_bytes(process)
        times = []
        roots = [self.folder("f%d" % n) for n in range(count)]
        for fork in roots:
            times.append(seconds(lambda: (call(root, "POST", "/v1/fork", path=fork), os.listdir(fork))))
        after = private_bytes(process)
        show("fork by HTTP, one of %d, with a listing" % count, times)
        ring, rest = ((now - then) / count / 1024 for now, then in zip(after, before))
        print("%-46s %10.0f KiB of private memory each, and %.0f KiB in ring buffers" % (
            "%d forks" % count, rest, ring))
        for fork in roots:
            call(fork, "POST", "/v1/unmount")
        self.umount(root)

    def tmpfs(self):
        root = self.mount("m", "--from", self.image)
        memory = self.folder("tmpfs")
        run("mount", "-t", "tmpfs", "-o", "size=90%", "tmpfs", memory)
        try:
            copies = [seconds(lambda: run("cp", "-a", root, "%s/%d" % (memory, n))) for n in range(3)]
            show("a copy by cp -a into tmpfs", copies)
            self.umount(root)
            source = random.Random(1)
            undo = []
            for _ in range(3):
                change(memory + "/0", self.options.files, source)
                undo.append(seconds(lambda: run("rsync", "-a", "--delete", memory + "/1/", memory + "/0/"))
                            if shutil.which("rsync") else
                            seconds(lambda: (run("rm", "-r", memory + "/0"),
                                             run("cp", "-a", memory + "/1", memory + "/0"))))
            show("  rollback: rm -r and cp -a, or rsync", undo)
            self.overlay(memory, source)
        finally:
            run("umount", "-R", memory)

    def overlay(self, memory, source):
        starts, backs = [], []
        upper, root = memory + "/upper", self.folder("o")

        def mount():
            os.makedirs(upper + "/u")
            os.makedirs(upper + "/w")
            run("mount", "-t", "overlay", "-o", "lowerdir=%s/1,upperdir=%s/u,workdir=%s/w" % (
                memory, upper, upper), "overlay", root)

        def back():
            run("umount", root)
            shutil.rmtree(upper)
            mount()

        for _ in range(self.options.rounds):
            starts.append(seconds(lambda: (mount(), run("ls", root))))
            change(root, self.options.files, source)
            backs.append(seconds(back))
            run("umount", root)
            shutil.rmtree(upper)
        show("overlayfs over a copy, mounted, then ls", starts)
        show("  rollback: unmount, rm -r of the upper, mount", backs)

    def suite(self):
        """Tests of Python, each in an installation of its own, two at a time."""
        prefix = os.path.realpath(self.options.suite)
        size = int(subprocess.run(["du", "-s", "-B1", prefix], check=True, capture_output=True,
                                  text=True).stdout.split()[0])
        root = self.mount("m", "--size", "0")
        copied = seconds(lambda: run("cp", "-a", prefix + "/.", root))
        memory = self.folder("tmpfs")
        run("mount", "-t", "tmpfs", "-o", "size=90%", "tmpfs", memory)
        run("cp", "-a", prefix + "/.", self.folder("tmpfs/origin"))

        def test(name, home):
            os.makedirs(home + "/tmp", exist_ok=True)
            environment = {**os.environ, "TMPDIR": home + "/tmp", "PYTHONHOME": home}
            result = subprocess.run(
                [home + "/bin/python3", "-m", "test", "-q", "test_" + name], cwd=home,
                env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if result.returncode:
                failed.append((name, home, result.stdout[-2000:]))

        def on_fork(name):
            home = self.folder("fork-" + name)
            call(root, "POST", "/v1/fork", path=home)
            test(name, home)
            call(home, "POST", "/v1/unmount", lazy=True, force=True)

        def on_copy(name):
            home = self.folder("tmpfs/" + name)
            run("cp", "-a", memory + "/origin/.", home)
            test(name, home)
            shutil.rmtree(home)

        try:
            print("%d modules of Python's tests (%.0f MiB of installation, copied in %.1f s):" % (
                len(TESTS), size / 2**20, copied))
            for name, body in (("fresh copies on tmpfs", on_copy), ("forks", on_fork)) * 2:
                failed = []
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    took = seconds(lambda: list(pool.map(body, TESTS)))
                print("%-46s %10.2f s   failed: %s" % (
                    "  on " + name, took, ", ".join(name for name, _, _ in failed) or "none"))
                if self.options.verbose:
                    for name, home, text in failed:
                        print("--- %s in %s\n%s" % (name, home, text))
        finally:
            run("umount", memory)
            self.umount(root)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mayfly")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--suite", metavar="PREFIX")
    parser.add_argument("--parts", default="starts,rollbacks,memory,tmpfs")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    print("%s, %d CPUs, %.1f GiB" % (platform.platform(), os.cpu_count(),
                                   os.sysconf("SC_PHYS_PAGES") * 4096 / 2**30))
    work = tempfile.mkdtemp(prefix="mayfly-fixtures-")
    try:
        bench = Bench(options, work)
        bench.tree()
        for part in filter(None, options.parts.split(",")):
            getattr(bench, part)()
        if options.suite:
            bench.suite()
    finally:
        for line in open("/proc/self/mounts").read().splitlines()[::-1]:
            if line.split()[1].startswith(work):
                subprocess.run(["umount", "--lazy", line.split()[1]])
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
