"""A namespace to mount in, for test processes of users who are not root.

With MAYFLY_TESTING_NAMESPACE=1 the process enters a user and a mount namespace of its own, as Swift tests do
(`MayflyTesting`). It stays the user that it was, and may mount; its children, such as pytest's workers, do too.
"""

from __future__ import annotations

import ctypes
import os
import struct

VARIABLE = "MAYFLY_TESTING_NAMESPACE"

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_SLAVE = 1 << 14, 1 << 19
_CAP_SYS_ADMIN = 21
_CAPABILITY_VERSION_3 = 0x20080522
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2

_outcome = ""


def _may_administrate() -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _enter() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    _check(libc.unshare(_CLONE_NEWUSER))
    try:
        _put("/proc/self/setgroups", "deny")
    except FileNotFoundError:
        pass
    _put("/proc/self/uid_map", "%d %d 1\n" % (user, user))
    _put("/proc/self/gid_map", "%d %d 1\n" % (group, group))
    # Nothing gets out; that something is unmounted outside gets in.
    _check(libc.unshare(_CLONE_NEWNS))
    _check(libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None))
    # One capability is kept and handed on through execve(2): with the others tests would pass permission
    # checks that their user does not pass.
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    one = 1 << _CAP_SYS_ADMIN
    _check(libc.capset(header, struct.pack("=6I", one, one, one, 0, 0, 0)))
    _check(
        libc.prctl(
            _PR_CAP_AMBIENT,
            ctypes.c_ulong(_PR_CAP_AMBIENT_RAISE),
            ctypes.c_ulong(_CAP_SYS_ADMIN),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        )
    )


def enter_if_asked() -> None:
    """Enters the namespaces where the environment asks for it and they are needed.

    unshare(2) refuses a user namespace to a process with more than one thread: call it before any starts.
    """
    global _outcome
    if _may_administrate() or os.environ.get(VARIABLE) != "1":
        return
    # Some systems let a user have a namespace in which nothing is permitted, and there is no way back.
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _enter()
            status = 0 if _may_administrate() else 1
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1] != 0:
        _outcome = (
            "this system gives users no namespace to mount in (user.max_user_namespaces, "
            "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns): run the tests as root"
        )
        return
    try:
        _enter()
    except OSError as error:
        _outcome = "the namespace of %s=1 cannot be entered (%s): run the tests as root" % (
            VARIABLE,
            error.strerror,
        )


def problem() -> str:
    """Why this process cannot mount, and what to do; "" where it can."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse: load the kernel's module with `modprobe fuse`"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not open to this user: `chmod 666 /dev/fuse` opens it to all"
    if _may_administrate():
        return ""
    return _outcome or (
        "this user may not mount: set %s=1, which gives the tests a namespace of their own, or run them as root"
        % VARIABLE
    )
