#!/usr/bin/env python3
"""Whole trees beside GNU tar, cp and rm on tmpfs, in turns: medians of rounds, and their ratio.

    sudo Tests/Benchmarks/trees.py [--rounds 5] [--files 100000] [--mayfly PATH] [--only NAME ...]

Each line is one kind of work. Both sides do it in the same round, in changing order. Run it on a machine
where nothing else runs. It needs about 6 GiB of memory.
"""
import argparse, os, random, shutil, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--files", type=int, default=100_000, help="files of the large folder, of 10 KiB on average")
parser.add_argument("--mayfly", default=os.path.join(os.path.dirname(__file__), "../../.build/release/mayfly"))
parser.add_argument("--only", nargs="*")
options = parser.parse_args()
mayfly = os.path.abspath(options.mayfly)


def run(*command):
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def make(folder, files, mean):
    """A folder of some directories, with files whose sizes vary as those of sources do."""
    rng = random.Random(7)
    block = rng.randbytes(1 << 20)
    for index in range(files):
        directory = f"{folder}/d{index // 100 % 97}/e{index // 100}"
        if index % 100 == 0:
            os.makedirs(directory)
        size = min(int(rng.expovariate(1 / mean)), 1 << 20)
        with open(f"{directory}/f{index}", "wb") as file:
            file.write(block[:size])


def gone(path):
    """Until a name is gone."""
    return run(mayfly, "remove", path)


with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
    tmpfs, mount = work + "/tmpfs", work + "/mayfly"
    os.mkdir(tmpfs), os.mkdir(mount)
    run("mount", "-t", "tmpfs", "-o", "size=80%", "tmpfs", tmpfs)
    run(mayfly, "mount", "--quiet", mount, "--size", "8g")
    try:
        make(work + "/small", 6000, 10_000)
        run("tar", "-C", work, "-cf", work + "/small.tar", "small")
        make(work + "/large", options.files, 10_500)
        lines = {
            "unpack 6,000 files": (
                lambda: run("tar", "-C", tmpfs, "-xf", work + "/small.tar"),
                lambda: run(mayfly, "unpack", "--quiet", work + "/small.tar", mount)),
            f"copy {options.files:,} files": (
                lambda: run("cp", "-a", work + "/large", tmpfs),
                lambda: run(mayfly, "copy", "--quiet", work + "/large", mount)),
            "copy within": (
                lambda: run("cp", "-a", tmpfs + "/large", tmpfs + "/two"),
                lambda: run(mayfly, "copy", "--quiet", mount + "/large", mount + "/two")),
            "remove": (
                lambda: run("rm", "-rf", tmpfs + "/large"),
                lambda: gone(mount + "/large")),
            "from the folder": (
                lambda: run("cp", "-a", work + "/large", tmpfs + "/from"),
                lambda: run(mayfly, "run", "--quiet", "--size", "8g", "--from", work + "/large", "--", "true")),
        }
        times = {name: ([], []) for name in lines}
        for number in range(options.rounds):
            for name, sides in lines.items():
                if options.only and not any(word in name for word in options.only):
                    continue
                for side in (0, 1) if number % 2 else (1, 0):
                    times[name][side].append(sides[side]())
            for side in (tmpfs, mount):
                for name in os.listdir(side):
                    subprocess.run(["rm", "-rf", f"{side}/{name}"], check=True)
        print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, {options.rounds} rounds, medians")
        print(f"{'work':24}{'tmpfs s':>10}{'Mayfly s':>10}{'ratio':>8}")
        for name, (there, here) in times.items():
            if here:
                a, b = statistics.median(there), statistics.median(here)
                print(f"{name:24}{a:10.3f}{b:10.3f}{b / a:8.2f}")
    finally:
        subprocess.run([mayfly, "umount", mount])
        run("umount", tmpfs)
