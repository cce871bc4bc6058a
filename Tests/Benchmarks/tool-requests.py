#!/usr/bin/env python3
"""What flags of common tools save in requests: each tool with and without, on a fresh mount.

    sudo Tests/Benchmarks/tool-requests.py [--files 1000] [--mayfly PATH] [--mount OPTION ...]

Requests are counted by the server, so the numbers are exact on a busy machine, too.
"""
import argparse, json, os, random, subprocess, tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--files", type=int, default=1000)
parser.add_argument("--mayfly", default=os.path.join(os.path.dirname(__file__), "../../.build/release/mayfly"))
parser.add_argument("--mount", nargs="*", default=[], help="options of the mount, without their dashes")
options = parser.parse_args()
mayfly = os.path.abspath(options.mayfly)


def sh(command, **more):
    subprocess.run(["bash", "-ec", command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def counts(mount):
    report = json.loads(subprocess.run([mayfly, "stat", mount, "--json"], check=True, capture_output=True).stdout)
    return {each["name"]: each["count"] for each in report["operations"]}


def make(folder):
    """As many files as were asked for, in folders of fifty, of 3 KiB on average."""
    rng = random.Random(7)
    for index in range(options.files):
        if index % 50 == 0: os.makedirs(f"{folder}/d{index // 50}")
        with open(f"{folder}/d{index // 50}/f{index}", "wb") as file:
            file.write(rng.randbytes(min(int(rng.expovariate(1 / 3000)), 1 << 20)))


REPOSITORY = "git init -q repo; cp -r ../tree/. repo; "
GIT = "git -c user.name=a -c user.email=a@b -c gc.auto=0 -c core.fsync=none "
# What, what comes before it, and the ways to do it.
WORK = [
    ("write a tar file of one large file", "", [
        "tar cf a.tar ../large",
        "tar -b 2048 -cf a.tar ../large"]),
    ("unpack", "", [
        "tar xf ../tree.tar",
        "tar --no-same-owner -xf ../tree.tar",
        "tar --no-same-owner --no-same-permissions -xf ../tree.tar",
        "tar --no-same-owner -m -xf ../tree.tar",
        f"{mayfly} unpack --quiet ../tree.tar ."]),
    ("copy a folder in", "", [
        "cp -r ../tree .",
        "cp -a ../tree .",
        f"{mayfly} copy --quiet ../tree ."]),
    ("copy within the mount", "cp -r ../tree .", [
        "cp -r tree two",
        "cp -r --reflink=never tree two",
        "cp -a tree two",
        "cp -a --reflink=never tree two",
        f"{mayfly} copy --quiet -T tree two"]),
    ("git add and commit", REPOSITORY, [
        f"cd repo; {GIT} add .; {GIT} commit -qm 1",
        f"cd repo; {GIT} -c core.createObject=rename add .; {GIT} -c core.createObject=rename commit -qm 1",
        ]),
    ("git status, twice", REPOSITORY + f"cd repo; {GIT} add .; {GIT} commit -qm 1", [
        "cd repo; git status; git status",
        "cd repo; git -c core.untrackedCache=true status; git -c core.untrackedCache=true status"]),
    ("remove", "cp -r ../tree .", [
        "rm -r tree",
        f"{mayfly} remove tree"]),
]

with tempfile.TemporaryDirectory(dir="/var/tmp") as work:
    os.mkdir(work + "/tree"), os.mkdir(work + "/m")
    make(work + "/tree")
    sh("tar cf tree.tar tree; head -c 32M /dev/urandom > large", cwd=work)
    mount = work + "/m"
    print(f"Linux {os.uname().release}, {options.files} files, mount options: {' '.join(options.mount) or 'none'}")
    for what, before, ways in WORK:
        print(f"\n{what}")
        first = None
        for way in ways:
            subprocess.run([mayfly, "mount", "--quiet", mount, *("--" + each for each in options.mount)], check=True)
            try:
                if before: sh(before, cwd=mount)
                start = counts(mount)
                sh(way, cwd=mount)
                spent = {name: count - start.get(name, 0) for name, count in counts(mount).items()}
            finally:
                subprocess.run([mayfly, "umount", mount], check=True)
            spent = {name: count for name, count in spent.items() if count and name not in ("forget", "batchForget")}
            total = sum(spent.values())
            first = first or total
            shown = ", ".join(f"{count} {name}" for name, count in sorted(spent.items(), key=lambda each: -each[1])[:6])
            name = way.replace(mayfly, "mayfly").replace(GIT, "git ").replace("../", "")
            print(f"  {total:7} {total / max(first, 1):5.2f}  {name}\n                 {shown}")
