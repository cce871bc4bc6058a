#!/usr/bin/env python3
"""Measures how long a mount with --survive is away when its server dies, or is replaced.

    Tests/Benchmarks/pause.py [--mayfly FILE] [--files N] [--mib N] [--rounds N] [--upgrade] [--transport WAY]

Fills a mount, and kills its server again and again (or has `mayfly upgrade` replace it). A client asks for
names all the time: the pause is from the signal to its next answer. Needs root. Prints one row of a table: what was done,
how often, the pause (median, p99, longest), and processor time of the new server until then (median), which
a busy machine does not lengthen much.
"""
import argparse
import errno
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time


def fill(root, files, mib):
    """So many files in folders of 500, and so much content in files of 1 MiB."""
    large = bytes(range(256)) * 4096
    for number in range(mib):
        folder = f"{root}/large{number // 500}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{number}", "wb") as file:
            file.write(large)
    for number in range(files - mib):
        folder = f"{root}/small{number // 500}"
        if number % 500 == 0:
            os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{number}", "wb") as file:
            file.write(b"x" * (number % 1500))


def server(mayfly, root):
    lines = subprocess.run([mayfly, "list"], capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        words = line.split()
        if words and words[0] == root and words[1] == "serving":
            return int(words[-1])
    return None


def processor_seconds(process):
    """What the threads of a process have had of processors; no matter what else the machine does."""
    total = 0
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


NUMBERS = itertools.count()


def is_answered(root):
    """Whether the mount answers a request. What the kernel has cached it answers without a server."""
    try:
        os.stat(f"{root}/none{next(NUMBERS)}")
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EINTR):
            raise
    return False


def first_answer(root, begin, away=False):
    """Seconds until the mount answers again, after it has been away."""
    while time.monotonic() - begin < 60:
        if not is_answered(root):
            away = True
        elif away:
            return time.monotonic() - begin
        time.sleep(0.0005)
    sys.exit("no server for 60 s")


def main():
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser()
    parser.add_argument("--mayfly", default=f"{top}/.build/release/mayfly")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--transport", default="auto")
    parser.add_argument("--upgrade", action="store_true")
    options = parser.parse_args()
    root = tempfile.mkdtemp(prefix="mayfly-pause-")
    mayfly = options.mayfly
    subprocess.run(
        [mayfly, "mount", root, "--survive", "--quiet", "--size", f"{options.mib * 2 + 512}m",
         "--transport", options.transport],
        check=True, env={**os.environ, "MAYFLY_SURVIVE_DEATHS": "0"})
    pauses, processor = [], []
    try:
        fill(root, options.files, options.mib)
        for _ in range(options.rounds):
            # Who lives for less than a second is followed after a pause on purpose.
            time.sleep(1.2)
            last = server(mayfly, root)
            if options.upgrade:
                command = subprocess.Popen([mayfly, "upgrade", root], stdout=subprocess.DEVNULL)
                # From when the old server stops to answer, which may be in the middle of a request.
                begin = time.monotonic()
                while is_answered(root):
                    begin = time.monotonic()
                    time.sleep(0.0005)
                pauses.append(first_answer(root, begin, away=True))
                command.wait()
            else:
                begin = time.monotonic()
                os.kill(last, signal.SIGKILL)
                pauses.append(first_answer(root, begin))
            processor.append(processor_seconds(server(mayfly, root)))
    finally:
        time.sleep(0.5)
        subprocess.run([mayfly, "check", root], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([mayfly, "umount", root], check=True)
        os.rmdir(root)
    pauses.sort()

    def at(share):
        return 1000 * pauses[min(len(pauses) - 1, int(len(pauses) * share))]

    print(f"| {options.files} files, {options.mib} MiB, {'upgrade' if options.upgrade else 'kill'}, "
          f"{options.transport} | {len(pauses)} | {at(0.5):.0f} ms | {at(0.99):.0f} ms | {at(1):.0f} ms | "
          f"{1000 * sorted(processor)[len(processor) // 2]:.0f} ms |")


main()
