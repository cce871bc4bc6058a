"""Finding and running the command `mayfly`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Union

from .errors import MayflyError

Word = Union[str, bytes, "os.PathLike[str]"]


def find_binary() -> str:
    """The command: what $MAYFLY names, the one that came with this package, or the first in $PATH."""
    named = os.environ.get("MAYFLY")
    if named:
        found = shutil.which(named)
        if found is None:
            raise MayflyError("MAYFLY is %s, which is no program: give the path of mayfly" % named)
        return os.path.abspath(found)
    for folder in [os.path.dirname(sys.executable), sysconfig.get_path("scripts")]:
        candidate = os.path.join(folder, "mayfly")
        if os.access(candidate, os.X_OK):
            return candidate
    found = shutil.which("mayfly")
    if found is None:
        raise MayflyError(
            "there is no command mayfly: install it (Docs/Install.md), or set MAYFLY to its path"
        )
    return os.path.abspath(found)


def command(*words: Word) -> str:
    """Runs `mayfly` with arguments, and returns what it prints.

    A failure is a MayflyError with the line that the command printed.
    """
    # A mount's server must not keep a pipe open that somebody else reads to its end.
    done = subprocess.run(
        [find_binary(), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
    )
    if done.returncode != 0:
        lines = done.stderr.strip() or "mayfly ended with status %d" % done.returncode
        raise MayflyError(lines[len("mayfly: ") :] if lines.startswith("mayfly: ") else lines)
    return done.stdout
