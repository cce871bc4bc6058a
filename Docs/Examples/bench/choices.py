#!/usr/bin/env python3
"""Measures what each way to save requests gives: a mount without it beside one with all.

    choices.py MAYFLY [--rounds 5] [--only NAME,...] [--workloads create,walk,...]

As root. Prints how many times as long each workload of `mayfly bench` takes without it (1: no difference),
and the requests of a tree made, listed twice, read and removed.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile

SHORTCUTS = ("timeouts negative open opendir flush mknod readdirplus symlinks dirops killpriv hugepages "
             "naps yielding").split()
OPTIONS = {"nothing": "rw", "noxattr": "noxattr", "permissions": "default_permissions", "writeback": "writeback"}

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("mayfly")
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--only", default=",".join(["nothing", *SHORTCUTS, "noxattr", "permissions", "writeback"]))
arguments.add_argument("--workloads", default="lookup,read-4k,transaction,create,walk,grep,copy,remove,bulk-write")
options = arguments.parse_args()
mayfly = shutil.which(options.mayfly) or os.path.abspath(options.mayfly)


def run(*words, **more):
    return subprocess.run([mayfly, *words], check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def requests(root):
    counts = {}
    for line in json.loads(run("stat", root, "--json"))["operations"]:
        counts[line["name"]] = line["count"]
    return sum(count for name, count in counts.items() if "orget" not in name)


def tree(root):
    """What `Docs/Requests.md` has by operation, together: 200 files in 10 folders."""
    for folder in range(10):
        os.mkdir(f"{root}/{folder}")
        for name in range(20):
            with open(f"{root}/{folder}/{name}", "wb", buffering=0) as file:
                file.write(b"x" * 10000)
        os.symlink("target", f"{root}/{folder}/link")
    for _ in range(2):
        for folder, _, names in os.walk(root):
            for name in names:
                os.lstat(f"{folder}/{name}")
                if name == "link":
                    os.readlink(f"{folder}/{name}")
    for folder in range(10):
        for name in range(20):
            with open(f"{root}/{folder}/{name}", "rb", buffering=0) as file:
                while file.read(65536):
                    pass
    shutil.rmtree(f"{root}", ignore_errors=True)


workloads = options.workloads.split(",")
print(f"{'without':12}" + "".join(f"{name:>13}" for name in workloads) + f"{'requests':>13}", flush=True)
work = tempfile.mkdtemp(prefix="choices-")
plain, other = f"{work}/plain", f"{work}/other"
try:
    for name in options.only.split(","):
        flags = OPTIONS.get(name, f"without={name}")
        for root, list_ in ((plain, "rw"), (other, flags)):
            os.makedirs(root, exist_ok=True)
            run("mount", root, "--quiet", "--size", "2g", "-o", list_)
        try:
            counts = []
            for root in (plain, other):
                os.mkdir(f"{root}/t")
                before = requests(root)
                tree(f"{root}/t")
                counts.append(requests(root) - before)
            report = json.loads(run(
                "bench", "--no-mayfly", plain, other, "--rounds", str(options.rounds), "--only",
                ",".join(workloads), "--json", "-", stderr=subprocess.DEVNULL))
            ratios = {line["workload"]: line["cells"][1].get("ratio", {}).get("median") for line in report["workloads"]}
            print(f"{name:12}" + "".join(
                f"{ratios[w]:13.2f}" if ratios.get(w) else f"{'-':>13}" for w in workloads)
                + f"{counts[0]:>6} {counts[1]:>6}", flush=True)
        finally:
            for root in (plain, other):
                run("umount", root)
finally:
    shutil.rmtree(work, ignore_errors=True)
