"""A mount and what can be done with it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Iterator, List, Optional, Sequence, Type, Union, cast

from .answers import (
    Check,
    Crash,
    Difference,
    Event,
    Fault,
    HotNode,
    Report,
    Rollback,
    Save,
    Snapshot,
    SnapshotList,
    Sync,
)
from .binary import Word, command
from .control import Control, find_socket
from .errors import MayflyError
from .names import name_text

StrPath = Union[str, "os.PathLike[str]"]


class Mount:
    """A mounted file system. `path` is its root; `mount / "name"` is a path in it.

    As a context manager it unmounts at the end. Every method that the server refuses raises RequestError with
    the line that says why and what to do.
    """

    def __init__(self, path: StrPath, socket: Optional[str] = None) -> None:
        """Finds the mount that `path` is the root of, or lies in."""
        self.path = Path(os.path.abspath(path))
        self.control = Control(socket or find_socket(str(self.path)))
        self._folder: Optional[Path] = None

    def __fspath__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: StrPath) -> Path:
        return self.path / name

    def __repr__(self) -> str:
        return "Mount(%r)" % str(self.path)

    def __enter__(self) -> "Mount":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmounts whatever uses it; nothing where it is unmounted already."""
        try:
            self.unmount(lazy=True, force=True)
        except MayflyError:
            # Where it is unmounted already, its server is gone or about to go.
            if os.path.ismount(self.path):
                raise
        if self._folder is not None:
            folder, self._folder = self._folder, None
            shutil.rmtree(folder, ignore_errors=True)

    # What it is

    def report(self) -> Report:
        """What the mount is, holds and has done, as `mayfly stat --json` prints it."""
        return cast(Report, self.control.call("GET", "/v1/mount"))

    def hot(self) -> List[HotNode]:
        """The inodes that most of the last requests were about."""
        return cast(List[HotNode], self.control.call("GET", "/v1/hot"))

    def metrics(self) -> str:
        """The report for Prometheus."""
        return cast(str, self.control.call("GET", "/metrics"))

    def events(self) -> Iterator[Event]:
        """Yields what happens to the mount from now on, "mounted" first and "ended" last."""
        return cast(Iterator[Event], self.control.lines("/v1/events"))

    def check(self) -> Check:
        """Has the server prove that what it holds is as it must be. Requests wait meanwhile."""
        return cast(Check, self.control.call("POST", "/v1/check"))

    def resize(self, size_bytes: Optional[int] = None, inodes: Optional[int] = None) -> Report:
        """Changes the limits; what is None stays."""
        body = {"sizeBytes": size_bytes, "inodes": inodes}
        return cast(Report, self.control.call("POST", "/v1/limits", body))

    def unmount(self, lazy: bool = False, force: bool = False) -> Report:
        """Unmounts, and returns the last report. A busy mount is refused without `lazy` or `force`."""
        return cast(
            Report, self.control.call("POST", "/v1/unmount", {"lazy": lazy, "force": force})
        )

    # Snapshots

    def snapshot(self, name: Optional[str] = None, replace: bool = False) -> Snapshot:
        """Keeps what the mount holds now; without a name the next free number is the name."""
        body = {"name": name, "replace": replace}
        return cast(Snapshot, self.control.call("POST", "/v1/snapshots", body))

    def snapshots(self) -> SnapshotList:
        """The snapshots, the oldest first."""
        return cast(SnapshotList, self.control.call("GET", "/v1/snapshots"))

    def remove_snapshot(self, name: str) -> SnapshotList:
        """Gives a snapshot up, and returns those that are left."""
        return cast(SnapshotList, self.control.call("POST", "/v1/snapshots/remove", {"name": name}))

    def rollback(self, name: Optional[str] = None, force: bool = False) -> Rollback:
        """Makes the mount what it was: without a name at the newest snapshot.

        A mount that was forked or started from an image has the snapshot "start" from the beginning.
        `force` goes on where a folder that carries a mount would be removed.
        """
        return cast(Rollback, self.control.call("POST", "/v1/rollback", {"name": name, "force": force}))

    def diff(self, name: Optional[str] = None) -> Iterator[Difference]:
        """Yields each path that differs from a snapshot; without a name from the newest."""
        return cast(
            Iterator[Difference], self.control.stream("POST", "/v1/diff", {"name": name})
        )

    def fork(self, directory: StrPath) -> "Mount":
        """Mounts a copy on a directory, which the same server serves and which shares its memory."""
        target = os.path.abspath(directory)
        self.control.call("POST", "/v1/fork", {"path": name_text(target)})
        return Mount(target)

    def save(
        self, file: StrPath, umask: Optional[int] = None, base: Optional[StrPath] = None
    ) -> Save:
        """Writes an image, which `mount(from_image=file)` starts from; with `base` a layer on that image."""
        body = {
            "path": name_text(os.path.abspath(file)),
            "umask": umask,
            "base": None if base is None else name_text(os.path.abspath(base)),
        }
        return cast(Save, self.control.call("POST", "/v1/save", body))

    # Faults and power losses

    def fault(
        self,
        operation: str,
        path: Optional[str] = None,
        *,
        errno: Union[str, int, None] = None,
        delay_seconds: Optional[float] = None,
        short: Optional[bool] = None,
        full_at_bytes: Optional[int] = None,
        nth: Optional[int] = None,
        every: Optional[int] = None,
        probability: Optional[float] = None,
        seed: Optional[int] = None,
        flip_bits: Optional[int] = None,
        crash: Optional[str] = None,
        drop_unsynced: Optional[bool] = None,
        after: Optional[int] = None,
        times: Optional[int] = None,
    ) -> Fault:
        """Makes requests go wrong from now on, as `mayfly fault add` does.

        `operation` is one of the protocol or a group (Docs/Fixtures.md, Faults), and `path` a pattern from the
        mount's root. Faults of open, flush, fsync and reads take a mount with `faults`.
        """
        body = {
            "operation": operation,
            "path": None if path is None else name_text(path),
            "errno": None if errno is None else str(errno),
            "delayNanoseconds": None if delay_seconds is None else round(delay_seconds * 1e9),
            "short": short,
            "fullAtBytes": full_at_bytes,
            "nth": nth,
            "every": every,
            "probability": probability,
            "seed": seed,
            "flipBits": flip_bits,
            "crash": crash,
            "dropUnsynced": drop_unsynced,
            "after": after,
            "times": times,
        }
        return cast(Fault, self.control.call("POST", "/v1/faults", body))

    def faults(self) -> List[Fault]:
        """The faults in force, with how many requests they matched and acted on."""
        return list(cast(Iterator[Fault], self.control.stream("GET", "/v1/faults")))

    def clear_faults(self, *numbers: int) -> List[Fault]:
        """Takes faults back, all of them without a number, and returns those that are left."""
        body = {"numbers": list(numbers) or None}
        return list(cast(Iterator[Fault], self.control.stream("POST", "/v1/faults/clear", body)))

    def crash(self, seed: Optional[int] = None) -> Crash:
        """A power loss: a part of what was not synced is lost, by the seed. Takes `durability="fsync"`."""
        return cast(Crash, self.control.call("POST", "/v1/crash", {"seed": seed}))

    def sync(self) -> Sync:
        """Syncs everything, as sync(2) does elsewhere: the kernel does not tell the mount of that call."""
        return cast(Sync, self.control.call("POST", "/v1/sync"))


