"""HTTP over the Unix socket of a mount's server (Docs/Control.md)."""

from __future__ import annotations

import glob
import http.client
import json
import os
import socket
from typing import Any, Iterator, List, Optional

from .errors import MayflyError, RequestError

# A save, a check or a fork may take as long as there is content to copy.
TIMEOUT_SECONDS = 600.0


def _identity(path: str) -> "tuple[int, int, int]":
    status = os.stat(path)
    # File systems on disk give an inode's number again at once; when it was made tells two apart.
    return status.st_dev, status.st_ino, status.st_ctime_ns


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, identity: "tuple[int, int, int]", timeout: float) -> None:
        super().__init__("mayfly", timeout=timeout)
        self._path = path
        self._identity = identity

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
        # The number of a mount that is gone may be another mount's by now.
        if _identity(self._path) != self._identity:
            raise FileNotFoundError("the socket is another mount's")


def true_user() -> int:
    """The user outside of a user namespace, by whom the sockets' folder is named (user_namespaces(7), uid_map)."""
    user = os.geteuid()
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            rows = [[int(word) for word in line.split()] for line in file]
    except OSError:
        return user
    for inside, outside, count in rows:
        if inside <= user < inside + count:
            return outside + user - inside
    return user


def _folders() -> List[str]:
    user = true_user()
    folders = ["/run/mayfly"] if user == 0 else []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        folders.append(os.path.join(runtime, "mayfly"))
    return folders + ["/tmp/mayfly-%d" % user] + sorted(glob.glob("/tmp/mayfly-%d.*" % user))


def find_socket(path: str) -> str:
    """The socket of the server whose mount `path` lies in.

    It is named by the minor number of the mount's device. Only one in a folder of this user is taken.
    """
    name = "%d.sock" % os.minor(os.stat(path).st_dev)
    for folder in _folders():
        candidate = os.path.join(folder, name)
        try:
            if os.lstat(folder).st_uid == os.geteuid() and os.path.exists(candidate):
                return candidate
        except OSError:
            continue
    raise MayflyError(
        "%s lies in no Mayfly mount of yours: `mayfly list` shows the mounts there are" % path
    )


class Control:
    """Requests to one server. One connection for each request, as the server has it."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path
        self._identity = _identity(socket_path)

    def call(self, method: str, route: str, body: Optional[dict[str, Any]] = None) -> Any:
        """Makes a request and returns its answer. Fields that are None are left out.

        Raises RequestError for what the server refuses, and MayflyError where no server answers.
        """
        connection, reply = self._ask(method, route, body)
        try:
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise MayflyError("the answer of %s broke off: %s" % (self.socket_path, error)) from error
        finally:
            connection.close()
        return json.loads(text) if "json" in (reply.getheader("Content-Type") or "") else text.decode()

    def stream(
        self, method: str, route: str, body: Optional[dict[str, Any]] = None
    ) -> Iterator[Any]:
        """Yields the elements of a list as they come: one on each line."""
        connection, reply = self._ask(method, route, body)
        try:
            is_whole = False
            for line in reply:
                text = line.strip().rstrip(b",")
                if text == b"]":
                    is_whole = True
                elif text not in (b"", b"["):
                    yield json.loads(text)
            if not is_whole:
                raise MayflyError("the answer of %s broke off: ask again" % self.socket_path)
        except (OSError, http.client.HTTPException) as error:
            raise MayflyError("the answer of %s broke off: %s" % (self.socket_path, error)) from error
        finally:
            connection.close()

    def lines(self, route: str) -> Iterator[Any]:
        """Yields the objects of an answer that has one on each line, until the server ends it.

        Closing the iterator closes the connection.
        """
        connection, reply = self._ask("GET", route, None)
        try:
            for line in reply:
                if line.strip():
                    yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            raise MayflyError("the answer of %s broke off: %s" % (self.socket_path, error)) from error
        finally:
            connection.close()

    def _ask(
        self, method: str, route: str, body: Optional[dict[str, Any]]
    ) -> "tuple[_Connection, http.client.HTTPResponse]":
        content = None
        if body is not None:
            content = json.dumps({name: value for name, value in body.items() if value is not None})
        connection = _Connection(self.socket_path, self._identity, TIMEOUT_SECONDS)
        try:
            connection.request(method, route, content)
            reply = connection.getresponse()
            if reply.status == 200:
                return connection, reply
            answer = json.loads(reply.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            connection.close()
            raise MayflyError(
                "no server answers at %s (%s): `mayfly list` shows the mounts there are"
                % (self.socket_path, error)
            ) from error
        connection.close()
        raise RequestError(
            reply.status,
            answer["error"],
            answer.get("field"),
            answer.get("known") or (),
            answer.get("code"),
        )
