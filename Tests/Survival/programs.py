#!/usr/bin/env python3
"""Kills the server of a mount while git and SQLite work in it, and looks whether what they were told is so.

    Tests/Survival/programs.py [--mayfly FILE] [--kills N] [--seed N] [--transport WAY]

A transaction that SQLite said was committed must be there in the end, and the database be sound. A commit that
git said was made must be an ancestor of HEAD, and `git fsck --strict` find nothing. What failed is done again
on the next server, as a user does it: a lock that a dead git has left is removed. Needs root, git and Python's
sqlite3. Exit status: 0 when nothing was lost.
"""
import argparse
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

AUTHOR = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
}


def until_there(path):
    begin = time.monotonic()
    while time.monotonic() - begin < 60:
        try:
            os.stat(path)
            return
        except OSError:
            time.sleep(0.002)
    sys.exit(f"{path} is not there for 60 s")


def transactions(root, number, go, said):
    """Inserts numbers; tells each that was committed, and how many attempts failed."""
    path, next_number, failed, database = f"{root}/db{number}", 1, 0, None
    mode = ["delete", "wal", "truncate"][number % 3]
    while go.is_set():
        try:
            if database is None:
                until_there(root)
                database = sqlite3.connect(path, timeout=5, isolation_level=None)
                database.execute(f"pragma journal_mode = {mode}")
                database.execute("create table if not exists t (n integer primary key, text)")
                # What failed may be there all the same.
                next_number = 1 + (database.execute("select max(n) from t").fetchone()[0] or 0)
            database.execute("begin immediate")
            for _ in range(3):
                database.execute("insert into t values (?, ?)", (next_number, "x" * (next_number % 900)))
                next_number += 1
            database.execute("commit")
            said.put(("transaction", number, next_number - 1))
        except sqlite3.Error:
            failed += 1
            try:
                database.close()
            except (sqlite3.Error, AttributeError):
                pass
            database = None
            time.sleep(0.005)
    said.put(("failed", number, failed))


def commits(root, number, go, said, seed):
    """Commits changes of a few files; tells each commit that was made, and how many attempts failed."""
    repository, failed, count = f"{root}/git{number}", 0, 0
    rng = random.Random(seed * 100 + number)

    def git(*words):
        return subprocess.run(["git", "-C", repository, *words], capture_output=True, text=True,
                              env={**os.environ, **AUTHOR})

    while go.is_set():
        until_there(root)
        try:
            os.makedirs(repository, exist_ok=True)
            if git("rev-parse", "--git-dir").returncode != 0:
                git("init", "--quiet")
            # What a git that failed has left.
            for name in ["index.lock", "HEAD.lock", "refs/heads/master.lock", "refs/heads/main.lock"]:
                if os.path.exists(f"{repository}/.git/{name}"):
                    os.unlink(f"{repository}/.git/{name}")
            for _ in range(4):
                with open(f"{repository}/f{rng.randrange(30)}", "w") as file:
                    file.write(f"{count} {rng.random()}\n" * rng.randrange(1, 200))
            count += 1
            done = git("add", "--all").returncode == 0 and git("commit", "--quiet", "-m", f"{count}").returncode == 0
            if done:
                head = git("rev-parse", "HEAD")
                if head.returncode == 0:
                    said.put(("commit", number, head.stdout.strip()))
            else:
                failed += 1
        except OSError:
            failed += 1
    said.put(("failed", number, failed))


def lost(root, acknowledged, databases, repositories):
    """What is not as was said, a line for each."""
    problems = []
    for number in range(databases):
        database = sqlite3.connect(f"{root}/db{number}")
        sound = database.execute("pragma integrity_check").fetchone()[0]
        if sound != "ok":
            problems.append(f"db{number}: {sound}")
        rows = {row[0] for row in database.execute("select n from t")}
        most = acknowledged.get(("transaction", number), 0)
        missing = [n for n in range(1, most + 1) if n not in rows]
        if missing or len(rows) % 3 != 0:
            problems.append(f"db{number}: {len(missing)} of {most} rows are missing, {len(rows)} are there")
        database.close()
    for number in range(repositories):
        path = f"{root}/git{number}"
        check = subprocess.run(["git", "-C", path, "fsck", "--strict", "--no-dangling"], capture_output=True, text=True)
        if check.returncode != 0:
            problems.append(f"git{number}: {check.stdout} {check.stderr}")
        log = subprocess.run(["git", "-C", path, "log", "--format=%H"], capture_output=True, text=True).stdout.split()
        missing = acknowledged.get(("commit", number), set()) - set(log)
        if missing:
            problems.append(f"git{number}: {len(missing)} commits are missing")
    return problems


def main():
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser()
    parser.add_argument("--mayfly", default=f"{top}/.build/debug/mayfly")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", default="auto")
    options = parser.parse_args()
    root = tempfile.mkdtemp(prefix="mayfly-programs-")
    subprocess.run([options.mayfly, "mount", root, "--survive", "--quiet", "--size", "1g", "--transport", options.transport],
                   check=True, env={**os.environ, "MAYFLY_SURVIVE_DEATHS": "0"})
    go, said = multiprocessing.Event(), multiprocessing.Queue()
    go.set()
    workers = [multiprocessing.Process(target=transactions, args=(root, n, go, said)) for n in range(3)]
    workers += [multiprocessing.Process(target=commits, args=(root, n, go, said, options.seed)) for n in range(2)]
    for worker in workers:
        worker.start()
    rng, kills, acknowledged, counts = random.Random(options.seed), 0, {}, {}

    def collect(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                kind, number, value = said.get(timeout=max(0.001, end - time.monotonic()))
            except Exception:
                return
            counts[kind] = counts.get(kind, 0) + (value if kind == "failed" else 1)
            if kind == "transaction":
                acknowledged[kind, number] = value
            elif kind == "commit":
                acknowledged.setdefault((kind, number), set()).add(value)

    while kills < options.kills:
        collect(1.1 + rng.random())
        lines = subprocess.run([options.mayfly, "list"], capture_output=True, text=True).stdout.splitlines()
        server = next((line.split()[-1] for line in lines if line.startswith(f"{root} ") and " serving " in line), None)
        if server and server.isdigit():
            os.kill(int(server), signal.SIGKILL)
            kills += 1
    collect(2)
    go.clear()
    while any(worker.is_alive() for worker in workers):
        collect(0.2)
    collect(0.5)
    until_there(root)
    problems = lost(root, acknowledged, 3, 2)
    check = subprocess.run([options.mayfly, "check", root], capture_output=True, text=True)
    if check.returncode != 0:
        problems.append(check.stdout + check.stderr)
    subprocess.run([options.mayfly, "umount", root], check=True)
    os.rmdir(root)
    print(f"seed {options.seed}, {options.transport}: {kills} kills, {counts.get('transaction', 0)} transactions and "
          f"{counts.get('commit', 0)} commits acknowledged, {counts.get('failed', 0)} attempts failed, "
          f"{len(problems)} problems")
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
