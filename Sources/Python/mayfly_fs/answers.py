"""The answers of a server, as Docs/openapi.yaml describes them. Newer servers may add fields."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, TypedDict


class Usage(TypedDict):
    """An amount with the most it has been, and its limit."""

    used: int
    peak: int
    limit: int


class Report(TypedDict, total=False):
    """What a mount is, holds and has done: `mayfly stat --json`."""

    version: str
    mountpoint: str
    connection: int
    processID: int
    transport: str
    queueDepth: int
    payloadBytes: int
    uptimeNanoseconds: int
    bytes: Usage
    inodes: Usage
    memory: Dict[str, Any]
    requests: int
    readBytes: int
    writtenBytes: int
    latency: Dict[str, int]
    latencyBuckets: List[List[int]]
    operations: List[Dict[str, Any]]
    queues: List[Dict[str, Any]]
    faults: Dict[str, int]
    image: Dict[str, Any]
    options: List[str]
    errors: List[Dict[str, Any]]


class HotNode(TypedDict, total=False):
    """An inode that many of the last requests were about."""

    nodeID: int
    kind: str
    path: str
    share: float


class Snapshot(TypedDict):
    """A snapshot that is kept."""

    name: str
    timeNanoseconds: int
    bytes: int
    inodes: int
    privateBytes: int


class SnapshotList(TypedDict, total=False):
    """The snapshots, the oldest first, and what they take."""

    snapshots: List[Snapshot]
    sharedBytes: int
    privateBytes: int


class Rollback(TypedDict):
    """What a rollback has done."""

    name: str
    pages: int
    changedNodes: int
    changedNames: int
    frozenNanoseconds: int
    nanoseconds: int


class Difference(TypedDict):
    """A path that differs from a snapshot."""

    kind: Literal["added", "removed", "changed"]
    path: str
    aspects: List[str]


class Rule(TypedDict, total=False):
    """A fault, as it was added."""

    operation: str
    path: str
    errno: str
    delayNanoseconds: int
    short: bool
    fullAtBytes: int
    nth: int
    every: int
    probability: float
    seed: int
    flipBits: int
    crash: str
    dropUnsynced: bool
    after: int
    times: int


class Fault(TypedDict):
    """A fault in force: `matched` requests that it names, `fired` of them that it acted on."""

    number: int
    rule: Rule
    matched: int
    fired: int


class _UnsyncedPath(TypedDict):
    path: str
    change: str


class UnsyncedPath(_UnsyncedPath, total=False):
    """A path that was not synced, or lost for it: made, removed, replaced, content or attributes."""

    pages: int
    isDropped: bool


class Crash(TypedDict):
    """What a power loss took."""

    seed: int
    namesKept: int
    namesLost: int
    files: int
    pagesKept: int
    pagesLost: int
    pagesTorn: int
    notRestored: int
    nanoseconds: int
    lost: List[UnsyncedPath]


class Sync(TypedDict):
    """What a sync has synced."""

    names: int
    files: int


class Event(TypedDict, total=False):
    """Something that happened to a mount; which fields it has depends on `event` (Docs/Control.md, Events)."""

    event: str
    timeNanoseconds: int
    mountpoint: str
    count: int
    bytes: Usage
    inodes: Usage
    requests: int
    fault: Fault
    snapshot: Snapshot
    rollback: Rollback
    crash: Crash


class Save(TypedDict, total=False):
    """An image that was written; `base` and `pageBytes` are those of a layer."""

    path: str
    bytes: int
    base: str
    pageBytes: int


class Check(TypedDict):
    """What a check of everything that a mount holds has found."""

    problems: List[str]
    inodes: int
    orphans: int
    directories: int
    entries: int
    contentBytes: int
    nanoseconds: int
