"""What goes wrong, as exceptions. Every message is one line that says what to do."""

from __future__ import annotations

from typing import Optional, Sequence


class MayflyError(Exception):
    """Mayfly, or the machine, refused something."""


class RequestError(MayflyError):
    """A server refused a request.

    `status` is the HTTP status (Docs/Control.md): 400 for what can never be right, 409 for what cannot be done
    now, 410 for a mount that is gone. `code` says which failure it is, such as "no-such-snapshot", where the
    server says so. Of 400, `field` is the field that is wrong and `known` what may stand
    there, where the server says so.
    """

    def __init__(
        self,
        status: int,
        message: str,
        field: Optional[str] = None,
        known: Sequence[str] = (),
        code: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.known = list(known)
