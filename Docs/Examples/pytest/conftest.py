"""Fixtures that give each test a file system of its own, a fork of one tree.

Copy this file beside your tests and give `mayfly_tree` what they start with. Takes the command `mayfly`
(or what $MAYFLY names), and root or `unshare --user --map-root-user --mount pytest`.
"""

import glob
import http.client
import json
import os
import socket
import subprocess

import pytest

MAYFLY = os.environ.get("MAYFLY", "mayfly")


class Control(http.client.HTTPConnection):
    """HTTP over the Unix socket of a mount's server."""

    def __init__(self, path):
        super().__init__("mayfly", timeout=600)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Mount:
    """A mounted file system: `path` is its root."""

    def __init__(self, path):
        self.path = path
        # The socket is named by the minor number of the mount's device.
        name = "%d.sock" % os.minor(os.stat(path).st_dev)
        folders = ["/run/mayfly", os.environ.get("XDG_RUNTIME_DIR", "") + "/mayfly"]
        sockets = [os.path.join(folder, name) for folder in folders + glob.glob("/tmp/mayfly-*")]
        self.socket = next(path for path in sockets if os.path.exists(path))

    def call(self, method, route, **body):
        """One request of Docs/Control.md; what is refused is an exception that says why."""
        body = {field: value for field, value in body.items() if value is not None}
        control = Control(self.socket)
        try:
            control.request(method, route, json.dumps(body) if method == "POST" else None)
            reply = control.getresponse()
            answer = json.loads(reply.read())
        finally:
            control.close()
        if reply.status != 200:
            raise RuntimeError(answer["error"])
        return answer

    def snapshot(self, name=None):
        return self.call("POST", "/v1/snapshots", name=name)

    def rollback(self, name=None):
        """Without a name to the newest snapshot, at first to what the test began with."""
        return self.call("POST", "/v1/rollback", name=name)

    def fault(self, operation, **rule):
        """As `mayfly fault add`: path, errno, delayNanoseconds, short, nth, every, probability."""
        return self.call("POST", "/v1/faults", operation=operation, **rule)

    def clear_faults(self):
        self.call("POST", "/v1/faults/clear")

    def crash(self, seed=None):
        """A power loss, on a mount with --durability fsync: what was not synced is lost in part."""
        return self.call("POST", "/v1/crash", seed=seed)

    def sync(self):
        """Syncs everything, as os.sync() does elsewhere: the kernel does not tell the mount of that."""
        return self.call("POST", "/v1/sync")

    def fork(self, directory):
        self.call("POST", "/v1/fork", path=str(directory))
        return Mount(str(directory))

    def report(self):
        return self.call("GET", "/v1/mount")

    def unmount(self):
        self.call("POST", "/v1/unmount", lazy=True, force=True)


@pytest.fixture(scope="session")
def mayfly_tree():
    """Fills a directory with what every test starts with. Override this."""
    return lambda root: None


@pytest.fixture(scope="session")
def mayfly_options():
    """Options of `mayfly mount` for what the tests work in. Override this."""
    return []


@pytest.fixture(scope="session")
def mayfly_image(tmp_path_factory, mayfly_tree):
    """An image of the tree, built once."""
    folder = tmp_path_factory.mktemp("mayfly")
    root, image = folder / "root", folder / "tree.image"
    root.mkdir()
    subprocess.run([MAYFLY, "mount", "--quiet", root], check=True)
    try:
        mayfly_tree(root)
        subprocess.run([MAYFLY, "save", root, image], check=True, stdout=subprocess.DEVNULL)
    finally:
        subprocess.run([MAYFLY, "umount", root], check=True)
    return image


@pytest.fixture(scope="session")
def mayfly_origin(tmp_path_factory, mayfly_image, mayfly_options):
    """The mount that the tests' mounts are forks of; one server serves them all."""
    root = tmp_path_factory.mktemp("origin")
    subprocess.run(
        [MAYFLY, "mount", "--quiet", root, "--from", mayfly_image, *mayfly_options], check=True)
    origin = Mount(str(root))
    yield origin
    origin.unmount()


@pytest.fixture
def mayfly(tmp_path, mayfly_origin):
    """A mount that the test has to itself."""
    root = tmp_path / "mayfly"
    root.mkdir()
    mount = mayfly_origin.fork(root)
    yield mount
    mount.unmount()