def mount(
    path: Optional[StrPath] = None,
    *,
    from_image: Optional[StrPath] = None,
    size: Union[str, int, None] = None,
    inodes: Union[str, int, None] = None,
    faults: bool = False,
    durability: Optional[str] = None,
    options: Sequence[Word] = (),
) -> Mount:
    """Mounts a file system that ends with this process, however the process ends.

    `path` is an empty or other directory; without it the mount has a temporary one, which goes with `close()`.
    `from_image` is an image, an archive or a directory to start from. `options` are more words of
    `mayfly mount` (Docs/Options.md).
    """
    folder = None
    if path is None:
        folder = Path(tempfile.mkdtemp(prefix="mayfly-fs-"))
        path = folder
    words: List[Word] = ["mount", "--quiet", "--until-pid", str(os.getpid())]
    if from_image is not None:
        words += ["--from", from_image]
    if size is not None:
        words += ["--size", str(size)]
    if inodes is not None:
        words += ["--inodes", str(inodes)]
    if faults:
        words.append("--faults")
    if durability is not None:
        words += ["--durability", durability]
    words += options
    try:
        command(*words, "--", path)
        made = Mount(path)
    except BaseException:
        if folder is not None and not os.path.ismount(folder):
            os.rmdir(folder)
        raise
    made._folder = folder
    return made


def build_image(
    fill: Callable[[Path], Any], image: StrPath, *, options: Sequence[Word] = ()
) -> Path:
    """Makes an image of the tree that `fill` makes in the directory that it is called with."""
    with mount(options=options) as made:
        fill(made.path)
        made.save(image)
    return Path(image)
