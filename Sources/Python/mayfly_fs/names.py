"""Names as bytes and as text: JSON has characters alone, and the kernel's names are bytes (Docs/Control.md, Names)."""

from __future__ import annotations

import os
from typing import Union

# Python has the bytes 80 to FF that are no UTF-8 as U+DC80 to U+DCFF, Mayfly as U+10FC80 to U+10FCFF.
_MAYFLY = 0x10FC00
_PYTHON = 0xDC00


def _shifted(text: str, source: int, target: int) -> str:
    return "".join(
        chr(ord(c) - source + target) if source + 0x80 <= ord(c) <= source + 0xFF else c
        for c in text
    )


def name_bytes(text: str) -> bytes:
    """The bytes of a name that Mayfly's JSON has as `text`."""
    return _shifted(text, _MAYFLY, _PYTHON).encode("utf-8", "surrogateescape")


def name_text(name: Union[str, bytes, os.PathLike[str], os.PathLike[bytes]]) -> str:
    """A name or path as Mayfly's JSON has it."""
    raw = os.fsencode(name)
    # A character of the plane that Mayfly uses is written by its bytes, so that no two names have one text.
    pieces: list[str] = []
    for c in raw.decode("utf-8", "surrogateescape"):
        if _MAYFLY + 0x80 <= ord(c) <= _MAYFLY + 0xFF:
            pieces.extend(chr(_MAYFLY + byte) for byte in c.encode("utf-8"))
        else:
            pieces.append(c)
    return _shifted("".join(pieces), _PYTHON, _MAYFLY)
